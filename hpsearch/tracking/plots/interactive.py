"""One page of interactive figures of the search, drawn by Optuna with Plotly."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...history import History
from ..as_optuna import as_study
from .page import write_page

if TYPE_CHECKING:
    import optuna

PAGE = "interactive.html"
TITLES = {
    "optimization_history": "Optimisation history",
    "param_importances": "Importance of the hyperparameters",
    "parallel_coordinate": "Parallel coordinates",
    "slice": "Slices",
    "contour": "Contour of the two most important",
    "intermediate_values": "Score by epoch",
    "timeline": "Time line",
}
LINES = 200  # trials by epoch; more lines are a blot, and megabytes


def write_interactive(history: History, study: Path) -> Path | None:
    """Write `plots/interactive.html` of a study's folder; None where too little was tried."""
    if len(history.ranked()) < 2:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what has too few trials to be drawn well
        return write_page(study / "plots" / PAGE, history.name, _figures(history))


def _figures(history: History) -> Iterator[tuple[str, Any]]:
    from optuna import logging, visualization

    logging.set_verbosity(logging.ERROR)
    for name, arguments, study in _calls(history):
        draw: Callable[..., Any] = getattr(visualization, f"plot_{name}")
        figure = draw(study, **arguments)
        figure.update_layout(title=None, margin={"t": 30})
        yield TITLES[name], figure


def _calls(history: History) -> Iterator[tuple[str, dict[str, Any], optuna.Study]]:
    """Each figure's name, what it is drawn with, and the study."""
    from optuna.importance import get_param_importances

    study = as_study(history)
    yield "optimization_history", {"target_name": history.metric}, study
    several = {
        name
        for trial in history.ranked()
        for name, value in trial.params.items()
        if any(t.params.get(name) != value for t in history.ranked())
    }
    importance = get_param_importances(study) if several else {}
    if importance:
        yield "param_importances", {"target_name": history.metric}, study
        yield "parallel_coordinate", {"target_name": history.metric}, study
        yield "slice", {"target_name": history.metric}, study
    if len(importance) > 1:
        yield "contour", {"params": list(importance)[:2], "target_name": history.metric}, study
    if len(history.trials) <= LINES:
        yield "intermediate_values", {}, study
    yield "timeline", {}, study
