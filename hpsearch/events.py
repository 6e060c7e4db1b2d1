"""The events of a study: one frozen dataclass per kind of journal line.

Other modules use these types; only this module and `event_codec.py` know the field names on disk.
A field with a default may be absent from a line: earlier formats did not write it, or it did not
apply. Unknown fields and kinds (`UnknownEvent`), written by later versions, are ignored. A later
`FORMAT` is refused, since it changes the meaning of known fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from .trial import Direction, Limit, State, Value

# Format written by this version. In format 3, a trial has one result; in format 2, an epoch's
# metrics repeat its scores; in format 1, which no line names, `final` may lack fields.
FORMAT = 4

# ---- parts of events ----


@dataclass(frozen=True, slots=True)
class Objective:
    """An optimized metric with its direction."""

    metric: str = ""
    direction: Direction = "maximize"


@dataclass(frozen=True, slots=True)
class DataSummary:
    """A summary of the data in plain values."""

    name: str | None = None
    rows: int | None = None  # development rows
    columns: Any = None  # their number; earlier formats listed them
    features: int | None = None
    test_rows: int | None = None
    folds: int | None = None
    notes: Sequence[str] = field(default_factory=list)  # what was inferred, for the user
    versions: Mapping[str, str] = field(default_factory=dict)  # of sources: location -> version


@dataclass(frozen=True, slots=True)
class SourceVersion:
    """The state of the git repository that contains the study file."""

    commit: str | None = None
    branch: str | None = None
    changed: str | None = None  # "yes" if files differ from the commit


@dataclass(frozen=True, slots=True)
class WarmStartTrial:
    """A finished trial of another study that is a point of this study's space."""

    number: int
    params: Mapping[str, Value]
    state: State
    score: float | None
    values: Sequence[float] | None
    fold_scores: Sequence[float] | None
    epochs: int
    curve: Sequence[float]  # mean score over the folds, per epoch
    measured: Mapping[str, float] | None = None  # what limits are on, by name


@dataclass(frozen=True, slots=True)
class WarmStart:
    """The trials of another study that initialize the sampler."""

    study: str
    key: str | None
    trials: Sequence[WarmStartTrial]
    left_out: int  # finished trials outside this study's space


@dataclass(frozen=True, slots=True)
class EnsembleMember:
    """One network of the final model."""

    trial: int
    weight: float
    seed: int = 0
    epochs: int = 0


@dataclass(frozen=True, slots=True)
class EnsembleComparison:
    """An ensemble beside the best single trial, both out of fold and calibrated."""

    score: float  # mean over the folds, each row by weights chosen without its fold
    single_score: float  # of the best single trial on the same folds, likewise
    advantage: float  # mean over the folds; positive: the ensemble is better
    error: float  # standard error of `advantage`
    trials: int = 0  # candidates
    temperature: float = 1.0  # of the single trial's probabilities
    threshold: float = 0.5  # the single trial's decision threshold

    @property
    def is_better(self) -> bool:
        """Whether the ensemble is better by more than the standard error, and thus the model."""
        return self.advantage > self.error


@dataclass(frozen=True, slots=True)
class SelectionBasis:
    """The inputs of the winner's choice; it is repeated only if they change."""

    ended: int | None = None  # trials
    selection: Mapping[str, Any] = field(default_factory=dict)  # as declared


@dataclass(frozen=True, slots=True)
class BaselineScores:
    """Scores of a baseline model on the locked rows."""

    name: str  # such as "ridge", "gradient_boosting", "constant" or "seasonal_naive"
    metrics: Mapping[str, float]
    # 95% interval of the winner's advantage in the objective; positive: the winner is better.
    advantage: Sequence[float] | None = None
    fold_score: float | None = None  # of a forecast: mean of the objective over the folds


@dataclass(frozen=True, slots=True)
class SingleTrialScores:
    """Scores of an ensemble's best single trial on the locked rows."""

    trial: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ColumnImportance:
    """Loss in score when a column is permuted; see `training.importance`."""

    metric: str
    columns: Mapping[str, Sequence[float]]
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Calibration:
    """Calibration of the winner's predictions, from the out-of-fold predictions."""

    temperature: float = 1.0  # divides the logits; 1: the network's probabilities are kept
    bounds: Sequence[Sequence[float]] = ()  # by level; see `data.columns.Target`


