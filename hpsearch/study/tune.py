"""Running a study, or going on with one.

Separation of concerns: this file connects the rooms and decides nothing that one of them knows.
What happened is read from the journal.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import UnsuitableError, redact_text
from ..events import TrainerChanged
from ..log_file import study_log
from ..platforms.files import remove_drafts
from ..search.event_writer import EventWriter, Listener
from ..spec.study_file import StudyFile, load_dict, load_file
from ..tracking.cursor import CURSOR
from ..tracking.database import database_path
from ..tracking.server import check_server
from ..tracking.store import artifact_location, check_uri, default_uri, journal_path
from ..tracking.uploader import Uploader
from .finalize import finalize_study
from .model_validation import check_model, with_model_space
from .prepare import WorkerPool, build_problem, load_data, resolve_study
from .resolved_study import CheckedStudy
from .result import StudyResult, build_result
from .search_setup import make_search
from .start import move_aside, require_own_folder, start_or_resume
from .validation import check_study

logger = logging.getLogger("hpsearch.study")

LOGS = "logs"  # in the study's folder
CONNECT_SECONDS = 30  # for a tracking server to answer at the start
FLUSH_SECONDS = 60  # for MLflow to take the last records
FLUSH_TRIES = 2  # that may fail meanwhile, before a store that is away is waited for no longer


# A YAML file, what it would hold as a dict, or a file that was read before.
Declared = str | Path | Mapping[str, Any] | StudyFile


def load_spec(spec: Declared, overrides: Sequence[str] = ()) -> StudyFile:
    """A declaration of the right form.

    Raises:
        SpecError: With every mistake on a line of its own.
    """
    if isinstance(spec, StudyFile):
        return spec.with_overrides(overrides) if overrides else spec
    if isinstance(spec, Mapping):
        return load_dict(spec, overrides)
    return load_file(Path(spec), overrides)


def read_spec(spec: Declared, overrides: Sequence[str] = ()) -> CheckedStudy:
    """A declaration that is checked, and whose model was asked for its space.

    Raises:
        SpecError: With every mistake on a line of its own.
    """
    return check_study(with_model_space(load_spec(spec, overrides)))


def tune(
    spec: Declared,
    data: Any = None,
    *,
    overrides: Sequence[str] = (),
    tracking_uri: str | None = None,
    workers: int | None = None,
    fresh: bool = False,
    offline: bool = False,
    accept_changes: bool = False,
    root: Path | None = None,
    listeners: Sequence[Listener] = (),
    stop_requested: Callable[[], bool] = lambda: False,
) -> StudyResult:
    """Run a study, or go on with one.

    Args:
        spec: A YAML file, what it would hold as a dict, or a file that was read before.
        data: `(X, y)` or a data frame, where the declaration names no source.
        overrides: `key.path=value` texts that replace keys of the declaration.
        tracking_uri: Where MLflow's runs go; a file below `root` where it is None.
        workers: Short for `execution.workers=` among the overrides.
        fresh: Begin anew; the earlier life of the study is set aside, not deleted.
        offline: Touch no MLflow store; `hpsearch sync` sends the study later.
        accept_changes: Go on though code, versions or defaults are others than before; the
            journal and the later trials tell.
        root: The folder that holds `mlruns/`; the working folder where it is None.
        listeners: Called with every event of the journal; see `EventWriter`.
        stop_requested: Polled; once true, nothing more is asked and `StudyStopped` is raised.

    Raises:
        HpsearchError: For whatever the caller can mend.
    """
    began = time.monotonic()
    if workers is not None:
        overrides = [*overrides, f"execution.workers={workers}"]
    checked = read_spec(spec, overrides)
    root = (root or Path.cwd()).resolve()
    uri = tracking_uri or default_uri(root)
    path = journal_path(root, checked.spec.study)
    if not offline:
        _check_store(uri, checked.spec.study, is_begun=path.exists() and not fresh)
    require_own_folder(path.parent)
    if fresh:
        move_aside(path.parent)
    with ExitStack() as stack:
        crew = stack.enter_context(WorkerPool(checked, logs=path.parent / LOGS))
        writer = stack.enter_context(EventWriter(path, listeners))
        stack.enter_context(study_log(path.parent / LOGS))  # one process has the journal
        remove_drafts(path.parent, but=CURSOR)  # of a run that was killed
        dataset = load_data(checked, data)
        study = resolve_study(checked, dataset)
        problem = build_problem(study, dataset)
        for note in check_model(study.file, problem):
            logger.warning("note: %s", note)
        crew.set_up(problem)
        start_or_resume(writer, study, dataset, crew, accept_changes=accept_changes)
        # Before the uploader's thread imports MLflow: two threads in one import can trip up.
        search = make_search(study, writer, crew.executor, stop_requested)
        uploader = None if offline else _start_uploader(stack, writer, uri, root)
        try:
            search.run()
        except UnsuitableError as error:
            if study.spec.training.trainer != "auto":
                raise
            crew.fall_back(problem, str(error))
            writer.write(TrainerChanged(trainer=crew.trainer, reason=crew.reason))
            make_search(study, writer, crew.executor, stop_requested).run()
        finalize_study(
            study.spec,
            writer,
            dataset=dataset,
            problem=problem,
            executor=crew.executor,
            stop_requested=stop_requested,
        )
        if uploader is not None:
            _flush_uploader(uploader)
        result = build_result(study, writer.history, dataset, path, uploader, redact_text(uri))
    seconds = time.monotonic() - began
    if uploader is None:
        return replace(result, seconds=seconds)
    return replace(result, seconds=seconds, unsent=uploader.pending, refused=uploader.refusals)


def _check_store(uri: str, study: str, *, is_begun: bool) -> None:
    """Refuse a store that cannot be used before anything is read or trained.

    The experiment of a study that has begun may be called otherwise by now.
    """
    check_uri(uri)
    check_server(uri, experiment="" if is_begun else study)


def _start_uploader(stack: ExitStack, writer: EventWriter, uri: str, root: Path) -> Uploader:
    """What sends MLflow the journal until `stack` is left."""
    artifacts = artifact_location(uri, root)
    uploader = stack.enter_context(Uploader(writer.journal.path, uri, artifacts=artifacts))
    writer.listen(lambda event: uploader.wake())
    if database_path(uri) is None:  # a wrong address raises before the training
        uploader.wait_open(CONNECT_SECONDS)
    return uploader


def _flush_uploader(uploader: Uploader) -> None:
    """Wait for MLflow to have the study; what is missing, the uploader tells at its end."""
    if uploader.problem is not None:
        logger.warning("waiting up to %d s for MLflow, which does not answer", FLUSH_SECONDS)
    uploader.flush(FLUSH_SECONDS, tries=FLUSH_TRIES)
