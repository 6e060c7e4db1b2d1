"""Share one network and its programs among trials that differ only in numbers.

A template's Keras model is built and inspected once; numeric hyperparameters are inputs of its
program. They are identified by building a family's network with unique numbers and finding these
in the result. In a chain of dense layers, width and depth are numbers, too: the template's network
is as wide and deep as the search space allows; on threads, as wide as the layers are padded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ...compat.keras import user_seed, variable_initializer
from ...trial import TrialSpec, Value
from ..class_weights import class_weights
from ..fold_weights import draws_from_rows, get_step_factors, make_initial_weights
from ..problem import Problem
from ..schedules import Schedule, make_schedule
from ..weight_initialization import Distribution, draw_variable, get_distribution
from .lane_init import Draws, LaneGiven, Slots, fill_slots, state_function, trial_draws
from .network import LaneNetwork
from .objective import LossObjective
from .optimizer_numbers import OptimizerNumbers, probe_slots
from .program import LaneState, Recipe
from .schedule_rates import ScheduleNumbers, schedule_numbers, share_numbers

Key = tuple[Any, ...]
Shape = tuple[int, ...]
Found = Mapping[np.float32, str]  # a number with which a network was built -> its hyperparameter


class TrialNumbers(NamedTuple):
    """The inputs of one trial's program; with a leading axis, those of several trials."""

    strengths: Any
    arguments: Any  # of the loss
    rates: Any  # of the optimizer
    depth: Any  # int32, or None
    schedule: ScheduleNumbers
    draws: Draws
    slots: Slots
    n_epochs: Any  # int32: largest number of epochs
    weight_seeds: Any  # (n_folds,) uint32
    dropout_seeds: Any  # (n_folds,) uint32
    classes: Any  # (n_folds, n_classes) float32, or None
    given: Any  # `LaneGiven` of each fold if the device cannot draw the weights, or None
    factors: Any = None  # `StepFactors` of each variable, or None
    shares: Any = None  # `ShareNumbers`, or None


