"""Run a study, or continue one.

Separation of concerns: this module connects the packages and leaves decisions to them. The state of
an earlier run is read from the journal.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..data.dataset import Dataset
from ..data.folds import GivenFolds
from ..errors import SpecError, UnsuitableError, redact_text
from ..events import TrainerChanged
from ..journal.inbox import Inbox
from ..log_file import study_log
from ..platforms.files import remove_drafts
from ..search.event_writer import EventWriter, Listener
from ..spec.study_file import StudyFile, load_dict, load_file
from ..tracking.cursor import CURSOR
from ..tracking.database import database_path
from ..tracking.server import check_server
from ..tracking.store import artifact_location, check_uri, default_uri, journal_path
from ..tracking.uploader import Uploader
from ..training.problem import Problem
from .finalize import finalize_study
from .finished import is_search_over, read_finished
from .model_validation import check_model, with_model_space
from .prepare import build_problem, load_data, resolve_study
from .resolved_study import CheckedStudy, ResolvedStudy
from .result import StudyResult, build_result
from .search_setup import make_search
from .start import find_read_versions, require_own_folder, start_or_resume, study_moved_aside
from .validation import check_study
from .worker_pool import WorkerPool

logger = logging.getLogger("hpsearch.study")

LOGS = "logs"  # in the study's folder
CONNECT_SECONDS = 30  # timeout of a tracking server at the start
FLUSH_SECONDS = 60  # timeout for MLflow to accept the last records
FLUSH_TRIES = 2  # failed attempts after which an unreachable store is given up


# A YAML file, its contents as a dict, or a parsed file.
Declared = str | Path | Mapping[str, Any] | StudyFile


def load_spec(spec: Declared, overrides: Sequence[str] = ()) -> StudyFile:
    """Load a declaration and validate its syntax.

    Raises:
        SpecError: With every mistake on a line of its own.
    """
    if isinstance(spec, StudyFile):
        return spec.with_overrides(overrides) if overrides else spec
    if isinstance(spec, Mapping):
        return load_dict(spec, overrides)
    if not isinstance(spec, str | Path):
        raise SpecError(
            f"spec: a study file, a dict or an hpsearch.Spec is needed. Received: {spec!r:.100}"
        )
    return load_file(Path(spec), overrides)


def read_spec(spec: Declared, overrides: Sequence[str] = ()) -> CheckedStudy:
    """Load and validate a declaration, and discover the search space of its model.

    Raises:
        SpecError: With every mistake on a line of its own.
    """
    return check_study(with_model_space(load_spec(spec, overrides)))


def tune(
    spec: Declared,
    data: Any = None,
    *,
    folds: GivenFolds | None = None,
    overrides: Sequence[str] = (),
    tracking_uri: str | None = None,
    fresh: bool = False,
    offline: bool = False,
    accept_changes: bool = False,
    root: Path | None = None,
    listeners: Sequence[Listener] = (),
    stop_requested: Callable[[], bool] = lambda: False,
) -> StudyResult:
    """Run a study, or continue one.

    Args:
        spec: A YAML file, its contents as a dict, or a parsed file.
        data: `(X, y)` or a data frame, if the declaration names no source.
        folds: Training and validation rows of each fold, instead of `cross_validation`.
        overrides: `key.path=value` strings that replace keys of the declaration.
        tracking_uri: MLflow's tracking URI; None: a file below `root`.
        fresh: Start over; the earlier run of the study is moved aside, not deleted.
        offline: Do not use an MLflow store; `hpsearch sync` sends the study later.
        accept_changes: Continue although code, versions or defaults have changed; the journal
            and the later trials record the change.
        root: The folder that contains `mlruns/`; None: the working folder.
        listeners: Called with every event of the journal; see `EventWriter`.
        stop_requested: Polled; once true, no more trials start and `StudyStopped` is raised.

    Raises:
        HpsearchError: For errors that the caller can fix.
    """
    began = time.monotonic()
    root = (root or Path.cwd()).resolve()
    checked = read_spec(spec, overrides)
    uri = tracking_uri or default_uri(root)
    path = journal_path(root, checked.spec.study)
    if not offline:
        _check_store(uri, checked.spec.study, is_begun=path.exists() and not fresh)
    require_own_folder(path.parent)
    with ExitStack() as stack:
        if fresh:
            stack.enter_context(study_moved_aside(path.parent))
        writer = stack.enter_context(EventWriter(path, listeners))
        stack.enter_context(study_log(path.parent / LOGS))  # locks the journal
        remove_drafts(path.parent, but=CURSOR)  # left by a killed run
        stop_requested = _with_inbox(stop_requested, path.parent)
        versions = find_read_versions(writer.journal.first)
        make_workers = partial(WorkerPool, checked, logs=path.parent / LOGS)
        is_over = is_search_over(checked, writer.history, path)
        workers = None if is_over else stack.enter_context(make_workers())
        dataset = load_data(checked, data, versions, folds, root)
        study = resolve_study(checked, dataset)
        if workers is None:
            done = read_finished(study, writer.history, dataset, path, uri, offline=offline)
            if done is not None:
                return replace(done, seconds=time.monotonic() - began)
            workers = stack.enter_context(make_workers())
        problem = _set_up_workers(workers, study, dataset)
        start_or_resume(writer, study, dataset, workers, accept_changes=accept_changes)
        # Before the uploader's thread imports MLflow: concurrent imports can fail.
        search = make_search(study, writer, workers.executor, stop_requested)
        uploader = None if offline else _start_uploader(stack, writer, uri, root)
        try:
            search.run()
        except UnsuitableError as error:
            if study.spec.training.trainer != "auto":
                raise
            _switch_trainer(workers, problem, writer, reason=str(error))
            make_search(study, writer, workers.executor, stop_requested).run()
        finalize_study(
            study.spec,
            writer,
            dataset=dataset,
            problem=problem,
            executor=workers.executor,
            stop_requested=stop_requested,
        )
        if uploader is not None:
            _flush_uploader(uploader)
        result = build_result(study, writer.history, dataset, path, uploader, redact_text(uri))
    seconds = time.monotonic() - began
    if uploader is None:
        return replace(result, seconds=seconds)
    return replace(result, seconds=seconds, unsent=uploader.pending, refused=uploader.refusals)


def _with_inbox(stop_requested: Callable[[], bool], study: Path) -> Callable[[], bool]:
    """Stop on `hpsearch stop` as well, from now on."""
    inbox = Inbox(study)
    inbox.forget_stop()
    return lambda: stop_requested() or inbox.is_stop_requested()


def _check_store(uri: str, study: str, *, is_begun: bool) -> None:
    """Refuse an unusable store before anything is read or trained.

    The experiment of an existing study may have been renamed.
    """
    check_uri(uri)
    check_server(uri, experiment="" if is_begun else study)


def _set_up_workers(workers: WorkerPool, study: ResolvedStudy, dataset: Dataset) -> Problem:
    """Build the problem, check the model against it, and send it to the workers."""
    problem = build_problem(study, dataset)
    model = check_model(study.file, problem, workers)
    for note in model.notes:
        logger.warning("note: %s", note)
    workers.set_up(problem, model.own_training)
    return problem


def _switch_trainer(
    workers: WorkerPool, problem: Problem, writer: EventWriter, *, reason: str
) -> None:
    """Switch to the trainer that supports any model, and record the change."""
    workers.fall_back(problem, reason)
    writer.write(TrainerChanged(trainer=workers.trainer, reason=workers.reason))


def _start_uploader(stack: ExitStack, writer: EventWriter, uri: str, root: Path) -> Uploader:
    """Start the uploader, which sends the journal to MLflow until `stack` is closed."""
    artifacts = artifact_location(uri, root)
    uploader = stack.enter_context(Uploader(writer.journal.path, uri, artifacts=artifacts))
    writer.listen(lambda event: uploader.wake())
    if database_path(uri) is None:  # a wrong address raises before training
        uploader.wait_open(CONNECT_SECONDS)
    return uploader


def _flush_uploader(uploader: Uploader) -> None:
    """Wait until MLflow has the study; the uploader reports at its end what is missing."""
    if uploader.problem is not None:
        logger.warning("waiting up to %d s for MLflow, which does not answer", FLUSH_SECONDS)
    uploader.flush(FLUSH_SECONDS, tries=FLUSH_TRIES)
