"""What the processor does in a study of 30 trials: imports, compiling, training.

    HPSEARCH_DATA=<data sets> python benchmarks/short_study.py [--data telco] [--trials 30]
        [--trial-lines]

One process trains the trials of `trials.py --mode study` as a worker does, each after its programs
are compiled, with an empty cache of programs, and prints the processor seconds of each part. These
seconds add up, whatever else runs beside them; divided by the cores, they are the shortest time of
a study whose cores are always busy. MLflow is opened last, in a new store.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trial_tasks import OPTIMIZERS, STEADY, draw_configurations, load_table
from trial_trainers import make_problem, make_trial


class Clock:
    """Processor seconds of this process by part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def measure(self, part: str) -> Iterator[Callable[[], float]]:
        """Add what the block uses to a part; it may read the seconds so far."""
        began = time.process_time()
        yield lambda: time.process_time() - began
        self.seconds[part] = self.seconds.get(part, 0.0) + time.process_time() - began


def train_in_turn(clock: Clock, data: str, n_trials: int, *, tells: bool) -> Any:
    """Compile and train the trials one after another; returns the trainer."""
    with clock.measure("worker: import JAX, Keras and the trainer"):
        from hpsearch.training.keras_import import import_keras

        import_keras()
        from hpsearch.training.vectorized.vectorized_trainer import VectorizedTrainer
    with clock.measure("coordinator: read the table, with pandas and scikit-learn"):
        problem = make_problem(*load_table(data), optimizers=OPTIMIZERS, batch_sizes_vary=True)
    with clock.measure("worker: copy the rows"):
        trainer = VectorizedTrainer(problem, placement="threads")
    for number, config in enumerate(draw_configurations(n_trials, STEADY[data]["epochs"])):
        trial, before = make_trial(number, config), trainer.compilations
        with clock.measure("worker: build, trace and compile") as compiling:
            trainer.prepare([trial])
            engine: Any = trainer._engine
            [prepared] = engine._prepared.values()
            engine._engine.wait_for_programs(prepared.result())
            compiled = compiling()
        with clock.measure("worker: train") as training:
            *_, result = trainer.train([trial])
            trained = training()
        assert result.state == "COMPLETE", result.error
        if tells:
            programs = trainer.compilations - before
            print(
                f"{number} {config['optimizer']} {config['batch_size']} {config['units']}: ", end=""
            )
            print(f"{programs} programs, {compiled:.2f} s; trained {trained:.2f} s")
    return trainer


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="telco", choices=list(STEADY))
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--trial-lines", action="store_true", help="print a line for each trial")
    given = parser.parse_args()
    os.environ |= {"KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3", "HPSEARCH_CACHE": ""}
    clock = Clock()
    trainer = train_in_turn(clock, given.data, given.trials, tells=given.trial_lines)
    with (
        tempfile.TemporaryDirectory() as folder,
        clock.measure("coordinator: import MLflow, create a store"),
    ):
        from hpsearch.tracking.store import default_uri, open_store

        open_store(default_uri(Path(folder)))
    print(f"{given.data}, {given.trials} trials, {trainer.compilations} programs\n")
    print("| part | processor seconds |\n|---|---|")
    for part, seconds in clock.seconds.items():
        print(f"| {part} | {seconds:.1f} |")
    total, cores = sum(clock.seconds.values()), os.cpu_count() or 1
    print(f"| all | {total:.1f}: {total / cores:.1f} s on {cores} cores |")


if __name__ == "__main__":
    main()
