"""Render a study as one HTML page that works without server and network.

Figures are embedded; every text from the study is escaped.
"""

from __future__ import annotations

import base64
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..escaping import escape_html as escaped
from ..events import WinnerEvaluated
from ..history import History, load_condensed_history
from ..redaction import redact
from ..tracking.mlflow_layout import spec_yaml
from ..tracking.scores import describe_difference, winner_scores
from ..trial import Trial, Value
from ..verdict import describe_verdict, display_name
from . import terminal_tables
from .page_style import SCRIPT, STYLE


def html(text: object) -> str:
    """Escape and redact a text; journals of older versions may contain secrets."""
    return escaped(redact(str(text)))


def render_report(journal: Path) -> str:
    """Render the page of a study.

    Raises:
        JournalError: If the journal is missing or damaged.
    """
    history = load_condensed_history(journal)
    title = html(history.name)
    parts = [
        _render_header(history),
        _render_cards(history),
        _render_winner(history),
        _render_scores(history),
        _render_holdout(history),
        _render_figures(history, journal.parent),
        _render_trials(history),
        _render_declaration(history),
    ]
    body = "\n".join(part for part in parts if part)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{STYLE}</style></head>\n<body><main>\n{body}\n</main>\n"
        f"<script>{SCRIPT}</script></body></html>\n"
    )


def _render_header(history: History) -> str:
    study = history.study
    goal = "highest" if history.maximize else "lowest"
    facts = [f"the {goal} {history.metric}"]
    facts += [fact for fact in (study.task, study.sampler, study.pruner, study.trainer) if fact]
    facts.append(f"seed {study.seed}")
    when = datetime.fromtimestamp(history.last_time / 1000, UTC).strftime("%d %B %Y, %H:%M UTC")
    facts += [f"ended: {history.end.reason}"] if history.end else []
    line = html(" · ".join([*facts, when]))
    return f"<header><h1>{html(history.name)}</h1><p>{line}</p></header>"


def _render_cards(history: History) -> str:
    counts = Counter(t.state.lower() for t in history.trials)
    cards = []
    best = history.winning_trial()
    if best is not None:
        spread = "" if best.spread is None else f" ± {best.spread:.2g} over the folds"
        verb = "cross-validated" if history.winner else "best so far"
        cards.append((f"{best.score:.4f}", f"{history.metric}, {verb}{spread}"))
    winner = history.winner
    if winner is not None and winner.finalist_score is not None:
        about = f" ± {winner.finalist_spread:.2g} on fresh folds and seeds"
        cards.append((f"{winner.finalist_score:.4f}", f"{history.metric}, the winner{about}"))
    final = history.final or WinnerEvaluated()
    if history.metric in final.test:
        interval = final.intervals.get(history.metric)
        between = f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
        score = final.test[history.metric]
        cards.append((f"{score:.4f}", f"{history.metric} on the locked rows{between}"))
    for baseline in final.baselines:
        if history.metric in baseline.metrics:
            about = f"{display_name(baseline)} on the same rows"
            cards.append((f"{baseline.metrics[history.metric]:.4f}", about))
    detail = ", ".join(f"{n} {state}" for state, n in counts.most_common())
    cards.append((str(len(history.trials)), f"trials: {detail}" if detail else "trials"))
    cards.append((_format_training_time(history), "of training"))
    inner = "".join(
        f'<div class="card"><b>{html(number)}</b><span>{html(text)}</span></div>'
        for number, text in cards
    )
    return f'<div class="cards">{inner}</div>'


def _format_training_time(history: History) -> str:
    return terminal_tables.format_seconds(math.fsum(t.seconds or 0.0 for t in history.attempts))


def _render_winner(history: History) -> str:
    best = history.winning_trial()
    if best is None:
        return ""
    title = "The winner" if history.winner else "The best so far"
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
    columns = [_wrap_in_box(_render_pairs(pairs)) for pairs in (params, facts)]
    boxes = f'<div class="columns">{"".join(columns)}</div>'
    return f"<h2>{title}</h2>{boxes}"


def _render_scores(history: History) -> str:
    scores = winner_scores(history)
    if not scores:
        return ""
    rows = []
    for score in scores:
        between = f"{score.interval[0]:.4f} to {score.interval[1]:.4f}" if score.interval else ""
        rows.append([score.where, f"{score.value:.4f}", between])
    honest = (
        "The best of many noisy scores is optimistic; scores from outside the search are not. "
        f"{describe_difference(history)}"
    )
    table = _render_table([f"{history.metric} on", "score", "95% interval"], rows)
    return f'<h2>How good it is</h2>{_wrap_in_box(table)}<p class="note">{html(honest)}</p>'


