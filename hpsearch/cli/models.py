"""Commands for registered models: promote, rollback, models, export-model, predict."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import click

from ..errors import DataError
from .completion import complete_model_names, complete_models, complete_studies
from .group import main
from .json_output import json_option, print_answer
from .locations import Address, Location, LocationType, copy_to_file, new_at_address
from .output import (
    OVERWRITE,
    check_output,
    explain_os_errors,
    new_file,
    output_option,
    unwind_on_stop,
)
from .store_option import store_option
from .terminal import print_line

OTHER_FORMATS = (".feather", ".arrow", ".json", ".jsonl", ".xlsx")

KEY = click.option(
    "--key", default="", help="Which study of that name, where the store has several of them."
)


def _open_client(tracking_uri: str | None) -> Any:
    """Open the store's registry; requests to a server have timeouts until the command ends."""
    from ..study.in_use import open_aliases

    return click.get_current_context().with_resource(open_aliases(tracking_uri, Path.cwd()))


def _store_files(client: Any) -> list[Path]:
    """Return the database file of a store, if it is a file."""
    from ..tracking.database import database_path

    path = database_path(client.tracking_uri)
    return [] if path is None else [path]


@main.command()
@click.argument("study", shell_complete=complete_studies)
@click.option(
    "--as",
    "reference",
    required=True,
    help="NAME or NAME@ALIAS; champion by default.",
    shell_complete=complete_models,
)
@click.option("--margin", type=float, default=0.0, help="How much better it must be.")
@click.option(
    "--confidence",
    type=click.FloatRange(0.5, 1, max_open=True),
    default=0.95,
    help="How sure one must be of it.",
)
@click.option("--force", is_flag=True, help="Promote even if the challenger is no better.")
@KEY
@store_option()
@json_option
def promote(
    study: str,
    reference: str,
    margin: float,
    confidence: float,
    force: bool,
    key: str,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Put the winner of STUDY in use, if it beats the champion on the same locked rows.

    The comparison is a paired bootstrap over the locked rows. A challenger that is not better
    leaves the champion where it is: exit code 3.
    """
    from ..study.in_use import promote as promote_winner
    from ..tracking.store import default_uri, uri_option

    done = promote_winner(
        study,
        reference,
        margin=margin,
        confidence=confidence,
        force=force,
        key=key,
        tracking_uri=tracking_uri,
    )
    if as_json:
        from ..answers.from_results import describe_promotion

        print_answer(describe_promotion(study, done))
        return
    if done.comparison is not None:
        print_line(str(done.comparison))
    print_line(f"{done.name}@{done.alias} is version {done.version} of {study}")
    if done.verdict:
        print_line(f"on the locked rows, it is {done.verdict}")
    if done.code:
        print_line(f"a served model runs your code: {done.code}")
    option = uri_option(tracking_uri or default_uri(Path.cwd()), Path.cwd())
    print_line(f"next: hpsearch predict {done.name}@{done.alias} new_rows.csv{option}")


@main.command()
@click.argument("name", shell_complete=complete_model_names)
@store_option()
@json_option
def rollback(name: str, tracking_uri: str | None, as_json: bool) -> None:
    """Make the last champion of NAME the champion again."""
    from ..study.in_use import rollback as restore_champion

    done = restore_champion(name, tracking_uri=tracking_uri)
    if as_json:
        from ..answers.action_answers import RollbackAnswer

        version, before = done.version, done.before
        print_answer(
            RollbackAnswer(name=done.name, alias=done.alias, version=version, before=before)
        )
        return
    print_line(f"{done.name}@{done.alias} is version {done.version} again, before: {done.before}")


@main.command()
@store_option()
@json_option
def models(tracking_uri: str | None, as_json: bool) -> None:
    """List the registered models: names, versions, aliases, scores and dates."""
    from ..study.in_use import list_models
    from .results import make_table
    from .terminal import make_console

    rows = list_models(tracking_uri=tracking_uri)
    if as_json:
        from ..answers.from_results import describe_models

        print_answer(describe_models(rows))
        return
    shown = make_table("model", "version", "alias", "study", "trial", "score", "since")
    for row in rows:
        since = datetime.fromtimestamp(row.since / 1000).strftime("%Y-%m-%d %H:%M")
        of = row.lineage
        score = f"{of.get('metric', '')} {float(of['score']):.4f}" if "score" in of else ""
        aliases = ", ".join(row.aliases)
        study, trial = of.get("study", ""), of.get("trial", "")
        shown.add_row(row.name, str(row.version), aliases, study, trial, score, since)
    make_console().print(shown)


@main.command("export-model")
@click.argument("model", shell_complete=complete_models)
@click.option(
    "--format",
    type=click.Choice(["keras", "savedmodel", "onnx"]),
    default="keras",
    show_default=True,
    help="Format of the exported network.",
)
@click.option("--quantize", type=click.Choice(["int8"]), help="Store weights with 8 bits.")
@click.option(
    "--rows",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With --quantize: a table with the target, on which both networks are scored.",
)
@output_option("A folder to make.", required=True)
@store_option()
@json_option
def export_model(
    model: str,
    format: str,
    quantize: Literal["int8"] | None,
    rows: Path | None,
    output: Location,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Write the network of MODEL, given as NAME@ALIAS, for another runtime, with its schema."""
    if (quantize is None) != (rows is None):
        raise click.UsageError("--quantize and --rows belong together: a table with the target")
    if quantize and format != "keras":
        raise click.UsageError("--quantize writes --format keras")
    if find_spec("tensorflow"):  # SavedModel and ONNX are written by TensorFlow
        os.environ["KERAS_BACKEND"] = "tensorflow"
    from .. import promotion

    reference, client = promotion.parse_reference(model), _open_client(tracking_uri)
    quantized: list[promotion.QuantizedExport] = []

    def export(folder: Path) -> tuple[Path, ...]:
        if quantize is None or rows is None:
            return promotion.export_model(client, reference, folder, format=format)
        quantized.append(
            promotion.export_quantized(client, reference, folder, mode=quantize, rows=rows)
        )
        return quantized[0].files

    if isinstance(output, Address):
        with new_at_address(output) as folder:
            done = [f"{output}/{path.name}" for path in export(folder)]
    else:
        with explain_os_errors(output):
            if not output.is_dir():
                check_output(output, inputs=_store_files(client))
            done = [str(path) for path in export(output)]
    if as_json:
        from ..answers.from_results import describe_export

        print_answer(describe_export(str(reference), format, done, *quantized))
        return
    for path in done:
        print_line(path)
    for q in quantized:
        print_line(
            f"{q.metric} on {q.n_rows:,} rows: {q.before:.4f}, quantized {q.after:.4f}; "
            f"{q.bytes_before:,} bytes, quantized {q.bytes_after:,}"
        )


@main.command()
@click.argument("model", shell_complete=complete_models)
@click.argument("rows", type=LocationType())
@output_option("A .csv or .parquet file; a folder for a folder of rows.")
@OVERWRITE
@click.option("--separator", help="Of the CSV file; detected when left out.")
@click.option(
    "--keep",
    multiple=True,
    metavar="COLUMN",
    help="A column to copy into the answers; may be repeated.",
)
@click.option(
    "--interval",
    type=click.FloatRange(0.5, 0.99),
    metavar="SHARE",
    help="Add low and high, or the set of classes, that hold the truth of this share of rows.",
)
@click.option("--strict", is_flag=True, help="Refuse missing cells and unknown categories.")
@json_option
@store_option()
def predict(
    model: str,
    rows: Location,
    output: Location | None,
    overwrite: bool,
    separator: str | None,
    keep: tuple[str, ...],
    interval: float | None,
    strict: bool,
    as_json: bool,
    tracking_uri: str | None,
) -> None:
    """Predict the rows of a CSV or Parquet file, of a folder of such files, or of images.

    MODEL is given as NAME@ALIAS. ROWS may be - for standard input. ROWS and the output may be
    addresses, such as s3://BUCKET/rows.parquet. Of a folder, each file is predicted to a file of
    the output folder: CSV, or Parquet if the folder's name ends in .parquet. An interrupted
    command does the rest when it is repeated. The numbers of missing cells and unknown categories
    are printed on standard error.
    """
    from .. import promotion

    if as_json and output is None:
        raise click.UsageError("--json prints to standard output: write predictions with -o FILE")
    if output is not None and (output.suffix in OTHER_FORMATS or str(output) == "-"):
        raise click.UsageError(
            f"-o {output}: predictions are written as CSV or Parquet: name a .csv or .parquet "
            "file, or omit -o for standard output"
        )
    if separator is not None:
        separator = _validate_separator(separator)
    reference = promotion.parse_reference(model)
    client = _open_client(tracking_uri)
    options: dict[str, Any] = {
        "separator": separator,
        "keep": tuple(dict.fromkeys(keep)),
        "strict": strict,
        "interval": interval,
    }
    with unwind_on_stop(), _open_rows(rows) as source:
        inputs = [source, *_store_files(client)]
        if promotion.holds_tables(source):
            counts = _predict_folder(
                client, reference, source, output, options, inputs, overwrite=overwrite
            )
        elif output is None:
            counts = promotion.predict_file(client, reference, source, sys.stdout, **options)
        else:
            with (
                new_file(output, overwrite=overwrite, inputs=inputs) as draft,
                promotion.open_answers(draft) as answers,
            ):
                counts = promotion.predict_file(client, reference, source, answers, **options)
            print_line(f"{counts.rows:,} rows to {output}", err=True)
    for line in promotion.describe_counts(counts):
        print_line(line, err=True)
    if as_json:
        from ..answers.action_answers import PredictAnswer

        print_answer(PredictAnswer(model=str(reference), output=str(output), **counts.as_json()))


def _predict_folder(
    client: Any,
    reference: Any,
    source: Path,
    output: Location | None,
    options: dict[str, Any],
    inputs: Sequence[Path],
    *,
    overwrite: bool,
) -> Any:
    """Predict the files of a folder, and print how many; returns the counts of their cells."""
    from .. import promotion

    if output is None or isinstance(output, Address):
        raise click.UsageError("the predictions of a folder of files go to a local folder: -o DIR")
    with explain_os_errors(output):
        if not output.is_dir():
            check_output(output, inputs=inputs)
        done = promotion.predict_folder(
            client,
            reference,
            source,
            output,
            promotion.RowOptions(**options),
            overwrite=overwrite,
            tell=lambda line: print_line(line, err=True),
        )
    print_line(f"{done.files} files in {output}, {done.skipped} of them predicted before", err=True)
    return done.counts


def _validate_separator(separator: str) -> str:
    from ..spec.data_spec import check_separator

    try:
        return check_separator("\t" if separator == r"\t" else separator)
    except ValueError as error:
        raise click.UsageError(f"--{error}") from None


@contextmanager
def _open_rows(source: Location) -> Iterator[Path]:
    """Open the file of the rows; an address and standard input are copied to a file."""
    if isinstance(source, Address):
        with copy_to_file(source) as path:
            yield path
        return
    if str(source) != "-":
        yield source
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "standard input"
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        try:
            yield path
        except DataError as error:
            raise DataError(str(error).replace(str(path), path.name)) from None
