"""Adapt Keras Tuner's oracles to the `Sampler` protocol.

An oracle has state: its own trials, a count of random draws, brackets. Here it gets a seed for each
trial's number, and its state is rebuilt from the trials that are told. Its files are not written.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from ...compat.keras_tuner import add_trial, go_on_from, keep_in_memory, set_conditions, set_seed
from ...param_encoding import decode_nearest, encode_value
from ...spec.conditions import NumberRange, allows_value
from ...spec.feasibility import sample_feasible_point
from ...spec.search_space import Categorical, Float, Int, Parameter, SearchSpace
from ...trial import Direction, Trial, Value, derive_seed
from ..sampler import Sampler
from ..tried_points import PointKey, point_key

if TYPE_CHECKING:
    import keras_tuner as kt

MAX_DRAWS = 50  # draws of a point before giving up
MAX_LISTED = 1000  # most values of a parent in a condition
INTERNAL_PREFIX = "tuner/"  # prefix of Hyperband's own values among the parameters
MAX_BRACKETS = 1_000_000  # of Hyperband: the budget ends the study, not the oracle


@dataclass(frozen=True, slots=True)
class OracleKind:
    """The constructor and the properties of an oracle."""

    name: str  # in `keras_tuner.oracles`
    options: Mapping[str, str]  # ours -> the oracle's
    replays: bool = False  # suggestions depend on the order of its calls
    is_grid: bool = False  # its values must not be changed
    draws: int = MAX_DRAWS  # attempts before a feasible point is drawn without the oracle
    max_running: int | None = None  # with more running trials, points are drawn without the oracle


ORACLES = {
    "keras_tuner_bayesian": OracleKind(
        "BayesianOptimizationOracle",
        {"startup": "num_initial_points"},
        draws=3,  # each takes a second, and more would repeat the same point
        max_running=8,
    ),
    "keras_tuner_grid": OracleKind("GridSearchOracle", {}, replays=True, is_grid=True),
    "keras_tuner_hyperband": OracleKind("HyperbandOracle", {"eta": "factor"}, replays=True),
    "keras_tuner_random": OracleKind("RandomSearchOracle", {}),
}


class KerasTunerSampler(Sampler):
    """Asks and tells one oracle as a Tuner would.

    Examples:
        >>> from hpsearch.spec.search_space import Int, SearchSpace
        >>> space = SearchSpace((Int("layers", 1, 3),))
        >>> sampler = KerasTunerSampler(
        ...     "keras_tuner_random", space, direction="minimize", seed=0, epochs=5, options={}
        ... )
        >>> sampler.ask(0)["layers"] in (1, 2, 3)
        True
    """

    def __init__(
        self,
        kind: str,
        space: SearchSpace,
        *,
        direction: Direction,
        seed: int,
        epochs: int,
        options: Mapping[str, int],
        given: int = 0,
    ) -> None:
        """Make an oracle over `space`.

        Args:
            kind: One of `ORACLES`.
            space: The search space.
            direction: The score's direction.
            seed: Seed of all random draws.
            epochs: Epochs of a full training, which Hyperband divides.
            options: By hpsearch's names.
            given: Trials numbered below this were enqueued, not suggested.
        """
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # its imports log
        import keras_tuner as kt
        from threadpoolctl import ThreadpoolController

        self._kind = ORACLES[kind]
        self._linear_algebra = ThreadpoolController().select(user_api="blas")
        self._space = space
        self._seed = seed
        self._given = given
        arguments = {self._kind.options[name]: value for name, value in options.items()}
        if kind == "keras_tuner_hyperband":
            arguments |= {"max_epochs": epochs, "hyperband_iterations": MAX_BRACKETS}
        else:
            arguments["max_trials"] = 10**7  # likewise
        self._oracle: Any = getattr(kt.oracles, self._kind.name)(
            objective=kt.Objective("score", "max" if direction == "maximize" else "min"),
            hyperparameters=to_hyperparameters(space),
            seed=derive_seed(seed, "oracle") + 1,  # 0 means a random seed in Keras Tuner
            max_consecutive_failed_trials=10**9,  # the search loop decides when to stop
            **arguments,
        )
        keep_in_memory(self._oracle)
        self._running: dict[int, Any] = {}  # trial number -> the oracle's trial
        self._keys: dict[str, PointKey] = {}  # the points of the oracle's trials
        self._asked = 0

    def ask(self, number: int) -> Mapping[str, Value] | None:
        """See `Sampler`."""
        limit = self._kind.max_running
        if limit is not None and len(self._running) >= limit:
            trial = self._draw_unknown(number)
        else:
            trial = self._create_trial(number)
        draws = 0
        while (
            trial is not None
            and self._space.find_broken_constraint(self._active_point(trial)) is not None
        ):
            self._end_trial(trial, None)
            draws += 1
            more = draws < self._kind.draws or self._kind.is_grid
            trial = self._create_trial(number) if more else self._draw_unknown(number)
        if trial is None and not self._kind.is_grid:
            trial = self._draw_unknown(number)  # the oracle stops after 20 collisions in a row
        if trial is None:
            return None
        self._running[number] = trial
        return self._active_point(trial)

    def tell(self, trial: Trial) -> None:
        """See `Sampler`."""
        if trial.number not in self._running:
            self._adopt_trial(trial)
        if trial.is_finished and trial.number in self._running:
            score = trial.score if trial.state == "COMPLETE" else None
            self._end_trial(self._running.pop(trial.number), score)

    def epochs(self, number: int) -> int | None:
        """See `Sampler`."""
        found: int | None = self._running[number].hyperparameters.values.get("tuner/epochs")
        return found

    # ---- the oracle ----

    def _create_trial(self, number: int) -> Any:
        """Ask the oracle for a trial; None if it stops, or waits for running trials."""
        self._asked += 1
        # On one thread, as `gp`, so that its points do not depend on the number of cores.
        with warnings.catch_warnings(), self._linear_algebra.limit(limits=1):
            warnings.simplefilter(
                "ignore"
            )  # of a length scale at its bound, which users cannot act on
            seed = derive_seed(self._seed, "sampler", number, len(self._oracle.trials))
            set_seed(self._oracle, seed)
            # The oracle returns a trial again until it ends, so every ask uses a new tuner id.
            trial = self._oracle.create_trial(f"tuner-{self._asked}")
        if trial.status != "RUNNING":
            return None
        if self._kind.is_grid:
            go_on_from(self._oracle, trial)
        else:  # written back: the oracle learns from the tried values
            trial.hyperparameters.values.update(self._clip_to_bounds(trial.hyperparameters.values))
        return trial

    def _end_trial(self, trial: Any, score: float | None) -> None:
        if score is not None:
            self._oracle.update_trial(trial.trial_id, {"score": score})
        trial.status = "FAILED" if score is None else "COMPLETED"
        self._oracle.end_trial(trial)

    def _adopt_trial(self, trial: Trial) -> None:
        """Add a trial that was asked for elsewhere, with its values."""
        params = {p.name: trial.params[p.name] for p in self._space if p.name in trial.params}
        if self._kind.replays and trial.number >= self._given:
            self.ask(trial.number)
            if trial.number in self._running and not self._kind.is_grid:
                values = self._running[trial.number].hyperparameters.values
                kept = {k: v for k, v in values.items() if k.startswith(INTERNAL_PREFIX)}
                values.clear()
                values.update(kept | self._to_oracle_values(params))
        elif not self._kind.is_grid:
            self._running[trial.number] = self._add_trial(params)

    def _draw_unknown(self, number: int) -> Any:
        """Draw a random point that the oracle does not have; None if none is found."""
        for name, trial in self._oracle.trials.items():
            if name not in self._keys:
                self._keys[name] = point_key(self._space, self._active_point(trial))
        known = set(self._keys.values())
        for draw in range(MAX_DRAWS):
            seed = derive_seed(self._seed, "sampler", number, len(self._oracle.trials), draw)
            params = sample_feasible_point(self._space, seed) if self._space.constraints else None
            params = params or self._space.draw(Random(seed))
            if point_key(self._space, params) not in known:
                return self._add_trial(params)
        return None

    def _add_trial(self, params: Mapping[str, Value]) -> Any:
        """Add a trial that the oracle did not propose."""
        self._asked += 1
        return add_trial(self._oracle, self._to_oracle_values(params), f"tuner-{self._asked}")

    # ---- values ----

    def _to_oracle_values(self, params: Mapping[str, Value]) -> dict[str, Value]:
        """Convert a point to the oracle's values."""
        named = [p for p in self._space if p.name in params and p.size > 1]
        return {p.name: encode_value(p, params[p.name]) for p in named}

    def _clip_to_bounds(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Clip values to their bounds: an `Int` without a step can return max + 1."""
        return {
            p.name: encode_value(p, decode_nearest(p, values[p.name]))
            for p in self._space
            if p.name in values
        }

    def _active_point(self, trial: Any) -> dict[str, Value]:
        """Return the active parameters of an oracle's values."""
        values: dict[str, Any] = trial.hyperparameters.values
        params: dict[str, Value] = {}
        for p in self._space:
            if self._space.is_active(p, params):
                params[p.name] = (
                    decode_nearest(p, values[p.name]) if p.name in values else p.value(0)
                )
        return params


def to_hyperparameters(space: SearchSpace) -> kt.HyperParameters:
    """Convert the space to `HyperParameters`; categorical values are indices of the choices.

    Conditions that Keras Tuner cannot express (on a continuous parent) are left out: the parameter
    then always has a value, which is used only if the condition holds.
    """
    import keras_tuner as kt

    hp = kt.HyperParameters()
    parents = {p.name: p for p in space}
    for p in space:
        if p.size == 1:
            continue
        listed = {
            name: _allowed_parent_values(parents[name], allowed) for name, allowed in p.when.items()
        }
        held = [
            (name, values)
            for name, values in listed.items()
            if values is not None and parents[name].size > 1
        ]
        set_conditions(hp, held)
        _declare_parameter(hp, p)
    set_conditions(hp, [])
    return hp


def _declare_parameter(hp: kt.HyperParameters, p: Parameter) -> None:
    scale = "log" if not isinstance(p, Categorical) and p.log else "linear"
    match p:
        case Categorical():
            numbers = all(isinstance(c, int | float) and not isinstance(c, bool) for c in p.choices)
            hp.Choice(p.name, list(range(len(p.choices))), ordered=numbers and len(p.choices) > 2)
        case Int():
            step = None if p.log else p.step
            hp.Int(p.name, p.low, p.high, step=step, sampling=scale)
        case Float():
            hp.Float(p.name, p.low, p.high, step=p.step, sampling=scale)


def _allowed_parent_values(
    parent: Parameter, allowed: tuple[Value, ...] | NumberRange
) -> list[Value] | None:
    """List the values of a parent that a condition allows; None if they cannot be listed."""
    if isinstance(parent, Float) or parent.size > MAX_LISTED:
        return None
    values = [parent.value(i) for i in range(int(parent.size))]
    return [encode_value(parent, v) for v in values if allows_value(allowed, v)]