def _render_holdout(history: History) -> str:
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
    note = f'<p class="note">{about} that no trial saw, read {times}.{labels}{html(says)}</p>'
    return f"<h2>Locked test rows</h2>{_wrap_in_box(_render_table(head, rows))}{note}"


def _render_figures(history: History, study: Path) -> str:
    from ..tracking.plots import search_drawings, winner_drawings

    inner, failed = [], []
    for drawing in (*search_drawings(history), *winner_drawings(history, study)):
        name = drawing.name[3:].replace("_", " ")
        if drawing.png is None:
            failed.append(f"<li>{html(name)} could not be drawn: {html(drawing.problem)}</li>")
            continue
        data = base64.b64encode(drawing.png).decode()
        inner.append(
            f'<figure><img alt="{html(name)}" src="data:image/png;base64,{data}"></figure>'
        )
    listed = f'<ul class="note">{"".join(failed)}</ul>' if failed else ""
    if not inner and not failed:
        return ""
    return f'<h2>Figures</h2><div class="figures">{"".join(inner)}</div>{listed}'


def _render_trials(history: History) -> str:
    if not history.trials:
        return ""
    names = terminal_tables.param_names(history.trials)
    others = [name for name, _ in history.objectives[1:]]
    head = ["trial", "state", history.metric, "±", *others, "epoch", "time", *names]
    chosen = history.winning_trial()
    ranked = history.ranked_trials()
    ranks = {id(trial): rank for rank, trial in enumerate(ranked)}
    order = sorted(history.trials, key=lambda t: (ranks.get(id(t), len(ranked)), t.number))
    body = "".join(_render_trial_row(t, names, len(others), is_winner=t is chosen) for t in order)
    heads = "".join(f"<th>{html(h)}</th>" for h in head)
    inner = f'<table class="sortable"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>'
    return f"<h2>Trials</h2>{_wrap_in_box(inner)}"


def _render_trial_row(trial: Trial, names: Sequence[str], n_others: int, *, is_winner: bool) -> str:
    others: list[float | None] = [*(trial.values or ())[1:]] or [None] * n_others
    epoch = None if trial.best_epoch is None else trial.best_epoch + 1
    cells = [
        _render_cell(trial.number, str(trial.number)),
        f'<td><span class="state {trial.state}">{trial.state.lower()}</span></td>',
        _render_cell(trial.score, terminal_tables.format_number(trial.score, 5)),
        _render_cell(trial.spread, terminal_tables.format_number(trial.spread, 2)),
        *(_render_cell(value, terminal_tables.format_number(value, 5)) for value in others),
        _render_cell(epoch, "" if epoch is None else str(epoch)),
        _render_cell(trial.seconds, terminal_tables.format_seconds(trial.seconds)),
    ]
    for name in names:
        param = trial.params.get(name)
        cells.append(
            _render_cell(param, terminal_tables.format_value(param) if name in trial.params else "")
        )
    if trial.error:
        cells[1] = cells[1].replace("<span ", f'<span title="{html(trial.error)}" ', 1)
    mark = ' class="winner"' if is_winner else ""
    return f"<tr{mark}>{''.join(cells)}</tr>"


def _render_cell(key: Value, text: str) -> str:
    sort = "" if key is None else html(str(key))
    return f'<td data-key="{sort}">{html(text)}</td>'


def _render_declaration(history: History) -> str:
    study = history.study
    summary = asdict(study.data).items()
    data = {k: v for k, v in summary if k != "notes" and v is not None}
    data["fingerprint"] = study.fingerprint
    notes = [*study.data.notes, *history.notes_of_changes()]
    listed = "".join(f"<li>{html(str(note))}</li>" for note in notes)
    boxes = (
        f'<div class="columns">{_wrap_in_box(_render_pairs(_as_texts(data)))}'
        f"{_wrap_in_box(_render_pairs(_as_texts(study.environment or {})))}</div>"
    )
    spec = f"<pre>{html(spec_yaml(history))}</pre>"
    return (
        f"<h2>Data and environment</h2>{boxes}"
        + (f'<ul class="note">{listed}</ul>' if listed else "")
        + f"<h2>Declaration</h2>{_wrap_in_box(spec)}"
    )


def _as_texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {
        str(k): v if isinstance(v, str) else json.dumps(v, default=str) for k, v in values.items()
    }


def _render_pairs(values: Mapping[str, str]) -> str:
    rows = "".join(f"<tr><td>{html(k)}</td><td>{html(v)}</td></tr>" for k, v in values.items())
    return f'<table class="pairs"><tbody>{rows}</tbody></table>'


def _render_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    heads = "".join(f"<th>{html(h)}</th>" for h in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _wrap_in_box(inner: str) -> str:
    return f'<div class="box">{inner}</div>'
