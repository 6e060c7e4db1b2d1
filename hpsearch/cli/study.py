"""Commands that take or write a study file: init, schema, check, plan, tune, nested."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .completion import complete_paths
from .group import main
from .json_output import json_option, print_answer
from .locations import Location
from .output import OVERWRITE, new_file, output_option
from .store_option import store_option
from .terminal import ignore_closed_output, print_line, waiting_line

if TYPE_CHECKING:
    from ..spec.study_file import StudyFile
    from ..study.result import StudyResult

SPEC = click.Path(dir_okay=False, path_type=Path)
TABLE_FAMILIES = ("mlp", "realmlp", "tabm")  # of which `init` writes a space
GRACE = 60.0  # seconds for running trials to finish
UNSENT_EXIT_CODE = 4  # exit code if MLflow lacks a part of a finished study
ACCEPT = click.option(
    "--accept-changes",
    is_flag=True,
    help="Continue although code, versions, training or search space changed; trials record it.",
)


def _make_setting(key: str) -> Callable[[click.Context, click.Parameter, Any], str | None]:
    """Make a flag that is shorthand for `--set key=value`."""
    return lambda context, parameter, value: None if value is None else f"{key}={value}"


@main.command()
@click.argument("spec", type=SPEC)
@click.option(
    "--trials", type=int, callback=_make_setting("budget.trials"), help="Finished trials."
)
@click.option("--timeout", type=float, help="Seconds of search, instead of budget.minutes.")
@click.option("--sampler", callback=_make_setting("sampler.kind"), help="What proposes trials.")
@click.option("--trainer", callback=_make_setting("training.trainer"), help="What trains them.")
@click.option("--seed", type=int, callback=_make_setting("seed"), help="Seed of every random draw.")
@click.option("--study", callback=_make_setting("study"), help="Another name for the study.")
@click.option(
    "--executor", callback=_make_setting("execution.executor"), help="processes, inline or ray."
)
@click.option(
    "--address", callback=_make_setting("execution.address"), help="Ray's: local, auto, spark, ..."
)
@click.option("--workers", type=int, callback=_make_setting("execution.workers"), help="How many.")
@click.option("--cpus", type=float, callback=_make_setting("execution.cpus"), help="Of one worker.")
@click.option("--gpus", type=float, callback=_make_setting("execution.gpus"), help="Of one worker.")
@store_option("Where MLflow's runs go.")
@click.option("--set", "settings", multiple=True, help="key.path=value, any key of the file.")
@click.option("--fresh", is_flag=True, help="Start again; the earlier study is renamed.")
@ACCEPT
@click.option(
    "--deterministic",
    flag_value="training.deterministic=true",
    default=None,
    help="Bit for bit the same with several workers: trials are suggested in rounds.",
)
@click.option(
    "--offline", is_flag=True, help="Do not use MLflow now; `hpsearch sync` sends the study later."
)
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=GRACE,
    show_default=True,
    help="Seconds that running trials get to finish after Ctrl-C or SIGTERM.",
)
@click.option(
    "--tensorboard",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write TensorBoard's event files below this folder as well.",
)
@json_option
@click.option("--quiet", is_flag=True, help="Show neither progress nor the result.")
def tune(
    spec: Path,
    timeout: float | None,
    tracking_uri: str | None,
    settings: tuple[str, ...],
    fresh: bool,
    accept_changes: bool,
    offline: bool,
    grace: float,
    tensorboard: Path | None,
    as_json: bool,
    quiet: bool,
    **flags: str | None,
) -> None:
    """Run the study declared in SPEC, or continue it."""
    overrides = [*settings, *(flag for flag in flags.values() if flag is not None)]
    if timeout is not None:
        overrides.append(f"budget.minutes={timeout / 60}")
    from ..errors import UnconfirmedChangesError
    from ..spec.study_file import load_file

    file = load_file(spec, overrides)
    options = {"tracking_uri": tracking_uri, "fresh": fresh, "offline": offline}
    run = partial(_run_shown, file, grace=grace, tensorboard=tensorboard, quiet=quiet, **options)
    try:
        result = run(accept_changes=accept_changes)
    except UnconfirmedChangesError as error:
        if as_json or not sys.stdin.isatty():
            raise
        print_line(str(error), err=True)
        click.confirm("Continue with these changes?", abort=True, err=True)
        result = run(accept_changes=True)
    if as_json:
        from ..answers.result_answers import TuneAnswer

        print_answer(TuneAnswer.model_validate(result.as_json()))
    elif not quiet:
        from .results import show_result

        with ignore_closed_output():
            show_result(result, _uri_option(tracking_uri))
    _tell_unsent([result], tracking_uri)
    if result.unsent:
        raise SystemExit(UNSENT_EXIT_CODE)


def _run_shown(
    file: StudyFile, *, grace: float, tensorboard: Path | None, quiet: bool, **options: Any
) -> StudyResult:
    """Run or continue a study with its progress displayed; `options` are those of `study.tune`."""
    from ..reporting.progress import guard_listener
    from ..study.tune import tune as run
    from .stop_signals import StopSignals
    from .study_display import make_display

    with ExitStack() as stack:
        interrupt = stack.enter_context(StopSignals(grace))
        shown = stack.enter_context(make_display(file.spec.budget.trials, quiet=quiet))
        listeners = [guard_listener("the progress display", shown.listen, skips_past_curves=True)]
        if tensorboard is not None:
            from ..tracking.tensorboard import TensorBoardWriter

            board = stack.enter_context(closing(TensorBoardWriter(tensorboard)))
            listeners.append(guard_listener("--tensorboard", board.listen, skips_past_curves=False))
        return run(file, listeners=listeners, stop_requested=interrupt.is_requested, **options)


def _tell_unsent(results: Sequence[StudyResult], tracking_uri: str | None) -> None:
    """Report what MLflow lacks of finished studies, and the command that sends it."""
    from .results import describe_unsent

    for result in results:
        for refusal in result.refused:
            print_line(f"not in MLflow: {refusal}", err=True)
        if result.unsent:
            print_line(describe_unsent(result, _uri_option(tracking_uri)), err=True)


def _uri_option(tracking_uri: str | None) -> str:
    """Return the option that names the store, for printed commands."""
    from ..tracking.store import default_uri, uri_option

    root = Path.cwd()
    return uri_option(tracking_uri or default_uri(root), root)


@main.command()
@click.argument("spec", type=SPEC)
@click.option("--folds", type=click.IntRange(2), default=5, show_default=True, help="Outer folds.")
@store_option("Where MLflow's runs go.")
@click.option("--set", "settings", multiple=True, help="key.path=value, any key of the file.")
@click.option("--fresh", is_flag=True, help="Start again; the earlier studies are renamed.")
@ACCEPT
@click.option(
    "--offline", is_flag=True, help="Do not use MLflow now; `hpsearch sync` sends the study later."
)
@json_option
@click.option("--quiet", is_flag=True, help="Show neither progress nor the result.")
def nested(
    spec: Path,
    folds: int,
    tracking_uri: str | None,
    settings: tuple[str, ...],
    fresh: bool,
    accept_changes: bool,
    offline: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run nested cross-validation of SPEC: its study once per outer fold."""
    from ..reporting.progress import guard_listener
    from ..spec.study_file import load_file
    from ..study.nested_cv import nested as run
    from .stop_signals import StopSignals
    from .study_display import make_display

    file = load_file(spec, settings)
    total = file.spec.budget.trials

    @contextmanager
    def around(fold: int) -> Iterator[dict[str, Any]]:
        if not quiet:
            print_line(f"outer fold {fold} of {folds}", err=True)
        with StopSignals(GRACE) as interrupt, make_display(total, quiet=quiet) as shown:
            listen = guard_listener("the progress display", shown.listen, skips_past_curves=True)
            yield {"listeners": [listen], "stop_requested": interrupt.is_requested}

    result = run(
        file,
        folds=folds,
        tracking_uri=tracking_uri,
        offline=offline,
        around=around,
        fresh=fresh,
        accept_changes=accept_changes,
    )
    if as_json:
        from ..answers.result_answers import NestedAnswer

        print_answer(NestedAnswer.model_validate(result.as_json()))
    else:
        from .results import show_nested

        with ignore_closed_output():
            show_nested(result)
    _tell_unsent(result.studies, tracking_uri)
    if result.is_unsent:
        raise SystemExit(UNSENT_EXIT_CODE)


