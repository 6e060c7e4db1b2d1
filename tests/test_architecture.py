"""Allowed imports between packages, and imports that the command line must not wait for."""

import ast
import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "hpsearch"

# Each room and the rooms it may use. Arrows run downwards only.
MAY_USE = {
    "redaction": set(),
    "errors": {"redaction"},
    "python_errors": {"errors"},
    "gc_pause": set(),
    "fault_injection": {"errors"},
    "compat": set(),
    "log_file": {"redaction"},
    "plugins": {"errors"},
    "trial": set(),
    "spec": {"errors", "redaction", "trial"},
    "param_encoding": {"spec", "trial"},
    "record_form": set(),
    "events": {"trial"},
    "event_codec": {"events", "record_form", "trial"},
    "event_redaction": {"events", "event_codec", "redaction"},
    "journal": {"errors", "events", "event_codec", "event_redaction"},
    "verdict": {"events"},
    "pareto": {"trial"},
    "trial_growth": {"events", "trial"},
    "history": {"errors", "events", "journal", "trial", "trial_growth", "pareto"},
    "data": {"errors", "trial", "spec"},
    "models": {"compat", "plugins", "errors", "trial", "spec", "data"},
    "training": {
        "compat",
        "plugins",
        "errors",
        "redaction",
        "gc_pause",
        "trial",
        "spec",
        "data",
        "models",
    },
    "execution": {"compat", "errors", "redaction", "fault_injection", "trial", "training"},
    "search": {
        "param_encoding",
        "compat",
        "event_redaction",
        "plugins",
        "errors",
        "redaction",
        "fault_injection",
        "trial",
        "spec",
        "events",
        "journal",
        "history",
        "execution",
    },
    "tracking": {
        "param_encoding",
        "compat",
        "errors",
        "redaction",
        "gc_pause",
        "fault_injection",
        "trial",
        "spec",
        "events",
        "journal",
        "verdict",
        "history",
        "training",
    },
    "promotion": {
        "compat",
        "errors",
        "fault_injection",
        "trial",
        "events",
        "journal",
        "history",
        "data",
        "models",
        "training",
        "tracking",
    },
    "reporting": {
        "spec",
        "search",  # what a sampler's model predicts
        "verdict",
        "errors",
        "redaction",
        "trial",
        "events",
        "journal",
        "history",
        "tracking",
    },
}
MAY_USE = {name: used | {"platforms", "escaping", "lazy_exports"} for name, used in MAY_USE.items()}
MAY_USE["platforms"] = set()
MAY_USE["escaping"] = set()
MAY_USE["lazy_exports"] = set()
MAY_USE["testing"] = {
    "data",
    "events",
    "execution",
    "history",
    "models",
    "search",
    "spec",
    "training",
    "trial",
}
MAY_USE["study"] = set(MAY_USE) - {"testing"}
MAY_USE["answers"] = {"data", "errors", "events", "history", "promotion", "reporting", "study"}
MAY_USE["answers"] |= {"platforms", "tracking", "trial"}
MAY_USE["mcp"] = MAY_USE["answers"] | {"answers", "journal", "redaction", "spec"}
MAY_USE["cli"] = set(MAY_USE) - {"testing"}
MAY_USE["api"] = set(MAY_USE) - {"testing", "cli", "answers", "mcp"}
MAY_USE["sklearn"] = {"api", "errors", "promotion", "spec", "study", "training"}
MAY_USE["optuna"] = {"param_encoding", "search", "spec"}
MAY_USE["__init__"] = {"api", "lazy_exports", "study"}

