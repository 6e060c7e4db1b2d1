"""Answers about study files and the results of studies."""

from __future__ import annotations

from .answer import Answer, Number, Params


class WinnerAnswer(Answer):
    """The winner of a study."""

    trial: int
    run_id: str | None
    params: Params
    score: Number
    score_std: Number
    epochs: int
    """Of the final fit."""
    finalist_score: Number
    """Mean on fresh folds and seeds; null: not re-scored."""
    finalist_std: Number


class BaselineAnswer(Answer):
    """Scores of a baseline model on the locked rows."""

    name: str
    metrics: dict[str, Number]
    advantage: list[Number] | None
    """95% interval of the winner's advantage in the objective; positive: the winner is better."""
    fold_score: Number
    """Of a forecast: mean of the objective over the folds; null: not measured."""


class MemberAnswer(Answer):
    """One network of the model."""

    trial: int
    weight: float
    seed: int
    epochs: int


class EnsembleAnswer(Answer):
    """An ensemble beside the best single trial, both out of fold."""

    score: Number
    single_score: Number
    advantage: Number
    error: Number
    """Standard error of `advantage`."""
    trials: int
    temperature: Number
    threshold: Number


class OutputCoverageAnswer(Answer):
    """Coverage of the locked rows by the intervals of one of several targets."""

    name: str
    share: Number
    size: Number


class CoverageAnswer(Answer):
    """Coverage of the locked rows by intervals, or by sets of classes."""

    level: float
    share: Number
    """Mean over several targets."""
    size: Number
    """Mean width of the intervals, or mean number of classes in the sets."""
    outputs: list[OutputCoverageAnswer]
    """Each of several targets; otherwise empty."""


class TuneAnswer(Answer):
    """Answer of `tune`: the winner, and its scores on the locked rows."""

    study: str
    tracking_uri: str
    experiment_id: str | None
    run_id: str | None
    trials: dict[str, int]
    """Trials that are complete, pruned and failed."""
    best: WinnerAnswer
    test: dict[str, Number]
    """Metrics on the locked rows; empty if there are none."""
    baselines: list[BaselineAnswer]
    verdict: str
    """Comparison with the baselines on the locked rows."""
    members: list[MemberAnswer]
    ensemble: EnsembleAnswer | None
    ms_per_row: Number
    """Time in which the model answers, in batches."""
    temperature: Number
    coverage: CoverageAnswer | None
    seconds: float
    unsent_bytes: int
    """Bytes of the journal that MLflow lacks; 0 offline."""
    refused: list[str]
    """Data that MLflow refuses permanently."""


class OuterScores(Answer):
    """A metric on the rows of the outer folds."""

    mean: Number
    std: Number
    folds: list[Number]


class NestedAnswer(Answer):
    """Answer of `nested`."""

    objective: str
    test: dict[str, OuterScores]
    promised: list[Number]
    """The winner's cross-validation score in each inner search."""
    studies: list[TuneAnswer]


# ---- study files ----


class HyperparameterAnswer(Answer):
    """A hyperparameter of the search space, as text."""

    name: str
    type: str
    values: str
    scale: str
    when: str
    """Condition; empty: always active."""
    allowed: str


class ColumnAnswer(Answer):
    """A column of the data."""

    name: str
    kind: str
    categories: int
    """Number of categories; 0 for numbers."""


class DataAnswer(Answer):
    """The data of a study."""

    name: str
    task: str
    rows: int
    """Development rows."""
    locked_rows: int
    folds: int
    fold_kind: str
    features: int
    columns: list[ColumnAnswer]
    notes: list[str]


class CheckAnswer(Answer):
    """Answer of `check`: the meaning of a valid study file."""

    study: str
    space: str
    """Number of hyperparameters and of points."""
    hyperparameters: list[HyperparameterAnswer]
    settings: list[str]
    """Constraints, sampler, pruner and budget."""
    training: str
    data: DataAnswer | None
    """Null: not read."""
    notes: list[str]


class ProbeAnswer(Answer):
    """A point of the space that was timed."""

    params: Params
    first_epoch_seconds: float
    epoch_seconds: float
    epochs: int


class PlanAnswer(Answer):
    """Answer of `plan`: the estimated duration of a study."""

    trainer: str
    reason: str
    rows: int
    features: int
    folds: int
    probes: list[ProbeAnswer]
    trials: int
    trial_seconds: float
    total_seconds: float
    memory: str | None
    """Number of trials that fit in an accelerator's memory."""


class InitAnswer(Answer):
    """Answer of `init`."""

    file: str
    schema_file: str | None
    """JSON schema beside it, for editors; null: another file has its name."""
    task: str
    metric: str
    family: str
    rows: int
    """Development rows."""
