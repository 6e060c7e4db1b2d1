"""Learn from earlier studies of other data, whose spaces overlap with this one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from .axes import Array
from .model import Posterior
from .model_space import ModelSpace
from .observations import Observation
from .process_ensemble import weigh_processes
from .trial_model import TrialModel, fit_trial_model

MIN_TRIALS = 3  # of an earlier study, or of this one, that a comparison needs


@dataclass(frozen=True, slots=True)
class EarlierStudy:
    """The complete trials of an earlier study.

    Args:
        params: Values by name. Those of parameters that this space lacks are ignored; parameters
            that a trial lacks are in the middle of their range.
        values: Scores, smaller is better; only their order and relative gaps matter.
    """

    params: Sequence[Mapping[str, Any]]
    values: Sequence[float]


def fit_earlier_studies(space: ModelSpace, studies: Sequence[EarlierStudy]) -> list[Posterior]:
    """Fit a process to each study; those with fewer than 3 trials within the space are left out."""
    found = []
    for study in studies:
        pairs = [
            (Observation(i, params, value, 0.0), point)
            for i, (params, value) in enumerate(zip(study.params, study.values, strict=True))
            if np.isfinite(value) and (point := _encode(space, params)) is not None
        ]
        if len(pairs) >= MIN_TRIALS:
            seen, points = zip(*pairs, strict=True)
            fitted = fit_trial_model(space, seen, points, has_progress=False).posterior
            assert isinstance(fitted, Posterior)
            found.append(fitted)
    return found


def add_earlier_studies(model: TrialModel, earlier: Sequence[Posterior]) -> TrialModel:
    """Return the model with a weighted ensemble of processes instead of its own alone.

    Args:
        model: The model of this study's trials.
        earlier: From `fit_earlier_studies`.
    """
    own, seen = model.posterior, model.observations
    index = np.array([i for i, o in enumerate(seen) if not o.progress and np.isfinite(o.error)])
    if not isinstance(own, Posterior) or not earlier or len(index) < MIN_TRIALS:
        return model
    rows = model.features(model.points, model.space.active(model.points))
    values = np.array([seen[i].value for i in index])
    ensemble = weigh_processes(own, earlier, rows[index], values, index)
    if len(ensemble.members) == 1:
        return model
    return replace(model, posterior=ensemble, mean=ensemble.predict(rows)[0])


def _encode(space: ModelSpace, params: Mapping[str, Any]) -> Array | None:
    """Return the coordinates of a trial; None if a value is outside the space."""
    inside = (
        _contains(p.distribution, params[p.name]) for p in space.parameters if p.name in params
    )
    return space.encode(params) if all(inside) else None


def _contains(distribution: BaseDistribution, value: Any) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return isinstance(value, int | float) and distribution.low <= value <= distribution.high
