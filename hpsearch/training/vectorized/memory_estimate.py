"""Count the trials that fit in the device's memory, without training or allocating them."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import UnsuitableError
from ...trial import TrialSpec
from ..problem import Problem
from . import session


def count_fitting_trials(problem: Problem, trials: Sequence[TrialSpec]) -> int | None:
    """Count how many of `trials` the device trains side by side.

    Their programs are compiled as in training, and report the memory that they need.

    Returns:
        None if the device does not report its memory, as a CPU, if the model cannot be vectorised,
        or if rows are transferred part by part.
    """
    session.start_session()
    from .batch_engine import BatchEngine
    from .device_data import make_device_data
    from .device_health import device_memory
    from .program_cache import ProgramCache

    if device_memory() is None:
        return None
    programs = ProgramCache(threads=True, precision=problem.precision)
    data = make_device_data(problem)
    if data.stream is not None:
        return None
    try:
        return BatchEngine(problem, data, programs).count_fitting(trials)
    except UnsuitableError:
        return None
