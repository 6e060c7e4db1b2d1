"""A study whose trials are lanes of one batch: `python batch_study.py ROOT PRUNER KILL_AFTER`.

Journal, sampler, pruner, loop and training are the real ones. It kills itself with SIGKILL once
KILL_AFTER epochs are written down.
"""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

from training.trainer_contract import first_fold, separable

from hpsearch.events import EpochFinished, Objective, StudyCreated, StudyResumed
from hpsearch.execution.inline_executor import InlineExecutor
from hpsearch.search.event_writer import EventWriter
from hpsearch.search.loop import Search, StoppingCriteria
from hpsearch.search.pruner import NoPruner
from hpsearch.search.pruners.asha import Asha
from hpsearch.search.pruners.halving import Halving
from hpsearch.search.samplers import make_sampler
from hpsearch.spec.search_space import Categorical, Float, SearchSpace
from hpsearch.tracking.store import journal_path
from hpsearch.training.problem import EarlyStopping
from hpsearch.training.vectorized import VectorizedTrainer
from hpsearch.trial import TrialSpec

NAME, TRIALS, TOGETHER = "batch", 8, 4
PRUNERS = {
    "none": NoPruner(),
    "asha": Asha(eta=2, min_epochs=2),
    "halving": Halving(epochs=9, eta=2, min_epochs=2),
}
SPACE = SearchSpace(
    (
        Float("learning_rate", 1e-3, 1.0, log=True),
        Categorical("dropout", (0.1, 0.4)),
    )
)


class PreparingExecutor(InlineExecutor):
    """As a worker does, it lets the trainer know of a population before its turn has come."""

    @property
    def capacity(self) -> int:
        return 2 * self.population

    def submit(self, *trials: TrialSpec) -> None:
        super().submit(*trials)
        self._trainer.prepare(trials)


def main(
    root: Path,
    pruner: str,
    kill_after: int,
    *,
    sampler: str = "tpe",
    trials: int = TRIALS,
    together: int = TOGETHER,
) -> None:
    """Run the study below `root`, or go on with it."""
    problem = replace(first_fold(separable()), early_stopping=EarlyStopping(3))
    executor = PreparingExecutor(
        lambda p: VectorizedTrainer(p, placement="batch"), problem, population=together
    )
    epochs = 0

    def count(event: object) -> None:
        nonlocal epochs
        epochs += isinstance(event, EpochFinished)
        if kill_after and epochs == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)

    with EventWriter(journal_path(root, NAME)) as writer:
        if writer.journal.first is not None:
            writer.write(StudyResumed())
        else:
            objective = Objective("roc_auc", "maximize")
            writer.write(StudyCreated(study=NAME, key="c0ffee", objective=objective))
        writer.listen(count)
        Search(
            writer=writer,
            make_sampler=lambda: make_sampler(sampler, SPACE, direction="maximize", seed=3),
            executor=executor,
            limits=StoppingCriteria(trials),
            seed=3,
            epochs=9,
            fixed={"layers": 1, "units": 4, "batch_size": 25},
            pruner=PRUNERS[pruner],
        ).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
