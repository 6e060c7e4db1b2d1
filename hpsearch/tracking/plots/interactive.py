"""Write a page of interactive figures of the search, drawn by Optuna with Plotly."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...escaping import escape_line
from ...history import History
from ..optuna_study import build_optuna_study
from .page import write_page
from .space_plots import compute_importances
from .thinning import MAX_INTERACTIVE, describe_part, representative_trials

if TYPE_CHECKING:
    import optuna

PAGE = "interactive.html"
TITLES = {
    "optimization_history": "Optimisation history",
    "param_importances": "Importance of the hyperparameters",
    "parallel_coordinate": "Parallel coordinates",
    "contour": "Contour of the two most important",
    "intermediate_values": "Score by epoch",
    "timeline": "Time line",
}
ON_PAGE = tuple(name for name in TITLES if name != "parallel_coordinate")  # the report has its own
LINES = 200  # maximum number of curves; more are unreadable and take megabytes


def write_interactive(history: History, study: Path) -> Path | None:
    """Write `plots/interactive.html` in a study's folder; None with fewer than two trials."""
    if len(history.ranked_trials()) < 2:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna warns about figures with too few trials
        return write_page(study / "plots" / PAGE, history.name, _make_figures(history))


def draw_figure(history: History, name: str) -> Any:
    """Draw the figure with the key `name` of `TITLES`.

    Raises:
        ValueError: If there are too few trials to draw it.
    """
    for title, figure in _make_figures(history, (name,)):
        figure.update_layout(title=title, margin=None)
        return figure
    raise ValueError(f"{history.name}: too few trials for {TITLES[name].lower()}")


def _make_figures(history: History, names: Collection[str] = ON_PAGE) -> Iterator[tuple[str, Any]]:
    from optuna import logging

    logging.set_verbosity(logging.ERROR)
    trials = representative_trials(history, MAX_INTERACTIVE)
    part = describe_part(len(trials), sum(t.is_finished for t in history.trials))
    for name, draw in _drawings(history, build_optuna_study(history, trials=trials)):
        if name not in names:
            continue
        figure = draw()
        figure.update_layout(title=None, margin={"t": 30})
        yield TITLES[name] + part, figure


def _drawings(history: History, study: optuna.Study) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield each figure's name and the function that draws it."""
    from optuna import visualization

    metric = history.metric
    yield (
        "optimization_history",
        partial(visualization.plot_optimization_history, study, target_name=metric),
    )
    shares = compute_importances(history)
    if shares:
        yield "param_importances", partial(_draw_importances, shares)
    if len(shares) > 1:
        two = list(shares)[:2]
        yield "contour", partial(visualization.plot_contour, study, params=two, target_name=metric)
    yield (
        "parallel_coordinate",
        partial(visualization.plot_parallel_coordinate, study, target_name=metric),
    )
    if len(history.trials) <= LINES:
        yield "intermediate_values", partial(visualization.plot_intermediate_values, study)
    yield "timeline", partial(visualization.plot_timeline, study)


def _draw_importances(shares: Mapping[str, float]) -> Any:
    """Draw one bar per hyperparameter, the most important on top."""
    from plotly import graph_objects as go

    names = [escape_line(name) for name in shares]
    bars = go.Bar(x=list(shares.values())[::-1], y=names[::-1], orientation="h")
    return go.Figure(bars, {"xaxis": {"title": "share of the importance"}})
