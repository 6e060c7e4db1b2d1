"""Figures of a study and of its winner, as PNG files.

Only what has data is drawn. Knows no MLflow: files are written, and whoever wants to sends them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ...history import History
from . import search, space, winner
from .predictions import Predictions, read_predictions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw", "figures", "read_predictions"]

SEARCH: dict[str, Callable[[History], Figure | None]] = {
    "history": search.optimisation_history,
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
}


def figures(history: History, predictions: Predictions | None) -> Iterator[tuple[str, Figure]]:
    """Every figure that has data, with its name."""
    for name, function in SEARCH.items():
        made = function(history)
        if made is not None:
            yield name, made
    if predictions is not None:
        for name, drawing in WINNER.items():
            made = drawing(history, predictions)
            if made is not None:
                yield name, made


def draw(history: History, study: Path) -> list[Path]:
    """Draw into `plots/` of a study's folder; the files, in the order of reading.

    Where `final/predictions.npz` holds the locked rows' truth and prediction, the winner is
    drawn too.
    """
    folder = study / "plots"
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, (name, made) in enumerate(figures(history, read_predictions(study / "final"))):
        path = folder / f"{number:02d}_{name}.png"
        made.savefig(path)
        files.append(path)
    return files
