"""The base of all answers.

A number that is not finite, such as the score of a diverged trial, is null: JSON has no NaN. Epochs
count from 1, times are ISO 8601 in UTC, durations are seconds.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from ..trial import Value


def _drop_non_finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_drop_non_finite)]
Params = dict[str, Value]


class Answer(BaseModel):
    """A JSON object; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def format_time(milliseconds: int) -> str:
    """Format milliseconds since the epoch as ISO 8601 in UTC.

    Examples:
        >>> format_time(0)
        '1970-01-01T00:00:00+00:00'
    """
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
