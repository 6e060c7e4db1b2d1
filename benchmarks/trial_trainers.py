"""hpsearch's trainers, its search loop, and the whole product, on the benchmark's trials."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from trial_tasks import FOLDS, MODEL, OPTIMIZERS, Config, load_table, make_folds


def make_problem(x: np.ndarray, y: np.ndarray, **varied: Any) -> Any:
    """The same rows and folds as hpsearch's trainers take them, and what varies in a study."""
    from hpsearch.data.split import Split
    from hpsearch.data.statistics import Statistics
    from hpsearch.training.problem import Problem

    folds, statistics = [], []
    for train, validation in make_folds(x, y):
        center, scale = x[train].mean(0), x[train].std(0)
        scale = np.where(scale > 0, 1 / np.where(scale > 0, scale, 1), 1).astype("float32")
        zero, one = np.zeros(1, "float32"), np.ones(1, "float32")
        folds.append(Split(train, validation))
        statistics.append(Statistics(center, center, scale, zero, one))
    metrics = ("accuracy", "roc_auc")
    given = (x, y[:, None], tuple(folds), tuple(statistics), "roc_auc", metrics)
    return Problem("binary", *given, model=MODEL, **varied)


def make_trial(number: int, config: Config) -> Any:
    """A configuration as a trainer takes it."""
    from hpsearch.trial import TrialSpec

    params = {k: v for k, v in config.items() if k != "epochs"}
    return TrialSpec(number, params, seed=number, epochs=config["epochs"])


def train_in_turn(trainer: Any, configs: list[Config], done: Callable[..., None]) -> list[float]:
    """One trial after another, the next one prepared; `done` hears of each result."""
    from hpsearch.trial import TrialResult

    trials = [make_trial(i, c) for i, c in enumerate(configs)]
    scores = []
    for trial, following in zip(trials, [*trials[1:], None], strict=True):
        if following is not None and hasattr(trainer, "prepare"):
            trainer.prepare([following])
        for word in trainer.train([trial]):
            if isinstance(word, TrialResult):
                assert word.score is not None, word.traceback or word.error
                scores.append(word.score)
                done(trial, word)
    return scores


class GivenPoints:
    """The sampler of hpsearch's search that hands out given configurations."""

    def __init__(self, configs: list[Config]) -> None:
        self._configs = configs

    def ask(self, number: int) -> Config:
        """The hyperparameters of trial `number`."""
        return {k: v for k, v in self._configs[number].items() if k != "epochs"}

    def tell(self, trial: Any) -> None:
        """Nothing: what comes next is given."""

    def epochs(self, number: int) -> None:
        """What the study says."""


def trainer_study(kind: str, configs: list[Config], data: str) -> list[float]:
    """hpsearch's search as `tune` runs it, with the given configurations and folds.

    A worker process trains, the next trial prepared; it starts while this one reads the table. This
    one writes the journal, and a thread of it sends every curve to MLflow. What `tune` does before
    and after is left to `product_study`.
    """
    from hpsearch.events import Objective, StudyCreated
    from hpsearch.execution import devices
    from hpsearch.execution.process_executor import ProcessExecutor
    from hpsearch.search.event_writer import EventWriter
    from hpsearch.search.loop import Search
    from hpsearch.search.stopping_criteria import StoppingCriteria
    from hpsearch.study.population import KNOWN_AHEAD
    from hpsearch.tracking.store import artifact_location, default_uri, journal_path
    from hpsearch.tracking.uploader import Uploader

    root, machine = Path.cwd(), devices.detect_machine(kind)
    path, uri = journal_path(root, "trials"), default_uri(root)
    executor = ProcessExecutor(
        trainer=kind,
        ahead=KNOWN_AHEAD if kind == "vectorized" else 0,
        threads=devices.threads_per_worker(machine, 1),
        logs=path.parent / "logs",
    )
    try:
        x, y = load_table(data)
        executor.set_up(make_problem(x, y, optimizers=OPTIMIZERS, batch_sizes_vary=True))
        with EventWriter(path) as writer:
            objective = Objective("roc_auc", "maximize")
            writer.write(StudyCreated(study="trials", key="trials", objective=objective))
            uploader = Uploader(path, uri, artifacts=artifact_location(uri, root))
            writer.listen(lambda record: uploader.wake())
            with uploader:
                history = Search(
                    writer=writer,
                    make_sampler=lambda: GivenPoints(configs),
                    executor=executor,
                    limits=StoppingCriteria(len(configs)),
                    seed=0,
                    epochs=configs[0]["epochs"],
                    fixed={},
                ).run()
            assert not uploader.pending, uploader.problem
    finally:
        executor.close()
    scores = [trial.score for trial in sorted(history.trials, key=lambda trial: trial.number)]
    assert None not in scores, [trial.error for trial in history.trials]
    return [score for score in scores if score is not None]


def product_study(configs: list[Config], x: np.ndarray, y: np.ndarray) -> list[float]:
    """`hpsearch.tune`: its own sampler over the same space, as many trials."""
    import hpsearch

    def choice(values: list[Any]) -> dict[str, Any]:
        return {"type": "categorical", "choices": values}

    spec = {
        "study": "trials",
        "data": {"test_fraction": 0.2},
        "task": "binary",
        "objective": {"metric": "roc_auc"},
        "cross_validation": {"kind": "stratified", "folds": FOLDS},
        "model": MODEL,
        "training": {"epochs": configs[0]["epochs"], "early_stopping": None},
        "search_space": {
            "optimizer": choice(list(OPTIMIZERS)),
            "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
            "batch_size": choice([32, 64, 128, 256]),
            "units": choice(sorted({c["units"] for c in configs})),
            "dropout": {"type": "float", "low": 0.05, "high": 0.5},
        },
        "sampler": {"kind": "random"},
        "pruner": {"kind": "none"},  # every trial trains to its last epoch, as the others do
        "budget": {"trials": len(configs)},
    }
    records: list[Any] = []
    hpsearch.tune(spec, (x, y), root=Path.cwd(), listeners=[records.append])
    results = [r for r in records if r.kind == "result"]
    trainers = {r.trainer for r in results}
    assert trainers == {"vectorized"}, f"trained by {trainers}"
    return [float(r.score) for r in results]
