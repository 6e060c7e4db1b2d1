"""What a study answers with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import HpsearchError


@dataclass(frozen=True, slots=True)
class BestTrial:
    """The winner."""

    trial: int
    run_id: str | None
    params: Mapping[str, Any]
    score: float  # mean over the folds
    score_std: float  # over the folds
    epochs: int  # of the final fit
    finalist_score: float | None  # the mean on fresh folds and seeds; None: not scored again
    finalist_std: float | None


@dataclass(frozen=True, slots=True)
class FrontTrial:
    """A trial that no other is better than in every objective."""

    trial: int
    params: Mapping[str, Any]
    values: Sequence[float]  # in the order of the objectives


@dataclass(frozen=True, slots=True)
class StudyResult:
    """What a study found."""

    study: str
    tracking_uri: str
    experiment_id: str | None  # None offline, or where the tracking server has not answered yet
    run_id: str | None
    trials: Mapping[str, int]  # "complete", "pruned", "failed"
    best: BestTrial
    test: Mapping[str, float]  # on the locked rows; empty where none were set aside
    seconds: float  # wall clock of this run
    objective: str  # the metric
    intervals: Mapping[str, Sequence[float]]  # 95%, by metric
    baseline: Mapping[str, Any]  # a linear model on the same rows: name, metrics
    confusion: Sequence[Sequence[int]] | None  # true classes by predicted classes
    classes: Sequence[str]  # of the confusion's rows and columns
    n_test: int  # locked rows
    members: Sequence[Mapping[str, Any]]  # networks of the model: trial, seed, epochs, weight
    single: Mapping[str, Any]  # of an ensemble: its best single trial on the locked rows
    model: Path  # the fitted network, `.keras`
    ended: str = ""  # why the search has ended
    reads: int = 1  # of the locked rows, in the study's life
    threshold: float = 0.5  # of a binary task's labels
    objectives: Sequence[str] = ()  # their names
    front: Sequence[FrontTrial] = ()  # of the trials, best in the first objective first
    unsent: int = 0  # bytes of the journal that MLflow has not acknowledged; 0 offline
    refused: Sequence[str] = ()  # what MLflow does not take for good, by the name of the run

    def as_json(self) -> dict[str, Any]:
        """What `hpsearch tune --json` prints."""
        names = ("study", "tracking_uri", "experiment_id", "run_id", "trials")
        head = {name: getattr(self, name) for name in names}
        more = {"unsent_bytes": self.unsent, "refused": list(self.refused)}
        figures = {"best": asdict(self.best), "test": self.test, "seconds": self.seconds}
        return {**head, **figures, **more}


class StudyStopped(HpsearchError):  # noqa: N818  # it is no error
    """Somebody asked the study to stop; the same command goes on with it."""
