"""Find the version of a table that was current at a moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from ..errors import DataError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def find_version_at(timestamp: datetime, history: Sequence[tuple[int, int]]) -> int:
    """Return the version that was current at a moment.

    Args:
        timestamp: The moment; UTC unless it has an offset.
        history: The versions in the order in which they became current, each with the milliseconds
            since the epoch when it did.

    Raises:
        DataError: If the moment is before all of them.
    """
    moment = timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)
    milliseconds = (moment - EPOCH) // MILLISECOND
    found = [version for version, since in history if since <= milliseconds]
    if not found:
        first = EPOCH + min((since for _, since in history), default=0) * MILLISECOND
        raise DataError(
            f"data.timestamp: {moment.isoformat()} is before the first version that the table "
            f"still records, of {first.isoformat()}"
        )
    return found[-1]
