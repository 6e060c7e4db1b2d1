"""Write a page of interactive figures of the winner on the locked rows, drawn with Plotly.

The figures are those of `winner.py`; the pointer shows the values of each point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...escaping import escape_line
from ...history import History
from . import style
from .page import write_page
from .predictions import Predictions, read_predictions
from .winner import BINS, MAX_CLASSES, MAX_COLUMNS, precision_recall_curve, roc_curve

PAGE = "winner.html"
MAX_POINTS = 5000  # points of a scatter plot; more are slow and look the same


def write_winner_page(history: History, study: Path) -> Path | None:
    """Write `plots/winner.html` in a study's folder; None if no locked rows were read."""
    rows = read_predictions(study / "final")
    if rows is None:
        return None
    task = history.study.task
    heading = f"{history.name}: the winner on {len(rows.truth):,} locked rows"
    return write_page(study / "plots" / PAGE, heading, _make_figures(rows, task))


def _make_figures(rows: Predictions, task: str) -> Iterator[tuple[str, Any]]:
    for title, draw in (NUMBERS if task == "regression" else CLASSES).items():
        if task == "multilabel" and draw is _draw_confusion:  # a row has several labels
            continue
        for figure in draw(rows):
            figure.update_layout(template="plotly_white", margin={"t": 30}, height=480)
            yield title, figure


def _make_figure(*traces: Any, x: str, y: str, **layout: Any) -> Any:
    from plotly import graph_objects as go

    figure = go.Figure(list(traces))
    figure.update_layout(xaxis_title=x, yaxis_title=y, colorway=style.CYCLE, **layout)
    return figure


def _draw_confusion(rows: Predictions) -> Iterator[Any]:
    from plotly import graph_objects as go

    table = rows.confusion()
    share = table / np.maximum(1, table.sum(1, keepdims=True))
    classes = [escape_line(name) for name in rows.classes]
    cells = go.Heatmap(
        z=share, x=classes, y=classes, text=table, texttemplate="%{text}", colorscale="Blues"
    )
    figure = _make_figure(cells, x="predicted", y="true")
    figure.update_yaxes(autorange="reversed", type="category")
    figure.update_xaxes(type="category")
    yield figure


def _draw_curves(
    rows: Predictions, curve: Callable[..., tuple[np.ndarray, np.ndarray]]
) -> Iterator[Any]:
    from plotly import graph_objects as go

    for name, truth, score in rows.scored_classes()[:MAX_CLASSES]:
        x, y = curve(truth, score)
        yield go.Scatter(x=x, y=y, mode="lines", name=escape_line(name))


def _draw_roc(rows: Predictions) -> Iterator[Any]:
    traces = list(_draw_curves(rows, roc_curve))
    if traces:
        yield _make_figure(*traces, x="false positive rate", y="true positive rate")


def _draw_precision_recall(rows: Predictions) -> Iterator[Any]:
    traces = list(_draw_curves(rows, precision_recall_curve))
    if traces:
        yield _make_figure(*traces, x="recall", y="precision")


def _draw_calibration(rows: Predictions) -> Iterator[Any]:
    from plotly import graph_objects as go

    traces = []
    for name, truth, score in rows.scored_classes()[:MAX_CLASSES]:
        index = np.clip((score * BINS).astype(int), 0, BINS - 1)
        count = np.bincount(index, minlength=BINS)
        used = count > 0
        predicted, came = (np.bincount(index, v, BINS)[used] / count[used] for v in (score, truth))
        labels = [f"{n:,} rows" for n in count[used]]
        traces.append(
            go.Scatter(
                x=predicted, y=came, text=labels, mode="lines+markers", name=escape_line(name)
            )
        )
    if traces:
        exact = go.Scatter(x=[0, 1], y=[0, 1], mode="lines", line={"dash": "dot"}, name="exact")
        yield _make_figure(*traces, exact, x="predicted probability", y="share that came true")


def _draw_prediction_against_truth(rows: Predictions) -> Iterator[Any]:
    from plotly import graph_objects as go

    taken = _sample_indices(rows)
    each = zip(rows.truth[taken].T, rows.prediction[taken].T, strict=True)
    for k, (truth, prediction) in enumerate(each):
        ends = [
            float(min(truth.min(), prediction.min())),
            float(max(truth.max(), prediction.max())),
        ]
        cloud = go.Scattergl(x=truth, y=prediction, text=taken, mode="markers", name="a locked row")
        exact = go.Scatter(x=ends, y=ends, mode="lines", line={"dash": "dot"}, name="exact")
        yield _make_figure(
            cloud, exact, x=escape_line(f"truth{rows.target_suffix(k)}"), y="prediction"
        )


def _draw_residuals(rows: Predictions) -> Iterator[Any]:
    from plotly import graph_objects as go

    taken = _sample_indices(rows)
    each = zip(rows.truth[taken].T, rows.prediction[taken].T, strict=True)
    for k, (truth, prediction) in enumerate(each):
        cloud = go.Scattergl(x=prediction, y=prediction - truth, text=taken, mode="markers")
        yield _make_figure(
            cloud, x=escape_line(f"prediction{rows.target_suffix(k)}"), y="prediction - truth"
        )


def _draw_importance(rows: Predictions) -> Iterator[Any]:
    from plotly import graph_objects as go

    columns: dict[str, list[float]] = rows.importance.get("columns", {})
    shown = list(columns.items())[:MAX_COLUMNS][::-1]
    if shown:
        means, spreads = ([float(f(v)) for _, v in shown] for f in (np.mean, np.std))
        bars = go.Bar(
            x=means,
            y=[escape_line(n) for n, _ in shown],
            error_x={"array": spreads},
            orientation="h",
        )
        yield _make_figure(
            bars, x=escape_line(f"loss of {rows.importance['metric']} when shuffled"), y=""
        )


def _sample_indices(rows: Predictions) -> np.ndarray:
    """Return the indices of at most `MAX_POINTS` evenly spaced rows."""
    n = len(rows.truth)
    return np.unique(np.linspace(0, n - 1, min(n, MAX_POINTS)).astype(int))


DrawFunction = Callable[[Predictions], Iterator[Any]]
CLASSES: dict[str, DrawFunction] = {
    "Confusion": _draw_confusion,
    "ROC": _draw_roc,
    "Precision and recall": _draw_precision_recall,
    "Calibration": _draw_calibration,
    "What the columns are worth": _draw_importance,
}
NUMBERS: dict[str, DrawFunction] = {
    "Prediction against truth": _draw_prediction_against_truth,
    "Residuals": _draw_residuals,
    "What the columns are worth": _draw_importance,
}
