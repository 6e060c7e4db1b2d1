"""What a study of thousands of trials costs to be opened, taken up, shown and reported.

    python benchmarks/long_studies.py [--trials 5000] [--folds 5] [--epochs 20]

Writes a synthetic journal and does each thing in a process of its own. Prints a Markdown row each:
seconds of processor time without imports of the package itself, and the most memory it had.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import synthetic

from hpsearch.history import History
from hpsearch.journal import Journal, stream_scores
from hpsearch.reporting import html, table
from hpsearch.search.replay import replay
from hpsearch.search.samplers import make_sampler
from hpsearch.tracking.as_optuna import space_in


def take_up(journal: Path) -> None:
    """What `tune` does with the journal before it asks for the next trial."""
    space = space_in(History(synthetic.study(0)))
    history = History()
    sampler = make_sampler("gp", space, direction="maximize", seed=7)
    replay(stream_scores(journal), history, sampler, in_rounds=False)
    sampler.ask(history.next_number)


USES: dict[str, Callable[[Path], object]] = {
    "open": lambda journal: Journal(journal).close(),
    "take up": take_up,
    "show": lambda journal: table.show(journal, 7),
    "top": table.top,
    "report": html.report,
}


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


main()