@main.command()
@click.argument("source", shell_complete=complete_paths)
@click.option("--target", help="The column to predict; none where images lie by class.")
@click.option("-o", "--output", type=SPEC, default=Path("study.yaml"), help="The file to write.")
@click.option("--family", type=click.Choice(TABLE_FAMILIES), help="Of a table's network.")
@click.option("--set", "settings", multiple=True, help="data.KEY=value, to read a difficult table.")
@click.option(
    "--horizon",
    type=click.IntRange(min=1),
    help="Forecast the target this many steps ahead, by a column of dates.",
)
@json_option
def init(
    source: str,
    target: str | None,
    output: Path,
    family: str | None,
    horizon: int | None,
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write a commented study file for the table or folder of images SOURCE, ready for tune."""
    from ..study.init.wizard import write_starter

    with waiting_line("reading the data"):
        starter = write_starter(source, target, output, settings, family, horizon)
    if as_json:
        from ..answers.result_answers import InitAnswer

        print_answer(
            InitAnswer(
                file=str(output),
                schema_file=starter.schema,
                task=starter.task,
                metric=starter.metric,
                family=starter.family,
                rows=starter.dataset.n_rows,
            )
        )
        return
    print_line(f"{output}: {starter.task}, {starter.dataset.n_rows:,} development rows", err=True)
    if starter.forecast:
        print_line(starter.forecast, err=True)
    print_line(f"next: hpsearch check {output} · hpsearch tune {output}", err=True)


@main.command()
@output_option("A file, instead of standard output.")
@OVERWRITE
@click.option("--answer", metavar="COMMAND", help="The schema of what COMMAND --json prints.")
def schema(output: Location | None, overwrite: bool, answer: str | None) -> None:
    """Print the JSON schema of a study file, with which an editor completes and checks it."""
    text = _format_study_schema() if answer is None else _format_answer_schema(answer)
    if output is None:
        print_line(text.rstrip())
        return
    with new_file(output, overwrite=overwrite) as draft:
        draft.write_text(text, encoding="utf-8")
    if answer is not None:
        return
    print_line(f"{output}: name it in the first line of a study file:", err=True)
    print_line(f"# yaml-language-server: $schema={output.as_posix()}", err=True)


def _format_study_schema() -> str:
    from ..study.file_schema import format_schema

    return format_schema()


def _format_answer_schema(command: str) -> str:
    from ..answers.schemas import ANSWERS, format_answer_schema

    if command not in ANSWERS:
        raise click.UsageError(f"{command!r} has no --json. These have: {', '.join(ANSWERS)}.")
    return format_answer_schema(command)


@main.command()
@click.argument("spec", type=SPEC)
@click.option("--set", "settings", multiple=True, help="key.path=value, any key of the file.")
@click.option("--data/--no-data", default=True, help="Read the data as well.")
@json_option
def check(spec: Path, settings: tuple[str, ...], data: bool, as_json: bool) -> None:
    """Validate SPEC and describe it, without training anything."""
    from ..study.check import check as check_study
    from ..study.check import inspect_data
    from ..study.population import describe_training
    from ..study.tune import read_spec
    from .results import show_data
    from .space_table import show_space

    if as_json:
        from ..answers.from_results import describe_check

        print_answer(describe_check(check_study(spec, overrides=settings, read_data=data)))
        return
    study = read_spec(spec, settings)
    show_space(study)
    print_line(describe_training(study))
    if data and study.spec.data.source is not None:
        with waiting_line("reading the data") as tell:
            dataset, notes = inspect_data(study, tell=tell)
        show_data(dataset)
        for note in notes:
            print_line(f"note: {note}")


@main.command()
@click.argument("spec", type=SPEC)
@click.option("--set", "settings", multiple=True, help="key.path=value, any key of the file.")
@json_option
def plan(spec: Path, settings: tuple[str, ...], as_json: bool) -> None:
    """Time a few epochs of SPEC on the real data and estimate the study."""
    from ..study.maintenance.plan import plan as make_plan
    from .results import show_plan

    with waiting_line("starting") as tell:
        made = make_plan(spec, overrides=settings, tell=tell)
    if as_json:
        from ..answers.from_results import describe_plan

        print_answer(describe_plan(made))
        return
    show_plan(made)
