"""Optuna's samplers by name, and `gp`, which also is an Optuna sampler.

Each function makes a new sampler for a trial's index, with its own seed, so that a resumed study
continues as if it had not been stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...compat.optuna import qmc_sampler
from ...param_encoding import decode_value, encode_value, to_distribution
from ...spec.conditions import AllowedValues, allows_value
from ...spec.priors import get_choice_weights
from ...spec.search_space import Categorical, Parameter, SearchSpace
from ...trial import Direction, Trial, Value, derive_seed
from .optuna_sampler import MakeSampler

if TYPE_CHECKING:
    from ..gp import EarlierStudy, ModelParameter

SamplerOptions = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class OptunaKind:
    """The constructor and the properties of an Optuna sampler."""

    make: Callable[[int, SearchSpace, SamplerOptions], MakeSampler]
    options: tuple[str, ...] = ()
    package: str | None = None  # optional dependency
    objectives: int = 5  # largest number
    max_trials: int | None = None  # approximate number of visible trials of a long study
    max_running: int | None = None  # visible running trials
    replays: bool = False  # stores its own state in the trials
    reads_reports: bool = False  # of pruned trials with several objectives


def _sampler_seed(seed: int, place: int, draw: int) -> int:
    return derive_seed(seed, "sampler", place, *([draw] if draw else []))


def _make_random(seed: int, space: SearchSpace, options: SamplerOptions) -> MakeSampler:
    from optuna.samplers import RandomSampler

    return lambda place, draw: RandomSampler(seed=_sampler_seed(seed, place, draw))


def _make_tpe(seed: int, space: SearchSpace, options: SamplerOptions) -> MakeSampler:
    from optuna.samplers import TPESampler

    startup = options.get("startup", 10)
    return lambda place, draw: TPESampler(
        seed=_sampler_seed(seed, place, draw), n_startup_trials=startup
    )


def _make_optuna_gp(seed: int, space: SearchSpace, options: SamplerOptions) -> MakeSampler:
    from optuna.samplers import GPSampler

    startup = options.get("startup", 10)
    return lambda place, draw: GPSampler(
        seed=_sampler_seed(seed, place, draw), n_startup_trials=startup
    )


def _make_cmaes(seed: int, space: SearchSpace, options: SamplerOptions) -> MakeSampler:
    from optuna.samplers import CmaEsSampler, RandomSampler

    def make(place: int, draw: int) -> Any:
        drawn = _sampler_seed(seed, place, draw)
        return CmaEsSampler(
            seed=drawn,
            independent_sampler=RandomSampler(seed=drawn),
            popsize=options.get("population"),
            warn_independent_sampling=False,  # documented for categories and conditions
        )

    return make


def _make_nsga2(seed: int, space: SearchSpace, options: SamplerOptions) -> MakeSampler:
    from optuna.samplers import NSGAIISampler

    population = options.get("population", 50)
    return lambda place, draw: NSGAIISampler(
        seed=_sampler_seed(seed, place, draw), population_size=population
    )


def _make_qmc(seed: int, space: SearchSpace, options: SamplerOptions) -> MakeSampler:
    from optuna.samplers import RandomSampler

    whole = {p.name: to_distribution(p) for p in space if p.size > 1}
    scrambled = derive_seed(seed, "sampler")
    # Asking again for a point of the sequence would return the same infeasible point.
    return lambda place, draw: (
        RandomSampler(seed=_sampler_seed(seed, place, draw))
        if draw
        else qmc_sampler(place, whole, scrambled)
    )


def make_gp(
    seed: int,
    space: SearchSpace,
    options: SamplerOptions,
    *,
    direction: Direction = "minimize",
    earlier: Sequence[Sequence[Trial]] = (),
) -> MakeSampler:
    """Make `gp`, which also learns from trials of earlier studies with the same direction."""
    from optuna.samplers import RandomSampler

    from .. import gp

    parents = {p.name: p for p in space}

    def feasible(point: Mapping[str, Value]) -> bool:
        return (
            space.find_broken_constraint(
                {n: decode_value(parents[n], value) for n, value in point.items()}
            )
            is None
        )

    sampler = gp.GaussianProcessSampler(
        seed=derive_seed(seed, "sampler"),
        space=make_model_parameters(space),
        feasible=feasible if space.constraints else None,
        startup=options.get("startup"),
        earlier=[_encode_study(parents, trials, direction) for trials in earlier],
    )
    # Its draws already depend on the trial's index. If the model finds no feasible
    # point, asking it again would change nothing.
    return lambda place, draw: (
        RandomSampler(seed=_sampler_seed(seed, place, draw)) if draw else sampler
    )


def _encode_study(
    parameters: Mapping[str, Parameter], trials: Sequence[Trial], direction: Direction
) -> EarlierStudy:
    """Return the trials with a score and without values outside the space, smaller is better."""
    from .. import gp

    sign = -1.0 if direction == "maximize" else 1.0
    fitting = [
        (
            {n: encode_value(parameters[n], v) for n, v in t.params.items() if n in parameters},
            sign * t.score,
        )
        for t in trials
        if t.score is not None
        and all(parameters[n].contains(v) for n, v in t.params.items() if n in parameters)
    ]
    return gp.EarlierStudy([params for params, _ in fitting], [value for _, value in fitting])


def make_model_parameters(space: SearchSpace) -> list[ModelParameter]:
    """Convert the parameters for the Gaussian process, choices to their indices."""
    from .. import gp

    parents = {p.name: p for p in space}
    return [
        gp.ModelParameter(
            p.name,
            to_distribution(p),
            {name: _stored_values(parents[name], allowed) for name, allowed in p.when.items()},
            meaning=p.choices if isinstance(p, Categorical) else None,
            prior=_get_model_prior(p),
        )
        for p in space
    ]


def _get_model_prior(p: Parameter) -> Any:
    """Return a number, or the weights of choices; None without a prior."""
    if p.prior is None or not isinstance(p, Categorical):
        return p.prior
    return get_choice_weights(p)


@dataclass(frozen=True, slots=True)
class _AllowedNumbers:
    """The numbers of a parent that a condition allows, as for all samplers."""

    allowed: AllowedValues

    def __contains__(self, value: Any) -> bool:
        return allows_value(self.allowed, value)


def _stored_values(parent: Parameter, allowed: AllowedValues) -> Container[Any]:
    """Return the values that a condition allows, as Optuna stores them."""
    if not isinstance(parent, Categorical):
        return _AllowedNumbers(allowed)
    return tuple(encode_value(parent, c) for c in parent.choices if allows_value(allowed, c))


OPTUNA: dict[str, OptunaKind] = {
    "gp": OptunaKind(make_gp, ("startup",), max_trials=500, reads_reports=True),
    "tpe": OptunaKind(_make_tpe, ("startup",), max_trials=80, max_running=16),
    "optuna_gp": OptunaKind(_make_optuna_gp, ("startup",), package="torch", max_trials=100),
    "cmaes": OptunaKind(_make_cmaes, ("population",), package="cmaes", objectives=1, replays=True),
    "nsga2": OptunaKind(_make_nsga2, ("population",), replays=True),
    "qmc": OptunaKind(_make_qmc, max_trials=100),
    "random": OptunaKind(_make_random, max_trials=100),
}
