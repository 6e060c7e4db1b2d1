"""Compute the predictions of the sampler's model along each hyperparameter, or why none exist."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ..tracking.optuna_study import declared_space
from .study_follower import StudyFollower

if TYPE_CHECKING:
    from ..search.samplers.gp_beliefs import Belief

logger = logging.getLogger("hpsearch.reporting")


@dataclass(frozen=True, slots=True)
class Beliefs:
    """Predictions by hyperparameter, or the reason for their absence."""

    found: Mapping[str, Belief]
    reason: str = ""


_latest: WeakKeyDictionary[StudyFollower, tuple[Sequence[int], Beliefs]] = WeakKeyDictionary()


def estimate_beliefs(follower: StudyFollower) -> Beliefs:
    """Cached predictions of the sampler's model, computed again when trials have ended."""
    state = (follower.history.study.time, len(follower.history.ended))
    known = _latest.get(follower)
    if known is None or known[0] != state:
        known = _latest[follower] = (state, _estimate(follower))
    return known[1]


def _estimate(follower: StudyFollower) -> Beliefs:
    history = follower.history
    sampler = history.study.sampler
    if sampler != "gp":
        kind = f"the sampler {sampler}" if sampler else "this sampler"
        return Beliefs({}, f"{kind} has no model of the score: `gp` has one.")
    if len(history.objectives) > 1:
        return Beliefs({}, "with several objectives its model is another one for each trial.")
    from ..search.samplers.gp_beliefs import MIN_TRIALS, predict_along_parameters

    try:
        space = declared_space(history)
        predicted = predict_along_parameters(space, history.ended, history.direction)
    except Exception as error:  # a figure never ends a study
        logger.warning("the sampler's predictions are omitted: %s: %s", type(error).__name__, error)
        return Beliefs({}, "its model could not be computed; the log says why.")
    if not predicted:
        return Beliefs({}, f"too few trials: it takes {MIN_TRIALS}, one of them complete.")
    return Beliefs({belief.name: belief for belief in predicted})
