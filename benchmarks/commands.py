"""What each command costs: wall clock, processor time and imported modules, the median of five.

    python benchmarks/commands.py                       # of this tree
    python benchmarks/commands.py --against ff3049e     # of an earlier commit beside it

A study of 12 trials is run once by each of the two, in a folder of its own, so that each meets the
models and journals that it wrote itself. Processor time includes that of child processes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SPEC = ROOT / "search_spaces" / "breast_cancer.yaml"
STUDY, MODEL = "breast-cancer", "bc"
TRIALS = ("--set", "budget.trials=12", "--set", "training.epochs=10")
COMMANDS = (
    ("--help",),
    ("studies",),
    ("top", "--all"),
    ("show",),
    ("compare", "best", "1"),
    ("models",),
    ("promote", STUDY, "--as", MODEL),
    ("rollback", MODEL),
    ("predict", f"{MODEL}@champion", "rows.csv", "-o", "answers.csv", "--overwrite"),
    ("doctor",),
    ("tune", str(SPEC), *TRIALS),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one command costs."""

    wall: float  # seconds, the median
    cpu: float  # seconds of user and system time with those of its children, the median
    modules: int  # that it imports itself


def run(tree: Path, folder: Path, *arguments: str, options: tuple[str, ...] = ()) -> str:
    """Run a command of the package in `tree`; returns what it says on standard error."""
    code = "import sys; sys.argv[0] = 'hpsearch'; from hpsearch.cli import main; main()"
    done = subprocess.run(
        [sys.executable, *options, "-c", code, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(tree), "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 2 if arguments[0] == "rollback" else 0):  # nothing to go back to
        raise SystemExit(f"{arguments}: {done.stderr[-2000:]}")
    return done.stderr


def measure(tree: Path, folder: Path, command: tuple[str, ...], times: int) -> Cost:
    walls, cpus = [], []
    for _ in range(times):
        before, began = os.times(), time.perf_counter()
        run(tree, folder, *command)
        walls.append(time.perf_counter() - began)
        after = os.times()
        cpus.append(
            after.children_user
            + after.children_system
            - before.children_user
            - before.children_system
        )
    told = run(tree, folder, *command, options=("-X", "importtime"))
    modules = sum(line.startswith("import time:") for line in told.splitlines()) - 1
    return Cost(statistics.median(walls), statistics.median(cpus), modules)


def prepare(tree: Path, folder: Path) -> None:
    """Run the study, put its winner in use, and write 100 rows to predict."""
    from sklearn.datasets import load_breast_cancer

    rows = load_breast_cancer(as_frame=True).data.head(100)
    rows.to_csv(folder / "rows.csv", index=False)
    run(tree, folder, "tune", str(SPEC), *TRIALS)
    run(tree, folder, "promote", STUDY, "--as", MODEL)


def measure_all(tree: Path, times: int) -> list[Cost]:
    with tempfile.TemporaryDirectory() as name:
        prepare(tree, Path(name))
        return [measure(tree, Path(name), command, times) for command in COMMANDS]


@contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """The tree of a revision, in a folder that goes again."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", "--quiet", str(path), revision], check=True)
        try:
            yield path
        finally:
            subprocess.run([*git, "remove", "--force", str(path)], check=True)


def format_rows(now: list[Cost], before: list[Cost] | None) -> Iterator[str]:
    kinds = ("wall", "cpu", "modules")
    heads = [
        f"{kind}, {when}" for kind in kinds for when in (("before", "now") if before else ("now",))
    ]
    yield "| command | " + " | ".join(heads) + " |"
    yield "|:--|" + "--:|" * len(heads)
    for i, (command, cost) in enumerate(zip(COMMANDS, now, strict=True)):
        costs = [before[i], cost] if before else [cost]
        cells = [f"{c.wall:.2f} s" for c in costs] + [f"{c.cpu:.2f} s" for c in costs]
        cells += [f"{c.modules:,}" for c in costs]
        shown = " ".join(Path(word).name if "/" in word else word for word in command[:3])
        yield f"| `{shown}` | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", metavar="REV", help="a commit to measure as well")
    parser.add_argument("--times", type=int, default=5)
    asked = parser.parse_args()
    before = None
    if asked.against:
        with checked_out(asked.against) as tree:
            before = measure_all(tree, asked.times)
    for line in format_rows(measure_all(ROOT, asked.times), before):
        print(line)


if __name__ == "__main__":
    main()
