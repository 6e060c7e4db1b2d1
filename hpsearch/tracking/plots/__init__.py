"""Draw the figures of a study and of its winner as PNG files.

A figure without data is skipped. A figure that fails does not affect the others.
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
    """A drawn figure, or the reason why drawing it failed."""

    name: str  # such as 03_slices
    png: bytes | None  # None: drawing failed
    problem: str = ""


def search_drawings(history: History) -> Iterator[Drawing]:
    """Draw every figure of the search that has data."""
    return _draw_safely(0, {name: partial(draw, history) for name, draw in SEARCH.items()})


def winner_drawings(history: History, study: Path) -> Iterator[Drawing]:
    """Draw every figure of the locked rows that has data; none if predictions are missing."""
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
    """Draw the figures one by one, numbered from `first`; a failure is yielded as a problem."""
    for number, (name, make) in enumerate(makers.items(), first):
        name = f"{number:02d}_{name}"
        try:
            made = make()
            if made is not None:
                yield Drawing(name, style.to_png(made))
        except Exception as error:  # Matplotlib may raise anything on unusual data
            yield Drawing(name, None, f"{type(error).__name__}: {error}")


def draw_search(history: History, study: Path) -> dict[str, str]:
    """Draw the search into `plots/` of a study's folder; returns the problems by file."""
    return _save_drawings(search_drawings(history), study)


def draw_winner(history: History, study: Path) -> dict[str, str]:
    """Draw the predictions in `final/predictions.npz`, if any; returns the problems by file."""
    return _save_drawings(winner_drawings(history, study), study)


def _save_drawings(drawings: Iterator[Drawing], study: Path) -> dict[str, str]:
    folder = study / "plots"
    make_folder(folder)
    failed = {}
    for drawing in drawings:
        path = folder / f"{drawing.name}.png"
        try:
            if drawing.png is None:
                path.unlink(missing_ok=True)  # an earlier winner's figure
                failed[f"plots/{path.name}"] = drawing.problem
            else:
                with atomic_write(path) as file:
                    file.write(drawing.png)
        except OSError as error:
            failed[f"plots/{path.name}"] = error.strerror or str(error)
    return failed
