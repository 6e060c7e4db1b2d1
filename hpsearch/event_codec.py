"""Events as the journal holds them: one JSON object a line. The one encoder and the one decoder.

The object begins with `seq`, `time`, `event` (the kind) and, where there is one, `trial`, so that
what a reader does not need is skipped without parsing it.
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

HEAD = 100  # bytes of a line's JSON within which `seq`, `time`, `event` and `trial` stand
_TRIAL = re.compile(rb'"trial":(\d+),')
_EPOCH = f'"event":"{EpochFinished.kind}"'.encode()

Convert = Callable[[Any], Any]


class FormatError(Exception):
    """A line that this version cannot take: what is wrong with it, for people."""

    def __init__(self, message: str, seq: Any = "") -> None:
        """Of the event with this number, where it has one."""
        super().__init__(message)
        self.seq = seq


class NewerFormatError(FormatError):
    """A later version of hpsearch wrote it."""


class IncompleteError(FormatError):
    """A field is missing that this version needs."""


def encode_event(event: Event) -> bytes:
    """The JSON of an event. Floats keep every bit; NaN and infinities are written as such.

    Raises:
        UnicodeEncodeError: If a text is no Unicode; see `escape_event`.
    """
    return as_text(to_json(event)).encode()


def escape_event(event: Event) -> Event:
    """The event in Unicode: what a name or message holds beside that is escaped."""
    return from_json(_escape(json.loads(json.dumps(to_json(event), default=_plain))))


def to_json(event: Event) -> dict[str, Any]:
    """The fields of an event as they are written."""
    record: dict[str, Any] = {"seq": event.seq, "time": event.time, "event": event.kind}
    for field in _FIELDS[event.kind]:
        record[field.key] = getattr(event, field.name)
    if isinstance(event, EpochFinished):
        record["metrics"] = _omit_scores(event)
    return record


def _omit_scores(event: EpochFinished) -> dict[str, list[float] | None]:
    """An epoch's metrics; null where they equal the event's scores."""
    return {k: None if _same(v, event.scores) else v for k, v in event.metrics.items()}


def _same(a: list[float], b: list[float]) -> bool:
    """Whether JSON would hold the same bits; 0.0 and -0.0 are equal, but not the same."""
    return a == b and (0.0 not in a or repr(a) == repr(b))


def _restore_scores(epoch: dict[str, Any]) -> dict[str, Any]:
    """The fields of an epoch with the scores where `_omit_scores` left them out."""
    metrics = epoch["metrics"]
    if None not in metrics.values():
        return epoch
    scores = epoch["scores"]
    return {**epoch, "metrics": {k: scores if v is None else v for k, v in metrics.items()}}


def decode_event(text: bytes) -> Event:
    """The event in a line's JSON.

    Raises:
        NewerFormatError: If it begins a run of a version whose format this one does not know.
        IncompleteError: If a field is missing.
        FormatError: If another program wrote it.
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
    """The event that `to_json` wrote, now or in an earlier format.

    Raises:
        IncompleteError: If a field is missing.
        FormatError: If another program wrote it.
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
        elif kind == WinnerEvaluated.kind and "baseline" in record:  # earlier there was one
            record = {**record, "baselines": [each for each in [record["baseline"]] if each]}
        if (keys := _PLAIN.get(kind)) is not None:
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
    except TypeError as error:  # of a part
        raise FormatError(str(error), seq) from None
    return known(seq=seq, time=time, **found)


def is_one_of(text: bytes, kinds: Collection[type[Event]]) -> bool:
    """Whether a line's JSON is an event of these kinds; it is not parsed."""
    return any(f'"event":"{each.kind}"'.encode() in text[:HEAD] for each in kinds)


def is_of_trial(text: bytes, trials: Collection[int]) -> bool:
    """Whether a line's JSON is an event of one of these trials; it is not parsed."""
    found = _TRIAL.search(text, 0, HEAD) if trials else None
    return found is not None and int(found[1]) in trials


def has_number(text: bytes, seq: int) -> bool:
    """Whether a line's JSON is the event with this number; it is not parsed."""
    return text.startswith(b'{"seq":%d,' % seq)


def renumber(text: bytes, seq: int) -> bytes:
    """A line's JSON with another number, and otherwise byte for byte the same."""
    return b'{"seq":%d,' % seq + text.partition(b",")[2]


def without_metrics(text: bytes) -> bytes:
    """The JSON of an epoch without its metrics; that of another event as it is."""
    if text.find(_EPOCH, 0, HEAD) < 0:
        return text
    # The last field, behind the event's name and numbers: no text can hold the same.
    return text.partition(b',"metrics":{')[0].removesuffix(b"}") + b',"metrics":{}}'


# ---- how each kind is written ----


@dataclass(frozen=True, slots=True)
class _Field:
    name: str  # of the attribute
    key: str  # on disk
    is_required: bool
    decode: Convert | None  # of what is no plain value


def _part(made: type[Any]) -> Convert:
    """From a JSON object to a part of an event; what it does not know is ignored."""
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


_DECODED: dict[str, Convert] = {
    "data": _part(events.DataSummary),
    "objective": _part(events.Objective),
    "objectives": _parts(_part(events.Objective)),
    "source": _part(events.SourceVersion),
    "warm_start": _warm_start,
    "members": _parts(_part(events.EnsembleMember)),
    "chosen_from": _part(events.SelectionBasis),
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
# Of kinds whose fields are all needed and are what JSON makes of them, as most lines are.
_PLAIN = {
    kind: tuple(field.key for field in each)
    for kind, each in _FIELDS.items()
    if all(f.is_required and f.decode is None and f.key == f.name for f in each)
}
_RUN_KINDS = tuple(made.kind for made in RUNS)


def _plain(value: Any) -> Any:
    """A part of an event, as JSON holds it."""
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
