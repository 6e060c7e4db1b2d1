"""Draw figures of the winner's predictions on the locked rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...history import History
from . import style
from .predictions import Predictions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_CLASSES = 8  # curves in one figure
MAX_CELLS = 12  # classes up to which the cells have numbers
BINS = 10  # bins of a calibration curve
MAX_COLUMNS = 20  # columns whose importance is shown


def draw_confusion(history: History, rows: Predictions) -> Figure | None:
    """Plot the confusion matrix, shaded by the share of the true class."""
    if history.study.task in ("regression", "multilabel"):
        return None
    n = len(rows.classes)
    table = rows.confusion()
    share = table / np.maximum(1, table.sum(1, keepdims=True))
    right = int(np.trace(table))
    figure, (axis,) = style.make_figure(
        "Confusion", f"{right:,} of {table.sum():,} locked rows right", height=5.2
    )
    axis.grid(False)
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(n, n):
        if n <= MAX_CELLS and table[i, j]:
            color = "white" if share[i, j] > 0.55 else style.INK
            text = f"{table[i, j]:,}\n{share[i, j]:.0%}" if n <= 6 else f"{table[i, j]:,}"
            size = 12 if n <= 4 else 8
            axis.text(j, i, text, ha="center", va="center", color=color, size=size)
    ticks = range(n) if n <= 30 else range(0, n, n // 15)
    names = [style.escape_label(rows.classes[k]) for k in ticks]
    axis.set_xticks(ticks, names, rotation=0 if n <= 10 else 90)
    axis.set_yticks(ticks, names)
    style.label_axis(axis, "predicted", "true")
    return figure


def draw_roc(history: History, rows: Predictions) -> Figure | None:
    """Plot the true against the false positive rate over all thresholds."""
    if _is_regression(history) or not rows.scored_classes():
        return None
    figure, (axis,) = style.make_figure(
        "ROC", "each class against the rest, locked rows", height=5.2
    )
    axis.plot([0, 1], [0, 1], color=style.MUTED, lw=1, ls=(0, (4, 4)))
    for color, (name, truth, score) in zip(style.CYCLE, _classes_to_draw(rows), strict=False):
        false, true = roc_curve(truth, score)
        area = np.trapezoid(true, false)
        axis.plot(
            false, true, color=color, lw=1.8, label=f"{style.escape_label(name)}   area {area:.3f}"
        )
    _set_unit_square(axis)
    style.label_axis(axis, "false positive rate", "true positive rate")
    style.add_legend(axis, loc="lower right")
    return figure


def draw_precision_recall(history: History, rows: Predictions) -> Figure | None:
    """Plot precision against recall over all thresholds."""
    if _is_regression(history) or not rows.scored_classes():
        return None
    figure, (axis,) = style.make_figure(
        "Precision and recall", "each class against the rest; dashed: a guess", height=5.2
    )
    for color, (name, truth, score) in zip(style.CYCLE, _classes_to_draw(rows), strict=False):
        recall, precision = precision_recall_curve(truth, score)
        mean = float(np.sum(np.diff(recall) * precision[1:]))
        axis.step(recall, precision, where="pre", color=color, lw=1.8)
        axis.plot(
            [], [], color=color, label=f"{style.escape_label(name)}   average precision {mean:.3f}"
        )
        axis.axhline(truth.mean(), color=color, lw=0.9, ls=(0, (4, 4)), alpha=0.6)
    _set_unit_square(axis)
    style.label_axis(axis, "recall", "precision")
    style.add_legend(axis, loc="lower left")
    return figure


def draw_calibration(history: History, rows: Predictions) -> Figure | None:
    """Plot the observed frequency by predicted probability, in bins of equal width."""
    if _is_regression(history) or not rows.scored_classes():
        return None
    figure, (axis, below) = style.make_figure(
        "Calibration",
        "on the dashed line a probability means what it says; bars: 95% interval",
        rows=2,
        height=5.6,
        sharex=True,
        gridspec_kw={"height_ratios": [3, 1], "hspace": 0.14},
    )
    axis.plot([0, 1], [0, 1], color=style.MUTED, lw=1, ls=(0, (4, 4)))
    for color, (name, truth, score) in zip(style.CYCLE, _classes_to_draw(rows), strict=False):
        index = np.clip((score * BINS).astype(int), 0, BINS - 1)
        count = np.bincount(index, minlength=BINS)
        used = count > 0
        predicted = np.bincount(index, score, BINS)[used] / count[used]
        came = np.bincount(index, truth, BINS)[used] / count[used]
        error = 1.96 * np.sqrt(np.maximum(came * (1 - came), 0.25 / count[used]) / count[used])
        axis.errorbar(
            predicted,
            came,
            np.vstack([np.minimum(error, came), np.minimum(error, 1 - came)]),
            color=color,
            marker="o",
            ms=4,
            lw=1.6,
            elinewidth=0.8,
            label=style.escape_label(name),
        )
        edges = np.linspace(0, 1, 2 * BINS + 1).tolist()
        below.hist(score, edges, histtype="step", color=color, lw=1.2)
    axis.set_ylim(-0.03, 1.03)
    below.set_xlim(-0.02, 1.02)
    style.label_axis(axis, y="share that came true")
    style.label_axis(below, "predicted probability", "rows")
    style.add_legend(axis, loc="upper left")
    return figure


def draw_prediction_against_truth(history: History, rows: Predictions) -> Figure | None:
    """Plot the prediction against the truth of each locked row of a regression."""
    if not _is_regression(history):
        return None
    figure, axes = _make_panels("Prediction against truth", "locked rows; dashed: exact", rows)
    n_targets = rows.truth.shape[1]
    for axis in axes[n_targets:]:
        axis.set_visible(False)
    for k, axis in enumerate(axes[:n_targets]):
        truth, predicted = rows.truth[:, k], rows.prediction[:, k]
        ends = [min(truth.min(), predicted.min()), max(truth.max(), predicted.max())]
        _draw_points(axis, truth, predicted)
        axis.plot(ends, ends, color=style.MUTED, lw=1, ls=(0, (4, 4)))
        style.style_axis(axis, "both")
        style.label_axis(axis, f"truth{rows.target_suffix(k)}", "prediction")
    return figure


def draw_residuals(history: History, rows: Predictions) -> Figure | None:
    """Plot the residuals of a regression, against the prediction and as a histogram."""
    if not _is_regression(history):
        return None
    left = rows.prediction - rows.truth
    figure, axes = style.make_figure(
        "Residuals",
        f"prediction - truth on the locked rows: mean {left.mean():.4g}, "
        f"standard deviation {left.std():.4g}",
        rows=rows.truth.shape[1],
        columns=2,
        height=1.2 + 3.4 * rows.truth.shape[1],
        gridspec_kw={"width_ratios": [3, 1], "wspace": 0.08},
        sharey="row",
    )
    for k in range(rows.truth.shape[1]):
        axis, side = axes[2 * k : 2 * k + 2]
        _draw_points(axis, rows.prediction[:, k], left[:, k])
        for each in (axis, side):
            each.axhline(0, color=style.MUTED, lw=1, ls=(0, (4, 4)))
        low, high = float(left[:, k].min()), float(left[:, k].max())
        room = 0.0 if high > low else abs(high) * 0.05 or 1.0  # all residuals may be equal
        edges = np.linspace(low - room, high + room, 41).tolist()
        side.hist(left[:, k], edges, orientation="horizontal", color=style.PALE)
        side.tick_params(labelleft=False)
        style.label_axis(axis, f"prediction{rows.target_suffix(k)}", "residual")
        style.label_axis(side, "rows")
    return figure


def draw_permutation_importance(history: History, rows: Predictions) -> Figure | None:
    """Plot the permutation importance of the columns."""
    columns: dict[str, list[float]] = rows.importance.get("columns", {})
    if not columns:
        return None
    shown = list(columns.items())[:MAX_COLUMNS]
    rest = (
        f"; the first {len(shown)} of {len(columns)} columns" if len(columns) > len(shown) else ""
    )
    figure, (axis,) = style.make_figure(
        "What the columns are worth",
        f"loss of {rows.importance['metric']} when a column is shuffled, on "
        f"{rows.importance['rows']:,} locked rows; dots: each shuffle{rest}",
        height=1.6 + 0.26 * len(shown),
    )
    figure.subplots_adjust(left=0.27)
    for index, (_, losses) in enumerate(reversed(shown)):
        axis.barh(index, float(np.mean(losses)), color=style.PALE, height=0.7)
        axis.plot(losses, [index] * len(losses), "o", ms=2.5, color=style.BLUE)
    axis.axvline(0, color=style.MUTED, lw=1)
    axis.set_yticks(range(len(shown)), [style.escape_label(name) for name, _ in reversed(shown)])
    axis.set_ylim(-0.6, len(shown) - 0.4)
    style.style_axis(axis, "x")
    style.label_axis(axis, f"loss of {rows.importance['metric']}")
    return figure


def _is_regression(history: History) -> bool:
    return history.study.task == "regression"


def _classes_to_draw(rows: Predictions) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return the classes that get a curve: the most frequent ones if there are many."""
    classes = rows.scored_classes()
    common = sorted(classes, key=lambda c: -c[1].sum())[:MAX_CLASSES]
    return [c for c in classes if any(c is kept for kept in common)]


