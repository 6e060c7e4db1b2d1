"""What a study of thousands of trials costs to be opened, taken up, shown and reported.

    python benchmarks/long_studies.py [--trials 5000] [--folds 5] [--epochs 20]

Writes a synthetic journal and does each thing in a process of its own. Prints a Markdown row each:
seconds of processor time without imports of the package itself, and the most memory it had.

The last two rows are real: `hpsearch tune --offline` goes on with a study that lacks no trial any
more and ends it (winner, final fit, locked rows, figures), once with one trial and once with all.
They are the coordinator's alone, imports of Keras and of what draws the figures among them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import synthetic

from hpsearch.journal import Journal, stream_records
from hpsearch.reporting import html, terminal_tables
from hpsearch.reporting.trial_export import export_trials
from hpsearch.search.event_writer import EventWriter
from hpsearch.search.replay import replay_trials
from hpsearch.search.samplers import make_sampler
from hpsearch.tracking.optuna_study import declared_space
from hpsearch.tracking.projection import Projection
from hpsearch.tracking.store import journal_path


def take_up(journal: Path) -> None:
    """What `tune` does with the journal before it asks for the next trial."""
    space = declared_space(synthetic.history(0))
    sampler = make_sampler("gp", space, direction="maximize", seed=7)
    with EventWriter(journal) as writer:
        replay_trials(writer.history, sampler, in_rounds=False)
        sampler.ask(writer.history.next_number)


def recall(journal: Path) -> None:
    """What the sender to MLflow takes in of a journal that the store has."""
    projection = Projection(cast(Any, None), journal, next(stream_records(journal)), None)
    projection.runs.is_alone = True
    projection.load_acknowledged(journal.stat().st_size)


USES: dict[str, Callable[[Path], object]] = {
    "open": lambda journal: Journal(journal).close(),
    "take up": take_up,
    "show": lambda journal: terminal_tables.trial_details(journal, 7),
    "top": terminal_tables.top_table,
    "report": html.render_report,
    "export": lambda journal: export_trials(journal, journal.with_name("trials.csv"), form="csv"),
    "recall": recall,
}

SPEC = {
    "study": "long",
    "seed": 7,
    "data": {"source": "sklearn:wine"},
    "cross_validation": {"folds": 3},
    "training": {"epochs": 4},
    "search_space": synthetic.SPACE,
    "sampler": {"kind": "gp"},
    "selection": {"finalists": 0},
}
TUNE = """
import sys, time
from hpsearch.cli import main
try:
    main(["tune", "long.yaml", "--offline", "--quiet", "--set", "budget.trials=" + sys.argv[1]])
finally:
    status = open("/proc/self/status", encoding="ascii", errors="replace").read()
    print(time.process_time(), int(status.partition("VmHWM:")[2].split()[0]) / 1024)
"""


def tune(root: Path, trials: int) -> tuple[float, float]:
    """Run the study, or go on with it: the coordinator's seconds and megabytes."""
    command = [sys.executable, "-c", TUNE, str(trials)]
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    seconds, megabytes = done.stdout.split()[-2:]
    return float(seconds), float(megabytes)


def go_on(folder: Path, given: argparse.Namespace) -> None:
    """Print what a real study costs to go on with and to end, of one trial and of many."""
    for trials in (1, given.trials):
        root = folder / f"real-{trials}"
        root.mkdir()
        (root / "long.yaml").write_text(json.dumps(SPEC))  # JSON is YAML
        tune(root, 1)
        path = journal_path(root, "long")
        first = synthetic.read_records(path)[0]
        metric, later = first["objective"]["metric"], first["time"] - synthetic.START
        records = synthetic.study(
            trials, folds=given.folds, epochs=given.epochs, finished=False, metric=metric
        )
        shifted = ({**record, "time": record["time"] + later} for record in records[1:])
        synthetic.write(path, [first, *shifted])
        seconds, megabytes = tune(root, trials)
        print(f"| go on and end, {trials:,} trials | {seconds:.2f} | {megabytes:.0f} |", flush=True)


def main() -> None:
    """Measure every use; with `--use`, one of them in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("trials", 5000), ("folds", 5), ("epochs", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--use", choices=USES)
    parser.add_argument("--journal", type=Path)
    given = parser.parse_args()
    if given.use:
        began = time.process_time()
        USES[given.use](given.journal)
        seconds = time.process_time() - began
        # Not `ru_maxrss`: a new process starts with its parent's.
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        memory = int(status.partition("VmHWM:")[2].split()[0]) / 1024
        print(f"| {given.use} | {seconds:.2f} | {memory:.0f} |", flush=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        records = synthetic.study(given.trials, folds=given.folds, epochs=given.epochs)
        journal = synthetic.write(Path(folder) / "journal.jsonl", records)
        del records
        for use in USES:
            command = [sys.executable, __file__, "--use", use, "--journal", str(journal)]
            subprocess.run(command, check=True)
        go_on(Path(folder), given)


main()
