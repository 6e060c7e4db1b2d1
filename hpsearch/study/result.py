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


@dataclass(frozen=True, slots=True)
class StudyResult:
    """What a study found."""

    study: str
    tracking_uri: str
    experiment_id: str | None  # None where the tracking server has not answered yet
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
    model: Path  # the fitted network, `.keras`

    def as_json(self) -> dict[str, Any]:
        """What `hpsearch tune --json` prints."""
        names = ("study", "tracking_uri", "experiment_id", "run_id", "trials")
        head = {name: getattr(self, name) for name in names}
        return {**head, "best": asdict(self.best), "test": self.test, "seconds": self.seconds}


class StudyStopped(HpsearchError):  # noqa: N818  # it is no error
    """Somebody asked the study to stop; the same command goes on with it."""
