"""Figures of a study and of its winner, as PNG files.

Only what has data is drawn, and a figure that fails leaves the others alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ...history import History
from ...platforms.files import atomic_write, make_folder
from . import front, search_plots, space_plots, style, winner
from .interactive import write_interactive
from .predictions import Predictions, read_predictions
from .winner_page import write_winner_page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Drawing",
    "draw_search",
    "draw_winner",
    "read_predictions",
    "search_drawings",
    "winner_drawings",
    "write_interactive",
    "write_winner_page",
]

SEARCH: dict[str, Callable[[History], Figure | None]] = {
    "history": search_plots.draw_optimization_history,
    "pareto_front": front.draw_pareto_front,
    "importance": space_plots.draw_importance,
    "parallel": space_plots.draw_parallel_coordinates,
    "slices": space_plots.draw_slices,
    "contour": space_plots.draw_contour,
    "learning_curves": search_plots.draw_learning_curves,
    "intermediate_values": search_plots.draw_intermediate_values,
    "timeline": search_plots.draw_timeline,
}
WINNER: dict[str, Callable[[History, Predictions], Figure | None]] = {
    "confusion": winner.draw_confusion,
    "roc": winner.draw_roc,
    "precision_recall": winner.draw_precision_recall,
    "calibration": winner.draw_calibration,
    "prediction": winner.draw_prediction_against_truth,
    "residuals": winner.draw_residuals,
    "permutation_importance": winner.draw_permutation_importance,
}


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure that has data, or why it could not be drawn."""

    name: str  # such as 03_slices
    png: bytes | None  # None: it could not be drawn
    problem: str = ""


def search_drawings(history: History) -> Iterator[Drawing]:
    """Every figure of the search that has data."""
    return _draw_safely(0, {name: partial(draw, history) for name, draw in SEARCH.items()})


def winner_drawings(history: History, study: Path) -> Iterator[Drawing]:
    """Every figure of the locked rows that has data; none where no predictions were kept."""
    try:
        predictions = read_predictions(study / "final")
    except ValueError as error:
        return iter([Drawing("09_predictions", None, str(error))])
    if predictions is None:
        return iter(())
    makers = {name: partial(draw, history, predictions) for name, draw in WINNER.items()}
    return _draw_safely(len(SEARCH), makers)


def _draw_safely(
    first: int, makers: Mapping[str, Callable[[], Figure | None]]
) -> Iterator[Drawing]:
    """The figures one by one, numbered from `first`; the others are drawn where one fails."""
    for number, (name, make) in enumerate(makers.items(), first):
        name = f"{number:02d}_{name}"
        try:
            made = make()
            if made is not None:
                yield Drawing(name, style.to_png(made))
        except Exception as error:  # whatever data and Matplotlib make of each other
            yield Drawing(name, None, f"{type(error).__name__}: {error}")


def draw_search(history: History, study: Path) -> dict[str, str]:
    """Draw the search into `plots/` of a study's folder; what failed and why, by file."""
    return _save_drawings(search_drawings(history), study)


def draw_winner(history: History, study: Path) -> dict[str, str]:
    """Draw the locked rows' predictions in `final/predictions.npz`; nothing if it is missing."""
    return _save_drawings(winner_drawings(history, study), study)


def _save_drawings(drawings: Iterator[Drawing], study: Path) -> dict[str, str]:
    folder = study / "plots"
    make_folder(folder)
    failed = {}
    for drawing in drawings:
        path = folder / f"{drawing.name}.png"
        try:
            if drawing.png is None:
                path.unlink(missing_ok=True)  # one of an earlier winner
                failed[f"plots/{path.name}"] = drawing.problem
            else:
                with atomic_write(path) as file:
                    file.write(drawing.png)
        except OSError as error:
            failed[f"plots/{path.name}"] = error.strerror or str(error)
    return failed
