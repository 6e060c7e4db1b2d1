"""The result of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..data import Dataset
from ..errors import HpsearchError
from ..events import BaselineScores, Calibration, EnsembleComparison, IntervalCoverage
from ..history import History
from ..verdict import describe_ensemble, describe_verdict
from .resolved_study import ResolvedStudy
from .study_reader import StudyReader


@dataclass(frozen=True, slots=True)
class BestTrial:
    """The winner."""

    trial: int
    run_id: str | None
    params: Mapping[str, Any]
    score: float  # mean over the folds
    score_std: float  # over the folds
    epochs: int  # of the final fit
    finalist_score: float | None  # mean on fresh folds and seeds; None: not re-scored
    finalist_std: float | None


@dataclass(frozen=True, slots=True)
class FrontTrial:
    """A member of the Pareto front."""

    trial: int
    params: Mapping[str, Any]
    values: Sequence[float]  # values in the order of the objectives


@dataclass(frozen=True)
class StudyResult(StudyReader):
    """The result of a study; its trials, curves, figures and model are read from its folder."""

    study: str
    tracking_uri: str
    experiment_id: str | None  # None offline, or if the tracking server has not answered
    run_id: str | None
    counts: Mapping[str, int]  # of trials: "complete", "pruned", "failed"
    best: BestTrial
    test: Mapping[str, float]  # metrics on the locked rows; empty if there are none
    seconds: float  # wall-clock seconds of this run
    objective: str  # the metric
    intervals: Mapping[str, Sequence[float]]  # 95%, by metric
    baselines: Sequence[BaselineScores]  # baselines on the same rows
    confusion: Sequence[Sequence[int]] | None  # confusion matrix: true classes by predicted classes
    classes: Sequence[str]  # labels of its rows and columns
    n_test: int  # locked rows
    members: Sequence[Mapping[str, Any]]  # networks of the model: trial, seed, epochs, weight
    single: Mapping[str, Any]  # an ensemble's best single trial on the locked rows
    model_path: Path  # the fitted model, `.keras`
    folder: Path  # the study's folder
    ended: str = ""  # why the search ended
    reads: int = 1  # readings of the locked rows so far
    threshold: float = 0.5  # decision threshold of a binary task
    calibration: Calibration = field(default_factory=Calibration)
    coverage: IntervalCoverage | None = None  # of the locked rows by intervals or sets
    comparison: EnsembleComparison | None = None  # of an ensemble with the best single trial
    ensemble: str = ""  # a sentence about that
    ms_per_row: float | None = None  # time in which the model answers, in batches
    objectives: Sequence[str] = ()  # their names
    front: Sequence[FrontTrial] = ()  # Pareto front, best in the first objective first
    unsent: int = 0  # bytes of the journal not acknowledged by MLflow; 0 offline
    refused: Sequence[str] = ()  # what MLflow permanently refuses, by name of the run

    @property
    def search_score(self) -> float:
        """The model's score on the folds of the search."""
        if self.single and self.comparison is not None:
            return self.comparison.score
        return self.best.score

    def as_json(self) -> dict[str, Any]:
        """Return the output of `hpsearch tune --json`."""
        names = ("study", "tracking_uri", "experiment_id", "run_id")
        head = {**{name: getattr(self, name) for name in names}, "trials": self.counts}
        more = {"unsent_bytes": self.unsent, "refused": list(self.refused)}
        figures = {
            "best": asdict(self.best),
            "test": self.test,
            "baselines": [asdict(each) for each in self.baselines],
            "verdict": describe_verdict(self.baselines),
            "members": self.members,
            "ensemble": None if self.comparison is None else asdict(self.comparison),
            "ms_per_row": self.ms_per_row,
            "temperature": self.calibration.temperature,
            "coverage": None if self.coverage is None else asdict(self.coverage),
            "seconds": self.seconds,
        }
        return {**head, **figures, **more}


class StudyRuns(Protocol):
    """The ids of a study in MLflow: an `Uploader` or a `StoredStudy`."""

    @property
    def experiment_id(self) -> str | None:
        """The study's experiment; None if it is unknown yet."""

    @property
    def parent_run_id(self) -> str | None:
        """The study's run; None if it is unknown yet."""

    def run_id(self, trial: int) -> str | None:
        """Return the run id of a trial's last attempt; None if it has no run."""


class StudyStopped(HpsearchError):  # noqa: N818  # not an error
    """A stop was requested; the same command continues the study."""


def build_result(
    study: ResolvedStudy,
    history: History,
    dataset: Dataset,
    path: Path,
    runs: StudyRuns | None,
    uri: str,
) -> StudyResult:
    """Build the result from the history of a finished study.

    Args:
        study: The study.
        history: Its history.
        dataset: Its data.
        path: The path of its journal.
        runs: Its runs in MLflow; None offline.
        uri: The store's URI, redacted.
    """
    best, final, winner = history.winning_trial(), history.final, history.winner
    assert best is not None
    assert final is not None
    assert final.epochs is not None
    assert best.score is not None
    assert best.spread is not None
    target = dataset.schema.target
    return StudyResult(
        study=study.spec.study,
        tracking_uri=uri,
        experiment_id=runs.experiment_id if runs else None,
        run_id=runs.parent_run_id if runs else None,
        counts={
            "complete": history.count("COMPLETE"),
            "pruned": history.count("PRUNED"),
            "failed": history.count("FAILED"),
        },
        best=BestTrial(
            trial=best.number,
            run_id=runs.run_id(best.number) if runs else None,
            params=best.params,
            score=best.score,
            score_std=best.spread,
            finalist_score=winner.finalist_score if winner else None,
            finalist_std=winner.finalist_spread if winner else None,
            epochs=final.epochs,
        ),
        members=[asdict(member) for member in final.members],
        single=asdict(final.single) if final.single else {},
        test=final.test,
        seconds=0.0,
        objective=study.objective.metric,
        intervals=final.intervals,
        baselines=final.baselines,
        confusion=final.confusion,
        classes=[str(c) for c in target.classes] if target else [],
        n_test=final.test_rows or 0,
        ended=history.end.reason if history.end else "",
        reads=history.reads,
        threshold=final.label_threshold,
        calibration=final.calibration or Calibration(),
        coverage=final.coverage,
        comparison=winner.ensemble if winner else None,
        ensemble=describe_ensemble(winner, history.metric),
        ms_per_row=history.fitted.ms_per_row if history.fitted else None,
        objectives=[name for name, _ in history.objectives],
        front=[FrontTrial(t.number, t.params, t.values or ()) for t in history.pareto_front()],
        model_path=path.parent / "final" / "model.keras",
        folder=path.parent,
    )
