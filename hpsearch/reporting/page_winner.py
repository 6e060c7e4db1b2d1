"""Render the winner: facts, scores beside those of the baselines, predictions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..history import History
from ..tracking.plots.predictions import Predictions, read_predictions
from ..tracking.plots.thinning import thin_out
from ..tracking.scores import winner_scores
from ..verdict import (
    compare_with,
    describe_calibration,
    describe_fold_scores,
    describe_verdict,
    display_name,
)
from . import terminal_tables
from .page_figures import (
    Curve,
    Estimate,
    draw_agreement,
    draw_bars,
    draw_calibration,
    draw_estimates,
)
from .page_parts import html, render_box, render_columns, render_note, render_pairs, render_table

BINS = 10  # bins of a calibration curve
MAX_CLASSES = 4  # curves in one figure
MAX_CELLS = 12  # classes up to which the confusion matrix is shown
MAX_ROWS = 1000  # points of a figure
MAX_COLUMNS = 15  # columns whose importance is shown


def render_winner(history: History) -> str:
    """Render hyperparameters and facts of the winner, or of the best trial so far."""
    best = history.winning_trial()
    if best is None:
        return ""
    title = "The winner" if history.winner else "The best so far"
    if history.winner is not None and history.winner.is_ensemble:
        title = "The winner's best trial"
    facts = {
        "trial": best.name,
        "epochs": "" if best.best_epoch is None else str(best.best_epoch + 1),
        "parameters": "" if best.n_parameters is None else f"{best.n_parameters:,}",
        "time": terminal_tables.format_seconds(best.seconds),
    }
    facts |= {
        f"{history.metric}, fold {k}": terminal_tables.format_number(score, 5)
        for k, score in enumerate(best.fold_scores or ())
    }
    params = {name: terminal_tables.format_value(v) for name, v in best.params.items()}
    boxes = [render_box(render_pairs(pairs), padded="") for pairs in (params, facts)]
    return f"<h2>{title}</h2>{render_columns(boxes)}"


def render_scores(history: History) -> str:
    """Render the scores of the winner and of the baselines on one scale."""
    estimates = [
        Estimate(html(s.where), s.value, s.interval, f"{s.value:.4f}")
        for s in winner_scores(history)
        if math.isfinite(s.value)
    ]
    if not estimates:
        return ""
    for baseline in history.final.baselines if history.final else ():
        value = baseline.metrics.get(history.metric)
        if value is not None and math.isfinite(value):
            standing = compare_with(baseline)
            verb = f"{standing.partition(' ')[0]}" if standing else ""
            note = {"better": "beaten", "worse": "better", "as": "as good"}.get(verb, "")
            text = f"{value:.4f}{f', {note}' if note else ''}"
            name = html(f"{display_name(baseline)}, locked rows")
            estimates.append(Estimate(name, value, None, text, "other"))
    note = (
        f"{history.metric}; lines are 95% intervals. The best of many noisy scores is optimistic; "
        "scores from outside the search are not."
    )
    figure = render_box(draw_estimates(estimates))
    return f"<h2>How good it is</h2>{figure}{render_note(note)}"


def render_holdout(history: History) -> str:
    """Render all metrics on the locked rows, of the winner and of the baselines."""
    final = history.final
    if final is None or not final.test:
        return ""
    single = final.single
    head = ["metric", history.name, "95% interval"]
    head += [display_name(each) for each in final.baselines]
    head += [f"trial {single.trial} alone"] if single else []
    rows = []
    for name, score in final.test.items():
        interval = final.intervals.get(name)
        between = f"{interval[0]:.4f} to {interval[1]:.4f}" if interval else ""
        row = [name, f"{score:.4f}", between]
        for other in (*final.baselines, *([single] if single else ())):
            row.append(f"{other.metrics[name]:.4f}" if name in other.metrics else "")
        rows.append(row)
    about = "Rows" if final.test_rows is None else f"{final.test_rows:,} rows"
    times = "once" if final.reads == 1 else f"{final.reads} times in the study's life"
    threshold = final.label_threshold
    labels = f" Labels count above a probability of {threshold:.3g}." if threshold != 0.5 else ""
    verdict = describe_verdict(final.baselines)
    says = f" By {history.metric}, it is {verdict}." if verdict else ""
    is_classes = history.study.task != "regression"
    calibration = describe_calibration(final.calibration, final.coverage, is_classes)
    folds = describe_fold_scores(
        final.baselines, history.metric, history.winner.score if history.winner else None
    )
    texts = (f"{about} that no trial saw, read {times}.{labels}{says}", calibration, folds)
    note = render_note(" ".join(text for text in texts if text))
    table = render_box(render_table(head, rows), padded="")
    return f"<h2>Locked test rows</h2>{table}{note}"


def render_predictions(history: History, folder: Path) -> str:
    """Render calibration, confusion or agreement on the locked rows, and columns' importance."""
    boxes = []
    try:
        rows = read_predictions(folder / "final")
    except ValueError as error:
        rows = None
        boxes.append(render_note(str(error)))
    if rows is not None and history.study.task == "regression":
        boxes += _render_agreement(rows)
    elif rows is not None:
        boxes += _render_calibration(rows)
    boxes += _render_confusion(history, rows)
    boxes += _render_columns_worth(history)
    return f"<h2>Its predictions</h2>{render_columns(boxes)}" if boxes else ""


