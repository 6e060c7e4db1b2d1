"""How a study ends: finalists, the choice, the final fit, the figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..data import Dataset
from ..execution.executor import Executor
from ..history import History
from ..journal import Journal, Record
from ..spec.study import StudySpec
from ..training.problem import Problem
from .finale import fit_winner
from .result import StudyStopped
from .selection import choose, score_finalists, winner_of


def end_study(
    spec: StudySpec,
    history: History,
    *,
    dataset: Dataset,
    problem: Problem,
    journal: Journal,
    executor: Executor,
    tell: Callable[[Record], None],
    stop_requested: Callable[[], bool],
) -> None:
    """Choose the winner and fit it, unless an earlier run of the study did it.

    `history`, which is the journal's, takes in what is written.

    Raises:
        TrainingError: If no trial completed, or a finalist or the final fit takes its workers
            down.
        StudyStopped: If somebody asked for it; what was scored is written down.
    """
    from ..tracking.plots import (  # seconds
        draw_search,
        draw_winner,
        write_interactive,
        write_winner_page,
    )

    def record(event: str, **fields: Any) -> None:
        written = journal.append(event, **fields)
        history.apply(written)
        tell(written)

    folder = journal.path.parent
    winner_of(history)  # there is one
    score_finalists(
        history,
        spec.selection,
        problem=problem,
        dataset=dataset,
        executor=executor,
        seed=spec.seed,
        record=record,
        stop_requested=stop_requested,
        meanwhile=lambda: write_interactive(history, folder),
    )
    if stop_requested():
        raise StudyStopped(f"study {spec.study} was stopped; nothing is lost")
    choice = choose(history, spec.selection, problem=problem, seed=spec.seed, folder=folder)
    if history.final is not None and history.final.get("members") == choice.members_as_json():
        return
    record("winner", **choice.as_json())
    fields = fit_winner(
        choice,
        dataset=dataset,
        problem=problem,
        executor=executor,
        folder=folder / "final",
        meanwhile=lambda: draw_search(history, folder),
    )
    draw_winner(history, folder)
    write_winner_page(history, folder)
    reads = 0 if history.final is None else int(history.final["reads"])
    record("final", reads=reads + 1, **fields)  # of the locked rows, in the study's life
