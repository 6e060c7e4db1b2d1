"""Disk, memory and time of the checkpoints of many frozen trials, and their bound.

    python benchmarks/checkpoints.py --trials 1000 --gib 0.05

Every trial gets the checkpoint of a real one, of a small network on 120 rows with three folds.
"""

import tempfile
import time
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path

import psutil

from hpsearch.events import EpochFinished, TrialAsked
from hpsearch.history import History
from hpsearch.search.checkpoint_store import GIB, CheckpointStore
from hpsearch.testing.executors import small_problem, small_trial
from hpsearch.training.vectorized import VectorizedTrainer


def make_checkpoint() -> bytes:
    """Train a trial and return its checkpoint."""
    trial = replace(small_trial(epochs=2), checkpoint=1)
    [report] = next(VectorizedTrainer(small_problem()).train([trial]))
    assert report.checkpoint is not None
    return report.checkpoint


def make_history(trials: int) -> History:
    """Make a history of trials that have an epoch each."""
    history = History()
    for number in range(trials):
        fields = {"trial": number, "attempt": 0}
        history.apply(TrialAsked(**fields, params={"x": number}, seed=number, epochs=9))
        history.apply(EpochFinished(**fields, epoch=0, scores=[number % 97 / 97], metrics={}))
    return history


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--gib", type=float, default=5.0)
    arguments = parser.parse_args()
    content, history = make_checkpoint(), make_history(arguments.trials)
    with tempfile.TemporaryDirectory() as folder:
        store = CheckpointStore(Path(folder), max_gib=arguments.gib)
        before, began = psutil.Process().memory_info().rss, time.perf_counter()
        for trial in history.trials:
            store.save(trial, content, history)
        seconds = time.perf_counter() - began
        grown = psutil.Process().memory_info().rss - before
        files = list(Path(folder).rglob("*.ckpt"))
        size = sum(file.stat().st_size for file in files)
        best = {t.number for t in history.trials if t.scores[0][0] > 0.98}
        kept = {int(file.stem) for file in files}
    print(f"a checkpoint: {len(content):,} bytes")
    print(f"{len(files):,} of {arguments.trials:,} trials keep theirs: {size:,} bytes on disk")
    print(f"the bound: {int(arguments.gib * GIB):,} bytes")
    print(f"of the {len(best)} best trials, {len(best & kept)} keep theirs")
    print(f"memory: {grown / 2**20:+.1f} MiB; {1000 * seconds / arguments.trials:.2f} ms each")


if __name__ == "__main__":
    main()
