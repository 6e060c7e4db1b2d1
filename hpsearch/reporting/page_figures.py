"""Draw the static figures of the page as SVG, in the colours of the style sheet.

Pure functions of numbers and escaped names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 640
LABEL = 190  # width of the labels on the left
ROW = 30


@dataclass(frozen=True, slots=True)
class Estimate:
    """A named number with an interval."""

    name: str  # escaped
    value: float
    interval: tuple[float, float] | None = None
    note: str = ""  # escaped; shown on the right
    kind: str = ""  # a class of the style sheet


def draw_estimates(estimates: Sequence[Estimate]) -> str:
    """Draw a dot and an interval for each estimate, one below the other, on one scale."""
    ends = [v for e in estimates for v in (e.value, *(e.interval or ()))]
    low, high = min(ends), max(ends)
    room = (high - low) * 0.06 or abs(high) * 0.01 or 1.0
    low, high = low - room, high + room
    parts = []
    for i, e in enumerate(estimates):
        y = ROW * i + ROW / 2
        if e.interval:
            a, b = (_x(v, low, high) for v in e.interval)
            parts.append(f'<line class="interval {e.kind}" x1="{a}" x2="{b}" y1="{y}" y2="{y}"/>')
        x = _x(e.value, low, high)
        parts.append(f'<circle class="dot {e.kind}" cx="{x}" cy="{y}" r="5"/>{_label(e, y)}')
    return _svg(ROW * len(estimates), "".join(parts), "scores with their intervals")


def draw_bars(estimates: Sequence[Estimate]) -> str:
    """Draw a bar from zero and an interval for each estimate."""
    ends = [v for e in estimates for v in (e.value, *(e.interval or ()))]
    low, high = min(0.0, *ends), max(0.0, *ends) or 1.0
    zero = _x(0.0, low, high)
    parts = []
    for i, e in enumerate(estimates):
        y = ROW * i + ROW / 2
        x = _x(e.value, low, high)
        left, width = min(x, zero), abs(x - zero)
        parts.append(
            f'<rect class="bar" x="{left:.1f}" y="{y - 8}" width="{width:.1f}" height="16"/>'
        )
        if e.interval:
            a, b = (_x(v, low, high) for v in e.interval)
            parts.append(f'<line class="interval" x1="{a}" x2="{b}" y1="{y}" y2="{y}"/>')
        parts.append(_label(e, y))
    return _svg(ROW * len(estimates), "".join(parts), "bars with their intervals")


@dataclass(frozen=True, slots=True)
class Curve:
    """Points in the unit square, each with an interval."""

    name: str  # escaped
    points: Sequence[tuple[float, float, float, float]]  # x, y, lowest, highest


def draw_calibration(curves: Sequence[Curve]) -> str:
    """Draw calibration curves; on the dashed diagonal, probabilities are exact."""
    size, left, bottom = 300, 46, 34
    parts = [
        f'<line class="guide" x1="{left}" y1="{size + 6}" x2="{left + size}" y2="6"/>'
        f'<rect class="frame" x="{left}" y="6" width="{size}" height="{size}"/>'
    ]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        x, y = left + size * tick, 6 + size * (1 - tick)
        parts.append(f'<text class="tick" x="{x}" y="{size + 22}" text-anchor="middle">{tick}')
        parts.append(f'</text><text class="tick" x="{left - 6}" y="{y + 4}" text-anchor="end">')
        parts.append(f"{tick}</text>")
    for k, curve in enumerate(curves):
        line = []
        for x, y, low, high in curve.points:
            px, py = left + size * x, 6 + size * (1 - y)
            top, foot = 6 + size * (1 - high), 6 + size * (1 - low)
            line.append(f"{px:.1f},{py:.1f}")
            parts.append(
                f'<line class="interval c{k}" x1="{px:.1f}" x2="{px:.1f}" y1="{top:.1f}" '
                f'y2="{foot:.1f}"/><circle class="dot c{k}" cx="{px:.1f}" cy="{py:.1f}" r="4"/>'
            )
        parts.append(f'<polyline class="curve c{k}" points="{" ".join(line)}"/>')
        y = 20 + 18 * k
        parts.append(f'<circle class="dot c{k}" cx="{left + size + 22}" cy="{y - 4}" r="4"/>')
        parts.append(f'<text x="{left + size + 32}" y="{y}">{curve.name}</text>')
    parts.append(
        f'<text class="tick" x="{left + size / 2}" y="{size + bottom + 6}" text-anchor="middle">'
        "predicted probability; upwards: the share that came true</text>"
    )
    return _svg(size + bottom + 12, "".join(parts), "calibration", width=WIDTH)


def draw_agreement(points: Sequence[tuple[float, float]]) -> str:
    """Draw truth against prediction of a regression; the dashed diagonal is exact."""
    size, left = 320, 74
    values = [v for point in points for v in point]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    dots = "".join(
        f'<circle class="point" cx="{left + size * (x - low) / span:.1f}" '
        f'cy="{6 + size * (1 - (y - low) / span):.1f}" r="2.5"/>'
        for x, y in points
    )
    ends = "".join(
        f'<text class="tick" x="{left + size * at}" y="{size + 22}" text-anchor="middle">{v:.4g}'
        f'</text><text class="tick" x="{left - 6}" y="{10 + size * (1 - at)}" text-anchor="end">'
        f"{v:.4g}</text>"
        for at, v in ((0, low), (1, high))
    )
    return _svg(
        size + 46,
        f'<rect class="frame" x="{left}" y="6" width="{size}" height="{size}"/>'
        f'<line class="guide" x1="{left}" y1="{size + 6}" x2="{left + size}" y2="6"/>{dots}{ends}'
        f'<text class="tick" x="{left + size / 2}" y="{size + 40}" text-anchor="middle">'
        "truth; upwards: the prediction</text>",
        "prediction against truth",
        width=left + size + 20,
    )


def _x(value: float, low: float, high: float) -> float:
    right = WIDTH - 130
    return round(LABEL + 10 + (right - LABEL - 10) * (value - low) / ((high - low) or 1.0), 1)


def _label(estimate: Estimate, y: float) -> str:
    return (
        f'<text x="{LABEL}" y="{y + 4}" text-anchor="end">{estimate.name}</text>'
        f'<text class="value" x="{WIDTH - 118}" y="{y + 4}">{estimate.note}</text>'
    )


def _svg(height: float, inner: str, title: str, *, width: int = WIDTH) -> str:
    return (
        f'<svg class="static" viewBox="0 0 {width} {height}" role="img" aria-label="{title}" '
        f'style="max-width:{width}px">{inner}</svg>'
    )
