"""Draw figures of the search by trial and by epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...history import History
from ...trial import mean
from . import style
from .thinning import describe_part, trials_with_shown_curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_optimization_history(history: History) -> Figure | None:
    """Plot the score of each trial and the best score so far."""
    complete = history.ranked_trials()
    if not complete:
        return None
    best = complete[0]
    figure, (axis,) = style.make_figure(
        "Optimisation history",
        f"{style.describe_goal(history)}; best {best.score:.5g} in trial {best.number}; "
        "bars: spread over folds",
    )
    numbers, scores = [t.number for t in complete], [t.score or 0.0 for t in complete]
    axis.vlines(
        numbers,
        [s - (t.spread or 0) for s, t in zip(scores, complete, strict=True)],
        [s + (t.spread or 0) for s, t in zip(scores, complete, strict=True)],
        color=style.PALE,
        lw=1,
    )
    size = 26 if len(complete) < 200 else 9
    axis.scatter(numbers, scores, s=size, color=style.BLUE, zorder=3, label="complete")
    limits = style.focus_limits(scores, maximize=history.maximize)
    axis.set_ylim(*limits)
    _mark_unscored(axis, history, "PRUNED", "x")
    _mark_unscored(axis, history, "FAILED", "|")
    ordered = sorted(complete, key=lambda t: t.number)
    so_far = (np.maximum if history.maximize else np.minimum).accumulate(
        [t.score or 0.0 for t in ordered]
    )
    steps = [*(t.number for t in ordered), max(t.number for t in history.trials)]
    axis.step(
        steps, [*so_far, so_far[-1]], where="post", color=style.GREEN, lw=1.8, label="best so far"
    )
    style.use_whole_numbers(axis)
    style.label_axis(axis, "trial", history.metric)
    style.add_legend_above(axis)
    return figure


def draw_learning_curves(history: History) -> Figure | None:
    """Plot the winner's loss and objective by epoch: the mean and range over the folds."""
    trial = history.winning_trial()
    if trial is None or not trial.scores:
        return None
    figure, (losses, objective) = style.make_figure(
        f"Learning curves of {trial.name}", "mean over the folds, and the band they span", columns=2
    )
    for name, color in (("train/loss", style.MUTED), ("val/loss", style.BLUE)):
        if name in trial.curves:
            _draw_band(losses, trial.curves[name], color, name.partition("/")[0])
    _draw_band(objective, trial.scores, style.BLUE, "val")
    train = trial.curves.get(f"train/{history.metric}")
    if train:
        _draw_band(objective, train, style.MUTED, "train")
    for axis, title in ((losses, "loss"), (objective, history.metric)):
        if trial.best_epoch is not None:
            axis.axvline(trial.best_epoch + 1, color=style.GREEN, lw=1, ls=(0, (4, 3)))
        style.use_whole_numbers(axis)
        style.label_axis(axis, "epoch (green: the best)", title)
    if losses.get_legend_handles_labels()[0]:
        style.add_legend(losses, loc="upper right")
    return figure


def draw_intermediate_values(history: History) -> Figure | None:
    """Plot the objective of each trial by epoch, and where trials were pruned."""
    chosen = trials_with_shown_curves(history)
    shown = [t for t in chosen if t.n_epochs > 1 or (t.n_epochs and t.state == "PRUNED")]
    if len(shown) < 2:
        return None
    pruned = history.count("PRUNED")
    ended = sum(t.is_finished for t in history.trials)
    figure, (axis,) = style.make_figure(
        "Intermediate values",
        f"{style.describe_goal(history)}, mean over the folds; {pruned} pruned"
        f"{describe_part(len(chosen), ended)}",
    )
    winner = history.winning_trial()
    fade = max(0.12, min(0.6, 8 / len(shown)))
    for trial in shown:
        curve = trial.mean_scores()
        epochs = range(1, len(curve) + 1)
        cut = trial.state == "PRUNED"
        color = style.ORANGE if cut else style.STATES["COMPLETE"]
        axis.plot(epochs, curve, color=color, alpha=fade, lw=1)
        if cut:
            axis.plot(len(curve), curve[-1], "x", color=style.ORANGE, ms=4, alpha=0.9)
    if winner is not None and winner.scores:
        curve = winner.mean_scores()
        axis.plot(range(1, len(curve) + 1), curve, color=style.GREEN, lw=2.2, label=winner.name)
    axis.plot([], [], color=style.BLUE, label="complete")
    if pruned:
        axis.plot([], [], color=style.ORANGE, marker="x", ms=4, label="pruned")
    finite = [v for t in shown for v in t.mean_scores() if math.isfinite(v)]
    if finite:
        axis.set_ylim(*style.focus_limits(finite, maximize=history.maximize))
    style.use_whole_numbers(axis)
    style.label_axis(axis, "epoch", history.metric)
    style.add_legend(axis, loc="lower right" if history.maximize else "upper right")
    return figure


