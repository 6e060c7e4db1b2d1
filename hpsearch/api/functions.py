"""The public functions `tune` and `nested`; `hpsearch.study` implements them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ..data.folds import GivenFolds
from ..errors import DataError
from ..python_errors import speaks_python
from ..reporting.progress import guard_listener
from ..search.event_writer import Listener
from ..study import in_use, nested_cv, study_reader
from ..study.callables import make_function_overrides
from ..study.check import check as check_study
from ..study.maintenance.plan import plan as plan_study
from ..study.result import StudyResult
from ..study.tune import Declared, load_spec
from ..study.tune import tune as tune_study
from .display import make_display
from .interruption import Interrupt

load = speaks_python(study_reader.load)
check = speaks_python(check_study)
plan = speaks_python(plan_study)
promote = speaks_python(in_use.promote)
rollback = speaks_python(in_use.rollback)
list_models = speaks_python(in_use.list_models)


@speaks_python
def tune(
    spec: Declared,
    data: Any = None,
    *,
    model: Any = None,
    loss: Any = None,
    metric: Any = None,
    callbacks: Sequence[Any] = (),
    folds: GivenFolds | None = None,
    overrides: Sequence[str] = (),
    tracking_uri: str | None = None,
    workers: int | None = None,
    fresh: bool = False,
    offline: bool = False,
    accept_changes: bool = False,
    root: Path | str | None = None,
    progress: bool | None = None,
    listeners: Sequence[Listener] = (),
    stop_requested: Callable[[], bool] = lambda: False,
) -> StudyResult:
    """Run a study, or continue one.

    An interrupt (a notebook's stop button, Ctrl-C) lets running trials finish, and the same call
    continues the study. A second interrupt stops immediately; no result is lost.

    Args:
        spec: A YAML file, its contents as a dict, a `hpsearch.Spec`, or a parsed file.
        data: `(X, y)` or a data frame, if the declaration names no source.
        model: A function that builds the model: `build(params, inputs, outputs)`,
            `build(hp)`, a `HyperModel` or `build(trial)`; it may be defined in a notebook.
        loss: A loss function, `(truth, prediction)`.
        metric: The objective as a function, `(truth, prediction, weights)`; requires
            `objective.direction`.
        callbacks: Functions that create callbacks, or callback classes.
        folds: The folds, instead of `cross_validation`: pairs of training and validation rows, as
            scikit-learn's splitters give them (`splitter.split(X, y)`).
        overrides: `key.path=value` strings that replace keys of the declaration.
        tracking_uri: MLflow's tracking URI; None: a file below `root`.
        workers: Shorthand for the override `execution.workers=`.
        fresh: Start over; the earlier run of the study is moved aside, not deleted.
        offline: Do not use an MLflow store; `hpsearch sync` sends the study later.
        accept_changes: Continue although code, versions or defaults have changed; the journal
            and the later trials record the change.
        root: The folder that contains `mlruns/`; None: the working folder.
        progress: None: show progress, in a notebook as a block that is redrawn, elsewhere as
            lines on stderr; True: as lines everywhere; False: show nothing.
        listeners: Called with every event of the journal; see `EventWriter`.
        stop_requested: Polled; once true, no more trials start and `StudyStopped` is raised.

    Raises:
        HpsearchError: For errors that the caller can fix.
        StudyInterrupted: After an interrupt.
    """
    folder = (Path.cwd() if root is None else Path(root)).resolve()
    if isinstance(folds, int):
        raise DataError(
            "folds: pairs of training and validation rows are needed, as "
            f"splitter.split(X, y) gives them. Their number: cross_validation={{'folds': {folds}}}"
        )
    functions = make_function_overrides(
        folder, model=model, loss=loss, metric=metric, callbacks=callbacks
    )
    if workers is not None:
        functions.append(f"execution.workers={workers}")
    file = load_spec(spec, [*overrides, *functions])
    with ExitStack() as stack:
        shown = make_display(file.spec.study, file.spec.budget.trials, progress)
        listen = stack.enter_context(shown).listen
        interrupt = stack.enter_context(Interrupt())
        return tune_study(
            file,
            data,
            folds=None if folds is None else list(folds),
            tracking_uri=tracking_uri,
            fresh=fresh,
            offline=offline,
            accept_changes=accept_changes,
            root=folder,
            listeners=[
                *listeners,
                guard_listener("the progress display", listen, skips_past_curves=True),
            ],
            stop_requested=lambda: interrupt.is_requested() or stop_requested(),
        )


@speaks_python
def nested(
    spec: Declared,
    data: Any = None,
    *,
    folds: int = 5,
    overrides: Sequence[str] = (),
    tracking_uri: str | None = None,
    fresh: bool = False,
    offline: bool = False,
    accept_changes: bool = False,
    root: Path | str | None = None,
    progress: bool | None = None,
) -> nested_cv.NestedResult:
    """Run or continue nested cross-validation: one study per outer fold.

    Args:
        spec: As for `tune`; `data.test_fraction` and test files are ignored.
        data: As for `tune`.
        folds: Number of outer folds, which are made as the inner ones are.
        overrides: As for `tune`.
        tracking_uri: As for `tune`.
        fresh: As for `tune`, of each study.
        offline: As for `tune`; a later call without it sends the summary.
        accept_changes: As for `tune`.
        root: As for `tune`.
        progress: As for `tune`.

    Raises:
        HpsearchError: For errors that the caller can fix.
        StudyInterrupted: After an interrupt; the same call continues.
    """
    file = load_spec(spec, overrides)

    @contextmanager
    def around(fold: int) -> Iterator[Mapping[str, Any]]:
        name = f"{file.spec.study}, outer fold {fold} of {folds}"
        with make_display(name, file.spec.budget.trials, progress) as shown, Interrupt() as stop:
            listen = guard_listener("the progress display", shown.listen, skips_past_curves=True)
            yield {"listeners": [listen], "stop_requested": stop.is_requested}

    return nested_cv.nested(
        file,
        data,
        folds=folds,
        tracking_uri=tracking_uri,
        fresh=fresh,
        offline=offline,
        accept_changes=accept_changes,
        root=None if root is None else Path(root),
        around=around,
    )
