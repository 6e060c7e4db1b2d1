"""Running a study, or going on with one.

Separation of concerns: this file connects the rooms and decides nothing that one of them knows.
What happened is read from the journal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..data import Dataset
from ..errors import UnsuitableError
from ..history import History
from ..journal import Journal, Record, read
from ..search.loop import Limits, Listener, Search
from ..search.sampler import Sampler
from ..search.samplers import make_sampler
from ..spec.file import StudyFile, load_dict, load_file
from ..spec.study import StudySpec
from ..tracking.store import artifact_location, default_uri, is_server, journal_path, redacted
from ..tracking.uploader import Uploader
from ..training.metrics import metric_for
from ..training.problem import Problem
from .checks import check
from .finale import fit_winner, winner_of
from .opening import introduction, set_aside
from .prepare import Crew, load_data, problem_of
from .result import BestTrial, StudyResult, StudyStopped

CONNECT_SECONDS = 30  # for a tracking server to answer at the start
FLUSH_SECONDS = 60  # for MLflow to take the last records


def read_spec(spec: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> StudyFile:
    """A checked declaration, from a file or a dict.

    Raises:
        SpecError: With every mistake on a line of its own.
    """
    file = (
        load_dict(spec, overrides)
        if isinstance(spec, Mapping)
        else load_file(Path(spec), overrides)
    )
    check(file)
    return file


def tune(
    spec: str | Path | Mapping[str, Any],
    data: Any = None,
    *,
    overrides: Sequence[str] = (),
    tracking_uri: str | None = None,
    workers: int = 1,
    fresh: bool = False,
    root: Path | None = None,
    listeners: Sequence[Listener] = (),
    stop_requested: Callable[[], bool] = lambda: False,
) -> StudyResult:
    """Run a study, or go on with one.

    Args:
        spec: A YAML file, or what it would hold as a dict.
        data: `(X, y)` or a data frame, where the declaration names no source.
        overrides: `key.path=value` texts that replace keys of the declaration.
        tracking_uri: Where MLflow's runs go; a file below `root` where it is None.
        workers: Processes that train.
        fresh: Begin anew; the earlier life of the study is set aside, not deleted.
        root: The folder that holds `mlruns/`; the working folder where it is None.
        listeners: Called with every record of the journal.
        stop_requested: Polled; once true, nothing more is asked and `StudyStopped` is raised.

    Raises:
        HpsearchError: For whatever the caller can mend.
    """
    began = time.monotonic()
    file = read_spec(spec, overrides)
    root = (root or Path.cwd()).resolve()
    path = journal_path(root, file.spec.study)
    if fresh:
        set_aside(path.parent)
    with ExitStack() as stack:
        crew = stack.enter_context(Crew(file.spec, workers=workers, logs=path.parent / "logs"))
        journal = stack.enter_context(Journal(path))
        dataset = load_data(file, data)
        problem = problem_of(file.spec, dataset)
        crew.set_up(problem)
        for record in introduction(journal, file, dataset, problem, crew):
            _tell(listeners, record)
        # Before the uploader's thread imports MLflow: two threads in one import can trip up.
        sampler = _sampler(file.spec, problem)
        uri = tracking_uri or default_uri(root)
        uploader = stack.enter_context(Uploader(path, uri, artifacts=artifact_location(uri, root)))
        if is_server(uri):  # a wrong address is told now, not after a night of training
            uploader.wait_open(CONNECT_SECONDS)
        told = [*listeners, lambda record: uploader.wake()]
        try:
            history = _search(file.spec, sampler, journal, crew, told, stop_requested)
        except UnsuitableError as error:
            if file.spec.training.trainer != "auto":
                raise
            crew.fall_back(problem, str(error))
            _tell(told, journal.append("trainer", trainer=crew.trainer, reason=crew.reason))
            again = _sampler(file.spec, problem)
            history = _search(file.spec, again, journal, crew, told, stop_requested)
        _finish(history, dataset, problem, journal, crew, told)
        uploader.flush(FLUSH_SECONDS)
        result = _result(file, dataset, problem, path, uploader, redacted(uri))
    return replace(result, seconds=time.monotonic() - began)


def _tell(listeners: Sequence[Listener], record: Record) -> None:
    for listener in listeners:
        listener(record)


def _sampler(spec: StudySpec, problem: Problem) -> Sampler:
    direction = metric_for(problem.objective, problem.task).direction
    return make_sampler(spec.sampler.kind, spec.space, direction=direction, seed=spec.seed)


def _search(
    spec: StudySpec,
    sampler: Sampler,
    journal: Journal,
    crew: Crew,
    listeners: Sequence[Listener],
    stop_requested: Callable[[], bool],
) -> History:
    minutes = spec.budget.minutes
    search = Search(
        journal=journal,
        history=History(read(journal.path).records),
        sampler=sampler,
        executor=crew.executor,
        limits=Limits(spec.budget.trials, None if minutes is None else minutes * 60),
        seed=spec.seed,
        epochs=spec.training.epochs,
        fixed=spec.fixed,
        listeners=listeners,
        stop_requested=stop_requested,
    )
    history = search.run()
    if stop_requested():
        raise StudyStopped(f"study {spec.study} was stopped; nothing is lost")
    return history


def _finish(
    history: History,
    dataset: Dataset,
    problem: Problem,
    journal: Journal,
    crew: Crew,
    listeners: Sequence[Listener],
) -> None:
    """The final fit of the winner, unless an earlier run of the study has done it."""
    from ..tracking.plots import draw_search, draw_winner  # matplotlib: a second

    def record(event: str, **fields: Any) -> None:
        _tell(listeners, journal.append(event, **fields))

    best = winner_of(history)
    earlier = [r for r in journal.records if r["event"] == "final"]
    if earlier and earlier[-1]["trial"] == best.number:
        return
    assert best.best_epoch is not None
    record(
        "winner",
        trial=best.number,
        attempt=best.attempt,
        epochs=best.best_epoch + 1,
        score=best.score,
        spread=best.spread,
    )
    folder = journal.path.parent
    known = History(read(journal.path).records)
    fields = fit_winner(
        best,
        dataset=dataset,
        problem=problem,
        executor=crew.executor,
        folder=folder / "final",
        meanwhile=lambda: draw_search(known, folder),
    )
    draw_winner(known, folder)
    record("final", reads=len(earlier) + 1, **fields)  # of the locked rows, in the study's life


def _result(
    file: StudyFile,
    dataset: Dataset,
    problem: Problem,
    path: Path,
    uploader: Uploader,
    uri: str,
) -> StudyResult:
    records = read(path).records
    history = History(records)
    best = winner_of(history)
    final = [r for r in records if r["event"] == "final"][-1]
    assert best.score is not None
    assert best.spread is not None
    target = dataset.schema.target
    return StudyResult(
        study=file.spec.study,
        tracking_uri=uri,
        experiment_id=uploader.experiment_id,
        run_id=uploader.parent_run_id,
        trials={
            "complete": history.count("COMPLETE"),
            "pruned": history.count("PRUNED"),
            "failed": history.count("FAILED"),
        },
        best=BestTrial(
            trial=best.number,
            run_id=uploader.run_id(best.number),
            params=best.params,
            score=best.score,
            score_std=best.spread,
            epochs=final["epochs"],
        ),
        test=final.get("test", {}),
        seconds=0.0,
        objective=problem.objective,
        intervals=final.get("intervals", {}),
        baseline=final.get("baseline", {}),
        confusion=final.get("confusion"),
        classes=[str(c) for c in target.classes] if target else [],
        n_test=final["test_rows"],
        model=path.parent / "final" / "model.keras",
    )