def draw_timeline(history: History) -> Figure | None:
    """Plot when each attempt ran, with simultaneous ones in separate lanes."""
    ran = [t for t in history.attempts if t.started is not None]
    if not ran:
        return None
    first = min(t.started or 0 for t in ran)
    spans = [
        ((t.started or 0) - first, ((t.ended or history.last_time) - first), t)
        for t in sorted(ran, key=lambda t: t.started or 0)
    ]
    lanes = _assign_lanes([(begin, end) for begin, end, _ in spans])
    total = max(end for _, end, _ in spans) / 1000
    unit, divisor = ("s", 1) if total < 180 else ("min", 60) if total < 10_800 else ("h", 3600)
    busy = sum(end - begin for begin, end, _ in spans) / 1000
    count = max(lanes) + 1
    figure, (axis,) = style.make_figure(
        "Time line",
        f"{len(ran)} attempts in {count} lane{'s' * (count > 1)}, "
        f"{busy / max(total, 1e-9) / count:.0%} of the time training",
        height=1.6 + 0.34 * min(count, 12),
    )
    for lane in range(count):  # one collection each: thousands of bars of their own take minutes
        held = [span for span, of in zip(spans, lanes, strict=True) if of == lane]
        axis.broken_barh(
            [
                (begin / 1000 / divisor, max((end - begin) / 1000, total / 1000) / divisor)
                for begin, end, _ in held
            ],
            (lane - 0.36, 0.72),
            facecolors=[style.STATES[trial.state] for _, _, trial in held],
            edgecolors="white",
            linewidth=0.5,
        )
    for state in dict.fromkeys(trial.state for _, _, trial in spans):
        axis.barh(0, 0, color=style.STATES[state], label=state.lower())
    axis.set_yticks(range(count), [str(lane) for lane in range(count)])
    axis.invert_yaxis()
    style.style_axis(axis, "x")
    style.label_axis(axis, f"time ({unit})", "lane")
    style.add_legend_above(axis)
    return figure


def _mark_unscored(axis: Axes, history: History, state: str, marker: str) -> None:
    """Mark trials without a score on the edge of the axis where bad scores are."""
    numbers = [t.number for t in history.trials if t.state == state]
    if numbers:
        bad = 0.012 if history.maximize else 0.988
        axis.plot(
            numbers,
            [bad] * len(numbers),
            marker,
            color=style.STATES[state],
            ms=6,
            transform=axis.get_xaxis_transform(),
            clip_on=False,
            label=state.lower(),
        )


def _draw_band(axis: Axes, rows: Sequence[Sequence[float]], color: str, name: str) -> None:
    epochs = np.arange(1, len(rows) + 1)
    table = np.asarray(rows, float)
    axis.fill_between(epochs, table.min(1), table.max(1), color=color, alpha=0.16, lw=0)
    one = "o" if len(rows) == 1 else None
    axis.plot(epochs, [mean(row) for row in rows], color=color, lw=1.8, marker=one, label=name)


def _assign_lanes(spans: Sequence[tuple[float, float]]) -> list[int]:
    """Return the first free lane for each span; the spans are sorted by start."""
    free: list[float] = []
    lanes = []
    for begin, end in spans:
        lane = next((k for k, until in enumerate(free) if until <= begin), len(free))
        free[lane:] = [end, *free[lane + 1 :]]
        lanes.append(lane)
    return lanes
