"""Set the style of all figures: colours, sizes and fonts.

Figures are made without pyplot, so they share no state with a user's plots or threads.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from ...escaping import escape_line
from ...history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#1f2937"
MUTED = "#6b7280"
LINE = "#e5e7eb"
BLUE = "#2563eb"
ORANGE = "#ea580c"
GREEN = "#059669"
RED = "#dc2626"
PALE = "#bfd4fb"
CYCLE = (BLUE, ORANGE, GREEN, "#7c3aed", "#db2777", "#0891b2", "#ca8a04", "#4b5563")
STATES = {
    "COMPLETE": BLUE,
    "PRUNED": ORANGE,
    "FAILED": RED,
    "LOST": RED,
    "RUNNING": MUTED,
    "WAITING": LINE,
}
SCALE = "viridis"  # from bad to good; readable with colour blindness
LONGEST_LABEL, LONGEST_TITLE, LONGEST_SUBTITLE = 60, 70, 150  # characters
DPI = 150  # 8 inches: 1200 pixels


def make_figure(
    title: str,
    subtitle: str = "",
    *,
    rows: int = 1,
    columns: int = 1,
    height: float = 4.6,
    **grid: Any,
) -> tuple[Figure, list[Axes]]:
    """Create a figure of 8 inches by `height`, and its axes in row-major order."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(8, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(made)
    top = 1 - 0.68 / height
    made.subplots_adjust(
        left=0.09, right=0.97, bottom=0.58 / height, top=top, wspace=0.26, hspace=0.55
    )
    axes = made.subplots(rows, columns, squeeze=False, **grid)
    made.text(
        0.02,
        1 - 0.30 / height,
        escape_label(title, LONGEST_TITLE),
        size=12.5,
        weight="bold",
        color=INK,
    )
    made.text(
        0.02, 1 - 0.50 / height, escape_label(subtitle, LONGEST_SUBTITLE), size=8.5, color=MUTED
    )
    flat = [axis for row in axes for axis in row]
    for axis in flat:
        style_axis(axis)
    return made, flat


def to_png(figure: Figure) -> bytes:
    """Render the figure as PNG, without parsing `$` in texts as math.

    This is set on each text, because Matplotlib's global settings belong to the user.
    """
    from matplotlib.text import Text

    for axes in figure.axes:
        axes.get_xticklabels(which="both")  # creates the labels, as drawing would later
        axes.get_yticklabels(which="both")
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    image = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # glyphs missing in the font become boxes
        figure.savefig(image, format="png")
    return image.getvalue()


def escape_label(text: object, longest: int = 28) -> str:
    """Escape a name from the data or the study file for a figure, on one line, truncated.

    A leading underscore gets a space before it: Matplotlib omits such labels from legends.
    """
    shown = escape_line(text)
    shown = shown if len(shown) <= longest else f"{shown[: longest - 1]}…"
    return f" {shown}" if shown.startswith("_") else shown


def style_axis(axis: Axes, grid: Literal["x", "y", "both"] = "y") -> None:
    """Style an axis: no box, a pale grid, small labels."""
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_color("#9ca3af")
    axis.tick_params(colors=MUTED, labelsize=8, length=3)
    axis.xaxis.label.set(size=9, color=INK)
    axis.yaxis.label.set(size=9, color=INK)
    axis.set_axisbelow(True)
    axis.grid(False)
    axis.grid(True, axis=grid, color=LINE, linewidth=0.8)


def add_legend(axis: Axes, **where: Any) -> None:
    """Add a legend without a frame."""
    shown = axis.legend(frameon=False, fontsize=8, labelcolor=INK, **where)
    shown.set_zorder(5)


def add_legend_above(axis: Axes) -> None:
    """Add a legend on one line beside the title, so that it does not cover data."""
    height = axis.get_window_extent().height / DPI
    add_legend(axis, loc="lower right", bbox_to_anchor=(1.015, 1 + 0.3 / height), ncols=8)


def label_axis(axis: Axes, x: str = "", y: str = "", title: str = "") -> None:
    """Set the labels of the axes and the title of the panel."""
    axis.set_xlabel(escape_label(x, LONGEST_LABEL))
    axis.set_ylabel(escape_label(y, LONGEST_LABEL))
    if title:
        axis.set_title(escape_label(title, LONGEST_LABEL), size=9, color=INK, loc="left", pad=5)


def describe_goal(history: History) -> str:
    """Describe the objective and its direction for a subtitle."""
    return f"{history.metric}, {'larger' if history.maximize else 'smaller'} is better"


def use_whole_numbers(axis: Axes) -> None:
    """Restrict the ticks of the x axis to integers."""
    from matplotlib.ticker import MaxNLocator

    axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def use_log_scale(axis: Axes, which: Literal["x", "y"]) -> None:
    """Set a logarithmic scale whose labels do not overlap."""
    from matplotlib.ticker import LogLocator, NullFormatter

    (axis.set_xscale if which == "x" else axis.set_yscale)("log")
    own = axis.xaxis if which == "x" else axis.yaxis
    low, high = sorted(own.get_view_interval())
    own.set_minor_formatter(NullFormatter())
    if high < 150 * low:
        own.set_major_locator(LogLocator(subs=(1, 2, 5)))
        own.set_major_formatter(lambda x, _: f"{x:g}")


def focus_limits(values: Sequence[float], *, maximize: bool) -> tuple[float, float]:
    """Return axis limits around the good values.

    Every search has a few far worse values, which would compress the others.
    """
    import numpy as np

    good, bad = (np.max, 10) if maximize else (np.min, 90)
    array = np.asarray(values, float)
    low, high = sorted((float(good(array)), float(np.percentile(array, bad))))
    room = (high - low) or abs(high) * 0.05 or 1.0
    near = array[(array >= low - 1.5 * room) & (array <= high + 1.5 * room)]
    low, high = min(low, float(near.min())), max(high, float(near.max()))
    room = (high - low) or room
    return low - 0.08 * room, high + 0.08 * room
