"""What a study answers with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data import Dataset
from ..errors import HpsearchError
from ..events import BaselineScores
from ..history import History
from ..verdict import describe_verdict
from .resolved_study import ResolvedStudy

if TYPE_CHECKING:
    from ..tracking.uploader import Uploader


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
    baselines: Sequence[BaselineScores]  # plain models on the same rows
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
        figures = {
            "best": asdict(self.best),
            "test": self.test,
            "baselines": [asdict(each) for each in self.baselines],
            "verdict": describe_verdict(self.baselines),
            "seconds": self.seconds,
        }
        return {**head, **figures, **more}


class StudyStopped(HpsearchError):  # noqa: N818  # it is no error
    """Somebody asked the study to stop; the same command goes on with it."""


def build_result(
    study: ResolvedStudy,
    history: History,
    dataset: Dataset,
    path: Path,
    uploader: Uploader | None,
    uri: str,
) -> StudyResult:
    """The answer, from the history of a study that has ended.

    Args:
        study: The study.
        history: Of its journal.
        dataset: Its rows.
        path: Of its journal.
        uploader: What sends it to MLflow; None offline.
        uri: Of the store, without secrets.
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
        experiment_id=uploader.experiment_id if uploader else None,
        run_id=uploader.parent_run_id if uploader else None,
        trials={
            "complete": history.count("COMPLETE"),
            "pruned": history.count("PRUNED"),
            "failed": history.count("FAILED"),
        },
        best=BestTrial(
            trial=best.number,
            run_id=uploader.run_id(best.number) if uploader else None,
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
        objectives=[name for name, _ in history.objectives],
        front=[FrontTrial(t.number, t.params, t.values or ()) for t in history.pareto_front()],
        model=path.parent / "final" / "model.keras",
    )
