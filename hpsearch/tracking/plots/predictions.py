"""Read the truth of the locked rows and the winner's predictions from the final fit's files."""

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
    """Truth and predictions of the same rows."""

    truth: np.ndarray  # (n_rows, n_outputs): 0/1, one-hot, or the number in its own unit
    prediction: np.ndarray  # (n_rows, n_outputs): probabilities, or the number in its own unit
    classes: tuple[str, ...]  # names of the classes, labels or targets
    threshold: float = 0.5  # decision threshold of a binary task
    importance: Mapping[str, Any] = field(default_factory=dict)  # `Importance.as_json`

    @property
    def one_hot(self) -> tuple[np.ndarray, np.ndarray]:
        """Truth and probabilities with one column per class, also for a binary task."""
        if self.truth.shape[1] > 1:
            return self.truth, self.prediction
        return (
            np.hstack([1 - self.truth, self.truth]),
            np.hstack([1 - self.prediction, self.prediction]),
        )

    def target_suffix(self, k: int) -> str:
        """Return the suffix of axis labels for target `k`; empty if there is only one target."""
        return f" of {self.classes[k]}" if self.truth.shape[1] > 1 else ""

    def confusion(self) -> np.ndarray:
        """Count the rows by true class (rows) and predicted class (columns)."""
        return confusion_matrix(self.truth, self.prediction, threshold=self.threshold)

    def scored_classes(self) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """Return (name, 0/1 truth, score) of each class; only the positive one if binary."""
        truth, score = self.one_hot
        first = 1 if self.truth.shape[1] == 1 else 0
        return [
            (self.classes[k], truth[:, k], score[:, k])
            for k in range(first, truth.shape[1])
            if 0 < truth[:, k].sum() < len(truth)
        ]


def read_predictions(folder: Path) -> Predictions | None:
    """Read the predictions of the final fit in `folder`; None if there are none.

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
    except (OSError, ValueError):  # unreadable, empty or damaged
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