@dataclass(frozen=True, slots=True)
class OutputCoverage:
    """Coverage of the locked rows by the intervals of one of several targets."""

    name: str
    share: float
    size: float  # mean width, in the target's unit


@dataclass(frozen=True, slots=True)
class IntervalCoverage:
    """Coverage of one level's intervals, or sets of classes, on the locked rows."""

    level: float  # the wanted share of rows
    share: float  # of rows whose interval or set holds their truth; mean over the targets
    size: float  # mean width of the intervals, or mean number of classes in the sets
    outputs: Sequence[OutputCoverage] = ()  # of several targets


@dataclass(frozen=True, slots=True)
class FileDigest:
    """Size and SHA-256 of a file."""

    bytes: int
    sha256: str


# ---- events ----


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the journal; `Journal.append` sets its number and time."""

    kind: ClassVar[str] = ""  # name on disk

    seq: int = 0  # consecutive
    time: int = 0  # milliseconds since the epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownEvent(Event):
    """An optional kind of event written by a later version; readers skip it."""

    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyCreated(Event):
    """The first line of every journal: declaration, data and environment of the study."""

    kind: ClassVar[str] = "study"

    study: str = ""  # its name
    key: str = ""  # random; changes with --fresh
    spec: Mapping[str, Any] = field(default_factory=dict)  # text of the study file
    fingerprint: str = ""  # of the data
    data: DataSummary = DataSummary()
    task: str = ""
    objective: Objective = Objective()
    seed: int | None = None
    objectives: Sequence[Objective] | None = None  # all, if there are several
    limits: Sequence[Limit] | None = None  # on what is measured
    sampler: str = ""
    pruner: str = ""
    trainer: str = ""
    trainer_reason: str = ""
    resolved: Mapping[str, Any] | None = None  # all keys of the file, with defaults
    defaults: Mapping[str, Any] | None = None  # defaults that are not keys of the file
    files: Mapping[str, str] | None = None  # user code: path -> SHA-256
    environment: Mapping[str, str] | None = None  # versions and machine
    source: SourceVersion | None = None
    owner: str | None = None
    host: str | None = None
    folder: str = "."  # of the study file, relative to the root
    warm_start: WarmStart | None = None
    earlier_studies: Sequence[WarmStart] | None = None  # of other data; only their order counts
    workers: int | None = None
    threads: int | None = None  # per worker
    first_epoch: int = 0  # number of the first epoch in MLflow and TensorBoard
    format: int = 1
    written_by: str = ""  # version of hpsearch

    def with_change(self, later: DeclarationChanged) -> StudyCreated:
        """Return the study with the declaration as changed."""
        names = ("resolved", "defaults", "files", "environment", "limits")
        found = {name: getattr(later, name) for name in names}
        return replace(self, **{k: v for k, v in found.items() if v is not None})


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResumed(Event):
    """A later run of the study started."""

    kind: ClassVar[str] = "resumed"

    workers: int | None = None
    threads: int | None = None
    budget: Mapping[str, Any] | None = None  # as declared now; None: as before
    selection: Mapping[str, Any] | None = None  # likewise
    format: int = 1
    written_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclarationChanged(Event):
    """The user accepted changed code, versions or training for the following trials."""

    kind: ClassVar[str] = "changed"

    changes: Sequence[Sequence[str]]  # (key, before, after)
    resolved: Mapping[str, Any] | None = None
    defaults: Mapping[str, Any] | None = None
    files: Mapping[str, str] | None = None
    environment: Mapping[str, str] | None = None
    outside: Sequence[int] | None = None  # trials outside the new space; None: it is the same
    limits: Sequence[Limit] | None = None  # on what is measured; None: as before

    @property
    def affects_training(self) -> bool:
        """Whether an epoch of the same trial may have another result than before."""
        parts = {
            key if key == "training.epochs" else key.split(".")[0] for key, _, _ in self.changes
        }
        return not parts <= {"training.epochs", "search_space", "constraints"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialAsked(Event):
    """A trial was created, or the next attempt at one whose worker died."""

    kind: ClassVar[str] = "asked"

    trial: int
    attempt: int
    params: Mapping[str, Value]
    seed: int
    epochs: int  # maximum
    request: str = ""  # of the `PointEnqueued` that it answers


@dataclass(frozen=True, slots=True, kw_only=True)
class PointEnqueued(Event):
    """The user asked for a trial with these hyperparameters; it is the next one, beyond the budget.

    It lists all hyperparameters of the search space, completed by `study.initial_trials`.
    """

    kind: ClassVar[str] = "enqueued"

    request: str  # random
    params: Mapping[str, Value]
    epochs: int | None = None  # maximum; None: as declared


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialStopRequested(Event):
    """The user asked to stop a trial that had not ended; it is pruned after its current epoch."""

    kind: ClassVar[str] = "stop"

    trial: int
    request: str  # random


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialExtended(Event):
    """The user asked to train an ended trial further; its next result replaces the present one.

    The epochs that follow continue its curves: those that the journal has are not written again.
    """

    kind: ClassVar[str] = "extended"

    trial: int
    epochs: int  # maximum, from the first epoch on
    request: str  # random


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPaused(Event):
    """The user asked to train nothing, after the running epochs, until `StudyUnpaused`."""

    kind: ClassVar[str] = "paused"

    request: str  # random


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyUnpaused(Event):
    """The user asked to continue a paused study."""

    kind: ClassVar[str] = "unpaused"

    request: str  # random


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateProposed(Event):
    """The sampler proposed the point of an earlier trial, and received that trial's result."""

    kind: ClassVar[str] = "remembered"

    trial: int  # number that the trial would have had
    known_trial: int = field(metadata={"key": "of"})
    state: str | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialStarted(Event):
    """A worker started to train the trial."""

    kind: ClassVar[str] = "started"

    trial: int
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochFinished(Event):
    """Scores and metrics of all folds after one epoch."""

    kind: ClassVar[str] = "epoch"

    trial: int
    attempt: int
    epoch: int  # 0-based
    scores: list[float]  # objective on the validation rows, per fold
    # Values of several objectives at the best epoch so far; None: not yet known.
    values: Sequence[float | None] | None = None
    metrics: Mapping[str, list[float]]  # last on disk, so that `event_codec` can skip it


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldFinished(Event):
    """Scores of one fold over all its epochs, if folds are trained sequentially."""

    kind: ClassVar[str] = "fold"

    trial: int
    attempt: int
    fold: int  # 0-based
    scores: list[float]  # per epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialFinished(Event):
    """A trial ended."""

    kind: ClassVar[str] = "result"

    trial: int
    attempt: int
    state: State
    score: float | None = None  # mean over the folds at the best epoch
    spread: float | None = None  # standard deviation over the folds
    best_epoch: int | None = None  # 0-based
    fold_scores: Sequence[float] | None = None  # at the best epoch
    seconds: float | None = None
    n_parameters: int | None = None
    values: Sequence[float] | None = None  # values of several objectives
    measured: Mapping[str, float] | None = None  # what limits are on, by name
    latency_ms: float | None = None
    trainer: str = ""
    error: str | None = None
    traceback: str | None = None
    predictions: str | None = None  # a file, relative to the study's folder
    predictions_crc32: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerChanged(Event):
    """The study switched to another trainer."""

    kind: ClassVar[str] = "trainer"

    trainer: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchEnded(Event):
    """The search ended: no more trials are created."""

    kind: ClassVar[str] = "ended"

    cause: str = ""
    reason: str  # for the user


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalistScored(Event):
    """One of the best trials was re-scored on fresh folds and seeds."""

    kind: ClassVar[str] = "finalist"

    trial: int
    score: float | None  # None: it failed
    spread: float | None = None
    fold_scores: Sequence[float] | None = None
    error: str | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WinnerChosen(Event):
    """The winner was chosen."""

    kind: ClassVar[str] = "winner"

    trial: int
    attempt: int = 0
    epochs: int | None = None
    score: float | None = None
    spread: float | None = None
    finalist_score: float | None = None
    finalist_spread: float | None = None
    members: Sequence[EnsembleMember] = ()
    threshold: float = 0.5  # decision threshold of a binary task
    calibration: Calibration | None = None  # None: chosen by an earlier version
    ensemble: EnsembleComparison | None = None  # None: no ensemble of several trials was found
    chosen_from: SelectionBasis | None = field(default=None, metadata={"key": "of"})

    @property
    def is_ensemble(self) -> bool:
        """Whether the model contains more than the best single trial."""
        return any(member.trial != self.trial for member in self.members)


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionsRestored(Event):
    """Lost out-of-fold predictions were recomputed."""

    kind: ClassVar[str] = "predictions"

    trial: int
    attempt: int
    file: str
    crc32: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WinnerFitted(Event):
    """The winner's networks were saved; the locked rows have not been read for them."""

    kind: ClassVar[str] = "fitted"

    trial: int | None = None
    members: Sequence[EnsembleMember] = ()
    threshold: float | None = None
    calibration: Calibration | None = None
    files: str = ""
    ms_per_row: float | None = None  # time in which the model answers, in batches
    digests: Mapping[str, FileDigest] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedRowsRead(Event):
    """The locked rows are about to be read."""

    kind: ClassVar[str] = "reading"

    trial: int | None = None
    rows: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WinnerEvaluated(Event):
    """The winner was evaluated on the locked rows; its files are in `final/`."""

    kind: ClassVar[str] = "final"

    trial: int | None = None
    epochs: int | None = None
    members: Sequence[EnsembleMember] = ()
    files: str = ""
    test_rows: int | None = None
    threshold: float | None = None
    calibration: Calibration | None = None
    coverage: IntervalCoverage | None = None
    test: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, Sequence[float]] = field(default_factory=dict)  # 95% interval
    baselines: Sequence[BaselineScores] = ()
    confusion: Sequence[Sequence[int]] | None = None
    single: SingleTrialScores | None = None
    importance: ColumnImportance | None = None
    seconds: float | None = None
    digests: Mapping[str, FileDigest] | None = None  # None: written in an earlier format
    reads: int = 1  # readings of the locked rows so far

    @property
    def label_threshold(self) -> float:
        """The decision threshold of a binary task; 0.5 by default."""
        return 0.5 if self.threshold is None else self.threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class PlotsDrawn(Event):
    """The plots were drawn, except failed ones."""

    kind: ClassVar[str] = "plots"

    failed: Mapping[str, str] = field(default_factory=dict)  # file -> reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPromoted(Event):
    """The model was promoted."""

    kind: ClassVar[str] = "promoted"

    name: str
    version: int
    alias: str
    before: int | None = None  # version that had the alias before
    comparison: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyNoted(Event):
    """The user wrote a note about the study; an empty one removes it."""

    kind: ClassVar[str] = "noted"

    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRenamed(Event):
    """The user gave the study another name; its first event keeps the one it began with."""

    kind: ClassVar[str] = "renamed"

    name: str


KINDS: tuple[type[Event], ...] = (
    *(StudyCreated, StudyResumed, DeclarationChanged),
    *(TrialAsked, DuplicateProposed, TrialStarted, EpochFinished, FoldFinished, TrialFinished),
    *(PointEnqueued, TrialStopRequested, TrialExtended, StudyPaused, StudyUnpaused),
    *(TrainerChanged, SearchEnded, FinalistScored, WinnerChosen, PredictionsRestored),
    *(WinnerFitted, LockedRowsRead, WinnerEvaluated, PlotsDrawn, ModelPromoted),
    *(StudyNoted, StudyRenamed),
)
RUNS = (StudyCreated, StudyResumed)  # these start a run and name the format of the following lines
# Of a user, while the study runs or between runs.
Request = PointEnqueued | TrialStopRequested | TrialExtended | StudyPaused | StudyUnpaused
CURVES = (EpochFinished, FoldFinished)  # not needed for tables of results
