"""The events of a study: one frozen dataclass per kind of line in the journal.

Every other module reads these types; the names of the fields on disk are known here and in
`event_codec.py` alone. A field with a default may be absent from a line: an earlier format did not
write it, or it did not apply. Fields that a later version adds are ignored, and so are kinds of
event that it adds (`UnknownEvent`); a later `FORMAT` is refused, since it changes a meaning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from .trial import Direction, State, Value

# Of what this version writes. In 2 an epoch's metrics repeat its scores; in 1, which no line names,
# `final` may lack fields.
FORMAT = 3

# ---- parts of events ----


@dataclass(frozen=True, slots=True)
class Objective:
    """A metric that is improved, and which of its values are better."""

    metric: str = ""
    direction: Direction = "maximize"


@dataclass(frozen=True, slots=True)
class DataSummary:
    """The data in a few plain values."""

    name: str | None = None
    rows: int | None = None  # development rows
    columns: Any = None  # how many; earlier formats listed them
    features: int | None = None
    test_rows: int | None = None
    folds: int | None = None
    notes: Sequence[str] = field(default_factory=list)  # what was inferred, for people


@dataclass(frozen=True, slots=True)
class SourceVersion:
    """The state of the repository in which the study's file lies."""

    commit: str | None = None
    branch: str | None = None
    changed: str | None = None  # "yes" where files differ from the commit


@dataclass(frozen=True, slots=True)
class WarmStartTrial:
    """A finished trial of another study that lies in this study's space."""

    number: int
    params: Mapping[str, Value]
    state: State
    score: float | None
    values: Sequence[float] | None
    fold_scores: Sequence[float] | None
    epochs: int
    curve: Sequence[float]  # mean score over the folds, one an epoch


@dataclass(frozen=True, slots=True)
class WarmStart:
    """The trials of another study that the sampler learns first."""

    study: str
    key: str | None
    trials: Sequence[WarmStartTrial]
    left_out: int  # finished trials outside of this study's space


@dataclass(frozen=True, slots=True)
class EnsembleMember:
    """One network of the final model."""

    trial: int
    weight: float
    seed: int = 0
    epochs: int = 0


@dataclass(frozen=True, slots=True)
class SelectionBasis:
    """What a winner was chosen from: the choice stands until this changes."""

    ended: int | None = None  # trials
    selection: Mapping[str, Any] = field(default_factory=dict)  # as declared


@dataclass(frozen=True, slots=True)
class BaselineScores:
    """A plain model on the locked rows."""

    name: str  # "ridge", "logistic_regression", "gradient_boosting" or "constant"
    metrics: Mapping[str, float]
    # By how much the winner's objective is better, a 95% interval; positive is better.
    advantage: Sequence[float] | None = None


@dataclass(frozen=True, slots=True)
class SingleTrialScores:
    """An ensemble's best single trial on the locked rows."""

    trial: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ColumnImportance:
    """What the winner loses where a column is shuffled; see `training.importance`."""

    metric: str
    columns: Mapping[str, Sequence[float]]
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class FileDigest:
    """Size and SHA-256 of a file."""

    bytes: int
    sha256: str


