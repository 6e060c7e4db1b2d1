"""Events without secrets: of what is about to be written, and of what an earlier version wrote."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from .event_codec import as_text, is_one_of
from .events import EpochFinished, Event, FoldFinished, TrialStarted
from .redaction import MAX_TRACEBACK_LENGTH, redact, redact_named, redact_patterns, shorten

QUOTING = ("error", "traceback", "reason")  # fields that quote the user's code
NUMBERS_ALONE = (TrialStarted, EpochFinished, FoldFinished)  # kinds without text from user code


def redact_event(event: Event) -> Event:
    """The event without secrets in what it quotes of user code."""
    found = ((name, getattr(event, name, None)) for name in QUOTING)
    texts: dict[str, Any] = {
        name: redact(shorten(text, MAX_TRACEBACK_LENGTH))
        for name, text in found
        if isinstance(text, str)
    }
    return replace(event, **texts) if texts else event


def redact_line(text: bytes) -> bytes:
    """The JSON of an event with its secrets hidden; the same where there are none.

    This version hides them before it writes; earlier ones did not.
    """
    if is_one_of(text, NUMBERS_ALONE) or redact(said := text.decode()) == said:
        return text
    fields = json.loads(text)
    hidden = {name: _without_secrets(value, name) for name, value in fields.items()}
    return text if hidden == fields else as_text(hidden).encode()


def _without_secrets(value: Any, name: str, *, has_telling_names: bool = True) -> Any:
    """A field without secrets: by their form or their name; an error's by the environment, too."""
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
