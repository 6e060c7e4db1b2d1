"""Running a study, or going on with one.

Separation of concerns: this file connects the rooms and decides nothing that one of them knows.
What happened is read from the journal.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..data import Dataset
from ..errors import UnsuitableError, redact_text
from ..events import TrainerChanged
from ..history import History, restore_curves
from ..log_file import study_log
from ..platforms.files import remove_drafts
from ..search.event_writer import EventWriter, Listener
from ..search.loop import Search
from ..search.sampler import Sampler
from ..search.samplers import make_sampler
from ..search.stopping_criteria import StoppingCriteria
from ..search.tried_points import TriedPoints
from ..spec.study_file import StudyFile, load_dict, load_file
from ..tracking.cursor import CURSOR
from ..tracking.database import database_path
from ..tracking.server import check_server
from ..tracking.store import artifact_location, check_uri, default_uri, journal_path
from ..tracking.uploader import Uploader
from .finalize import finalize_study
from .initial_trials import initial_points
from .model_validation import check_model, with_model_space
from .prepare import WorkerPool, build_problem, load_data, resolve_study
from .resolved_study import CheckedStudy, ResolvedStudy
from .result import BestTrial, FrontTrial, StudyResult, StudyStopped
from .start import move_aside, require_own_folder, start_or_resume
from .validation import check_study
from .warm_start import best_point, read_trials
from .winner.selection import trials_needing_curves

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
    name = checked.spec.study
    root = (root or Path.cwd()).resolve()
    uri = tracking_uri or default_uri(root)
    path = journal_path(root, name)
    is_begun = path.exists() and not fresh  # its experiment may be called otherwise by now
    if not offline:
        check_uri(uri)  # before anything is read or trained
        check_server(uri, experiment="" if is_begun else name)
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
        sampler = _make_sampler(study, writer.history)
        uploader = None
        if not offline:
            uploader = Uploader(path, uri, artifacts=artifact_location(uri, root))
            stack.enter_context(uploader)
            wake = uploader.wake
            writer.listen(lambda event: wake())
            if database_path(uri) is None:  # a wrong address is told now, not after a night
                uploader.wait_open(CONNECT_SECONDS)
        try:
            _run_search(study, sampler, writer, crew, stop_requested)
        except UnsuitableError as error:
            if study.spec.training.trainer != "auto":
                raise
            crew.fall_back(problem, str(error))
            writer.write(TrainerChanged(trainer=crew.trainer, reason=crew.reason))
            again = _make_sampler(study, writer.history)
            _run_search(study, again, writer, crew, stop_requested)
        finalize_study(
            study.spec,
            writer,
            dataset=dataset,
            problem=problem,
            executor=crew.executor,
            stop_requested=stop_requested,
        )
        if uploader is not None:
            if uploader.problem is not None:
                logger.warning(
                    "waiting up to %d s for MLflow, which does not answer", FLUSH_SECONDS
                )
            uploader.flush(FLUSH_SECONDS, tries=FLUSH_TRIES)  # what is missing, it tells at its end
        result = _build_result(study, writer.history, dataset, path, uploader, redact_text(uri))
    seconds = time.monotonic() - began
    if uploader is None:
        return replace(result, seconds=seconds)
    return replace(result, seconds=seconds, unsent=uploader.pending, refused=uploader.refusals)


def _make_sampler(study: ResolvedStudy, history: History) -> Sampler:
    spec, elsewhere = study.spec, read_trials(history.study)
    return make_sampler(
        spec.sampler.kind,
        spec.space,
        direction=[o.direction for o in study.objectives],
        seed=spec.seed,
        options=spec.sampler.options,
        epochs=spec.training.epochs,
        points=initial_points(spec, best_point(elsewhere, study.objective.direction)),
        elsewhere=elsewhere,
    )


def _run_search(
    study: ResolvedStudy,
    sampler: Sampler,
    writer: EventWriter,
    crew: WorkerPool,
    stop_requested: Callable[[], bool],
) -> None:
    spec, minutes = study.spec, study.spec.budget.minutes
    search = Search(
        writer=writer,
        sampler=sampler,
        executor=crew.executor,
        limits=StoppingCriteria(
            spec.budget.trials,
            None if minutes is None else minutes * 60,
            spec.budget.stagnation,
            spec.budget.target,
        ),
        pruner=study.pruner,
        in_rounds=spec.training.deterministic,
        seed=spec.seed,
        epochs=spec.training.epochs,
        fixed=spec.fixed_params,
        memory=TriedPoints(spec.space),
        stop_requested=stop_requested,
    )
    history = search.run()
    if stop_requested():
        raise StudyStopped(f"study {spec.study} was stopped; nothing is lost")
    needed = trials_needing_curves(history, spec.selection)
    restore_curves(history, writer.journal.path, needed)


def _build_result(
    study: ResolvedStudy,
    history: History,
    dataset: Dataset,
    path: Path,
    uploader: Uploader | None,
    uri: str,
) -> StudyResult:
    best, final, winner = history.winning_trial(), history.final, history.winner
    assert best is not None
    assert final is not None
    assert final.epochs is not None
    assert best.score is not None
    assert best.spread is not None
    target = dataset.schema.target
    return StudyResult(
        study=study.spec.study,
        tracking_uri=uri,
        experiment_id=uploader.experiment_id if uploader else None,
        run_id=uploader.parent_run_id if uploader else None,
        trials={
            "complete": history.count("COMPLETE"),
            "pruned": history.count("PRUNED"),
            "failed": history.count("FAILED"),
        },
        best=BestTrial(
            trial=best.number,
            run_id=uploader.run_id(best.number) if uploader else None,
            params=best.params,
            score=best.score,
            score_std=best.spread,
            finalist_score=winner.finalist_score if winner else None,
            finalist_std=winner.finalist_spread if winner else None,
            epochs=final.epochs,
        ),
        members=[asdict(member) for member in final.members],
        single=asdict(final.single) if final.single else {},
        test=final.test,
        seconds=0.0,
        objective=study.objective.metric,
        intervals=final.intervals,
        baseline=asdict(final.baseline) if final.baseline else {},
        confusion=final.confusion,
        classes=[str(c) for c in target.classes] if target else [],
        n_test=final.test_rows or 0,
        ended=history.end.reason if history.end else "",
        reads=history.reads,
        threshold=final.label_threshold,
        objectives=[name for name, _ in history.objectives],
        front=[FrontTrial(t.number, t.params, t.values or ()) for t in history.pareto_front()],
        model=path.parent / "final" / "model.keras",
    )
