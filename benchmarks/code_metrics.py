"""Sizes, names and walls of the code, counted from its syntax trees; nothing is imported.

    python benchmarks/code_metrics.py [NAME=]FOLDER …

prints a table with a column for each checkout, such as the ones before and after a change.
"""

from __future__ import annotations

import argparse
import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

LIBRARIES = {"jax", "keras", "keras_tuner", "matplotlib", "mlflow", "optuna", "ray", "sklearn"}
LIBRARIES |= {"tensorboard", "tensorflow"}
COMPATIBILITY = re.compile(r"compat")  # in the path of the modules that may import private parts
# The modules that decode a line of the journal, and so must read it by its keys.
CODEC = {"event_codec.py", "record_form.py"}
# What holds a record of the journal or what a history kept of one, by the names that it has.
RECORDS = {"end", "event", "final", "first", "r", "record", "study", "winner"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkouts", nargs="*", default=["."], metavar="[NAME=]FOLDER")
    columns = {}
    for given in parser.parse_args().checkouts:
        name, _, folder = given.rpartition("=")
        columns[name or Path(folder).resolve().name] = measure(Path(folder))
    print("| figure |", " | ".join(columns), "|")
    print("|---|" + "---|" * len(columns))
    for figure in next(iter(columns.values())):
        print(f"| {figure} |", " | ".join(column[figure] for column in columns.values()), "|")


def measure(root: Path) -> dict[str, str]:
    """The figures of the package in a checkout."""
    files = sorted((root / "hpsearch").rglob("*.py"))
    if not files:
        raise SystemExit(f"{root} holds no package hpsearch")
    texts = {path: path.read_text(encoding="utf-8") for path in files}
    trees = {path: ast.parse(text) for path, text in texts.items()}
    functions = [n for t in trees.values() for n in ast.walk(t) if isinstance(n, Function)]
    names = [f.name for f in functions if not f.name.startswith("__")]
    words = [len([word for word in name.split("_") if word]) for name in names]
    one_word = sum(n == 1 for n in words) / len(words)
    records = {
        path: sum(1 for _ in record_reads(tree))
        for path, tree in trees.items()
        if path.name not in CODEC
    }
    private = {
        path.relative_to(root): len(private_imports(tree))
        for path, tree in trees.items()
        if not COMPATIBILITY.search(path.relative_to(root).as_posix())
    }
    twice = repeated_classes(trees)
    return {
        "files": str(len(files)),
        "lines of a file, median / 95th percentile": spread(
            [t.count("\n") for t in texts.values()]
        ),
        "functions": str(len(functions)),
        "lines of a function, median / 95th percentile": spread(
            [f.end_lineno - f.lineno + 1 for f in functions]
        ),
        "words of a function's name, mean": f"{sum(words) / len(words):.2f}",
        "names of one word": f"{one_word:.0%}",
        "string-keyed reads of records outside the codec": (
            f"{sum(records.values())} in {count(records)} files"
        ),
        "private imports outside the compatibility modules": (
            f"{sum(private.values())} in {count(private)} files"
        ),
        "class names that stand for two classes": ", ".join([str(len(twice)), *twice]),
    }


def record_reads(tree: ast.AST) -> Iterator[ast.AST]:
    """`record["key"]` and `record.get("key")` of what is named as a record is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            held, key = node.value, node.slice
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "get"
            and node.args
        ):
            held, key = node.func.value, node.args[0]
        else:
            continue
        if isinstance(held, ast.BoolOp):
            held = held.values[0]  # of `history.end or {}`
        name = held.id if isinstance(held, ast.Name) else getattr(held, "attr", "")
        if isinstance(key, ast.Constant) and isinstance(key.value, str) and name in RECORDS:
            yield node


def private_imports(tree: ast.AST) -> list[str]:
    """What is imported of a library's private parts, or reached through its name."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if is_private(alias.name)]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            dotted = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [name for name in dotted if is_private(name)][:1]
        elif isinstance(node, ast.Attribute) and is_private(dotted_name(node)):
            found.append(dotted_name(node))
    return found


def is_private(dotted: str) -> bool:
    """Whether a dotted name leads to a library's private part: `keras.src`, `_name`."""
    library, *parts = dotted.split(".")
    hidden = (p == "src" or (p.startswith("_") and not p.startswith("__")) for p in parts)
    return library in LIBRARIES and any(hidden)


def dotted_name(node: ast.expr) -> str:
    """`a.b` of the innermost attribute of a name alone, so that `a._b.c` is counted once."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return ""


def repeated_classes(trees: dict[Path, ast.Module]) -> list[str]:
    """Names that classes of several files have."""
    homes: defaultdict[str, set[Path]] = defaultdict(set)
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                homes[node.name].add(path)
    return sorted(name for name, files in homes.items() if len(files) > 1)


def count(found: dict[Path, int]) -> int:
    """How many files have some."""
    return sum(map(bool, found.values()))


def spread(values: list[int]) -> str:
    """Median and 95th percentile."""
    ordered = sorted(values)
    return f"{ordered[len(ordered) // 2]} / {ordered[int(0.95 * len(ordered))]}"


if __name__ == "__main__":
    main()
