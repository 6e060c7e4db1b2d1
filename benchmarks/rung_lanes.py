"""The lanes of a study with rungs that its trials need, counted on whatever device is there.

    python benchmarks/rung_lanes.py [--pruner asha] [--sampler random] [--population 128]
        [--trials 768] [--epochs 27]

Journal, sampler, pruner, loop and training are those of a study, in this process; lanes train as
one batch. As on an accelerator, the next population is known while one trains, unless the pruner
compares the trials of a bracket. One line of JSON: trials, pruned ones, the epochs of trials that
were reported, those that the device computed, empty and idle slots included, and their ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("KERAS_BACKEND", "jax")

from population import problem_of

from hpsearch.events import Objective, StudyCreated
from hpsearch.execution.inline_executor import InlineExecutor
from hpsearch.history import History
from hpsearch.search.event_writer import EventWriter
from hpsearch.search.loop import Search, StoppingCriteria
from hpsearch.search.pruners import make_pruner
from hpsearch.search.samplers import make_sampler
from hpsearch.spec.search_space import Categorical, Float, Int, SearchSpace
from hpsearch.training.problem import EarlyStopping
from hpsearch.training.vectorized import VectorizedTrainer
from hpsearch.trial import TrialSpec

OPTIMIZERS, BATCH_SIZES, UNITS = ("sgd", "adam"), (32, 64), (16, 32, 64)
SPACE = SearchSpace(
    (
        Float("learning_rate", 1e-4, 1e-1, log=True),
        Categorical("optimizer", OPTIMIZERS),
        Categorical("batch_size", BATCH_SIZES),
        Int("layers", 1, 2),
        Categorical("units", UNITS),
    )
)


class PreparingExecutor(InlineExecutor):
    """As a worker does, it lets the trainer know of a population before its turn has come."""

    ahead = 1  # populations that are known while one trains

    @property
    def capacity(self) -> int:
        """See `Executor`."""
        return (1 + self.ahead) * self.population

    def submit(self, *trials: TrialSpec) -> None:
        """See `Executor`."""
        super().submit(*trials)
        self._trainer.prepare(trials)


def run_study(given: argparse.Namespace, executor: PreparingExecutor, folder: Path) -> History:
    """Run the study of the options."""
    pruner = make_pruner(given.pruner, {}, epochs=given.epochs, seed=1)
    executor.ahead = 0 if pruner.bracket > 1 else 1  # see `study.population.count_ahead`
    with EventWriter(folder / "journal.jsonl") as writer:
        objective = Objective("roc_auc", "maximize")
        writer.write(StudyCreated(study="lanes", key="c0ffee", objective=objective))
        return Search(
            writer=writer,
            make_sampler=lambda: make_sampler(given.sampler, SPACE, direction="maximize", seed=3),
            executor=executor,
            limits=StoppingCriteria(given.trials),
            seed=3,
            epochs=given.epochs,
            fixed={},
            pruner=pruner,
        ).run()


def main() -> None:
    """Run a study, and print its counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pruner", default="asha")
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--population", type=int, default=128)
    parser.add_argument("--trials", type=int, default=768)
    parser.add_argument("--epochs", type=int, default=27)
    given = parser.parse_args()
    sizes = {"layers": (1, 2), "units": UNITS, "batch_size": BATCH_SIZES}
    problem = replace(
        problem_of(200),
        optimizers=OPTIMIZERS,
        batch_sizes_vary=True,
        sizes=sizes,
        early_stopping=EarlyStopping(6),
    )
    executor = PreparingExecutor(
        lambda p: VectorizedTrainer(p, placement="batch"), problem, population=given.population
    )
    with TemporaryDirectory() as folder:
        ended = run_study(given, executor, Path(folder) / "lanes").ended
    use = executor._trainer._engine.factory.lane_use  # type: ignore[attr-defined]
    needed = sum(trial.n_epochs for trial in ended)
    row = {"trials": len(ended), "pruned": sum(t.state == "PRUNED" for t in ended)}
    row |= {"reported": needed, "computed": use.computed, "cpu_s": round(time.process_time())}
    print(json.dumps({**vars(given), **row, "lanes_in_use": round(needed / use.computed, 3)}))


if __name__ == "__main__":
    main()