def roc_curve(truth: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return false and true positive rates over falling thresholds, from (0, 0) to (1, 1)."""
    hits, chosen = _cumulative_counts(truth, score)
    true = hits / truth.sum()
    false = (chosen - hits) / (len(truth) - truth.sum())
    return np.r_[0, false], np.r_[0, true]


def precision_recall_curve(truth: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return recall, rising from 0, and precision over falling thresholds."""
    hits, chosen = _cumulative_counts(truth, score)
    precision = hits / chosen
    return np.r_[0, hits / truth.sum()], np.r_[precision[0], precision]


def _cumulative_counts(truth: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count the positives and the rows at or above each distinct score, highest score first."""
    order = np.argsort(-score, kind="stable")
    last = np.r_[np.nonzero(np.diff(score[order]))[0], len(score) - 1]
    return np.cumsum(truth[order])[last], last + 1.0


def _draw_points(axis: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Draw points, fainter and smaller the more there are."""
    alpha = float(np.clip(40 / np.sqrt(len(x)) / 2, 0.12, 0.8))
    size = float(np.clip(4000 / len(x), 4, 22))
    axis.scatter(x, y, s=size, alpha=alpha, color=style.BLUE, linewidths=0, rasterized=True)


def _make_panels(title: str, subtitle: str, rows: Predictions) -> tuple[Figure, list[Axes]]:
    n = rows.truth.shape[1]
    return style.make_figure(title, subtitle, columns=min(n, 3), rows=-(-n // 3), height=5.2)


def _set_unit_square(axis: Axes) -> None:
    style.style_axis(axis, "both")
    axis.set_xlim(-0.01, 1.01)
    axis.set_ylim(-0.01, 1.03)
    axis.set_aspect("equal")
