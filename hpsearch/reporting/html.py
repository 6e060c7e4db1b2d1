"""Render a study as one HTML page that works without server and network.

The summary is HTML and SVG; `page.js` draws the interactive figures and the table from the JSON in
the page. Every text from the study is escaped. `hpsearch watch --page` serves the same page while
the study runs.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..events import WinnerEvaluated
from ..history import History
from ..platforms.files import write_text
from ..redaction import shorten
from ..tracking.mlflow_layout import spec_yaml
from ..verdict import display_name
from . import page_winner
from .page_beliefs import estimate_beliefs
from .page_data import build_page_data, encode_page_data
from .page_figures import Estimate, draw_bars
from .page_importance import ImportanceEstimate, estimate_importance
from .page_parts import html, render_box, render_columns, render_note, render_pairs
from .page_status import render_search, render_status
from .page_summary import summarize_study
from .study_follower import StudyFollower
from .study_status import StudyStatus, study_status
from .terminal_tables import format_seconds

REPORT = "report.html"  # in a study's folder
HERE = Path(__file__).parent
MAX_NOTES = 40  # notes on the data, and likewise on changes
LONGEST_SPEC = 200_000  # characters
MAX_BARS = 20  # hyperparameters in the figure of importance
ANYWHERE = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def render_report(journal: Path) -> str:
    """Render the page of a study in its present state.

    Raises:
        JournalError: If the journal is missing or damaged.
    """
    follower = StudyFollower(journal)
    status = study_status(follower)
    if follower.history.final and not follower.history.asked_since_final:
        status = replace(status, state="finished", phase="finished")  # the run may still upload
    return render_page(follower, status)


def write_report(journal: Path) -> None:
    """Write `report.html` of a study's folder.

    Raises:
        JournalError: If the journal is damaged.
    """
    write_text(journal.with_name(REPORT), render_report(journal))


def render_page(follower: StudyFollower, status: StudyStatus, *, live_tag: str = "") -> str:
    """Render the page of a study.

    Args:
        live_tag: The version of a page that a server updates; "" for a file.
    """
    history = follower.history
    parts = [
        _render_header(history, status),
        render_status(follower, status),
        _render_cards(history),
        page_winner.render_winner(history),
        page_winner.render_scores(history),
        page_winner.render_holdout(history),
        page_winner.render_predictions(history, follower.journal.parent),
        _render_exploration(follower),
        _render_importance(history),
        render_search(follower, status),
        _render_table() if history.last else "",
        _render_declaration(history),
    ]
    body = "\n".join(part for part in parts if part)
    policy = ANYWHERE + ("; connect-src 'self'" if live_tag else "")
    live = f' data-tag="{html(live_tag)}"' if live_tag else ""
    style, script = ((HERE / n).read_text(encoding="utf-8") for n in ("page.css", "page.js"))
    data = encode_page_data(build_page_data(follower))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>{html(history.name)}</title>\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{style}</style></head>\n<body{live}><main>\n{body}\n</main>\n"
        '<div id="tooltip" class="tooltip" hidden></div>\n'
        f'<script type="application/json" id="study-data">{data}</script>\n'
        f"<script>{script}</script></body></html>\n"
    )


def _render_header(history: History, status: StudyStatus) -> str:
    study = history.study
    goal = "highest" if history.maximize else "lowest"
    facts = [f"the {goal} {history.metric}"]
    facts += [fact for fact in (study.task, study.sampler, study.pruner, study.trainer) if fact]
    facts.append(f"seed {study.seed}")
    when = datetime.fromtimestamp(history.last_time / 1000, UTC).strftime("%d %B %Y, %H:%M UTC")
    facts += [f"search finished: {history.end.reason}"] if history.end else []
    line = html(" · ".join([*facts, when]))
    verdict = html(summarize_study(history, status))
    note = f'<p class="study-note">{html(history.note)}</p>' if history.note else ""
    return (
        f"<header><h1>{html(history.name)}</h1><p>{line}</p>"
        f'<p class="verdict">{verdict}</p>{note}<p id="connection"></p></header>'
    )


def _render_cards(history: History) -> str:
    counts = Counter(t.state.lower() for t in history.trials)
    cards = []
    best = history.winning_trial()
    if best is not None:
        spread = "" if best.spread is None else f" ± {best.spread:.2g} over the folds"
        verb = "cross-validated" if history.winner else "best so far"
        if history.winner is not None and history.winner.is_ensemble:
            verb = f"cross-validated, trial {best.number} alone"
        cards.append((f"{best.score:.4f}", f"{history.metric}, {verb}{spread}"))
    winner = history.winner
    if winner is not None and winner.finalist_score is not None:
        about = f" ± {winner.finalist_spread:.2g}" if winner.finalist_spread is not None else ""
        whose = f"trial {winner.trial} alone" if winner.is_ensemble else "the winner"
        text = f"{history.metric}, {whose}{about} on fresh folds and seeds"
        cards.append((f"{winner.finalist_score:.4f}", text))
    if winner is not None and winner.is_ensemble and winner.ensemble is not None:
        text = f"{history.metric}, the ensemble of {len(winner.members)} networks, out of fold"
        cards.append((f"{winner.ensemble.score:.4f}", text))
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
    cards.append((str(len(history.last)), f"trials: {detail}" if detail else "trials"))
    cards.append((format_seconds(history.seconds), "wall clock"))
    inner = "".join(
        f'<div class="card"><b>{html(number)}</b><span>{html(text)}</span></div>'
        for number, text in cards
    )
    return f'<div class="cards">{inner}</div>'


def _render_exploration(follower: StudyFollower) -> str:
    """Render the containers of the interactive figures, with captions."""
    if not follower.history.ended:
        return ""
    metric = html(follower.history.metric)
    curves = losses = ""
    if follower.trials_with_curves:
        curves = (
            f'<h2>Learning curves</h2><div class="columns"><div class="box pad"><h3>{metric} of '
            'the best trials: mean and range of the folds</h3><div id="curves"></div></div>'
        )
        losses = (
            '<div class="box pad"><h3>loss of the winner: training blue, validation orange</h3>'
            '<div id="losses"></div></div></div>'
        )
    return (
        '<h2>Trials</h2><div class="box pad"><div id="history"></div></div>'
        "<p class='note'>Blue: complete, orange: pruned, at the score they had reached; the green "
        "step is the best so far. Trials beyond the axis are drawn on its edge. A click picks a "
        "trial in all figures.</p>"
        '<h2>Timeline</h2><div class="box pad"><div id="timeline"></div></div>'
        "<p class='note'>When each trial ran; in a row they follow each other, rows ran side by "
        "side. Dashed: a pause, shortened.</p>"
        '<h2>Parallel coordinates</h2><div class="box pad"><div id="parallel"></div></div>'
        "<p class='note'>A line is a trial, the stronger the better; dashed: pruned; green: the "
        "winner. Drag along an axis to keep the trials that pass there, click it to let go.</p>"
        f"{curves}{losses}"
        f'<h2>{metric} by hyperparameter</h2><div id="slices" class="slices"></div>'
        f"{render_note(_describe_beliefs(follower))}"
    )


def _describe_beliefs(follower: StudyFollower) -> str:
    beliefs = estimate_beliefs(follower)
    if not beliefs.found:
        return f"The sampler's predictions are not shown: {beliefs.reason}"
    return (
        "Dots: trials. Line and band: the score that the sampler's model predicts, with 90% "
        "intervals of a new trial's true mean, the other hyperparameters as in the best trial that "
        "has this one."
    )


def _render_importance(history: History) -> str:
    found = estimate_importance(history)
    if not history.last:
        return ""
    title = "<h2>Importance of the hyperparameters</h2>"
    if not found.shares:
        return title + render_note(
            f"Too few trials to say: {found.complete} are complete, and it takes {found.needed}."
        )
    bars = [
        Estimate(html(s.name[:28]), s.share, s.interval, f"{s.share:.0%}")
        for s in found.shares[:MAX_BARS]
    ]
    return f"{title}{render_box(draw_bars(bars))}{render_note(_describe_importance(found))}"


def _describe_importance(found: ImportanceEstimate) -> str:
    first = found.stands_out
    says = f"{first} stands out." if first else "None stands out: more trials would tell."
    return (
        "PED-ANOVA: what sets the best tenth of the trials apart. Lines: 90% of a bootstrap over "
        f"{found.complete:,} complete trials. {says}"
    )


def _render_table() -> str:
    return (
        '<h2>All trials</h2><div class="controls">'
        '<input type="search" id="filter" placeholder="filter: adam units&gt;32 state=pruned" '
        'aria-label="filter trials"><span id="states"></span>'
        '<button id="reset" type="button">show all</button><span id="count"></span></div>'
        '<div class="box"><table id="trials"><thead></thead><tbody></tbody></table></div>'
        "<noscript><p class='note'>The table is drawn by a script; hpsearch export writes it as "
        "a file.</p></noscript>"
    )


def _render_declaration(history: History) -> str:
    study = history.study
    summary = asdict(study.data).items()
    data = {k: v for k, v in summary if k != "notes" and v is not None}
    data["fingerprint"] = study.fingerprint
    notes = [*study.data.notes, *history.notes_of_changes()]
    listed = "".join(f"<li>{html(shorten(str(note), 500))}</li>" for note in notes[:MAX_NOTES])
    if len(notes) > MAX_NOTES:
        listed += f"<li>and {len(notes) - MAX_NOTES} more: hpsearch check lists them</li>"
    boxes = render_columns(
        render_box(render_pairs(_as_texts(values)), padded="")
        for values in (data, study.environment or {})
    )
    spec = f"<pre>{html(shorten(spec_yaml(history), LONGEST_SPEC))}</pre>"
    return (
        f"<h2>Data and environment</h2>{boxes}"
        + (f'<ul class="note">{listed}</ul>' if listed else "")
        + f"<h2>Declaration</h2>{render_box(spec, padded='')}"
    )


def _as_texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {
        str(k): shorten(v if isinstance(v, str) else json.dumps(v, default=str), 2000)
        for k, v in values.items()
    }
