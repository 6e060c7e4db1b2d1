"""Encode and decode events: one JSON object per line of the journal.

The object begins with `seq`, `time`, `event` (the kind) and, if the kind has one, `trial`, so that
readers can skip lines without parsing them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any

from . import events
from .events import (
    FORMAT,
    KINDS,
    RUNS,
    EpochFinished,
    Event,
    UnknownEvent,
    WinnerEvaluated,
)
from .record_form import wrong_field
from .trial import Limit

HEAD = 100  # the first bytes of a line's JSON, which hold `seq`, `time`, `event` and `trial`
_TRIAL = re.compile(rb'"trial":(\d+),')
_EPOCH = f'"event":"{EpochFinished.kind}"'.encode()

Convert = Callable[[Any], Any]


class FormatError(Exception):
    """A line that this version cannot decode; the message says what is wrong."""

    def __init__(self, message: str, seq: Any = "") -> None:
        """Create the error for the event with this number, if known."""
        super().__init__(message)
        self.seq = seq


class NewerFormatError(FormatError):
    """The line was written by a later version of hpsearch."""


class IncompleteError(FormatError):
    """A field that this version requires is missing."""


def encode_event(event: Event) -> bytes:
    """Encode an event as JSON. Floats are exact; NaN and infinities are written as such.

    Raises:
        UnicodeEncodeError: If a string is not valid Unicode; see `escape_event`.
    """
    return as_text(to_json(event)).encode()


def escape_event(event: Event) -> Event:
    """Escape what is not valid Unicode in the names and messages of an event."""
    return from_json(_escape(json.loads(json.dumps(to_json(event), default=_plain))))


def to_json(event: Event) -> dict[str, Any]:
    """Return the fields of an event as they are written."""
    record: dict[str, Any] = {"seq": event.seq, "time": event.time, "event": event.kind}
    for field in _FIELDS[event.kind]:
        record[field.key] = getattr(event, field.name)
    if isinstance(event, EpochFinished):
        record["metrics"] = _omit_scores(event)
        if event.values is None:
            del record["values"]
    return record


def _omit_scores(event: EpochFinished) -> dict[str, list[float] | None]:
    """Return an epoch's metrics, with null for those that equal the event's scores."""
    return {k: None if _same(v, event.scores) else v for k, v in event.metrics.items()}


def _same(a: list[float], b: list[float]) -> bool:
    """Whether two lists have the same JSON; 0.0 and -0.0 are equal but differ here."""
    return a == b and (0.0 not in a or repr(a) == repr(b))


def _restore_scores(epoch: dict[str, Any]) -> dict[str, Any]:
    """Restore the scores omitted by `_omit_scores`."""
    metrics = epoch["metrics"]
    if None not in metrics.values():
        return epoch
    scores = epoch["scores"]
    return {**epoch, "metrics": {k: scores if v is None else v for k, v in metrics.items()}}


def decode_event(text: bytes) -> Event:
    """Decode the event in a line's JSON.

    Raises:
        NewerFormatError: If it starts a run of a version with a later format.
        IncompleteError: If a field is missing.
        FormatError: If hpsearch did not write it.
    """
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(str(error)) from None
    if isinstance(record, dict) and record.get("event") in _RUN_KINDS:
        written = record.get("format", 1)
        if isinstance(written, int) and written > FORMAT:
            raise NewerFormatError(
                f"written by hpsearch {record.get('written_by', 'of a later version')} in format "
                f"{written} of the journal; this version reads up to {FORMAT}. Install that one, "
                "or a later one."
            )
    return from_json(record)


def from_json(record: Any) -> Event:
    """Build the event from the fields that `to_json` wrote, in this or an earlier format.

    Raises:
        IncompleteError: If a field is missing.
        FormatError: If hpsearch did not write it.
    """
    if (wrong := wrong_field(record)) is not None:
        raise FormatError(wrong, record.get("seq", "") if isinstance(record, Mapping) else "")
    kind = record["event"]
    known = _KINDS.get(kind)
    seq = record.get("seq", 0)
    try:
        time = record["time"]
        if known is None:
            return UnknownEvent(seq=seq, time=time, name=kind)
        if kind == EpochFinished.kind:
            record = _restore_scores(record)
        elif kind == WinnerEvaluated.kind and "baseline" in record:  # earlier: one
            record = {**record, "baselines": [each for each in [record["baseline"]] if each]}
        if (plain := _PLAIN.get(kind)) is not None:
            keys = (*plain[0], *(key for key in plain[1] if key in record))
            return known(seq=seq, time=time, **{key: record[key] for key in keys})
        found = {
            field.name: record[field.key]
            if field.decode is None
            else field.decode(record[field.key])
            for field in _FIELDS[kind]
            if field.is_required or field.key in record
        }
    except KeyError as missing:
        raise IncompleteError(f"record {seq} ({kind}) of its journal has no {missing}") from None
    except TypeError as error:  # raised by a part
        raise FormatError(str(error), seq) from None
    return known(seq=seq, time=time, **found)


def is_one_of(text: bytes, kinds: Collection[type[Event]]) -> bool:
    """Whether a line's JSON is an event of these kinds, without parsing it."""
    return any(f'"event":"{each.kind}"'.encode() in text[:HEAD] for each in kinds)