# Who may use the libraries that a study stands on.
LIBRARIES = {
    "mlflow": {"compat", "tracking", "promotion"},
    # models: build(trial)
    "optuna": {"compat", "models", "param_encoding", "search", "tracking", "reporting"},
    "keras": {"compat", "models", "training", "execution", "promotion", "testing"},
    "jax": {"training", "testing"},
    "keras_tuner": {"compat", "models", "search"},  # models: a user's build(hp) gets its own `hp`
    "ray": {"compat", "execution"},
    "sklearn": {"data", "sklearn", "study"},
    "pyarrow": {"data", "promotion", "reporting"},
    "pandas": {"data", "promotion", "reporting", "sklearn", "study"},
    "matplotlib": {"tracking"},
    "click": {"cli"},
    "mcp": {"mcp"},
    "rich": {"cli", "reporting"},
    "pydantic": {"answers", "spec", "tracking"},
    # promotion: the file of an MLflow model
    "ruamel": {"spec", "tracking", "promotion"},
}

HEAVY = [
    "tensorflow",
    "keras",
    "jax",
    "mlflow",
    "optuna",
    "ray",
    "sklearn",
    "pandas",
    "matplotlib",
    "pyarrow",
    "numpy",
]


def room(path: Path) -> str:
    """The package or module right below `hpsearch`."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@functools.cache
def imports(path: Path) -> set[str]:
    """What a file imports, as dotted absolute names."""
    package = ("hpsearch", *path.relative_to(ROOT).parts[:-1])
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = ".".join((*package[: len(package) - node.level + 1], node.module or ""))
            found.update(f"{base.rstrip('.')}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


FILES = sorted(ROOT.rglob("*.py"))


def test_arrows_run_downwards_only():
    upwards = {}
    for path in FILES:
        used = {n.split(".")[1] for n in imports(path) if n.startswith("hpsearch.")}
        here = room(path)
        upwards[str(path)] = used - MAY_USE[here] - {here}
    assert {} == {path: names for path, names in upwards.items() if names}


def test_a_library_is_used_in_its_rooms_alone():
    elsewhere = {}
    for path in FILES:
        used = {n.split(".")[0] for n in imports(path)} & LIBRARIES.keys()
        elsewhere[str(path)] = {name for name in used if room(path) not in LIBRARIES[name]}
    assert {} == {path: names for path, names in elsewhere.items() if names}


# Attributes with an underscore that are documented: of `os`, `ssl` and named tuples.
PUBLIC = {"_exit", "_create_unverified_context", "_replace", "_make", "_fields", "_asdict"}
# What a library keeps in modules of this name its documentation does not promise.
INTERNAL = ("keras.src", "keras_tuner.src", "tensorflow.python", "jax._src", "ray.core")
INTERNAL += ("mlflow.store", "mlflow.system_metrics", "mlflow.utils", "mlflow.tracking")


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def is_internal(module: str) -> bool:
    within = any(module == name or module.startswith(f"{name}.") for name in INTERNAL)
    library = module.split(".")[0] not in (*sys.stdlib_module_names, "hpsearch")
    return library and (within or any(map(is_private, module.split("."))))


def own_names(tree: ast.AST) -> set[str]:
    """What a file's classes and functions define, or set on `self`."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", "") in ("self", "cls"):
            found.add(node.attr)
    return found


def private_uses(code: str) -> list[str]:
    """Private parts of libraries that a file imports, reads, sets or overrides."""
    tree = ast.parse(code)
    own, found = own_names(tree), []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names):
                found += [a.name for a in names if is_internal(a.name)]
            case ast.ImportFrom(module=str(module), names=names, level=0):
                found += [m for a in names if is_internal(m := f"{module}.{a.name}")]
            case ast.Attribute(value=ast.Name("self" | "cls")):
                pass
            case ast.Attribute(attr=name) if is_private(name) and name not in own:
                found.append(name)
            case ast.Call(func=ast.Name("getattr" | "setattr" | "hasattr" | "delattr")):
                name = getattr(node.args[1], "value", "")
                found += [name] if isinstance(name, str) and is_private(name) else []
            case ast.keyword(arg=str(name)) if is_private(name):
                found.append(name)
    return found


