"""The form of a journal's records: which fields hold what kind of value.

A checksum proves that a line is what was written, not that a version of hpsearch wrote it: another
program may have, with a checksum of its own. What is read is checked once, here. Fields and events
that no version knows are let be; one that is missing is told by whoever needs it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], bool]

LARGEST = 2**31  # of whole numbers that count something
LAST_TIME = 253_402_300_800_000  # milliseconds since the epoch; the year 10000
STATES = ("COMPLETE", "PRUNED", "FAILED")
PREDICTIONS = re.compile(r"predictions/\d{1,12}\.npy")  # a file that `gc` may remove


def wrong_field(record: Any) -> str | None:
    """What is wrong with a record, for people; None where nothing is."""
    if not isinstance(record, dict):
        return "it is no JSON object"
    event = record.get("event")
    if not isinstance(event, str):
        return "it has no event"
    for name, (check, allowed) in _FORMS.get(event, _EVERY).items():
        if name in record and not check(record[name]):
            return f"{name} of {event!r} must be {allowed}, not {_shown(record[name])}"
    return None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _number(value: Any) -> bool:
    """NaN and infinities count: a score may be one."""
    if isinstance(value, float):
        return True
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _whole(value: Any, below: int = LARGEST) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < below


def _time(value: Any) -> bool:
    return _whole(value, LAST_TIME)


def _seed(value: Any) -> bool:
    return _whole(value, 2**64)


def _object(value: Any) -> bool:
    return isinstance(value, Mapping)


def _value(value: Any) -> bool:
    """What a hyperparameter may be."""
    return value is None or isinstance(value, str | bool) or _number(value)


def _state(value: Any) -> bool:
    return value in STATES


def _file(value: Any) -> bool:
    return isinstance(value, str) and PREDICTIONS.fullmatch(value) is not None


def _each(check: Check) -> Check:
    return lambda value: isinstance(value, list | tuple) and all(map(check, value))


def _named(check: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _with(**checks: Check) -> Check:
    """An object that has these fields."""

    def check(value: Any) -> bool:
        return isinstance(value, Mapping) and all(
            name in value and each(value[name]) for name, each in checks.items()
        )

    return check


def _interval(value: Any) -> bool:
    return _each(_number)(value) and len(value) == 2


def _inside(value: Any) -> bool:
    """The names of files below a folder, and what is known of each."""
    return _named(_with(bytes=_whole_size, sha256=_text))(value) and not any(
        ".." in name.split("/") or name.startswith("/") or "\\" in name for name in value
    )


def _whole_size(value: Any) -> bool:
    return _whole(value, 2**63)


_numbers, _metrics = _each(_number), _named(_number)
_FLOAT = {float}


def _some_numbers(value: Any) -> bool:
    if type(value) is list and set(map(type, value)) == _FLOAT:  # next to all of a journal
        return True
    return _numbers(value) and len(value) > 0


_members = _each(_with(trial=_whole, weight=_number))
_objective = _with(direction=lambda value: value in ("maximize", "minimize"))
_NUMBER, _WHOLE, _TEXT = (_number, "a number"), (_whole, "a whole number"), (_text, "a text")
_OBJECT, _NUMBERS = (_object, "an object"), (_numbers, "a list of numbers")
_MEMBERS, _METRICS = (_members, "a list of trials and weights"), (_metrics, "numbers by name")
_DIGESTS = (_inside, "sizes and digests of files")
_OBJECTS_BY_TEXT = (_named(_text), "texts by name")


def _optional(form: tuple[Check, str]) -> tuple[Check, str]:
    return _or_none(form[0]), f"{form[1]} or null"


Form = dict[str, tuple[Check, str]]
_EVERY: Form = {"seq": _WHOLE, "time": (_time, "milliseconds since 1970")}
_TRIAL: Form = {"trial": _WHOLE, "attempt": _WHOLE}
_DECLARED: Form = {
    "resolved": _optional(_OBJECT),
    "defaults": _optional(_OBJECT),
    "files": _optional(_OBJECTS_BY_TEXT),
    "environment": _optional(_OBJECTS_BY_TEXT),
}
_RUN: Form = {"format": _WHOLE, "written_by": _TEXT}
_CIRCUMSTANCES: Form = {"workers": _optional(_WHOLE), "threads": _optional(_WHOLE)}
_OUTCOME: Form = {
    "score": _optional(_NUMBER),
    "spread": _optional(_NUMBER),
    "fold_scores": _optional(_NUMBERS),
    "seconds": _optional(_NUMBER),
    "error": _optional(_TEXT),
}
_EVENTS: dict[str, Form] = {
    "study": {
        **_RUN,
        **_DECLARED,
        **_CIRCUMSTANCES,
        "study": _TEXT,
        "key": _TEXT,
        "spec": _OBJECT,
        "fingerprint": _TEXT,
        "data": _OBJECT,
        "task": _TEXT,
        "objective": (_objective, "an object with a direction"),
        "objectives": _optional((_each(_objective), "a list of objectives")),
        "seed": _optional((_seed, "a whole number")),
        "sampler": _TEXT,
        "pruner": _TEXT,
        "trainer": _TEXT,
        "trainer_reason": _TEXT,
        "source": _optional(_OBJECT),
        "owner": _optional(_TEXT),
        "host": _optional(_TEXT),
        "folder": _TEXT,
        "warm_start": _optional(
            (_with(study=_text, trials=_each(_object)), "another study and its trials")
        ),
    },
    "resumed": {**_RUN, **_CIRCUMSTANCES},
    "changed": {**_DECLARED, "changes": (_each(_each(_text)), "a list of changes")},
    "asked": {
        **_TRIAL,
        "params": (_named(_value), "values by name"),
        "seed": (_seed, "a whole number"),
        "epochs": _WHOLE,
    },
    "remembered": {"trial": _WHOLE, "of": _WHOLE, "score": _optional(_NUMBER)},
    "started": _TRIAL,
    "epoch": {
        **_TRIAL,
        "epoch": _WHOLE,
        "scores": (_some_numbers, "a list of numbers"),
        "metrics": (_named(_some_numbers), "lists of numbers by name"),
    },
    "fold": {**_TRIAL, "fold": _WHOLE, "scores": (_some_numbers, "a list of numbers")},
    "result": {
        **_TRIAL,
        **_OUTCOME,
        "state": (_state, "COMPLETE, PRUNED or FAILED"),
        "best_epoch": _optional(_WHOLE),
        "n_parameters": _optional((_whole_size, "a whole number")),
        "latency_ms": _optional(_NUMBER),
        "values": _optional((_each(_or_none(_number)), "a list of numbers")),
        "trainer": _TEXT,
        "traceback": _optional(_TEXT),
        "predictions": _optional((_file, "a file of predictions/")),
        "predictions_crc32": _optional((_seed, "a whole number")),
    },
    "trainer": {"trainer": _TEXT, "reason": _TEXT},
    "ended": {"cause": _TEXT, "reason": _TEXT},
    "finalist": {"trial": _WHOLE, **_OUTCOME},
    "winner": {
        **_TRIAL,
        "epochs": _optional(_WHOLE),
        "score": _optional(_NUMBER),
        "spread": _optional(_NUMBER),
        "finalist_score": _optional(_NUMBER),
        "finalist_spread": _optional(_NUMBER),
        "members": _MEMBERS,
        "threshold": _NUMBER,
        "of": _optional(_OBJECT),
    },
    "predictions": {
        **_TRIAL,
        "file": (_file, "a file of predictions/"),
        "crc32": (_seed, "a whole number"),
    },
    "fitted": {
        "trial": _optional(_WHOLE),
        "members": _MEMBERS,
        "threshold": _optional(_NUMBER),
        "digests": _DIGESTS,
    },
    "reading": {"trial": _optional(_WHOLE), "rows": _optional(_WHOLE)},
    "final": {
        "trial": _optional(_WHOLE),
        "epochs": _optional(_WHOLE),
        "members": _MEMBERS,
        "reads": _WHOLE,
        "test_rows": _optional(_WHOLE),
        "threshold": _optional(_NUMBER),
        "test": _METRICS,
        "intervals": (_named(_interval), "pairs of numbers by name"),
        "baseline": _optional((_with(name=_text, metrics=_metrics), "a model and its metrics")),
        "confusion": _optional((_each(_numbers), "a table of numbers")),
        "importance": _optional(
            (_with(metric=_text, columns=_named(_numbers)), "lists of numbers by column")
        ),
        "single": _optional((_with(trial=_whole, metrics=_metrics), "a trial and its metrics")),
        "seconds": _optional(_NUMBER),
        "digests": _optional(_DIGESTS),
    },
    "plots": {"failed": _OBJECTS_BY_TEXT},
    "promoted": {
        "name": _TEXT,
        "version": _WHOLE,
        "alias": _TEXT,
        "before": _optional(_WHOLE),
        "comparison": _optional(_TEXT),
    },
}
_FORMS = {event: _EVERY | form for event, form in _EVENTS.items()}
