"""Figures of a study and of its winner, as PNG files.

Only what has data is drawn. Knows no MLflow: files are written, and whoever wants to sends them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ...history import History
from . import front, search, space, winner
from .interactive import write_interactive
from .predictions import Predictions, read_predictions
from .winner_page import write_winner_page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "draw_search",
    "draw_winner",
    "read_predictions",
    "search_figures",
    "winner_figures",
    "write_interactive",
    "write_winner_page",
]

SEARCH: dict[str, Callable[[History], Figure | None]] = {
    "history": search.optimisation_history,
    "pareto_front": front.pareto_front,
    "importance": space.importance,
    "parallel": space.parallel_coordinates,
    "slices": space.slices,
    "contour": space.contour,
    "learning_curves": search.learning_curves,
    "intermediate_values": search.intermediate_values,
    "timeline": search.timeline,
}
WINNER: dict[str, Callable[[History, Predictions], Figure | None]] = {
    "confusion": winner.confusion,
    "roc": winner.roc,
    "precision_recall": winner.precision_recall,
    "calibration": winner.calibration,
    "prediction": winner.prediction_against_truth,
    "residuals": winner.residuals,
    "permutation_importance": winner.permutation_importance,
}


def search_figures(history: History) -> Iterator[tuple[str, Figure]]:
    """Every figure of the search that has data, with its name."""
    for number, (name, function) in enumerate(SEARCH.items()):
        made = function(history)
        if made is not None:
            yield f"{number:02d}_{name}", made


def winner_figures(history: History, predictions: Predictions) -> Iterator[tuple[str, Figure]]:
    """Every figure of the locked rows that has data, with its name."""
    for number, (name, function) in enumerate(WINNER.items(), len(SEARCH)):
        made = function(history, predictions)
        if made is not None:
            yield f"{number:02d}_{name}", made


def draw_search(history: History, study: Path) -> list[Path]:
    """Draw the search into `plots/` of a study's folder; the files, in the order of reading."""
    return _saved(search_figures(history), study)


def draw_winner(history: History, study: Path) -> list[Path]:
    """Likewise what `final/predictions.npz` holds of the locked rows; none where it is missing."""
    predictions = read_predictions(study / "final")
    return [] if predictions is None else _saved(winner_figures(history, predictions), study)


def _saved(figures: Iterator[tuple[str, Figure]], study: Path) -> list[Path]:
    folder = study / "plots"
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, made in figures:
        files.append(folder / f"{name}.png")
        made.savefig(files[-1])
    return files
