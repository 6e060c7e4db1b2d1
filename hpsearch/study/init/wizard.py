"""`hpsearch init`: write a commented study file for a table or a folder of images by class.

Reads the table, describes each column, and recommends ranges for its size. The file is validated,
so `hpsearch tune` accepts it unchanged.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...data import Dataset, load
from ...data.cells import factorize
from ...data.column_cleaning import format_categories
from ...data.column_inference import count_texts
from ...data.column_roles import assign_roles, mask_missing_target
from ...data.image_files import find_image_folder
from ...data.source_table import SourceTable, find_unreadable_columns, normalize_source
from ...data.sources import open_source
from ...data.target_encoding import target_as_column
from ...data.target_inference import infer_target
from ...errors import HpsearchError, SpecError
from ...spec.data_spec import ColumnSpec, CrossValidationSpec, DataSpec
from ...spec.study_file import load_dict
from ...tracking.store import source_folder
from ..file_schema import FILE_NAME, format_schema, may_write_schema
from ..validation import check_study
from .file_template import SEED, render_file
from .forecast_proposal import FOLDS, propose_forecast
from .recommended_ranges import RecommendedRanges, recommend_family, recommend_ranges
from .table_profile import DeclaredColumn, DroppedColumn, find_leaks, profile_table

MAX_SHOWN = 30  # columns in a message


@dataclass(frozen=True, slots=True)
class StarterFacts:
    """Facts about the data for the file template."""

    study: str
    data: Mapping[str, Any]  # the section `data`
    cross_validation: Mapping[str, Any]  # the section `cross_validation`
    task: str
    metric: str
    metric_reason: str
    ranges: RecommendedRanges
    dataset: Dataset
    dropped: tuple[DroppedColumn, ...]
    treated: tuple[DeclaredColumn, ...]
    suspects: Mapping[str, str]  # column -> how well it predicts the target
    ordered_by: tuple[str, ...]  # columns that look like times
    family: str = "mlp"  # ranges for the network of a table
    schema: str | None = None  # JSON schema beside the file, for editors
    forecast: str = ""  # what is forecast; "": rows are predicted alone


def write_starter(
    source: str,
    target: str | None,
    output: Path,
    settings: Sequence[str] = (),
    family: str | None = None,
    horizon: int | None = None,
) -> StarterFacts:
    """Write a study file for a table or a folder of images by class, and its JSON schema.

    Args:
        source: As `data.source`; a path is relative to the working folder.
        target: The column to predict; None for images.
        output: The file to write.
        settings: `data.KEY=value` strings, for tables that cannot be read without them.
        family: "mlp", "realmlp" or "tabm", for a table; None: the recommended one.
        horizon: Forecast the target this many steps ahead; None: predict rows alone.

    Raises:
        SpecError: If the file exists.
        DataError: If the table cannot be read; says what to declare.
    """
    if output.exists():
        raise SpecError(f"{output} already exists: name another file with -o FILE")
    if not output.parent.is_dir():
        raise SpecError(f"{output}: there is no folder {output.parent}")
    location = _relative_path(source, output)
    starter = _profile_source(location, target, output, settings, horizon)
    starter = replace(starter, family=_choose_family(starter.dataset, source, family))
    schema = output.with_name(FILE_NAME)
    if may_write_schema(schema):
        starter = replace(starter, schema=schema.name)
    text = render_file(starter)
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise SpecError(f"{output}: cannot be written: {error.strerror}") from None
    try:
        _verify_file(output, starter)
        if starter.schema is not None:
            schema.write_text(format_schema(), encoding="utf-8")
    except BaseException:
        output.unlink()
        raise
    return starter


def _choose_family(dataset: Dataset, source: str, family: str | None) -> str:
    """Return the family of a table's network: the given one, or the recommended one."""
    is_image = bool(dataset.schema.shape)
    texts = [c.name for c in dataset.schema.columns if c.is_array]
    if family is None:
        is_plain = not (is_image or texts or dataset.windows)
        return recommend_family(dataset.n_rows, dataset.n_features) if is_plain else "mlp"
    if is_image:
        raise SpecError(f"--family {family} is for tables, and {source} holds images")
    if dataset.windows and family != "mlp":
        raise SpecError(f"--family {family} is for single rows: leave it out, or --horizon")
    return family


