"""Build the data of the page's figures and table as plain values, for its script.

The size of a page is limited: curves are thinned, and the worst of too many trials are omitted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..escaping import escape_line
from ..history import History
from ..redaction import redact, shorten
from ..spec.search_space import Categorical, Parameter
from ..tracking.optuna_study import declared_space
from ..tracking.plots.thinning import thin_out
from ..trial import Trial, Value, is_score, orient
from .page_beliefs import estimate_beliefs
from .page_timeline import build_timeline
from .study_follower import StudyFollower
from .terminal_tables import param_names

if TYPE_CHECKING:
    from ..search.samplers.gp_beliefs import Belief

MAX_POINTS = 300  # epochs of a curve
MAX_TRIAL_BYTES = 1_500_000  # approximate size of all trials together
ROW_BYTES = 80  # approximate size of a trial without its hyperparameters
MAX_RUNNING = 8  # running trials with a curve
LONGEST_TEXT = 160  # characters of a value or of an error
LOSSES = ("train/loss", "val/loss")


def build_page_data(follower: StudyFollower) -> dict[str, Any]:
    """Build the data that the page's script draws."""
    history = follower.history
    declared = {p.name: p for p in declared_space(history)}
    shown = _trials_that_fit(history)
    names = list(dict.fromkeys([*declared, *param_names(shown)]))
    columns = [_param_column(shown, name, declared.get(name)) for name in names]
    others = [name for name, _ in history.objectives[1:]]
    winner = history.winning_trial()
    choices = [{key: i for i, key in enumerate(column.pop("keys", ()))} for column in columns]
    indices = dict(zip(names, choices, strict=True))  # of the choices; none of a number
    beliefs = estimate_beliefs(follower).found
    for name, column in zip(names, columns, strict=True):
        if name in beliefs and bool(indices[name]) == isinstance(declared[name], Categorical):
            column["belief"] = _encode_belief(beliefs[name], indices[name])
    losses = [] if winner is None else [_band(winner.curves.get(n, ()), name=n) for n in LOSSES]
    return {
        "study": _clean(history.name),
        "metric": _clean(history.metric),
        "maximize": history.maximize,
        "others": [_clean(name) for name in others],
        "params": columns,
        "rows": [_trial_row(trial, indices, len(others)) for trial in shown],
        "leftOut": len(history.last) - len(shown),
        "winner": None if winner is None else winner.number,
        "chosen": history.winner is not None,
        "curves": _trial_curves(follower),
        "timeline": _encode_timeline(history),
        "losses": [band for band in losses if band],
    }


