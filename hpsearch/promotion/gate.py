"""Compare a challenger with the champion on locked rows.

Pure functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import PromotionError
from ..training.metrics import Metric, find_metric, get_metric

RESAMPLES = 1000


class NotBetterError(PromotionError):
    """The challenger did not pass the gate."""

    exit_code = 3  # exit code of the command line; other mistakes exit with 2


@dataclass(frozen=True, slots=True)
class HoldoutPredictions:
    """A model's predictions for the locked rows of its study."""

    truth: np.ndarray  # (n_rows, n_outputs)
    prediction: np.ndarray  # (n_rows, n_outputs): probabilities, or the target's unit
    weights: np.ndarray  # (n_rows,)
    fingerprint: str  # of the study's data
    threshold: float = 0.5  # of a binary task's labels
    task: str = ""  # "": that of the metric's other tasks


@dataclass(frozen=True, slots=True)
class Gate:
    """The required gain and confidence."""

    margin: float = 0.0  # required gain of the challenger, in units of the metric
    confidence: float = 0.95  # one-sided


@dataclass(frozen=True, slots=True)
class Comparison:
    """Challenger and champion on the same rows."""

    metric: str
    n_rows: int
    challenger: float
    champion: float
    gain: float  # positive: the challenger is better
    certain_gain: float  # lower confidence bound of the gain
    gate: Gate

    @property
    def is_better(self) -> bool:
        """Whether the challenger is better."""
        return self.certain_gain > self.gate.margin

    def __str__(self) -> str:
        verdict = "better" if self.is_better else "not better"
        return (
            f"{self.metric} on the same {self.n_rows:,} locked rows: challenger "
            f"{self.challenger:.4f}, champion {self.champion:.4f}. The gain is {self.gain:+.4f}, "
            f"and with {self.gate.confidence:.0%} confidence more than {self.certain_gain:+.4f}: "
            f"{verdict} by the required {self.gate.margin:g}."
        )


def read_holdout_predictions(path: Path) -> HoldoutPredictions:
    """Read the truth and predictions of a study's locked rows."""
    with np.load(path, allow_pickle=False) as held:
        rows = (held["truth"], held["prediction"], held["weights"])
        threshold = float(held["threshold"]) if "threshold" in held else 0.5
        task = str(held["task"]) if "task" in held else ""
        return HoldoutPredictions(*rows, str(held["fingerprint"]), threshold, task)


def compare_models(
    challenger: HoldoutPredictions, champion: HoldoutPredictions, metric: str, gate: Gate
) -> Comparison:
    """Compare by a seeded paired bootstrap (Efron & Tibshirani 1993, ch. 16).

    Raises:
        NotBetterError: If the two were evaluated on different rows.
    """
    if challenger.fingerprint != champion.fingerprint:
        raise NotBetterError(
            "challenger and champion cannot be compared: they come from different data "
            f"({challenger.fingerprint[:12]} and {champion.fingerprint[:12]})."
        )
    if not np.array_equal(challenger.truth, champion.truth):
        raise NotBetterError(
            "challenger and champion cannot be compared: their studies locked other rows "
            f"({len(challenger.truth):,} and {len(champion.truth):,})."
        )
    found = find_metric(metric)
    if found is None:
        raise NotBetterError(
            f"challenger and champion cannot be compared by the custom metric {metric}: --force "
            "promotes without a comparison."
        )
    measure = get_metric(metric, challenger.task) if challenger.task else found
    gains = _resampled_gains(challenger, champion, measure)
    ours = _score_model(measure, challenger, challenger.weights)
    champion_score = _score_model(measure, champion, champion.weights)
    return Comparison(
        metric=metric,
        n_rows=len(challenger.truth),
        challenger=ours,
        champion=champion_score,
        gain=_score_gain(measure, ours, champion_score),
        certain_gain=float(np.quantile(gains, 1 - gate.confidence)),
        gate=gate,
    )


def _resampled_gains(
    challenger: HoldoutPredictions, champion: HoldoutPredictions, measure: Metric
) -> np.ndarray:
    """Compute the gain on rows drawn with replacement, as row weights."""
    rng = np.random.default_rng(0)
    n_rows = len(challenger.truth)
    gains = np.full(RESAMPLES, np.nan)
    for i in range(RESAMPLES):
        counts = np.bincount(rng.integers(0, n_rows, n_rows), minlength=n_rows)
        weights = counts * challenger.weights
        ours = _score_model(measure, challenger, weights)
        champion_score = _score_model(measure, champion, weights)
        gains[i] = _score_gain(measure, ours, champion_score)
    known: np.ndarray = gains[np.isfinite(gains)]  # a resample may lack a class
    return known


def _score_model(measure: Metric, judged: HoldoutPredictions, weights: np.ndarray) -> float:
    return measure(judged.truth, judged.prediction, weights, threshold=judged.threshold)


def _score_gain(measure: Metric, challenger: float, champion: float) -> float:
    return challenger - champion if measure.direction == "maximize" else champion - challenger
