"""The journal: an append-only file with one checksummed line per event of a study.

A line is `<crc32 of the rest, 8 hex digits> <JSON>\\n`; `events.py` defines the events and
`event_codec.py` their encoding. A torn last line is one that a crash cut short.
"""

from .lines import START_OVER, encode_line, is_sound
from .ownership import find_owner, take_lock
from .reader import Page, read_page, redacted_text, stream_records, stream_scores
from .salvage import Salvage, SoundLine, find_missing_line, salvage_records
from .writer import Journal

__all__ = [
    "START_OVER",
    "Journal",
    "Page",
    "Salvage",
    "SoundLine",
    "encode_line",
    "find_missing_line",
    "find_owner",
    "is_sound",
    "read_page",
    "redacted_text",
    "salvage_records",
    "stream_records",
    "stream_scores",
    "take_lock",
]