def _relative_path(source: str, output: Path) -> str:
    """Make a path relative to the study file; other sources are unchanged."""
    if not Path(source).exists():
        return source
    return Path(os.path.relpath(Path(source).resolve(), output.parent.resolve())).as_posix()


def _profile_source(
    location: str,
    target: str | None,
    output: Path,
    settings: Sequence[str],
    horizon: int | None,
) -> StarterFacts:
    """Describe the source, and complete the section `data`."""
    folder = output.parent.resolve()
    declared = _initial_data_section(location, target, settings)
    data = DataSpec(**declared)
    source = open_source(data, folder, cache=source_folder(Path.cwd()))
    unreadable = [
        DroppedColumn(name, reason)
        for name, reason in find_unreadable_columns(source.table).items()
        if name not in data.drop and name != target
    ]
    drop = [*data.drop, *(d.name for d in unreadable)]
    if unreadable:
        declared["drop"] = drop
    source = normalize_source(source, drop)
    if source.array is None:
        if target is None:
            raise SpecError(_ask_for_target(source.table.column_names))
        return _profile_table(location, target, source, declared, unreadable, folder, horizon)
    if horizon is not None:
        raise SpecError(f"--horizon is for tables, and {location} holds images")
    return _profile_images(location, source, declared, folder)


def _ask_for_target(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MAX_SHOWN]) + (", …" if len(names) > MAX_SHOWN else "")
    return f"name the column to predict with --target; columns: {shown}"


def _profile_table(
    location: str,
    target: str,
    source: SourceTable,
    declared: dict[str, Any],
    unreadable: Sequence[DroppedColumn],
    folder: Path,
    horizon: int | None,
) -> StarterFacts:
    table, data = source.table, DataSpec(**declared)
    names = list(assign_roles(source, _drop_unnamed(data, table), CrossValidationSpec()).features)
    names += [n for n in table.column_names if n.startswith("unnamed_") and n not in data.drop]
    proposal = None if horizon is None else propose_forecast(table, target, horizon)
    if proposal is not None:
        declared |= proposal.data
        names = [name for name in names if name not in (proposal.time, proposal.series)]
    base = find_image_folder(location, folder)
    found = list(profile_table(table, names, data, source.origin, base))
    dropped = (*unreadable, *(f for f in found if isinstance(f, DroppedColumn)))
    treated = tuple(f for f in found if isinstance(f, DeclaredColumn))
    _declare_columns(declared, data, dropped, treated)
    if mask_missing_target(table, target, data).any():
        declared.setdefault("missing_target", "drop")
    rough = recommend_ranges(table.num_rows, 1)
    declared.setdefault("test_fraction", rough.test_fraction if source.test_table is None else 0.0)
    data = DataSpec(**declared)
    if proposal is None:
        cv = _recommend_folds(source, target, data, rough)
    else:
        cv = {"kind": "time_series", "folds": FOLDS}
    dataset = _load(data, cv, folder)
    return StarterFacts(
        **_common_facts(location, declared, cv, dataset),
        dropped=dropped,
        treated=treated,
        suspects=find_leaks(dataset) if proposal is None else {},
        forecast="" if proposal is None else proposal.summary,
        ordered_by=tuple(n for n, c in data.columns.items() if c.kind == "date"),
    )


def _declare_columns(
    declared: dict[str, Any],
    data: DataSpec,
    dropped: Sequence[DroppedColumn],
    treated: Sequence[DeclaredColumn],
) -> None:
    """Add the recommended columns to the section `data`."""
    if dropped:
        declared["drop"] = list(dict.fromkeys([*data.drop, *(d.name for d in dropped)]))
    if treated:
        more = {t.name: _explicit_fields(t.spec) for t in treated}
        declared["columns"] = {**declared.get("columns", {}), **more}


def _profile_images(
    location: str, source: SourceTable, declared: dict[str, Any], folder: Path
) -> StarterFacts:
    assert source.array is not None
    if source.array.ndim != 4:
        raise SpecError(
            f"{location}: init is for tables and images; docs/data.md describes other sources"
        )
    rough = recommend_ranges(len(source.array), 1)
    declared.setdefault("scaling", "minmax")
    declared.setdefault("test_fraction", rough.test_fraction if source.test_table is None else 0.0)
    data = DataSpec(**declared)
    cv = _recommend_folds(source, source.targets[0], data, rough)
    dataset = _load(data, cv, folder)
    nothing: dict[str, Any] = {"dropped": (), "treated": (), "suspects": {}, "ordered_by": ()}
    return StarterFacts(**_common_facts(location, declared, cv, dataset), **nothing)