def test_private_parts_of_libraries_are_used_in_compat_alone():
    elsewhere = [path for path in FILES if room(path) != "compat"]
    found = {str(path): private_uses(path.read_text(encoding="utf-8")) for path in elsewhere}
    assert {} == {path: names for path, names in found.items() if names}


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("from keras.src.losses import losses", ["keras.src.losses.losses"]),
        ("from keras import src", ["keras.src"]),
        ("import ray._private.services", ["ray._private.services"]),
        ("from optuna import _gp", ["optuna._gp"]),
        ("model._flatten_layers()", ["_flatten_layers"]),
        ("model._compile_config = None", ["_compile_config"]),
        ("getattr(loss, '_fn_kwargs', {})", ["_fn_kwargs"]),
        ("ray.init(_node_ip_address='127.0.0.1')", ["_node_ip_address"]),
        ("self._own; other.__name__; os._exit(1); import _thread", []),
    ],
)
def test_a_private_part_is_found(code, found):
    assert found == private_uses(code.replace("; ", "\n"))


def test_compat_modules_import_no_library():
    names = [f"hpsearch.compat.{p.stem}" for p in (ROOT / "compat").glob("*.py")]
    code = f"import sys, {', '.join(names)}; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert [] == [name for name in (*HEAVY, "keras_tuner") if name in loaded]


def test_the_command_line_waits_for_no_heavy_import():
    code = "import sys, hpsearch.cli; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    lighter = ("ssl", "urllib.request", "importlib.metadata", "pydantic", "rich")
    assert [] == [name for name in (*HEAVY, *lighter) if name in loaded]


def test_the_public_names_are_these():
    code = "import hpsearch; print(hpsearch.__all__, hpsearch.tune, hpsearch.StudyResult)"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    classes = ["BestTrial", "Choice", "Float", "Int", "LoadedStudy", "NestedResult", "Plan"]
    classes += ["Spec", "StudyCheck"]
    classes += ["StudyInterrupted", "StudyResult", "StudyStopped"]
    functions = ["list_models", "load", "nested", "plan", "promote", "rollback", "tune"]
    names = [*classes, "check", *functions]
    assert printed.startswith(f"{names} <function tune")


def opens_text(node: ast.AST) -> bool:
    """Whether a call opens or reads a text file without naming its encoding."""
    if not isinstance(node, ast.Call) or any(k.arg == "encoding" for k in node.keywords):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in ("read_text", "write_text"):
        return len(node.args) < (1 if name == "read_text" else 2)
    if name != "open" or (isinstance(node.func, ast.Attribute) and not opens_a_path(node)):
        return False
    modes = [a.value for a in node.args if isinstance(a, ast.Constant)]
    modes += [k.value.value for k in node.keywords if k.arg == "mode"]
    return not any("b" in mode for mode in modes if isinstance(mode, str))


def opens_a_path(call: ast.Call) -> bool:
    """Whether the arguments of a method `open` are a mode, as those of a path's are."""
    modes = [a for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    return bool(modes) and len(modes) == len(call.args) and set(modes[0].value) <= set("rwxabt+")


def test_every_text_file_is_opened_with_an_encoding():
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
    found = [
        f"{path}:{node.lineno}"
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if opens_text(node)
    ]
    assert [] == found


def test_the_architecture_page_names_files_and_functions_that_exist() -> None:
    page = (ROOT.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+\.py)(?:: (\w+))?`", page)
    assert len(named) > 20
    for file, name in named:
        path = ROOT / file if (ROOT / file).exists() else ROOT.parent / file
        assert path.exists(), file
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not name or name in {getattr(node, "name", "") for node in tree.body}, name


def test_the_architecture_page_names_every_folder() -> None:
    page = (ROOT.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    folders = {path.parent.name for path in ROOT.rglob("__init__.py") if path.parent != ROOT}
    assert {name for name in folders if f"{name}/" not in page} <= {"plots"}
