"""The winner on the locked rows as one page of interactive figures, drawn with Plotly.

The same figures as the images of `winner.py`, with every point's values at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...escaping import one_line
from ...history import History
from . import style
from .page import write_page
from .predictions import Predictions, read_predictions
from .winner import BINS, MOST_CLASSES, MOST_COLUMNS, curve_of_precision, curve_of_roc

PAGE = "winner.html"
MOST_POINTS = 5000  # of a cloud; more are slow to turn and look no different


def write_winner_page(history: History, study: Path) -> Path | None:
    """Write `plots/winner.html` of a study's folder; None where no locked rows were read."""
    rows = read_predictions(study / "final")
    if rows is None:
        return None
    task = history.study.task
    heading = f"{history.name}: the winner on {len(rows.truth):,} locked rows"
    return write_page(study / "plots" / PAGE, heading, _figures(rows, task))


def _figures(rows: Predictions, task: str) -> Iterator[tuple[str, Any]]:
    for title, draw in (NUMBERS if task == "regression" else CLASSES).items():
        if task == "multilabel" and draw is _confusion:  # a row has several labels
            continue
        for figure in draw(rows):
            figure.update_layout(template="plotly_white", margin={"t": 30}, height=480)
            yield title, figure


def _figure(*traces: Any, x: str, y: str, **layout: Any) -> Any:
    from plotly import graph_objects as go

    figure = go.Figure(list(traces))
    figure.update_layout(xaxis_title=x, yaxis_title=y, colorway=style.CYCLE, **layout)
    return figure


def _confusion(rows: Predictions) -> Iterator[Any]:
    from plotly import graph_objects as go

    table = rows.confusion()
    share = table / np.maximum(1, table.sum(1, keepdims=True))
    classes = [one_line(name) for name in rows.classes]
    cells = go.Heatmap(
        z=share, x=classes, y=classes, text=table, texttemplate="%{text}", colorscale="Blues"
    )
    figure = _figure(cells, x="predicted", y="true")
    figure.update_yaxes(autorange="reversed", type="category")
    figure.update_xaxes(type="category")
    yield figure


def _curves(
    rows: Predictions, curve: Callable[..., tuple[np.ndarray, np.ndarray]]
) -> Iterator[Any]:
    from plotly import graph_objects as go

    for name, truth, score in rows.scored_classes()[:MOST_CLASSES]:
        x, y = curve(truth, score)
        yield go.Scatter(x=x, y=y, mode="lines", name=one_line(name))


def _roc(rows: Predictions) -> Iterator[Any]:
    traces = list(_curves(rows, curve_of_roc))
    if traces:
        yield _figure(*traces, x="false positive rate", y="true positive rate")


def _precision_recall(rows: Predictions) -> Iterator[Any]:
    traces = list(_curves(rows, curve_of_precision))
    if traces:
        yield _figure(*traces, x="recall", y="precision")


def _calibration(rows: Predictions) -> Iterator[Any]:
    from plotly import graph_objects as go

    traces = []
    for name, truth, score in rows.scored_classes()[:MOST_CLASSES]:
        place = np.clip((score * BINS).astype(int), 0, BINS - 1)
        count = np.bincount(place, minlength=BINS)
        used = count > 0
        said, came = (np.bincount(place, v, BINS)[used] / count[used] for v in (score, truth))
        told = [f"{n:,} rows" for n in count[used]]
        traces.append(
            go.Scatter(x=said, y=came, text=told, mode="lines+markers", name=one_line(name))
        )
    if traces:
        exact = go.Scatter(x=[0, 1], y=[0, 1], mode="lines", line={"dash": "dot"}, name="exact")
        yield _figure(*traces, exact, x="predicted probability", y="share that came true")


def _against_truth(rows: Predictions) -> Iterator[Any]:
    from plotly import graph_objects as go

    taken = _some(rows)
    each = zip(rows.truth[taken].T, rows.prediction[taken].T, strict=True)
    for k, (truth, said) in enumerate(each):
        ends = [float(min(truth.min(), said.min())), float(max(truth.max(), said.max()))]
        cloud = go.Scattergl(x=truth, y=said, text=taken, mode="markers", name="a locked row")
        exact = go.Scatter(x=ends, y=ends, mode="lines", line={"dash": "dot"}, name="exact")
        yield _figure(cloud, exact, x=one_line(f"truth{rows.of_target(k)}"), y="prediction")


def _residuals(rows: Predictions) -> Iterator[Any]:
    from plotly import graph_objects as go

    taken = _some(rows)
    each = zip(rows.truth[taken].T, rows.prediction[taken].T, strict=True)
    for k, (truth, said) in enumerate(each):
        cloud = go.Scattergl(x=said, y=said - truth, text=taken, mode="markers")
        yield _figure(cloud, x=one_line(f"prediction{rows.of_target(k)}"), y="prediction - truth")


def _importance(rows: Predictions) -> Iterator[Any]:
    from plotly import graph_objects as go

    columns: dict[str, list[float]] = rows.importance.get("columns", {})
    shown = list(columns.items())[:MOST_COLUMNS][::-1]
    if shown:
        means, spreads = ([float(f(v)) for _, v in shown] for f in (np.mean, np.std))
        bars = go.Bar(
            x=means, y=[one_line(n) for n, _ in shown], error_x={"array": spreads}, orientation="h"
        )
        yield _figure(bars, x=one_line(f"loss of {rows.importance['metric']} when shuffled"), y="")


def _some(rows: Predictions) -> np.ndarray:
    """Places of at most `MOST_POINTS` rows, evenly spread."""
    n = len(rows.truth)
    return np.unique(np.linspace(0, n - 1, min(n, MOST_POINTS)).astype(int))


Draw = Callable[[Predictions], Iterator[Any]]
CLASSES: dict[str, Draw] = {
    "Confusion": _confusion,
    "ROC": _roc,
    "Precision and recall": _precision_recall,
    "Calibration": _calibration,
    "What the columns are worth": _importance,
}
NUMBERS: dict[str, Draw] = {
    "Prediction against truth": _against_truth,
    "Residuals": _residuals,
    "What the columns are worth": _importance,
}
