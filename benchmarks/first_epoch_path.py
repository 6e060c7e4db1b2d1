"""The path from `hpsearch tune` to the first epoch: frames, files and functions of the package.

    python benchmarks/first_epoch_path.py [--frames] [[NAME=]FOLDER …]

prints a table with a column for each checkout, of one small study: the frames of the command's
process that send the first trial to the worker, and those of the worker that report the first epoch
of all folds. `--frames` prints them, too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SPEC = {
    "study": "path",
    "data": {"source": "sklearn:wine"},
    "cross_validation": {"folds": 2},
    "training": {"epochs": 1, "trainer": "vectorized"},
    "search_space": {"units": [4, 8]},
    "budget": {"trials": 1},
    "selection": {"finalists": 0},
}
# Python runs it at the start of every process: of the command, and of its worker.
WATCH = """
import atexit, json, os, sys, threading
root, out = os.environ["WATCHED"], os.environ["WATCH_OUT"]
functions, reached = set(), []

def stack_of(frame):
    found = []
    while frame is not None:
        found.append((frame.f_code.co_filename, frame.f_code.co_qualname))
        frame = frame.f_back
    own = [(f.removeprefix(root), name) for f, name in found[::-1] if f.startswith(root)]
    names = [name for _, name in own]
    return own[names.index("tune") if "tune" in names else 0 :]

def watch(frame, event, argument):
    if event != "call" or (reached and reached[0][0] == "report"):
        return
    code = frame.f_code
    if code.co_filename.startswith(root):
        if code.co_name != "<module>":
            functions.add((code.co_filename.removeprefix(root), code.co_qualname))
        if not reached and code.co_name == "submit" and "execution" in code.co_filename:
            reached.append(("submit", stack_of(frame), sorted(functions)))
    elif code.co_name == "__init__" and code.co_filename == "<string>":
        if type(frame.f_locals.get("self")).__name__ == "EpochReport" and not reached:
            reached.append(("report", stack_of(frame), sorted(functions)))
    if reached:
        sys.setprofile(None)
        with open(os.path.join(out, f"{reached[0][0]}.json"), "w", encoding="utf-8") as file:
            json.dump(reached[0][1:], file)
        def watch_no_more(frame, event, argument):
            sys.setprofile(None)
        threading.setprofile(watch_no_more)

threading.setprofile(watch)
sys.setprofile(watch)
"""


def measure(checkout: Path) -> dict[str, Any]:
    """The frames in both processes, and what of the package had run there."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "path.yaml").write_text(json.dumps(SPEC), encoding="utf-8")  # JSON is YAML
        (folder / "sitecustomize.py").write_text(WATCH, encoding="utf-8")
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([name, str(checkout.resolve())]),
            "WATCHED": f"{checkout.resolve() / 'hpsearch'}{os.sep}",
            "WATCH_OUT": name,
        }
        tune = "from hpsearch.cli import main; main()"
        command = [sys.executable, "-c", tune, "tune", "path.yaml", "--offline", "--quiet"]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{checkout}: the study did not end\n{done.stderr}")
        submit, report = (
            json.loads((folder / f"{end}.json").read_text(encoding="utf-8"))
            for end in ("submit", "report")
        )
    ran = {tuple(function) for _, functions in (submit, report) for function in functions}
    return {"command": submit[0], "worker": report[0], "ran": ran}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkouts", nargs="*", default=["."], metavar="[NAME=]FOLDER")
    parser.add_argument("--frames", action="store_true", help="print the frames of each")
    asked = parser.parse_args()
    columns = {}
    for given in asked.checkouts:
        name, _, folder = given.rpartition("=")
        columns[name or Path(folder).resolve().name] = measure(Path(folder))
    found = columns.values()
    rows = {
        "frames from `tune` to the first trial's submit": [len(c["command"]) for c in found],
        "frames in the worker to the first epoch's report": [len(c["worker"]) for c in found],
        "files on that path": [len({f for f, _ in c["command"] + c["worker"]}) for c in found],
        "files of which a function ran before": [len({f for f, _ in c["ran"]}) for c in found],
        "functions that ran before": [len(c["ran"]) for c in found],
    }
    print("| figure |", " | ".join(columns), "|")
    print("|---|" + "---|" * len(columns))
    for figure, cells in rows.items():
        print(f"| {figure} |", " | ".join(map(str, cells)), "|")
    for name, c in columns.items() if asked.frames else ():
        for process in ("command", "worker"):
            frames = (f"  {file}: {function}" for file, function in c[process])
            print(f"\n{name}, {process}:", *frames, sep="\n")


if __name__ == "__main__":
    main()
