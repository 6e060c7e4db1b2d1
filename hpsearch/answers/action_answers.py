"""Answers of commands that steer or maintain studies, and of those for models."""

from __future__ import annotations

from typing import Literal

from .answer import Answer, Number, Params


class EnqueueAnswer(Answer):
    """Answer of `enqueue`."""

    study: str
    params: Params
    """All hyperparameters of the trial."""
    is_running: bool
    """Whether a process runs the study; if not, the next `tune` trains the trial."""


class ExtendAnswer(Answer):
    """Answer of `extend`."""

    study: str
    trial: int
    epochs: int
    """All epochs that the trial will have, unless it stops early."""
    is_running: bool
    """Whether a process runs the study; if not, the next `tune` trains the trial."""


class PauseAnswer(Answer):
    """Answer of `pause` and `unpause`."""

    study: str
    is_paused: bool
    is_running: bool
    """Whether a process runs the study; if not, the next `tune` waits, or continues it."""


class StopAnswer(Answer):
    """Answer of `stop`."""

    study: str
    trial: int | None
    """Null: the process that runs the study."""
    is_running: bool
    """Whether a process runs the study; if not, the next `tune` stops the trial."""


class RerunAnswer(Answer):
    """Answer of `rerun`."""

    study: str
    trial: int
    is_same: bool
    """Whether the result is the recorded one, bit for bit."""
    state: str
    score: Number
    recorded_state: str
    recorded_score: Number
    difference: Number
    """Largest difference of a fold's score."""
    changed: dict[str, list[str]]
    """Versions and files that differ: before and now."""
    seconds: float


class SyncAnswer(Answer):
    """Answer of `sync`."""

    study: str
    tracking_uri: str
    run_id: str | None
    trials: int
    replaced: list[str]
    """Runs that the journal does not have; deleted in MLflow."""
    resent: list[str]
    """Data that MLflow had acknowledged and lacked."""
    refused: list[str]
    """Data that MLflow refuses permanently."""
    undrawn: dict[str, str]
    """Figures that could not be drawn, and why."""


class NoteAnswer(Answer):
    """Answer of `note`."""

    study: str
    note: str


class RenameAnswer(Answer):
    """Answer of `rename`."""

    before: str
    study: str
    in_mlflow: bool
    """Whether a run in MLflow was renamed."""
    versions: int
    """Registered versions that name it."""


class DeleteAnswer(Answer):
    """Answer of `delete`."""

    study: str
    trials: int
    bytes: int
    runs: int
    """Runs deleted in MLflow; restorable until `gc`."""


class FindingAnswer(Answer):
    """The result of one check."""

    subject: str
    state: Literal["ok", "note", "bad"]
    message: str


class DoctorAnswer(Answer):
    """Answer of `doctor`."""

    is_well: bool
    findings: list[FindingAnswer]
    repair: str
    """Outcome of `--repair`; empty without it."""


class GarbageAnswer(Answer):
    """Files or a run that `gc` removes."""

    study: str
    what: str
    bytes: int


class GcAnswer(Answer):
    """Answer of `gc`."""

    removed: list[GarbageAnswer]
    bytes: int
    is_dry_run: bool


class FileAnswer(Answer):
    """Answer of `report`."""

    study: str
    file: str


class ExportAnswer(Answer):
    """Answer of `export`."""

    study: str
    file: str
    format: str
    trials: int


class AddressAnswer(Answer):
    """Answer of `ui` and `dashboard`, printed before they serve."""

    address: str


# ---- models ----


class ComparisonAnswer(Answer):
    """Challenger and champion on the same locked rows."""

    metric: str
    rows: int
    challenger: Number
    champion: Number
    gain: Number
    """Positive: the challenger is better."""
    certain_gain: Number
    """Lower confidence bound of the gain."""


class PromoteAnswer(Answer):
    """Answer of `promote`; exit code 3 if the challenger is not better."""

    name: str
    alias: str
    version: int
    study: str
    before: int | None
    """Version that had the alias."""
    comparison: ComparisonAnswer | None
    """Null: there was no champion, or it was skipped."""
    verdict: str
    """The winner compared with the baselines on the locked rows; empty if there are none."""
    code: str
    """Your own files that the model runs."""


class RollbackAnswer(Answer):
    """Answer of `rollback`."""

    name: str
    alias: str
    version: int
    before: int | None


class ModelAnswer(Answer):
    """A registered version."""

    name: str
    version: int
    aliases: list[str]
    study: str
    trial: str
    metric: str
    score: Number
    since: str


class ModelsAnswer(Answer):
    """Answer of `models`, newest version first."""

    models: list[ModelAnswer]


class QuantizationAnswer(Answer):
    """The scores of a network before and after quantization, on the rows of `--rows`."""

    metric: str
    rows: int
    before: Number
    after: Number
    bytes_before: int
    bytes_after: int


class ExportModelAnswer(Answer):
    """Answer of `export-model`."""

    model: str
    format: str
    files: list[str]
    quantization: QuantizationAnswer | None
    """Null: not quantized."""


class PredictAnswer(Answer):
    """Answer of `predict`."""

    model: str
    output: str
    rows: int
    missing: dict[str, int]
    """Missing cells by column."""
    unknown: dict[str, dict[str, int]]
    """Cells of unknown categories by column."""
