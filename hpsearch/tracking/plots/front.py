"""Draw the Pareto front of a study with several objectives, one panel per pair of them."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from ...history import History
from . import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = 6  # maximum number of pairs of objectives, in the order of the declaration


def draw_pareto_front(history: History) -> Figure | None:
    """Plot the complete trials by pairs of objectives; the front is highlighted and numbered."""
    front = history.pareto_front()
    if not front:
        return None
    pairs = list(combinations(range(len(history.objectives)), 2))[:PANELS]
    columns = min(len(pairs), 3)
    rows = -(-len(pairs) // columns)
    wanted = {"maximize": "high", "minimize": "low"}
    goals = ", ".join(f"{wanted[goal]} {name}" for name, goal in history.objectives)
    figure, axes = style.make_figure(
        "Pareto front",
        f"{len(front)} of {history.count('COMPLETE')} complete trials; wanted: {goals}",
        rows=rows,
        columns=columns,
        height=1.2 + 3.4 * rows,
    )
    figure.subplots_adjust(wspace=0.45)  # room for each panel's own axis label
    for axis, (x, y) in zip(axes, pairs, strict=False):
        _draw_panel(axis, history, x, y)
    for axis in axes[len(pairs) :]:
        axis.set_visible(False)
    return figure


def _draw_panel(axis: Axes, history: History, x: int, y: int) -> None:
    """Plot two objectives; members of the front are joined by a line if there are only two."""
    front = history.pareto_front()
    members = {trial.number for trial in front}
    others = [t for t in history.ranked_trials() if t.values and t.number not in members]
    if others:
        points = [t.values or () for t in others]
        axis.scatter([p[x] for p in points], [p[y] for p in points], s=16, color=style.PALE)
    points = [t.values or () for t in front]
    axis.scatter([p[x] for p in points], [p[y] for p in points], s=30, color=style.GREEN, zorder=3)
    if len(history.objectives) == 2:
        ordered = sorted(tuple(p) for p in points)
        axis.plot([p[0] for p in ordered], [p[1] for p in ordered], color=style.GREEN, lw=1)
    for trial, point in zip(front[:12], points, strict=False):
        axis.annotate(
            str(trial.number),
            (point[x], point[y]),
            xytext=(4, 3),
            textcoords="offset points",
            size=7,
            color=style.INK,
        )
    for which, index in (("x", x), ("y", y)):
        values = [(t.values or ())[index] for t in (*front, *others)]
        if min(values) > 0 and max(values) > 20 * min(values):
            style.use_log_scale(axis, "x" if which == "x" else "y")
    style.style_axis(axis, "both")
    style.label_axis(axis, history.objectives[x][0], history.objectives[y][0])
