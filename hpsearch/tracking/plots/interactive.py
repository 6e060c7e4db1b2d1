"""One page of interactive figures of the search, drawn by Optuna with Plotly."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...history import History
from ...trial import Trial
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
    "slice": "Slices",
    "contour": "Contour of the two most important",
    "intermediate_values": "Score by epoch",
    "timeline": "Time line",
}
LINES = 200  # trials by epoch; more lines are a blot, and megabytes


def write_interactive(history: History, study: Path) -> Path | None:
    """Write `plots/interactive.html` of a study's folder; None where too little was tried."""
    if len(history.ranked_trials()) < 2:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what has too few trials to be drawn well
        return write_page(study / "plots" / PAGE, history.name, _make_figures(history))


def _make_figures(history: History) -> Iterator[tuple[str, Any]]:
    from optuna import logging, visualization

    logging.set_verbosity(logging.ERROR)
    ended = sum(t.is_finished for t in history.trials)
    for name, arguments, study in _figure_calls(history):
        draw: Callable[..., Any] = getattr(visualization, f"plot_{name}")
        figure = draw(study, **arguments)
        figure.update_layout(title=None, margin={"t": 30})
        yield TITLES[name] + describe_part(len(study.trials), ended), figure


def _figure_calls(history: History) -> Iterator[tuple[str, dict[str, Any], optuna.Study]]:
    """Each figure's name, what it is drawn with, and the study."""
    from optuna.importance import PedAnovaImportanceEvaluator

    study = build_optuna_study(history, trials=representative_trials(history, MAX_INTERACTIVE))
    named = {"target_name": history.metric}
    yield "optimization_history", named, study
    shares = compute_importances(history)
    if shares:
        yield "param_importances", {"evaluator": PedAnovaImportanceEvaluator(), **named}, study
    if _has_variety(history.ranked_trials()):
        yield "parallel_coordinate", named, study
        yield "slice", named, study
    if len(shares) > 1:
        yield "contour", {"params": list(shares)[:2], **named}, study
    if len(history.trials) <= LINES:
        yield "intermediate_values", {}, study
    yield "timeline", {}, study


def _has_variety(trials: Sequence[Trial]) -> bool:
    """Whether the trials differ in any hyperparameter."""
    first = trials[0].params
    return any(trial.params != first for trial in trials)