# ---- events ----


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the journal; `Journal.append` numbers and dates it."""

    kind: ClassVar[str] = ""  # its name on disk

    seq: int = 0  # without a gap
    time: int = 0  # milliseconds since the epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownEvent(Event):
    """An optional kind of event that a later version writes; readers may skip it."""

    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyCreated(Event):
    """The first line of every journal: what the study is made of."""

    kind: ClassVar[str] = "study"

    study: str = ""  # its name
    key: str = ""  # random, of this life of the study
    spec: Mapping[str, Any] = field(default_factory=dict)  # the file, as the user wrote it
    fingerprint: str = ""  # of the data
    data: DataSummary = DataSummary()
    task: str = ""
    objective: Objective = Objective()
    seed: int | None = None
    objectives: Sequence[Objective] | None = None  # all of them, where there are several
    sampler: str = ""
    pruner: str = ""
    trainer: str = ""
    trainer_reason: str = ""
    resolved: Mapping[str, Any] | None = None  # every key of the file, with its default
    defaults: Mapping[str, Any] | None = (
        None  # of what is not declared and has its default elsewhere
    )
    files: Mapping[str, str] | None = None  # the user's code: path -> SHA-256
    environment: Mapping[str, str] | None = None  # versions and machine
    source: SourceVersion | None = None
    owner: str | None = None
    host: str | None = None
    folder: str = "."  # of the study's file, relative to the root
    warm_start: WarmStart | None = None
    workers: int | None = None
    threads: int | None = None  # of each worker
    format: int = 1
    written_by: str = ""  # version of hpsearch

    def with_change(self, later: DeclarationChanged) -> StudyCreated:
        """The study as it was declared from a change on."""
        names = ("resolved", "defaults", "files", "environment")
        found = {name: getattr(later, name) for name in names}
        return replace(self, **{k: v for k, v in found.items() if v is not None})


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResumed(Event):
    """A later run of the study begins."""

    kind: ClassVar[str] = "resumed"

    workers: int | None = None
    threads: int | None = None
    format: int = 1
    written_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclarationChanged(Event):
    """The user accepted other code, versions or training for the trials that follow."""

    kind: ClassVar[str] = "changed"

    changes: Sequence[Sequence[str]]  # (key, then, now)
    resolved: Mapping[str, Any] | None = None
    defaults: Mapping[str, Any] | None = None
    files: Mapping[str, str] | None = None
    environment: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialAsked(Event):
    """A trial, or the next attempt at one whose worker died, is to be trained."""

    kind: ClassVar[str] = "asked"

    trial: int
    attempt: int
    params: Mapping[str, Value]
    seed: int
    epochs: int  # at most


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateProposed(Event):
    """The sampler proposed a point that an earlier trial has; it was told that trial's result."""

    kind: ClassVar[str] = "remembered"

    trial: int  # the number that was asked for
    known_trial: int = field(metadata={"key": "of"})
    state: str | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialStarted(Event):
    """A worker trains the trial."""

    kind: ClassVar[str] = "started"

    trial: int
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochFinished(Event):
    """What all folds measured after one epoch."""

    kind: ClassVar[str] = "epoch"

    trial: int
    attempt: int
    epoch: int  # 0-based
    scores: list[float]  # the objective on the validation rows, one a fold
    metrics: Mapping[str, list[float]]  # last on disk: `event_codec` skips it there


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldFinished(Event):
    """What one fold measured from its first epoch to its last, where folds take turns."""

    kind: ClassVar[str] = "fold"

    trial: int
    attempt: int
    fold: int  # 0-based
    scores: list[float]  # one an epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialFinished(Event):
    """How a trial ended."""

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
    values: Sequence[float] | None = None  # of the objectives, where there are several
    latency_ms: float | None = None
    trainer: str = ""
    error: str | None = None
    traceback: str | None = None
    predictions: str | None = None  # a file, relative to the study's folder
    predictions_crc32: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerChanged(Event):
    """Another trainer took over."""

    kind: ClassVar[str] = "trainer"

    trainer: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchEnded(Event):
    """The search asks for no more trials."""

    kind: ClassVar[str] = "ended"

    cause: str = ""
    reason: str  # for people


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalistScored(Event):
    """The second score of one of the best trials, on fresh folds and seeds."""

    kind: ClassVar[str] = "finalist"

    trial: int
    score: float | None  # None: it failed
    spread: float | None = None
    fold_scores: Sequence[float] | None = None
    error: str | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WinnerChosen(Event):
    """What the study ends with."""

    kind: ClassVar[str] = "winner"

    trial: int
    attempt: int = 0
    epochs: int | None = None
    score: float | None = None
    spread: float | None = None
    finalist_score: float | None = None
    finalist_spread: float | None = None
    members: Sequence[EnsembleMember] = ()
    threshold: float = 0.5  # of a binary task's labels
    chosen_from: SelectionBasis | None = field(default=None, metadata={"key": "of"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionsRestored(Event):
    """Out-of-fold predictions that were lost were made again."""

    kind: ClassVar[str] = "predictions"

    trial: int
    attempt: int
    file: str
    crc32: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WinnerFitted(Event):
    """The winner's networks are saved, and no locked row has judged them yet."""

    kind: ClassVar[str] = "fitted"

    trial: int | None = None
    members: Sequence[EnsembleMember] = ()
    threshold: float | None = None
    files: str = ""
    digests: Mapping[str, FileDigest] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedRowsRead(Event):
    """The locked rows are read next."""

    kind: ClassVar[str] = "reading"

    trial: int | None = None
    rows: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WinnerEvaluated(Event):
    """What the locked rows said of the winner; its files are in `final/`."""

    kind: ClassVar[str] = "final"

    trial: int | None = None
    epochs: int | None = None
    members: Sequence[EnsembleMember] = ()
    files: str = ""
    test_rows: int | None = None
    threshold: float | None = None
    test: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, Sequence[float]] = field(default_factory=dict)  # 95%
    baselines: Sequence[BaselineScores] = ()
    confusion: Sequence[Sequence[int]] | None = None
    single: SingleTrialScores | None = None
    importance: ColumnImportance | None = None
    seconds: float | None = None
    digests: Mapping[str, FileDigest] | None = None  # None: an earlier format kept none
    reads: int = 1  # of the locked rows, in the study's life

    @property
    def label_threshold(self) -> float:
        """Of a binary task's labels; one half where nothing is said."""
        return 0.5 if self.threshold is None else self.threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class PlotsDrawn(Event):
    """The plots are drawn, but for those that failed."""

    kind: ClassVar[str] = "plots"

    failed: Mapping[str, str] = field(default_factory=dict)  # file -> reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPromoted(Event):
    """The model was put in use."""

    kind: ClassVar[str] = "promoted"

    name: str
    version: int
    alias: str
    before: int | None = None  # the version that had the alias
    comparison: str | None = None


KINDS: tuple[type[Event], ...] = (
    *(StudyCreated, StudyResumed, DeclarationChanged),
    *(TrialAsked, DuplicateProposed, TrialStarted, EpochFinished, FoldFinished, TrialFinished),
    *(TrainerChanged, SearchEnded, FinalistScored, WinnerChosen, PredictionsRestored),
    *(WinnerFitted, LockedRowsRead, WinnerEvaluated, PlotsDrawn, ModelPromoted),
)
RUNS = (StudyCreated, StudyResumed)  # they begin a run, and name the format of what follows
CURVES = (EpochFinished, FoldFinished)  # a table of results needs none of them
