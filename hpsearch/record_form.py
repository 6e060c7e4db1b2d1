"""Validate the fields of a journal's records.

A checksum proves that a line is unchanged, not that hpsearch wrote it: another program can write
valid checksums. Records are validated once, here. Unknown fields and events are kept; a missing
field is reported where it is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], bool]

LARGEST = 2**31  # bound of counts
LAST_TIME = 253_402_300_800_000  # milliseconds since the epoch; the year 10000
STATES = ("COMPLETE", "PRUNED", "FAILED")
PREDICTIONS = re.compile(r"predictions/\d{1,12}\.npy")  # files that `gc` may remove


def wrong_field(record: Any) -> str | None:
    """Describe what is wrong with a record; None if it is valid."""
    if not isinstance(record, dict):
        return "it is not a JSON object"
    event = record.get("event")
    if not isinstance(event, str):
        return "it has no event"
    for name, (check, allowed) in _FORMS.get(event, _EVERY).items():
        if name in record and not check(record[name]):
            return f"{name} of {event!r} must be {allowed}, not {_format_value(record[name])}"
    return None


def _format_value(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    """Whether a value is a number; NaN and infinities are allowed, since a score may be one."""
    if isinstance(value, float):
        return True
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value > 0


def _is_whole(value: Any, below: int = LARGEST) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < below


def _is_time(value: Any) -> bool:
    return _is_whole(value, LAST_TIME)


def _is_seed(value: Any) -> bool:
    return _is_whole(value, 2**64)


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_param_value(value: Any) -> bool:
    """Whether a value can be a hyperparameter."""
    return value is None or isinstance(value, str | bool) or _is_number(value)


def _is_state(value: Any) -> bool:
    return value in STATES


def _is_predictions_file(value: Any) -> bool:
    return isinstance(value, str) and PREDICTIONS.fullmatch(value) is not None


def _list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list | tuple) and all(map(check, value))


def _mapping_of(check: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _object_with(**checks: Check) -> Check:
    """Make a check for an object with these fields."""

    def check(value: Any) -> bool:
        return isinstance(value, Mapping) and all(
            name in value and each(value[name]) for name, each in checks.items()
        )

    return check


def _is_interval(value: Any) -> bool:
    return _list_of(_is_number)(value) and len(value) == 2


def _is_digests(value: Any) -> bool:
    """Whether a value maps relative file names to digests."""
    return _mapping_of(_object_with(bytes=_is_size, sha256=_is_text))(value) and not any(
        ".." in name.split("/") or name.startswith("/") or "\\" in name for name in value
    )


def _is_size(value: Any) -> bool:
    return _is_whole(value, 2**63)


_numbers, _metrics = _list_of(_is_number), _mapping_of(_is_number)
_FLOAT = {float}


def _is_nonempty_numbers(value: Any) -> bool:
    if type(value) is list and set(map(type, value)) == _FLOAT:  # nearly all lines of a journal
        return True
    return _numbers(value) and len(value) > 0


_members = _list_of(_object_with(trial=_is_whole, weight=_is_number))
_objective = _object_with(direction=lambda value: value in ("maximize", "minimize"))
_NUMBER, _WHOLE, _TEXT = (
    (_is_number, "a number"),
    (_is_whole, "a whole number"),
    (_is_text, "a text"),
)
_OBJECT, _NUMBERS = (_is_object, "an object"), (_numbers, "a list of numbers")
_MEMBERS, _METRICS = (_members, "a list of trials and weights"), (_metrics, "numbers by name")
_CALIBRATION = (
    _or_none(_object_with(temperature=_is_positive, bounds=_list_of(_numbers))),
    "a temperature and bounds, or null",
)
_COMPARISON = (
    _object_with(score=_is_number, single_score=_is_number, advantage=_is_number, error=_is_number),
    "scores of an ensemble and a trial",
)
_limit = _object_with(name=_is_text, bound=_is_number)
_LIMITS = (_or_none(_list_of(_limit)), "a list of limits, or null")
_DIGESTS = (_is_digests, "sizes and digests of files")
_OBJECTS_BY_TEXT = (_mapping_of(_is_text), "texts by name")


def _optional(form: tuple[Check, str]) -> tuple[Check, str]:
    return _or_none(form[0]), f"{form[1]} or null"


Form = dict[str, tuple[Check, str]]
_EVERY: Form = {"seq": _WHOLE, "time": (_is_time, "milliseconds since 1970")}
_TRIAL: Form = {"trial": _WHOLE, "attempt": _WHOLE}
_DECLARED: Form = {
    "resolved": _optional(_OBJECT),
    "defaults": _optional(_OBJECT),
    "files": _optional(_OBJECTS_BY_TEXT),
    "environment": _optional(_OBJECTS_BY_TEXT),
}
_RUN: Form = {"format": _WHOLE, "written_by": _TEXT}
_STUDY_WITH_TRIALS = _object_with(study=_is_text, trials=_list_of(_is_object))
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
        "objectives": _optional((_list_of(_objective), "a list of objectives")),
        "limits": _LIMITS,
        "seed": _optional((_is_seed, "a whole number")),
        "sampler": _TEXT,
        "pruner": _TEXT,
        "trainer": _TEXT,
        "trainer_reason": _TEXT,
        "source": _optional(_OBJECT),
        "owner": _optional(_TEXT),
        "host": _optional(_TEXT),
        "folder": _TEXT,
        "first_epoch": _WHOLE,
        "warm_start": _optional((_STUDY_WITH_TRIALS, "another study and its trials")),
        "earlier_studies": _optional((_list_of(_STUDY_WITH_TRIALS), "studies and their trials")),
    },
    "resumed": {
        **_RUN,
        **_CIRCUMSTANCES,
        "budget": _optional(_OBJECT),
        "selection": _optional(_OBJECT),
    },
    "changed": {
        **_DECLARED,
        "changes": (_list_of(_list_of(_is_text)), "a list of changes"),
        "limits": _LIMITS,
    },
    "asked": {
        **_TRIAL,
        "params": (_mapping_of(_is_param_value), "values by name"),
        "seed": (_is_seed, "a whole number"),
        "epochs": _WHOLE,
    },
    "remembered": {"trial": _WHOLE, "of": _WHOLE, "score": _optional(_NUMBER)},
    "started": _TRIAL,
    "epoch": {
        **_TRIAL,
        "epoch": _WHOLE,
        "scores": (_is_nonempty_numbers, "a list of numbers"),
        "values": _optional((_list_of(_or_none(_is_number)), "a list of numbers")),
        "metrics": (
            _mapping_of(_or_none(_is_nonempty_numbers)),  # null: equal to the scores
            "lists of numbers by name",
        ),
    },
    "fold": {**_TRIAL, "fold": _WHOLE, "scores": (_is_nonempty_numbers, "a list of numbers")},
    "result": {
        **_TRIAL,
        **_OUTCOME,
        "state": (_is_state, "COMPLETE, PRUNED or FAILED"),
        "best_epoch": _optional(_WHOLE),
        "n_parameters": _optional((_is_size, "a whole number")),
        "latency_ms": _optional(_NUMBER),
        "values": _optional((_list_of(_or_none(_is_number)), "a list of numbers")),
        "measured": _optional((_mapping_of(_is_number), "numbers by name")),
        "trainer": _TEXT,
        "traceback": _optional(_TEXT),
        "predictions": _optional((_is_predictions_file, "a file of predictions/")),
        "predictions_crc32": _optional((_is_seed, "a whole number")),
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
        "calibration": _CALIBRATION,
        "comparison": _optional(_COMPARISON),
        "of": _optional(_OBJECT),
    },
    "predictions": {
        **_TRIAL,
        "file": (_is_predictions_file, "a file of predictions/"),
        "crc32": (_is_seed, "a whole number"),
    },
    "fitted": {
        "trial": _optional(_WHOLE),
        "members": _MEMBERS,
        "threshold": _optional(_NUMBER),
        "calibration": _CALIBRATION,
        "ms_per_row": _optional(_NUMBER),
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
        "calibration": _CALIBRATION,
        "coverage": _optional(
            (
                _object_with(level=_is_number, share=_is_number, size=_is_number),
                "a level, a share and a size",
            )
        ),
        "test": _METRICS,
        "intervals": (_mapping_of(_is_interval), "pairs of numbers by name"),
        "baseline": _optional(
            (_object_with(name=_is_text, metrics=_metrics), "a model and its metrics")
        ),
        "baselines": _optional(
            (
                _list_of(_object_with(name=_is_text, metrics=_metrics)),
                "a list of models and their metrics",
            )
        ),
        "confusion": _optional((_list_of(_numbers), "a table of numbers")),
        "importance": _optional(
            (
                _object_with(metric=_is_text, columns=_mapping_of(_numbers)),
                "lists of numbers by column",
            )
        ),
        "single": _optional(
            (_object_with(trial=_is_whole, metrics=_metrics), "a trial and its metrics")
        ),
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
    "noted": {"text": _TEXT},
    "renamed": {"name": _TEXT},
}
_FORMS = {event: _EVERY | form for event, form in _EVENTS.items()}
