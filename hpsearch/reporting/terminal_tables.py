"""Build tables of a study for the terminal from its journal.

Does not import MLflow, Keras or a data frame library, so that `hpsearch top` is fast.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import JournalError
from ..events import CURVES, Event
from ..history import History, load_history
from ..trial import Limit, Trial, Value, is_score, orient
from ..verdict import describe_members, describe_verdict

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

STYLES = {
    "COMPLETE": "green",
    "PRUNED": "yellow",
    "FAILED": "red",
    "RUNNING": "cyan",
    "WAITING": "dim",
    "LOST": "red",
}
NONE = "–"  # noqa: RUF001  absent


def read_trials(events: Iterable[Event]) -> list[Trial]:
    """Read the last attempt of every trial, by number."""
    return History(events).trials


def top_table(journal: Path, rows: int = 10, *, with_pruned: bool = False) -> Table:
    """Build the table of the best trials; optionally with pruned ones, by their last score.

    Raises:
        JournalError: If the journal is missing or damaged.
    """
    history = load_history(journal, without=CURVES)
    ranked = rank_front_first(history)
    listed = merge_pruned(history, ranked) if with_pruned else ranked
    table = make_table(
        title=_format_title(history), caption=_format_caption(history, len(listed), rows)
    )
    others = [name for name, _ in history.objectives[1:]]
    revised = ["revision"] if history.changes else []
    for head in ("rank", "trial", history.metric, "±", *others, "epoch", "time", *revised):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("hyperparameters")  # one column, since a dozen would not fit a terminal
    chosen = history.winning_trial() if history.winner else None
    front = {trial.number for trial in history.pareto_front()}
    ranks = {id(trial): rank for rank, trial in enumerate(ranked, start=1)}
    for trial in listed[:rows]:
        mark = " ★" if trial is chosen else ""
        mark = " ◆" + mark if trial.number in front else mark
        rank = ranks.get(id(trial))
        cells = [
            _name_rank(trial, rank),
            f"{trial.number}{mark}",
            format_number(trial.score, 5),
            format_number(trial.spread, 2),
            *(f"{cost:.5g}" for cost in (trial.values or ())[1:]),
            *([""] * len(others) if not trial.values else ()),
            NONE if trial.best_epoch is None else str(trial.best_epoch + 1),
            format_seconds(trial.seconds),
            *(str(trial.revision) for _ in revised),
        ]
        params = " ".join(f"{k}={format_value(v)}" for k, v in trial.params.items())
        table.add_row(*cells, params, style={None: "dim", 1: "bold"}.get(rank, ""))
    return table


def _name_rank(trial: Trial, rank: int | None) -> str:
    if rank is not None:
        return str(rank)
    return "pruned" if trial.state == "PRUNED" else NONE


def rank_front_first(history: History) -> list[Trial]:
    """Return the complete trials, best first; those on the Pareto front come before the others."""
    front = {trial.number for trial in history.pareto_front()}
    return sorted(history.ranked_trials(), key=lambda trial: trial.number not in front)


def merge_pruned(history: History, ranked: Sequence[Trial]) -> list[Trial]:
    """Return the ranked and the pruned trials, sorted by score, and those that cannot win."""
    unfit = {*history.outside, *(t.number for t in history.infeasible_trials())}
    others = [t for t in history.trials if t.state == "PRUNED" or t.number in unfit]
    pruned = [t for t in others if is_score(t.score)]
    return sorted(
        [*ranked, *pruned], key=lambda t: (-orient(t.score or 0.0, history.direction), t.number)
    )


def trial_number(journal: Path, trial: str) -> int:
    """Return the number of a trial that is named as `5`, `trial-5` or `best`.

    Raises:
        JournalError: If it is named otherwise, or `best` is asked for and no trial is complete.
    """
    digits = trial.removeprefix("trial-")
    if digits.isascii() and digits.isdigit():
        return int(digits)
    history = load_history(journal, without=CURVES)
    if trial != "best":
        raise JournalError(f"{trial!r} names no trial of {history.name}: give 5, trial-5 or best")
    best = history.winning_trial()
    if best is None:
        raise JournalError(f"{history.name} has no complete trial yet, so none is the best")
    return best.number


def trial_details(journal: Path, trial: int) -> RenderableType:
    """Build the description of one trial.

    Raises:
        JournalError: If the trial does not exist.
    """
    from rich.console import Group
    from rich.text import Text

    history = load_history(journal, without=CURVES, but_of=(trial,))
    shown = history.find_trial(trial)
    state = Text.assemble(
        (f"{history.name} {shown.name} ", "bold"), (shown.state, STYLES[shown.state])
    )
    parts: list[RenderableType] = [state, _facts_table(history, shown), _params_table(shown)]
    parts += [Text(note, style="yellow") for note in history.notes_of_changes()]
    if shown.fold_scores:
        parts.append(_folds_table(history, shown))
    if shown.scores:
        parts.append(_curve_table(history, shown))
    if shown.error:
        parts.append(Text(shown.error, style="red"))
    if shown.traceback:
        parts.append(Text(shown.traceback.rstrip(), style="dim"))
    return Group(*parts)


def comparison_table(journal: Path, numbers: Sequence[int]) -> Table:
    """Build a table of trials side by side; differing hyperparameters are highlighted.

    Raises:
        JournalError: If a trial does not exist.
    """
    history = load_history(journal, without=CURVES)
    chosen = [history.find_trial(n) for n in numbers]
    table = make_table(title=_format_title(history))
    table.add_column("")
    for trial in chosen:
        table.add_column(trial.name, justify="right")
    for label, cells in _comparison_rows(history, chosen):
        differs = len(set(cells)) > 1
        table.add_row(label, *cells, style="bold" if differs else "dim")
    return table


def param_names(shown: Iterable[Trial]) -> list[str]:
    """List the names of all hyperparameters in order of first appearance."""
    return list(dict.fromkeys(name for trial in shown for name in trial.params))


def format_number(value: float | None, digits: int = 4) -> str:
    """Format a measured number for a table."""
    return NONE if value is None else f"{value:#.{digits}g}"


def format_value(param: Value) -> str:
    """Format a hyperparameter for a table; a dash if it is inactive."""
    if param is None:
        return NONE
    return f"{param:.3g}" if isinstance(param, float) else str(param)


def format_seconds(duration: float | None) -> str:
    """Format a duration for a table, such as 0.8 s, 12 s, 3:05 or 1:02:03."""
    if duration is None or not math.isfinite(duration):
        return NONE
    if duration < 60:
        return f"{duration:.1f} s" if duration < 10 else f"{duration:.0f} s"
    minutes, rest = divmod(round(duration), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def make_table(*, title: str = "", caption: str = "") -> Table:
    from rich import box
    from rich.table import Table

    return Table(
        box=box.SIMPLE_HEAD,
        title=title or None,
        caption=caption or None,
        title_style="bold",
        caption_style="dim",
    )


def _format_title(history: History) -> str:
    arrow = "↑" if history.maximize else "↓"
    return f"{history.name}  {history.metric} {arrow}"


def _format_caption(history: History, listed: int, rows: int) -> str:
    states = [trial.state for trial in history.trials]
    counts = [f"{states.count(s)} {s.lower()}" for s in STYLES if s in states]
    shown = f"best {rows} of " if listed > rows else ""
    mark = "; ★ the winner" if history.winner else ""
    if history.winner is not None and history.winner.is_ensemble:
        mark = f"; ★ the best trial of the winner, {describe_members(history.winner.members)}"
    front = "; ◆ the Pareto front" if len(history.objectives) > 1 else ""
    ended = f"; ended: {history.end.reason}" if history.end else ""
    if history.is_paused:
        ended = f"; paused: hpsearch unpause {history.name} continues it"
    if history.outside:
        ended += f"; {len(history.outside)} outside the edited space"
    if history.limits:
        texts = " and ".join(map(str, history.limits))
        ended += f"; {len(history.infeasible_trials())} complete without {texts}"
    line = f"{shown}{', '.join(counts) or 'no trial yet'}{front}{mark}{ended}"
    verdict = describe_verdict(history.final.baselines or ()) if history.final else ""
    comparison = [f"the winner is {verdict}, on the locked rows"] if verdict else []
    return "\n".join([line, *comparison, *history.notes_of_changes()])


def _facts_table(history: History, trial: Trial) -> Table:
    ranks = {id(t): rank for rank, t in enumerate(history.ranked_trials(), start=1)}
    rows = {
        history.metric: f"{format_number(trial.score, 6)} ± {format_number(trial.spread, 2)}",
        **{
            name: f"{cost:.5g}"
            for (name, _), cost in zip(
                history.objectives[1:], (trial.values or ())[1:], strict=False
            )
        },
        "rank": f"{ranks[id(trial)]} of {len(ranks)}" if id(trial) in ranks else NONE,
        "best epoch": NONE if trial.best_epoch is None else str(trial.best_epoch + 1),
        "epochs": f"{trial.n_epochs} of at most {trial.epochs}",
        "time": format_seconds(trial.seconds),
        "parameters": NONE if trial.n_parameters is None else f"{trial.n_parameters:,}",
        "trainer": trial.trainer or NONE,
        "seed": str(trial.seed),
        "attempt": str(trial.attempt),
    }
    if trial.measured is not None:
        rows |= {limit.name: _format_measured(trial, limit) for limit in history.limits}
    if history.changes:
        rows["revision"] = f"{trial.revision} of {len(history.changes)}"
    return _pairs_table(rows)


def _format_measured(trial: Trial, limit: Limit) -> str:
    """Format a measured value, and how it compares with its limit."""
    value = (trial.measured or {}).get(limit.name)
    if value is None:
        return f"{NONE} (not measured)"
    verdict = "satisfies" if limit.violation(value) <= 0 else "violates"
    return f"{value:.5g} ({verdict} {limit})"


def _params_table(trial: Trial) -> Table:
    return _pairs_table(
        {name: repr(v) for name, v in trial.params.items()}, title="hyperparameters"
    )


def _pairs_table(rows: dict[str, str], title: str = "") -> Table:
    table = make_table(title=title)
    table.show_header = False
    table.add_column(style="dim")
    table.add_column()
    for label, text in rows.items():
        table.add_row(label, text)
    return table


def _folds_table(history: History, trial: Trial) -> Table:
    table = make_table(title=f"{history.metric} by fold")
    scores = trial.fold_scores or ()
    for fold in range(len(scores)):
        table.add_column(str(fold), justify="right")
    table.add_row(*(format_number(score, 5) for score in scores))
    return table


def _curve_table(history: History, trial: Trial) -> Table:
    table = make_table(title="mean over the folds by epoch")
    names = list(trial.curves)
    for head in ("epoch", history.metric, *names):
        table.add_column(head, justify="right")
    means = trial.mean_scores()
    for epoch in range(trial.n_epochs):
        rows = [trial.curves[n][epoch] for n in names if epoch < len(trial.curves[n])]
        cells = [format_number(math.fsum(row) / len(row), 5) for row in rows]
        best = trial.best_epoch == epoch
        table.add_row(
            str(epoch + 1),
            format_number(means[epoch], 5),
            *cells,
            style="bold green" if best else "",
        )
    return table


def _comparison_rows(history: History, chosen: Sequence[Trial]) -> list[tuple[str, list[str]]]:
    rows = [
        ("state", [t.state.lower() for t in chosen]),
        (history.metric, [format_number(t.score, 5) for t in chosen]),
        ("±", [format_number(t.spread, 2) for t in chosen]),
        ("best epoch", [NONE if t.best_epoch is None else str(t.best_epoch + 1) for t in chosen]),
        ("time", [format_seconds(t.seconds) for t in chosen]),
        ("parameters", [NONE if t.n_parameters is None else f"{t.n_parameters:,}" for t in chosen]),
    ]
    folds = max((len(t.fold_scores or ()) for t in chosen), default=0)
    for fold in range(folds):
        scores = [t.fold_scores for t in chosen]
        rows.append(
            (
                f"fold {fold}",
                [format_number(s[fold], 5) if s and fold < len(s) else NONE for s in scores],
            )
        )
    rows += [(n, [format_value(t.params.get(n)) for t in chosen]) for n in param_names(chosen)]
    return [(label, list(cells)) for label, cells in rows]
