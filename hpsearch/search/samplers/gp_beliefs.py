"""Predict the score along each hyperparameter with the model of the sampler `gp`.

The model is fitted to the ended trials of a history, as before an ask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...param_encoding import OPTUNA_STATES, encode_value, to_distribution
from ...spec.search_space import Categorical, Int, Parameter, SearchSpace
from ...trial import Direction, Trial, Value, is_score, orient
from .optuna_kinds import OPTUNA, make_model_parameters

if TYPE_CHECKING:
    from ..gp.trial_model import TrialModel

MIN_TRIALS = 3  # ended trials that the sampler needs
GRID = 33  # points along a range
DEVIATIONS = 1.645  # on either side of the mean: a 90% interval


@dataclass(frozen=True, slots=True)
class Belief:
    """The predicted score along one hyperparameter; the others are those of one trial."""

    name: str
    centre: int  # the number of that trial: the best one that has the hyperparameter
    values: Sequence[Value]  # ascending; all choices
    mean: Sequence[float]  # the median prediction at each of `values`
    low: Sequence[float]  # the lower end of its 90% interval
    high: Sequence[float]


def predict_along_parameters(
    space: SearchSpace, trials: Sequence[Trial], direction: Direction
) -> list[Belief]:
    """Return the predictions along each hyperparameter that a complete trial has, in order.

    Args:
        space: A space without branches.
        trials: The study's trials, in the order in which they ended.
        direction: The score's direction.
    """
    ranked = sorted(
        (t for t in trials if t.state == "COMPLETE" and is_score(t.score)),
        key=lambda t: -orient(t.score or 0.0, direction),
    )
    model = fit_ended_trials(space, trials, direction)
    if model is None or not ranked:
        return []
    declared = {p.name: p for p in space}
    ranked = [t for t in ranked if _fits(t, declared)]
    sign = -1.0 if direction == "maximize" else 1.0
    found = []
    for p in space:
        centre = next((t for t in ranked if p.name in t.params), None)
        if centre is None or p.size == 1:
            continue
        values = _spread_values(p)
        at = _encode_params(centre.params, declared)
        points = np.array(
            [model.space.encode({**at, p.name: encode_value(p, value)}) for value in values]
        )
        middle, one, other = (
            sign * v for v in model.predict_scores(points, (0.0, -DEVIATIONS, DEVIATIONS))
        )
        low, high = np.minimum(one, other), np.maximum(one, other)
        ends = (middle.tolist(), low.tolist(), high.tolist())
        found.append(Belief(p.name, centre.number, values, *ends))
    return found


def fit_ended_trials(
    space: SearchSpace, trials: Sequence[Trial], direction: Direction
) -> TrialModel | None:
    """Fit the model of the sampler `gp` to ended trials, the latest of them if there are many.

    Args:
        space: A space without branches.
        trials: The study's trials, in the order in which they ended.
        direction: The score's direction.

    Returns:
        The model; smaller scores are better there. None if there are too few trials.
    """
    from ..gp.model_space import ModelSpace
    from ..gp.observations import collect_observations
    from ..gp.trial_model import blas_controller, fit_trial_model

    declared = {p.name: p for p in space}
    known = [t for t in trials if t.state in OPTUNA_STATES and _fits(t, declared)]
    known = known[-(OPTUNA["gp"].max_trials or len(known)) :]
    frozen = [_freeze_trial(t, _encode_params(t.params, declared), declared) for t in known]
    seen = collect_observations(frozen, maximize=[direction == "maximize"])
    if len(seen) < MIN_TRIALS:
        return None
    model_space = ModelSpace(make_model_parameters(space))
    points = [model_space.encode(o.params) for o in seen]
    with blas_controller().limit(limits=1):
        return fit_trial_model(model_space, seen, points)


def _fits(trial: Trial, declared: Mapping[str, Parameter]) -> bool:
    """Whether the trial's values are in the space; a custom model may have added others."""
    return all(declared[n].contains(v) for n, v in trial.params.items() if n in declared)


def _encode_params(
    params: Mapping[str, Value], declared: Mapping[str, Parameter]
) -> dict[str, Value]:
    return {n: encode_value(declared[n], v) for n, v in params.items() if n in declared}


def _freeze_trial(trial: Trial, params: dict[str, Value], declared: Mapping[str, Parameter]) -> Any:
    """Return the trial as `OptunaSampler.tell` passes it to the sampler."""
    from optuna.trial import FrozenTrial, TrialState

    complete = trial.state == "COMPLETE"
    folds = {} if trial.fold_scores is None else {"fold_scores": list(trial.fold_scores)}
    return FrozenTrial(
        number=trial.number,
        state=TrialState[OPTUNA_STATES[trial.state]],
        value=trial.score if complete else None,
        datetime_start=None,
        datetime_complete=None,
        params=params,
        distributions={name: to_distribution(declared[name]) for name in params},
        user_attrs=folds,
        system_attrs={},
        intermediate_values=dict(enumerate(trial.mean_scores())),
        trial_id=trial.number,
    )


def _spread_values(p: Parameter) -> Sequence[Value]:
    """Return all values of a hyperparameter, or some spread over its range."""
    if isinstance(p, Categorical) or p.size <= GRID:
        return [p.value(i) for i in range(int(p.size))]
    low, high = p.low, p.max_value
    ends = np.geomspace(low, high, GRID) if p.log else np.linspace(low, high, GRID)
    if isinstance(p, Int):
        return sorted({p.value(round((v - low) / p.step)) for v in ends.tolist()})
    return [min(max(v, low), high) for v in ends.tolist()]
