"""Draw figures of the search space: the effect of the hyperparameters on the score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ...history import History
from ...spec.search_space import Categorical, Float, Int, Parameter
from ...trial import Trial, orient
from ..optuna_study import declared_space
from . import style
from .ped_anova import importance_shares
from .thinning import MAX_LINES, MAX_POINTS, describe_part, representative_trials, thin_out

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MIN_TRIALS = 4  # complete trials needed to plot a hyperparameter
IMPORTANCE_TRIALS = 10  # complete trials needed for importance: the best tenth is one trial
INACTIVE = -0.12  # position on the axis of a hyperparameter that is inactive in a trial
MAX_PANELS = 9  # slices in one figure


def draw_importance(history: History) -> Figure | None:
    """Draw the importance of each hyperparameter by PED-ANOVA."""
    shares = compute_importances(history)
    if not shares:
        return None
    figure, (axis,) = style.make_figure(
        "Importance of the hyperparameters",
        "PED-ANOVA: what sets the best tenth apart from the others",
        height=1.5 + 0.34 * len(shares),
    )
    names = list(shares)[::-1]
    bars = axis.barh(
        _labels_with_counts(history, names),
        [shares[n] for n in names],
        color=style.BLUE,
        height=0.62,
    )
    axis.bar_label(
        bars, [f"{shares[n]:.0%}" for n in names], padding=4, size=8.5, color=style.MUTED
    )
    style.style_axis(axis, "x")
    axis.tick_params(axis="y", labelsize=9, length=0, colors=style.INK)
    axis.set_xlim(0, max(1e-9, *shares.values()) * 1.12)
    axis.xaxis.set_major_formatter(lambda x, _: f"{x:.0%}")
    figure.subplots_adjust(left=0.2)
    return figure


def _labels_with_counts(history: History, names: Sequence[str]) -> list[str]:
    """Return the names, with the number of trials if some lack the hyperparameter."""
    complete = history.ranked_trials()
    counts = [sum(name in trial.params for trial in complete) for name in names]
    return [
        style.escape_label(name)
        if count == len(complete)
        else f"{style.escape_label(name)}\n(in {count} of {len(complete)})"
        for name, count in zip(names, counts, strict=True)
    ]


def compute_importances(history: History) -> dict[str, float]:
    """Compute each hyperparameter's share, largest first; empty if there are too few trials.

    A long study is represented by a thousand of its trials.
    """
    ranked, space = history.ranked_trials(), declared_space(history)
    if len(ranked) < IMPORTANCE_TRIALS:
        return {}
    numbers = {trial.number for trial in ranked}
    trials = [t for t in representative_trials(history, MAX_POINTS) if t.number in numbers]
    losses = -orient(np.array([trial.score or 0.0 for trial in trials]), history.direction)
    return importance_shares(space, [trial.params for trial in trials], losses)


def draw_parallel_coordinates(history: History) -> Figure | None:
    """Plot each complete trial as a line through its hyperparameters, the best on top."""
    every, space = history.ranked_trials(), list(declared_space(history))
    complete = thin_out(every, MAX_LINES)
    if len(complete) < MIN_TRIALS or len(space) < 2:
        return None
    from matplotlib import colormaps

    figure, (axis,) = style.make_figure(
        "Parallel coordinates",
        f"{style.describe_goal(history)}; bright: good{describe_part(len(complete), len(every))}",
        height=5.0,
    )
    scale, worst_first = colormaps[style.SCALE], complete[::-1]
    scores = np.array([t.score for t in worst_first], float)
    low, high = style.focus_limits(scores.tolist(), maximize=history.maximize)
    height = np.clip((scores - low) / (high - low), 0, 1)
    positions = np.column_stack([_positions_or_inactive(p, worst_first) for p in space] + [height])
    for line, rank in zip(positions, np.linspace(0, 1, len(positions)), strict=True):
        axis.plot(line, color=scale(rank), alpha=0.25 + 0.7 * rank**3, lw=0.8 + 1.4 * rank**4)
    for x, parameter in enumerate(space):
        has_gaps = any(parameter.name not in trial.params for trial in complete)
        inactive = [(INACTIVE, "not active")] if has_gaps else []
        _draw_axis(axis, x, [*inactive, *_axis_ticks(parameter)])
    ends = [(0.0, f"{low:.4g}"), (1.0, f"{high:.4g}")]
    _draw_axis(axis, len(space), ends)
    axis.set_xticks(
        range(len(space) + 1),
        [*(style.escape_label(p.name, 20) for p in space), style.escape_label(history.metric)],
        size=9,
    )
    axis.set_xlim(-0.25, len(space) + 0.35)
    axis.set_ylim(INACTIVE - 0.05, 1.05)
    axis.set_yticks([])
    axis.grid(False)
    axis.tick_params(axis="x", length=0, colors=style.INK)
    for side in ("left", "bottom"):
        axis.spines[side].set_visible(False)
    figure.subplots_adjust(left=0.04, right=0.98)
    return figure


def draw_slices(history: History) -> Figure | None:
    """Plot the score against each hyperparameter; darker points are later trials."""
    complete, space = history.ranked_trials(), list(declared_space(history))
    if len(complete) < MIN_TRIALS or not space:
        return None
    order = compute_importances(history)
    space = sorted(space, key=lambda p: -order.get(p.name, 0))[:MAX_PANELS]
    columns = min(3, len(space))
    rows = -(-len(space) // columns)
    figure, axes = style.make_figure(
        "Slices",
        f"{style.describe_goal(history)}; darker: later",
        rows=rows,
        columns=columns,
        height=1.3 + 2.1 * rows,
        sharey=True,
    )
    scores = [t.score or 0.0 for t in complete]
    limits = style.focus_limits(scores, maximize=history.maximize)
    size = 18 if len(complete) < 200 else 7
    for axis, parameter in zip(axes, space, strict=False):
        active = [t for t in complete if parameter.name in t.params]
        axis.scatter(
            _plot_values(parameter, active),
            [t.score or 0.0 for t in active],
            c=[t.number for t in active],
            cmap="Blues",
            vmin=-0.5 * max(t.number for t in complete) - 1,
            s=size,
            edgecolors="white",
            linewidths=0.3,
        )
        _set_scale(axis, parameter)
        axis.set_ylim(*limits)
        style.label_axis(axis, parameter.name)
    for axis in axes[len(space) :]:
        axis.set_visible(False)
    for axis in axes[::columns]:
        axis.set_ylabel(style.escape_label(history.metric, style.LONGEST_LABEL))
    return figure


def draw_contour(history: History) -> Figure | None:
    """Plot the smoothed score over the two most important numeric hyperparameters."""
    complete = history.ranked_trials()
    numeric = {
        p.name: p
        for p in declared_space(history)
        if not isinstance(p, Categorical)
        and 2 * sum(p.name in t.params for t in complete) > len(complete)
    }
    names = [name for name in compute_importances(history) if name in numeric][:2]
    if len(names) < 2:
        return None
    first, second = (numeric[name] for name in names)
    shown = [t for t in complete if first.name in t.params and second.name in t.params]
    if len(shown) < 2 * MIN_TRIALS:
        return None
    figure, (axis,) = style.make_figure(
        f"{first.name} and {second.name}",
        f"{style.describe_goal(history)}: smoothed over the trials (points); the star is the best",
        height=5.2,
    )
    x, y = _positions(first, shown), _positions(second, shown)
    scores = np.array([t.score for t in shown], float)
    scores = np.clip(scores, *style.focus_limits(scores.tolist(), maximize=history.maximize))
    grid = np.linspace(0, 1, 80)
    surface = _smooth(x, y, scores, grid)
    xs, ys = _from_position(first, grid), _from_position(second, grid)
    scale = style.SCALE if history.maximize else f"{style.SCALE}_r"
    filled = axis.contourf(xs, ys, surface, levels=14, cmap=scale, alpha=0.9)
    bar = figure.colorbar(filled, ax=axis, pad=0.02, aspect=30)
    bar.ax.tick_params(labelsize=8, colors=style.MUTED)
    bar.outline.set_visible(False)
    a, b = _plot_values(first, shown), _plot_values(second, shown)
    axis.scatter(a, b, s=14, color="white", edgecolors=style.INK, linewidths=0.6)
    axis.scatter(a[:1], b[:1], marker="*", s=190, color="white", edgecolors=style.INK, zorder=4)
    axis.grid(False)
    _set_scale(axis, first)
    _set_scale(axis, second, "y")
    style.label_axis(axis, first.name, second.name)
    return figure


# -- the hyperparameters ------------------------------------------------------------------


def _plot_values(parameter: Parameter, trials: Sequence[Trial]) -> list[Any]:
    """Return the values to plot: numbers, or the indices of choices."""
    values = [t.params[parameter.name] for t in trials]
    if isinstance(parameter, Categorical):
        return [parameter.index(value) for value in values]
    return values


def _positions(parameter: Parameter, trials: Sequence[Trial]) -> np.ndarray:
    """Scale the trials' values to [0, 1] between the parameter's ends."""
    values = np.array(_plot_values(parameter, trials), float)
    if isinstance(parameter, Categorical):
        return (values + 0.5) / len(parameter.choices)
    return _value_positions(parameter, values)


def _value_positions(parameter: Int | Float, values: np.ndarray) -> np.ndarray:
    low, high = float(parameter.low), float(parameter.high)
    if parameter.log:
        values, low, high = np.log(values), math.log(low), math.log(high)
    return (values - low) / ((high - low) or 1.0)


def _from_position(parameter: Parameter, position: np.ndarray) -> np.ndarray:
    assert not isinstance(parameter, Categorical)
    low, high = float(parameter.low), float(parameter.high)
    if parameter.log:
        return np.asarray(low * (high / low) ** position)
    return low + (high - low) * position


def _positions_or_inactive(parameter: Parameter, trials: Sequence[Trial]) -> np.ndarray:
    """Return `_positions`, or a position below the axis where the parameter is inactive."""
    positions = np.full(len(trials), INACTIVE)
    active = [i for i, t in enumerate(trials) if parameter.name in t.params]
    positions[active] = _positions(parameter, [trials[i] for i in active])
    return positions


def _axis_ticks(parameter: Parameter) -> list[tuple[float, str]]:
    if isinstance(parameter, Categorical):
        n = len(parameter.choices)
        return [((i + 0.5) / n, style.escape_label(c)) for i, c in enumerate(parameter.choices)]
    where = np.linspace(0, 1, 5)
    if isinstance(parameter, Int):  # whole numbers, each once
        values = np.unique(np.round(_from_position(parameter, where)))
        positions = _value_positions(parameter, values).tolist()
        return [(at, f"{value:.0f}") for at, value in zip(positions, values, strict=True)]
    return [
        (float(w), f"{v:.3g}") for w, v in zip(where, _from_position(parameter, where), strict=True)
    ]


def _draw_axis(axis: Axes, x: int, ticks: Sequence[tuple[float, str]]) -> None:
    axis.plot([x, x], [0, 1], color=style.LINE, lw=1.2, zorder=0)
    box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8}
    for y, text in ticks:
        axis.text(x + 0.03, y, text, size=7.5, color=style.MUTED, va="center", bbox=box, zorder=6)


def _set_scale(axis: Axes, parameter: Parameter, which: Literal["x", "y"] = "x") -> None:
    """Set the scale and ticks of an axis to those of the parameter."""
    own = axis.xaxis if which == "x" else axis.yaxis
    if isinstance(parameter, Categorical):
        own.set_ticks(
            range(len(parameter.choices)), [style.escape_label(c) for c in parameter.choices]
        )
        if which == "x":
            axis.set_xlim(-0.5, len(parameter.choices) - 0.5)
    elif parameter.log:
        style.use_log_scale(axis, which)


def _smooth(x: np.ndarray, y: np.ndarray, z: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Smooth by Nadaraya-Watson regression with a Gaussian kernel.

    The kernel's width follows Scott's rule in two dimensions. The kernel factors into x and y, so
    two small matrices suffice instead of one weight per trial and point.

    Args:
        x, y, z: Position and score of each trial.
        grid: Positions on both axes, shape (n,).

    Returns:
        The smoothed scores, shape (n, n), indexed by y, then x.
    """
    width = max(0.06, 0.6 * len(z) ** (-1 / 6) * float(np.mean([x.std(), y.std()])))
    in_x, in_y = (np.exp(-((grid[:, None] - at) ** 2) / (2 * width**2)) for at in (x, y))
    weighted = (in_y * z) @ in_x.T + 1e-12 * z.sum()
    surface: np.ndarray = weighted / (in_y @ in_x.T + 1e-12 * len(z))
    return surface