@dataclass(slots=True)
class Template:
    """The network and recipe that some trials share."""

    recipe: Recipe  # of the widest and deepest network
    sources: Sequence[str | float]  # source of each of the network's strengths
    optimizer: OptimizerNumbers
    slots: list[Any]  # `lane_init.Slot`
    axes: dict[int, Shape] = field(default_factory=dict)  # weight -> axes of length `units`
    layer: dict[int, int] = field(default_factory=dict)  # weight -> its hidden layer
    begins: str = ""  # how lanes are initialized, in addition to `key`
    rate: str | None = None  # the hyperparameter of a compiled learning rate; None: a constant
    _draws: dict[tuple[int, int], tuple[Draws, int]] = field(default_factory=dict)

    @property
    def network(self) -> LaneNetwork:
        """The widest and deepest network of the trials."""
        return self.recipe.network

    @property
    def key(self) -> str:
        """The key of its programs; equal for templates that compute the same, with any batches."""
        return self.recipe.structure_key

    @property
    def initializers(self) -> list[Any]:
        """The initializer of each weight of the original network."""
        return [variable_initializer(v) for v in self.network.plan.weights]

    @property
    def draws_on_device(self) -> bool:
        """Whether the device can draw every weight."""
        shapes = [tuple(v.shape) for v in self.network.model.weights]
        return all(self._distribution(i, shape) is not None for i, shape in enumerate(shapes))

    def numbers(
        self, problem: Problem, trial: TrialSpec, params: Mapping[str, Value], folds: int
    ) -> TrialNumbers:
        """Return a trial's numbers, for its first `folds` folds."""
        strengths = [params[s] if isinstance(s, str) else s for s in self.sources]
        classes = [class_weights(problem, params, fold) for fold in range(folds)]
        seeds = [trial.fold_seed(fold, "weights") for fold in range(folds)]
        dropout = [trial.fold_seed(fold, "dropout") for fold in range(folds)]
        schedule = self.make_schedule(params)
        return TrialNumbers(
            np.asarray(strengths, np.float32),
            self._arguments(problem, params),
            self.optimizer.rates(params),
            None if self.network.blocks is None else np.int32(chain_sizes(params)[0]),
            schedule_numbers(schedule, trial.planned or trial.epochs, trial.watched),
            self.draws(params)[0],
            self.optimizer.initial_slots(params),
            np.int32(trial.epochs),
            np.array(seeds, np.uint32),
            np.array(dropout, np.uint32),
            None if classes[0] is None else np.stack(classes),  # type: ignore[arg-type]
            self._draw_folds(problem, params, seeds),
            get_step_factors(problem, params, self.network.plan),
            share_numbers(params, trial.planned or trial.epochs),
        )

    def _draw_folds(
        self, problem: Problem, params: Mapping[str, Value], seeds: Sequence[int]
    ) -> Any:
        """Draw each fold's weights on the host, `LaneGiven`; None if the device draws them."""
        plan, network = self.network.plan, self.network
        if draws_from_rows(problem, params, plan):
            drawn = [
                make_initial_weights(problem, params, plan, fold=fold, seed=seed)
                for fold, seed in enumerate(seeds)
            ]
            vectors, others = zip(*(network.initial_weights(d, 0) for d in drawn), strict=True)
            kept = [np.stack(v) for v in zip(*others, strict=True)]
            return LaneGiven(np.stack(vectors), kept)
        if self.draws_on_device:
            return None
        return LaneGiven(self._draw_vectors(params, seeds), None)

    def draw_lane(
        self,
        problem: Problem,
        trial: TrialSpec,
        params: Mapping[str, Value],
        recipe: Recipe,
        fold: int,
    ) -> LaneState:
        """Return the initial state of a trial's fold, drawn on the host.

        Args:
            problem: The problem.
            trial: The trial.
            params: Its hyperparameters, defaults included.
            recipe: From `lane_recipe.make_lane_recipe`.
            fold: 0-based.
        """
        seed, plan = trial.fold_seed(fold, "weights"), self.network.plan
        if self.axes:
            shapes = [shape for shape in self.own_shapes(params) if shape is not None]
            variables = zip(self.initializers, shapes, plan.weights, strict=True)
            drawn = [
                draw_variable(initializer, shape, variable.dtype, seed, index)
                for index, (initializer, shape, variable) in enumerate(variables)
            ]
        else:
            drawn = make_initial_weights(problem, params, plan, fold=fold, seed=seed)
        network = recipe.network
        vector, others = network.initial_weights(drawn, trial.fold_seed(fold, "dropout"))
        begins = self.optimizer.initial_slots(params)
        return LaneState(vector, others, fill_slots(self.slots, begins, vector, network.split))

    def make_schedule(self, params: Mapping[str, Value]) -> Schedule:
        """Make a trial's schedule; that of a compiled model is constant."""
        own = self.recipe.schedule
        if not self.recipe.is_compiled:
            return make_schedule(params)
        if self.rate is None:
            return own
        rate = params[self.rate]
        assert isinstance(rate, float)
        return Schedule(own.kind, float(np.float32(rate)), {})  # rounded as by a Keras variable

    def _arguments(self, problem: Problem, params: Mapping[str, Value]) -> Any:
        own = self.recipe.objective
        if not isinstance(own, LossObjective):
            return own.numbers
        return LossObjective(problem.task, params, own.widths).numbers

    def own_shapes(self, params: Mapping[str, Value]) -> list[Shape | None]:
        """Return the shape of each weight in a trial's own network; None if it lacks the weight."""
        if not self.axes:
            return [tuple(v.shape) for v in self.network.plan.weights]
        layers, units = chain_sizes(params)
        shapes: list[Shape | None] = []
        for index, variable in enumerate(self.network.model.weights):
            axes = self.axes[index]
            own = tuple(units if axis in axes else n for axis, n in enumerate(variable.shape))
            shapes.append(own if self.layer[index] < layers else None)
        return shapes

    def draws(self, params: Mapping[str, Value]) -> tuple[Draws, int]:
        """Return the distributions of a trial's weights, and the number of weights."""
        key = (0, 0) if self.network.blocks is None else chain_sizes(params)
        if key not in self._draws:
            shapes = self.own_shapes(params)
            nothing = Distribution("constant", 0.0, 0.0)
            found = [
                nothing if shape is None else self._distribution(i, shape) or nothing
                for i, shape in enumerate(shapes)
            ]
            rank = max((len(v.shape) for v in self.network.model.weights), default=1)
            n = sum(int(np.prod(shape)) for shape in shapes if shape is not None)
            self._draws[key] = trial_draws(found, shapes, rank), n
        return self._draws[key]

    def _distribution(self, index: int, shape: Shape) -> Distribution | None:
        found = get_distribution(self.initializers[index], shape)
        return found if found is not None and np.ndim(found.center) == 0 else None

    def _draw_vectors(self, params: Mapping[str, Value], seeds: Sequence[int]) -> np.ndarray:
        """Draw each fold's vector of weights on the host, (n_folds, n_weights)."""
        return np.stack([self._draw_vector(params, seed) for seed in seeds])

    def _draw_vector(self, params: Mapping[str, Value], seed: int) -> np.ndarray:
        shapes = self.own_shapes(params)
        own_index = np.cumsum([shape is not None for shape in shapes]) - 1
        drawn: dict[int, np.ndarray] = {}
        for index, (variable, shape) in enumerate(
            zip(self.network.model.weights, shapes, strict=True)
        ):
            value = np.zeros(tuple(variable.shape), np.float32)
            if shape is not None:
                given = (shape, variable.dtype, seed, int(own_index[index]))
                inside = tuple(slice(n) for n in shape)
                value[inside] = draw_variable(self.initializers[index], *given)
            drawn[id(variable)] = value.ravel()
        return np.concatenate([drawn[id(v)] for v in self.network.trainable] or [np.zeros(0, "f")])

    def initial_function(self) -> Callable[..., LaneState]:
        """Make the function of the initial state; see `lane_init.state_function`."""
        return state_function(self.network, *self._distribution_kinds(), self.slots)

    def _distribution_kinds(self) -> tuple[Sequence[str], Sequence[int | None]]:
        """Return the kind of each weight's distribution, and its seed if the model sets one."""
        shapes = [tuple(v.shape) for v in self.network.model.weights]
        found = [self._distribution(i, shape) for i, shape in enumerate(shapes)]
        kinds = ["constant" if f is None else f.kind for f in found]
        return kinds, [user_seed(i) for i in self.initializers]

    def weights_of(
        self, params: Mapping[str, Value], vector: np.ndarray, others: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """Return the weights in the order of `keras.Model.get_weights` of a trial's own network."""
        network = self.network
        values = dict(zip(map(id, network.trainable), network.split(vector), strict=True))
        values |= dict(zip(map(id, network.model.non_trainable_variables), others, strict=True))
        return [
            np.array(values[id(v)])[tuple(slice(n) for n in shape)]
            for v, shape in zip(network.model.weights, self.own_shapes(params), strict=True)
            if shape is not None
        ]


def chain_sizes(params: Mapping[str, Value]) -> tuple[int, int]:
    """Return the number of layers and units of a chain of dense layers."""
    layers, units = params["layers"], params["units"]
    assert isinstance(layers, int)
    assert isinstance(units, int)
    return layers, units


def find_sources(recipe: Recipe, found: Found) -> Sequence[str | float]:
    """Return the hyperparameter of each of a network's strengths, or its value if it has none."""
    return [found.get(np.float32(s), float(s)) for s in recipe.strengths]


def build_template(
    recipe: Recipe,
    params: Mapping[str, Value],
    found: Found,
    blocks: Sequence[Sequence[Any]] | None,
) -> Template:
    """Make the template of a recipe.

    Args:
        recipe: Of the widest and deepest network.
        params: The hyperparameters that it was made for.
        found: The numbers with which it was made for all trials.
        blocks: From `hidden_blocks`, if trials have layers of other widths; else None.
    """
    slots, begins = probe_slots(recipe.update, recipe.network)
    rate = None
    if recipe.is_compiled:  # its optimizer reads no hyperparameter by name
        optimizer = OptimizerNumbers.from_compiled(recipe.update, found, begins)
        rate = found.get(np.float32(recipe.schedule.initial_learning_rate))
    else:
        optimizer = OptimizerNumbers.from_update(recipe.update, params, begins)
    template = Template(recipe, find_sources(recipe, found), optimizer, slots, rate=rate)
    if blocks is not None:
        _find_units(template, blocks)
    template.begins = f"{template._distribution_kinds()} {slots}"
    return template


def _find_units(template: Template, blocks: Sequence[Sequence[Any]]) -> None:
    """Record the axes of weights whose length is the width of a hidden layer."""
    index = {id(v): i for i, v in enumerate(template.network.model.weights)}
    for layer in blocks[0]:
        for variable in layer.weights:
            template.axes[index[id(variable)]], template.layer[index[id(variable)]] = (), -1
    *hidden, last = blocks[1:]
    for number, block in enumerate(hidden):
        for layer in block:
            for variable in layer.weights:
                place = index[id(variable)]
                kernel = len(variable.shape) == 2
                template.axes[place] = ((0, 1) if number else (1,)) if kernel else (0,)
                template.layer[place] = number
    for layer in last:
        for variable in layer.weights:
            place = index[id(variable)]
            template.axes[place] = (0,) if len(variable.shape) == 2 else ()
            template.layer[place] = -1
