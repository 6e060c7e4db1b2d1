"""Faults on demand: the steps of a study at which a test makes something break.

`HPSEARCH_FAULT=after_ask:3=kill` kills the process when it passes `after_ask` for the third time;
several faults are separated by commas. Unset, as it is but in tests, a step costs one look at an
empty table. `STEPS` and `ACTIONS` list what can be broken; docs/reliability.md says which
fault is tested where.
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
    "after_ask",  # the trial is in the journal, and not yet submitted
    "after_dispatch",  # an executor has it
    "before_result",  # its result has come and is written nowhere
    "after_result",  # it is in the journal, and not yet told to the sampler
    "after_tell",  # the sampler knows it
    "before_log",  # a request to MLflow is next
    "after_log",  # MLflow has carried it out, the cursor does not know it
    "before_promote",  # the version is registered, the alias is not moved
    "after_promote",  # the alias is moved, the journal does not know it
    "after_epoch",  # in a worker: an epoch was reported
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
    "disk_full": _raise_disk_full,  # what writing to a full disk raises
    "hang": _wait_forever,  # takes no CPU and heeds no coordinator
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What breaks at which pass."""

    step: str
    times: int  # the pass at which it strikes, 1 for the first
    action: str


def parse_faults(text: str) -> tuple[Fault, ...]:
    """The faults in the variable's text.

    Raises:
        SpecError: If it names a step or an action that does not exist.

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
_faults = parse_faults(
    os.environ.get(VARIABLE, "")
)  # once: a process has the environment it began with


def fault_point(step: str) -> None:
    """Say that the process has come to a step; break there if that was asked for."""
    if not _faults:
        return
    _passes[step] += 1
    for fault in _faults:
        if (fault.step, fault.times) == (step, _passes[step]):
            ACTIONS[fault.action]()