def encode_page_data(data: Mapping[str, Any]) -> str:
    """Encode as JSON that cannot close an HTML element."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c")


def _clean(text: object) -> str:
    """Remove secrets and control characters from a text, and truncate it."""
    return escape_line(redact(shorten(str(text), LONGEST_TEXT)))


def _number(value: float | None, digits: int = 6) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{digits}g}")


def _param_column(trials: Sequence[Trial], name: str, declared: Parameter | None) -> dict[str, Any]:
    """Describe a hyperparameter: its name, scale and choices."""
    found = [t.params[name] for t in trials if name in t.params]
    column: dict[str, Any] = {"name": _clean(name)}
    if not isinstance(declared, Categorical) and all(map(_is_plain_number, found)):
        numbers = [v for v in found if isinstance(v, int | float)]
        if declared is not None and not isinstance(declared, Categorical):
            numbers += [declared.low, declared.high]
            column["log"] = declared.log
        if not numbers:
            return column | {"choices": []}
        whole = all(isinstance(v, int) for v in numbers)
        return column | {"int": whole, "low": min(numbers), "high": max(numbers)}
    choices = list(declared.choices) if isinstance(declared, Categorical) else []
    known = {_choice_key(v): v for v in [*choices, *found]}
    return column | {"choices": [_clean(v) for v in known.values()], "keys": list(known)}


def _is_plain_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _choice_key(value: Value) -> str:
    """Return a key that differs between choices: 1, 1.0, True and "1" are four."""
    return f"{type(value).__name__} {value}"


def _trials_that_fit(history: History) -> list[Trial]:
    """Return as many of the best trials as fit, by number."""
    fitting, room = [], MAX_TRIAL_BYTES
    for trial in _best_first(history):
        texts = [*map(str, trial.params.values()), trial.error or ""]
        room -= ROW_BYTES + sum(min(len(text.encode()), LONGEST_TEXT) + 1 for text in texts)
        if room < 0:
            break
        fitting.append(trial)
    return sorted(fitting, key=lambda trial: trial.number)


def _best_first(history: History) -> list[Trial]:
    """Sort trials: the winner, the others by score, those without a score last."""
    winner = history.winning_trial()

    def rank(trial: Trial) -> tuple[bool, float, int]:
        score = trial.score if trial.score is not None and is_score(trial.score) else None
        worth = -math.inf if score is None else orient(score, history.direction)
        return trial is not winner, -worth, trial.number

    return sorted(history.trials, key=rank)


def _trial_row(trial: Trial, choices: Mapping[str, Mapping[str, int]], n_others: int) -> list[Any]:
    others = [_number(v) for v in (trial.values or ())[1:]]
    others += [None] * (n_others - len(others))
    epoch = None if trial.best_epoch is None else trial.best_epoch + 1
    error = _clean(trial.error) if trial.error else ""
    head = [trial.number, trial.state.lower(), _number(trial.score), _number(trial.spread, 3)]
    params = [_encode_param(trial.params.get(n), known) for n, known in choices.items()]
    return [*head, *others, epoch, trial.n_epochs, _number(trial.seconds, 4), error, *params]


def _encode_param(value: Value, choices: Mapping[str, int]) -> float | int | None:
    """Return the index of a choice, or the number; None if the hyperparameter is inactive."""
    if value is None or not choices:
        return value if value is None or isinstance(value, int) else _number(float(value))
    return choices[_choice_key(value)]


def _encode_timeline(history: History) -> dict[str, Any]:
    timeline = build_timeline(history.attempts, history.last_time)
    spans = [[n, round(start, 2), round(end, 2), row] for n, start, end, row in timeline.spans]
    pauses = [round(at, 2) for at in timeline.pauses]
    return {"spans": spans, "pauses": pauses, "rows": timeline.rows, "leftOut": timeline.left_out}


def _encode_belief(belief: Belief, choices: Mapping[str, int]) -> dict[str, Any]:
    """Encode predictions and their values in the same way as the trials."""
    return {
        "trial": belief.centre,
        "at": [_encode_param(value, choices) for value in belief.values],
        "mean": [_number(v) for v in belief.mean],
        "low": [_number(v) for v in belief.low],
        "high": [_number(v) for v in belief.high],
    }


def _trial_curves(follower: StudyFollower) -> list[dict[str, Any]]:
    """Return the objective by epoch, over the folds, of the best and the running trials."""
    curves = []
    running = [t for t in follower.history.trials if t.state == "RUNNING"][-MAX_RUNNING:]
    for trial in (*follower.trials_with_curves, *running):
        state = ", running" if trial.state == "RUNNING" else ""
        band = _band(trial.scores, name=f"{trial.name}{state}")
        if band:
            best = None if trial.best_epoch is None else trial.best_epoch + 1
            curves.append(band | {"trial": trial.number, "best": best})
    return curves


def _band(rows: Sequence[Sequence[float]], *, name: str) -> dict[str, Any]:
    """Return mean, minimum and maximum over the folds per epoch; empty without scores."""
    shown = thin_out(range(len(rows)), MAX_POINTS)
    if not shown:
        return {}
    finite = [[v for v in rows[e] if math.isfinite(v)] for e in shown]
    return {
        "name": _clean(name),
        "epochs": [e + 1 for e in shown],
        "mean": [_number(math.fsum(f) / len(f)) if f else None for f in finite],
        "low": [_number(min(f)) if f else None for f in finite],
        "high": [_number(max(f)) if f else None for f in finite],
    }
