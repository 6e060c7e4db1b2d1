"""The locked rows' truth and the winner's predictions, as the final fit left them."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...training.metrics import confusion_matrix


@dataclass(frozen=True, slots=True)
class Predictions:
    """Truth and prediction of the same rows."""

    truth: np.ndarray  # (n_rows, n_outputs): 0/1, one-hot, or the raw number
    prediction: np.ndarray  # (n_rows, n_outputs): probabilities, or the raw number
    classes: tuple[str, ...]  # names of classes, of labels or of several targets
    threshold: float = 0.5  # of a binary task's labels
    importance: Mapping[str, Any] = field(default_factory=dict)  # `Importance.as_json`

    @property
    def one_hot(self) -> tuple[np.ndarray, np.ndarray]:
        """Truth and probabilities with one column a class, a binary task's too."""
        if self.truth.shape[1] > 1:
            return self.truth, self.prediction
        return (
            np.hstack([1 - self.truth, self.truth]),
            np.hstack([1 - self.prediction, self.prediction]),
        )

    def target_suffix(self, k: int) -> str:
        """Return the suffix of axis labels if a regression has several targets."""
        return f" of {self.classes[k]}" if self.truth.shape[1] > 1 else ""

    def confusion(self) -> np.ndarray:
        """Rows by true class, columns by predicted class: numbers of rows."""
        return confusion_matrix(self.truth, self.prediction, threshold=self.threshold)

    def scored_classes(self) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """(name, 0/1 truth, score) of each class: the positive one alone in a binary task."""
        truth, score = self.one_hot
        first = 1 if self.truth.shape[1] == 1 else 0
        return [
            (self.classes[k], truth[:, k], score[:, k])
            for k in range(first, truth.shape[1])
            if 0 < truth[:, k].sum() < len(truth)
        ]


def read_predictions(folder: Path) -> Predictions | None:
    """Read the predictions of the final fit in `folder`; None if no locked rows were read.

    Raises:
        ValueError: If the file is empty or damaged.
    """
    path = folder / "predictions.npz"
    if not path.is_file():
        return None
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            truth, prediction = (np.asarray(file[n], np.float64) for n in ("truth", "prediction"))
            threshold = float(file["threshold"]) if "threshold" in file else 0.5
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{path.name} is damaged ({error or type(error).__name__}): hpsearch tune on the "
            "study's file makes it again"
        ) from None
    if not len(truth):
        return None
    truth, prediction = (a[:, None] if a.ndim == 1 else a for a in (truth, prediction))
    classes = _read_classes(folder, truth.shape[1])
    return Predictions(truth, prediction, classes, threshold, _read_importance(folder))


def _read_importance(folder: Path) -> Mapping[str, Any]:
    path = folder / "importance.json"
    if not path.is_file():
        return {}
    try:
        found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not readable, empty, damaged
        return {}
    return found


def _read_classes(folder: Path, outputs: int) -> tuple[str, ...]:
    try:
        target = json.loads((folder / "schema.json").read_text(encoding="utf-8"))["target"]
        parts = [part["name"] for part in target.get("parts") or ()]
        named = tuple(str(name) for name in target.get("classes") or parts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        named = ()
    wanted = max(2, outputs)
    return named if len(named) == wanted else tuple(str(k) for k in range(wanted))