def is_of_trial(text: bytes, trials: Collection[int]) -> bool:
    """Whether a line's JSON is an event of one of these trials, without parsing it."""
    found = _TRIAL.search(text, 0, HEAD) if trials else None
    return found is not None and int(found[1]) in trials


def has_number(text: bytes, seq: int) -> bool:
    """Whether a line's JSON is the event with this number, without parsing it."""
    return text.startswith(b'{"seq":%d,' % seq)


def renumber(text: bytes, seq: int) -> bytes:
    """Replace the number in a line's JSON; the other bytes are unchanged."""
    return b'{"seq":%d,' % seq + text.partition(b",")[2]


def without_metrics(text: bytes) -> bytes:
    """Remove the metrics from an epoch's JSON; other events are returned unchanged."""
    if text.find(_EPOCH, 0, HEAD) < 0:
        return text
    # The last field, after the event's name and numbers: no string can imitate it.
    return text.partition(b',"metrics":{')[0].removesuffix(b"}") + b',"metrics":{}}'


# ---- encoding of each kind ----


@dataclass(frozen=True, slots=True)
class _Field:
    name: str  # attribute name
    key: str  # on disk
    is_required: bool
    decode: Convert | None  # None for plain values


def _part(made: type[Any]) -> Convert:
    """Decode a part of an event from a JSON object; unknown fields are ignored."""
    names = [field.name for field in fields(made)]
    return lambda value: (
        None if value is None else made(**{n: value[n] for n in names if n in value})
    )


def _parts(decode: Convert) -> Convert:
    return lambda value: None if value is None else tuple(map(decode, value))


def _parts_by_name(decode: Convert) -> Convert:
    return lambda value: None if value is None else {k: decode(v) for k, v in value.items()}


def _warm_start(value: Any) -> Any:
    decode, trials = _part(events.WarmStart), _parts(_part(events.WarmStartTrial))
    return None if value is None else decode({**value, "trials": trials(value["trials"])})


def _calibration(value: Any) -> Any:
    """Decode a calibration with tuples, so that it equals the one that was written."""
    if value is None:
        return None
    bounds = tuple(tuple(each) for each in value.get("bounds", ()))
    return _part(events.Calibration)({**value, "bounds": bounds})


def _coverage(value: Any) -> Any:
    if value is None:
        return None
    outputs = _parts(_part(events.OutputCoverage))(value.get("outputs", ()))
    return _part(events.IntervalCoverage)({**value, "outputs": outputs})


_DECODED: dict[str, Convert] = {
    "data": _part(events.DataSummary),
    "objective": _part(events.Objective),
    "objectives": _parts(_part(events.Objective)),
    "limits": _parts(_part(Limit)),
    "source": _part(events.SourceVersion),
    "warm_start": _warm_start,
    "earlier_studies": _parts(_warm_start),
    "members": _parts(_part(events.EnsembleMember)),
    "ensemble": _part(events.EnsembleComparison),
    "chosen_from": _part(events.SelectionBasis),
    "calibration": _calibration,
    "coverage": _coverage,
    "baselines": _parts(_part(events.BaselineScores)),
    "single": _part(events.SingleTrialScores),
    "importance": _part(events.ColumnImportance),
    "digests": _parts_by_name(_part(events.FileDigest)),
}


def _fields_of(kind: type[Event]) -> tuple[_Field, ...]:
    return tuple(
        _Field(
            field.name,
            field.metadata.get("key", field.name),
            field.default is MISSING and field.default_factory is MISSING,
            _DECODED.get(field.name),
        )
        for field in fields(kind)
        if field.name not in ("seq", "time")
    )


_KINDS = {made.kind: made for made in KINDS}
_FIELDS = {made.kind: _fields_of(made) for made in KINDS}
# Kinds whose fields are all required plain values, as in most lines.
_PLAIN = {
    kind: (
        tuple(field.key for field in each if field.is_required),
        tuple(field.key for field in each if not field.is_required),
    )
    for kind, each in _FIELDS.items()
    if all(f.decode is None and f.key == f.name for f in each)
}
_RUN_KINDS = tuple(made.kind for made in RUNS)


def _plain(value: Any) -> Any:
    """Encode a part of an event."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} cannot be written into a journal")


as_text = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, default=_plain).encode


def _escape(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_escape(key): _escape(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_escape(item) for item in value]
    return value
