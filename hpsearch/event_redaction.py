"""Redact events before they are written, and lines written by earlier versions."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from .event_codec import as_text, is_one_of
from .events import EpochFinished, Event, FoldFinished, TrialStarted
from .redaction import MAX_TRACEBACK_LENGTH, redact, redact_named, redact_patterns, shorten

QUOTING = ("error", "traceback", "reason")  # fields that quote output of user code
NUMBERS_ALONE = (TrialStarted, EpochFinished, FoldFinished)  # kinds without text from user code


def redact_event(event: Event) -> Event:
    """Hide the secrets in the fields of an event that quote user code."""
    found = ((name, getattr(event, name, None)) for name in QUOTING)
    texts: dict[str, Any] = {
        name: redact(shorten(text, MAX_TRACEBACK_LENGTH))
        for name, text in found
        if isinstance(text, str)
    }
    return replace(event, **texts) if texts else event


def redact_line(text: bytes) -> bytes:
    """Hide the secrets in an event's JSON; returns the same bytes if there are none.

    Earlier versions wrote events unredacted.
    """
    if is_one_of(text, NUMBERS_ALONE) or redact(decoded := text.decode()) == decoded:
        return text
    fields = json.loads(text)
    hidden = {name: _without_secrets(value, name) for name, value in fields.items()}
    return text if hidden == fields else as_text(hidden).encode()


def _without_secrets(value: Any, name: str, *, has_telling_names: bool = True) -> Any:
    """Redact a field by patterns and by its name; an error also by environment variables."""
    if isinstance(value, dict):
        tell = has_telling_names and name != "data"  # keys there are names of columns
        return {k: _without_secrets(v, str(k), has_telling_names=tell) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_secrets(v, name, has_telling_names=has_telling_names) for v in value]
    if not isinstance(value, str):
        return value
    if name in QUOTING:
        return redact(value)
    if name == "key" or not has_telling_names:  # the key of a study is random
        return redact_patterns(value)
    return redact_named(name, value)