def _render_calibration(rows: Predictions) -> Iterator[str]:
    curves, gaps = [], []
    for name, truth, score in rows.scored_classes()[:MAX_CLASSES]:
        if not np.isfinite(score).all():
            continue
        bins = np.clip((score * BINS).astype(int), 0, BINS - 1)
        count = np.bincount(bins, minlength=BINS)
        used = count > 0
        n = count[used]
        predicted, observed = (np.bincount(bins, v, BINS)[used] / n for v in (score, truth))
        error = 1.96 * np.sqrt(np.maximum(observed * (1 - observed), 0.25 / n) / n)
        low, high = np.maximum(0, observed - error), np.minimum(1, observed + error)
        points = [tuple(map(float, p)) for p in zip(predicted, observed, low, high, strict=True)]
        curves.append(Curve(html(name), [(a, b, c, d) for a, b, c, d in points]))
        gaps.append(float(np.abs(predicted - observed) @ n / n.sum()))
    if curves:
        note = (
            f"On the dashed line a probability means what it says; lines: 95% intervals. On "
            f"average over the rows it is {max(gaps):.1%} off"
        )
        note += " for the class that is worst calibrated." if len(gaps) > 1 else "."
        yield render_box(draw_calibration(curves) + render_note(note), title="calibration")


def _render_agreement(rows: Predictions) -> Iterator[str]:
    for k in range(min(rows.truth.shape[1], MAX_CLASSES)):
        pairs = np.column_stack([rows.truth[:, k], rows.prediction[:, k]])
        pairs = pairs[np.isfinite(pairs).all(1)]
        if not len(pairs):
            continue
        left = pairs[:, 1] - pairs[:, 0]
        shown = thin_out(pairs.tolist(), MAX_ROWS)
        note = f"prediction - truth: mean {left.mean():.4g}, standard deviation {left.std():.4g}"
        title = f"prediction and truth{rows.target_suffix(k)}"
        figure = draw_agreement([(x, y) for x, y in shown])
        yield render_box(figure + render_note(note), title=title)


def _render_confusion(history: History, rows: Predictions | None) -> Iterator[str]:
    table = history.final.confusion if history.final else None
    if not table or len(table) > MAX_CELLS:
        return
    names = rows.classes if rows else ()
    names = names if len(names) == len(table) else tuple(map(str, range(len(table))))
    cells = [[name, *map(str, line)] for name, line in zip(names, table, strict=True)]
    head = ["true", *(f"as {name}" for name in names)]
    yield render_box(render_table(head, cells), padded="")


def _render_columns_worth(history: History) -> Iterator[str]:
    found = history.final.importance if history.final else None
    shown = list(found.columns.items())[:MAX_COLUMNS] if found else []
    bars = [
        Estimate(html(name[:28]), value, (min(losses), max(losses)), f"{value:.3g}")
        for name, losses in shown
        if losses and all(map(math.isfinite, losses))
        for value in [math.fsum(losses) / len(losses)]
    ]
    if found and bars:
        note = f"Loss of {found.metric} when a column is shuffled; lines: all shuffles."
        yield render_box(draw_bars(bars) + render_note(note), title="what the columns are worth")
