"""Fault injection: steps of a study at which a test can trigger a fault.

`HPSEARCH_FAULT=after_ask:3=kill` kills the process when it passes `after_ask` for the third time;
several faults are separated by commas. When unset, a step costs one lookup in an empty table.
`STEPS` and `ACTIONS` list the choices; docs/reliability.md says which fault is tested where.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .errors import SpecError
from .platforms.processes import kill_self

VARIABLE = "HPSEARCH_FAULT"

STEPS = (
    "after_ask",  # the trial is in the journal and not yet submitted
    "after_dispatch",  # the executor has the trial
    "before_result",  # the result was received and is not yet written
    "after_result",  # the result is in the journal; the sampler does not have it yet
    "after_tell",  # the sampler has the result
    "before_log",  # a request to MLflow is next
    "after_log",  # MLflow has executed the request, the cursor has not moved
    "before_promote",  # the version is registered, the alias has not moved
    "after_promote",  # the alias has moved, the journal does not record it yet
    "after_epoch",  # in a worker, after reporting an epoch
    "writing_artifact",  # predictions or the final model are about to be written
)


def _make_signal(number: int) -> Callable[[], None]:
    return lambda: signal.raise_signal(number)


def _raise_disk_full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _wait_forever() -> None:
    while True:
        time.sleep(3600)


ACTIONS: Mapping[str, Callable[[], None]] = {
    "kill": kill_self,
    "int": _make_signal(signal.SIGINT),
    "term": _make_signal(signal.SIGTERM),
    "disk_full": _raise_disk_full,  # as if the disk were full
    "hang": _wait_forever,  # stops responding, without using CPU
}


@dataclass(frozen=True, slots=True)
class Fault:
    """An action at the n-th pass of a step."""

    step: str
    times: int  # 1-based pass at which it acts
    action: str


def parse_faults(text: str) -> tuple[Fault, ...]:
    """Parse the faults in the environment variable.

    Raises:
        SpecError: If a step or an action is unknown.

    Examples:
        >>> parse_faults("after_ask:3=kill")
        (Fault(step='after_ask', times=3, action='kill'),)
    """
    return tuple(_parse_fault(part.strip()) for part in text.split(",") if part.strip())


def _parse_fault(text: str) -> Fault:
    match = re.fullmatch(r"(\w+)(?::([1-9]\d*))?=(\w+)", text)
    if match is None or match[1] not in STEPS or match[3] not in ACTIONS:
        raise SpecError(
            f"{VARIABLE}={text}: must be STEP:TIMES=ACTION. "
            f"Steps: {', '.join(STEPS)}. Actions: {', '.join(ACTIONS)}."
        )
    return Fault(match[1], int(match[2] or 1), match[3])


_passes: Counter[str] = Counter()
_faults = parse_faults(os.environ.get(VARIABLE, ""))  # cached: read from the environment once


def fault_point(step: str) -> None:
    """Mark a step of the process, and trigger a fault set for it."""
    if not _faults:
        return
    _passes[step] += 1
    for fault in _faults:
        if (fault.step, fault.times) == (step, _passes[step]):
            ACTIONS[fault.action]()
