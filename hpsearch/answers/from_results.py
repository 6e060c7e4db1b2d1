"""Build answers from what the functions of `study`, `promotion` and `tracking` return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ..data import Dataset
from ..promotion import Promotion, QuantizedExport, RegisteredVersion
from ..study.check import COLUMNS, StudyCheck, describe_settings, describe_space
from ..study.maintenance.plan import Plan
from ..study.maintenance.rerun import Rerun
from ..tracking.garbage import Garbage
from .action_answers import (
    ComparisonAnswer,
    ExportModelAnswer,
    GarbageAnswer,
    GcAnswer,
    ModelAnswer,
    ModelsAnswer,
    PromoteAnswer,
    QuantizationAnswer,
    RerunAnswer,
)
from .answer import format_time
from .result_answers import (
    CheckAnswer,
    ColumnAnswer,
    DataAnswer,
    HyperparameterAnswer,
    PlanAnswer,
    ProbeAnswer,
)


def describe_check(checked: StudyCheck) -> CheckAnswer:
    """Describe a valid study file, and its data if they were read."""
    study, dataset = checked.study, checked.dataset
    title, rows = describe_space(study)
    return CheckAnswer(
        study=study.spec.study,
        space=title.partition(": ")[2],
        hyperparameters=[
            HyperparameterAnswer(**dict(zip(("name", *COLUMNS[1:]), row, strict=True)))
            for row in rows
        ],
        settings=describe_settings(study),
        training=checked.training,
        data=None if dataset is None else describe_data(dataset),
        notes=list(checked.notes),
    )


def describe_data(dataset: Dataset) -> DataAnswer:
    """Describe the data of a study."""
    return DataAnswer(
        name=dataset.name,
        task=dataset.task,
        rows=dataset.n_rows,
        locked_rows=len(dataset.locked_rows) if dataset.locked_rows else 0,
        folds=len(dataset.folds),
        fold_kind=dataset.kind,
        features=dataset.n_features,
        columns=[
            ColumnAnswer(name=c.name, kind=c.kind, categories=len(c.vocabulary))
            for c in dataset.schema.columns
        ],
        notes=list(dataset.notes),
    )


def describe_plan(plan: Plan) -> PlanAnswer:
    """Describe an estimate."""
    return PlanAnswer(
        trainer=plan.trainer,
        reason=plan.reason,
        rows=plan.rows,
        features=plan.features,
        folds=plan.folds,
        probes=[ProbeAnswer(**asdict(probe)) for probe in plan.probes],
        trials=plan.trials,
        trial_seconds=plan.trial_seconds,
        total_seconds=plan.total_seconds,
        memory=plan.memory,
    )


def describe_promotion(study: str, done: Promotion) -> PromoteAnswer:
    """Describe the promotion of a study's winner."""
    compared = done.comparison
    return PromoteAnswer(
        name=done.name,
        alias=done.alias,
        version=done.version,
        study=study,
        before=done.before,
        comparison=compared
        and ComparisonAnswer(
            metric=compared.metric,
            rows=compared.n_rows,
            challenger=compared.challenger,
            champion=compared.champion,
            gain=compared.gain,
            certain_gain=compared.certain_gain,
        ),
        verdict=done.verdict,
        code=done.code,
    )


def describe_models(versions: Sequence[RegisteredVersion]) -> ModelsAnswer:
    """Describe registered versions."""
    return ModelsAnswer(models=[_describe_version(version) for version in versions])


def _describe_version(version: RegisteredVersion) -> ModelAnswer:
    lineage = version.lineage
    return ModelAnswer(
        name=version.name,
        version=version.version,
        aliases=list(version.aliases),
        study=lineage.get("study", ""),
        trial=lineage.get("trial", ""),
        metric=lineage.get("metric", ""),
        score=float(lineage["score"]) if "score" in lineage else None,
        since=format_time(version.since),
    )


def describe_rerun(journal: Path, done: Rerun) -> RerunAnswer:
    """Describe a trial that was trained again."""
    return RerunAnswer(
        study=journal.parent.name,
        trial=done.trial.number,
        is_same=done.is_same,
        state=done.result.state,
        score=done.result.score,
        recorded_state=done.trial.state,
        recorded_score=done.trial.score,
        difference=done.difference,
        changed={name: list(versions) for name, versions in done.changed.items()},
        seconds=done.result.seconds,
    )


def describe_garbage(found: Sequence[Garbage], *, is_dry_run: bool) -> GcAnswer:
    """Describe what `gc` removes."""
    return GcAnswer(
        removed=[GarbageAnswer(study=g.study, what=g.what, bytes=g.size) for g in found],
        bytes=sum(g.size for g in found),
        is_dry_run=is_dry_run,
    )


def describe_export(
    model: str, format: str, files: Sequence[str], quantized: QuantizedExport | None = None
) -> ExportModelAnswer:
    """Describe what `export-model` wrote."""
    quantization = None
    if quantized is not None:
        quantization = QuantizationAnswer(
            metric=quantized.metric,
            rows=quantized.n_rows,
            before=quantized.before,
            after=quantized.after,
            bytes_before=quantized.bytes_before,
            bytes_after=quantized.bytes_after,
        )
    return ExportModelAnswer(
        model=model, format=format, files=list(files), quantization=quantization
    )
