"""Convert a study's history to an Optuna study.

Used for Optuna's figures and for the export that `optuna-dashboard` opens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..history import History
from ..param_encoding import OPTUNA_STATES, to_distribution
from ..spec.branches import merge_ranges
from ..spec.parameter_declarations import ParameterDeclaration, build_space
from ..spec.search_space import Categorical, Parameter, SearchSpace
from ..trial import Trial, Value, is_score

if TYPE_CHECKING:
    import optuna


def declared_space(history: History) -> SearchSpace:
    """Return the declared search space, with the ranges of a name merged.

    If it was edited, it holds the ranges before and after: the points of all trials.
    """
    from pydantic import TypeAdapter

    edited = [c.resolved for c in history.changes if c.outside is not None and c.resolved]
    spaces = [each.get("search_space", {}) for each in (history.study.spec, *edited)]
    adapter: TypeAdapter[Mapping[str, ParameterDeclaration]] = TypeAdapter(
        dict[str, ParameterDeclaration]
    )
    found = [build_space(adapter.validate_python(space)) for space in spaces]
    parameters: list[Parameter] = []
    for p in (p for space in found for p in space.parameters):
        if p not in parameters:
            parameters.append(p)
    return merge_ranges(replace(found[-1], parameters=tuple(parameters)))


def build_optuna_study(
    history: History, storage: Any = None, *, trials: Sequence[Trial] | None = None
) -> optuna.Study:
    """Build the study with all or the given trials, in memory unless a storage is given.

    Unfinished trials are omitted: in another process they would seem to run forever.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=history.name,
        direction=history.direction,
        storage=storage,
    )
    add_ended_trials(study, history, history.trials if trials is None else trials)
    return study


def add_ended_trials(study: optuna.Study, history: History, trials: Sequence[Trial]) -> None:
    """Add the ended ones of `trials`."""
    parameters = {p.name: p for p in declared_space(history)}
    ended = [t for t in trials if t.state in OPTUNA_STATES]
    frozen = [_make_frozen_trial(trial, parameters) for trial in ended]
    for trial, made in zip(ended, frozen, strict=True):
        values = history.violations(trial) or ()
        for limit, value in zip(history.limits, values, strict=False):
            if is_score(value):
                made.set_constraint(str(limit), value)
    study.add_trials(frozen)


def make_distribution(parameter: Parameter) -> optuna.distributions.BaseDistribution:
    """Make Optuna's distribution of a parameter, with readable choices."""
    choices = _categorical_choices(parameter) if isinstance(parameter, Categorical) else None
    return to_distribution(parameter, choices)


def _categorical_choices(parameter: Categorical) -> tuple[Value, ...]:
    """Return the choices, as strings if Optuna would treat some as equal, such as 1 and True."""
    distinct = len(set(parameter.choices)) == len(parameter.choices)
    return parameter.choices if distinct else tuple(map(repr, parameter.choices))


def _make_frozen_trial(
    trial: Trial, parameters: Mapping[str, Parameter]
) -> optuna.trial.FrozenTrial:
    import optuna

    params: dict[str, Value] = {}
    distributions: dict[str, optuna.distributions.BaseDistribution] = {}
    for name, value in trial.params.items():
        if name in parameters:
            distributions[name] = make_distribution(parameters[name])
            params[name] = _optuna_value(parameters[name], value)
    complete = trial.state == "COMPLETE" and is_score(trial.score)
    state = OPTUNA_STATES[trial.state] if complete or trial.state != "COMPLETE" else "FAIL"
    shown = {"number": trial.number, "attempt": trial.attempt, "score_std": trial.spread}
    frozen = optuna.trial.create_trial(
        state=optuna.trial.TrialState[state],
        value=trial.score if complete else None,
        params=params,
        distributions=distributions,
        intermediate_values=dict(enumerate(trial.mean_scores())),
        user_attrs={k: v for k, v in shown.items() if v is not None},
    )
    frozen.datetime_start = _local_datetime(trial.started or trial.asked)
    frozen.datetime_complete = _local_datetime(trial.ended or trial.asked)
    return frozen


def _local_datetime(milliseconds: int) -> datetime:
    """Convert to local time without a zone, as Optuna expects."""
    return datetime.fromtimestamp(milliseconds / 1000)


def _optuna_value(parameter: Parameter, value: Value) -> Value:
    if isinstance(parameter, Categorical) and value not in _categorical_choices(parameter):
        return repr(value)
    return value