def _load(data: DataSpec, cv: dict[str, Any], folder: Path) -> Dataset:
    """Load the data as the written file declares them."""
    return load(
        data,
        task=None,
        cross_validation=CrossValidationSpec(**cv),
        seed=SEED,
        folder=folder,
        cache=source_folder(Path.cwd()),
    )


def _common_facts(
    location: str, declared: dict[str, Any], cv: dict[str, Any], dataset: Dataset
) -> dict[str, Any]:
    """Collect the facts common to tables and images."""
    metric, reason = _recommend_metric(dataset)
    stem = Path(location.rpartition(":")[2] if ":" in location else location).name.partition(".")[0]
    n_rows = dataset.n_rows + (len(dataset.locked_rows) if dataset.locked_rows else 0)
    return {
        "study": re.sub(r"[^A-Za-z0-9-]+", "-", stem).strip("-").lower()[:100] or "study",
        "data": declared,
        "cross_validation": cv,
        "task": dataset.task,
        "metric": metric,
        "metric_reason": reason,
        "ranges": recommend_ranges(n_rows, dataset.n_features),
        "dataset": dataset,
    }


def _initial_data_section(
    location: str, target: str | None, settings: Sequence[str]
) -> dict[str, Any]:
    """Build the section `data` before the table is read."""
    for text in settings:
        if not text.startswith("data."):
            raise SpecError(f"--set {text}: init takes keys of data; edit the file for the others")
    named = {} if target is None else {"target": target}
    given = {"data": {"source": location, **named}, "search_space": {"units": 8}}
    declared: dict[str, Any] = dict(load_dict(given, settings).raw["data"])
    return declared


def _drop_unnamed(data: DataSpec, table: Any) -> DataSpec:
    unnamed = [n for n in table.column_names if n.startswith("unnamed_")]
    return data.model_copy(update={"drop": [*data.drop, *unnamed]})


def _explicit_fields(spec: ColumnSpec) -> dict[str, Any]:
    return spec.model_dump(mode="json", exclude_defaults=True)


def _recommend_folds(
    source: SourceTable, target: str, data: DataSpec, ranges: RecommendedRanges
) -> dict[str, Any]:
    """Recommend a number of folds for the size of the smallest class."""
    column = source.table.select([target])
    inferred, _ = infer_target(column, target, data, None, source.origin)
    if inferred.kind == "regression":
        return {"kind": "kfold", "folds": ranges.folds, **_repeats_field(ranges)}
    values, indices = factorize(column[target])
    known = count_texts(format_categories(values, target_as_column(inferred)), indices).values()
    left = int(min(known) * (1 - data.test_fraction))
    return {
        "kind": "stratified",
        "folds": max(2, min(ranges.folds, left)),
        **_repeats_field(ranges),
    }


def _repeats_field(ranges: RecommendedRanges) -> dict[str, int]:
    return {"repeats": ranges.repeats} if ranges.repeats > 1 else {}


def _recommend_metric(dataset: Dataset) -> tuple[str, str]:
    """Recommend a metric for the task, with the reason."""
    if dataset.task == "regression":
        return "rmse", "in the unit of the target; also: mae, mse, r2"
    shares = dataset.target.mean(axis=0)
    if dataset.task == "binary":
        share = float(shares[0])
        if share < 0.05:
            return "average_precision", f"{100 * share:.1f}% are positive; also: roc_auc, log_loss"
        return (
            "roc_auc",
            "ranks well, whatever the threshold; also: average_precision, log_loss, f1",
        )
    if shares.max() > 5 * shares.min():
        return "balanced_accuracy", "some classes are rare; also: accuracy, f1, log_loss"
    return "accuracy", "also: balanced_accuracy, f1, log_loss, roc_auc"


def _verify_file(output: Path, starter: StarterFacts) -> None:
    """Check that the file declares what was loaded, and is valid."""
    from ...spec.study_file import load_file

    try:
        file = check_study(load_file(output)).file
    except HpsearchError as error:
        raise AssertionError(f"hpsearch init wrote a file that it refuses: {error}") from error
    if file.spec.data != DataSpec(**starter.data):
        raise AssertionError(f"{file.spec.data} was written for {starter.data}")
