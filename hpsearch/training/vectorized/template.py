"""Share one network and its programs among trials that differ only in numbers.

A template's Keras model is built and inspected once; numeric hyperparameters are inputs of its
program. They are identified by building a family's network with unique numbers and finding these
in the result. In a chain of dense layers, width and depth are numbers, too: the template's network
is as wide and deep as the search space allows. A custom function is called with numbers that record
their use (`watched_number`); if it could hide their use, its network is built for every trial.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ...compat.keras import user_seed, variable_initializer
from ...models import load_family
from ...spec.function_reference import is_reference
from ...trial import TrialSpec, Value
from ..class_weights import class_weights
from ..fold_weights import draws_from_rows, get_step_factors, make_initial_weights
from ..problem import Problem
from ..schedules import Schedule, has_scheduled_strengths, make_schedule
from ..weight_initialization import Distribution, draw_variable, get_distribution
from .lane_init import Draws, LaneGiven, Slots, state_function, trial_draws
from .network import LaneNetwork
from .objective import LossObjective
from .optimizer_numbers import OptimizerNumbers, optimizer_key, probe_slots
from .padding import padded_width
from .program import LaneState, Recipe
from .recipe import describe_scaling, make_recipe, make_update
from .schedule_rates import ScheduleNumbers, schedule_numbers, share_numbers
from .watched_number import (
    TRAINING_NAMES,
    WatchedNumber,
    describe_initializers,
    may_watch_numbers,
    read_text,
)

Key = tuple[Any, ...]
Shape = tuple[int, ...]


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
    _draws: dict[tuple[int, int], tuple[Draws, int]] = field(default_factory=dict)

    @property
    def network(self) -> LaneNetwork:
        """The widest and deepest network of the trials."""
        return self.recipe.network

    @property
    def key(self) -> str:
        """The key of its programs; equal for templates that compute the same."""
        return self.recipe.train_key

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
        schedule = self._make_schedule(params)
        return TrialNumbers(
            np.asarray(strengths, np.float32),
            self._arguments(problem, params),
            self.optimizer.rates(params),
            None if self.network.blocks is None else np.int32(_chain_sizes(params)[0]),
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

    def _make_schedule(self, params: Mapping[str, Value]) -> Schedule:
        own = self.recipe.schedule
        return own if self.recipe.is_compiled else make_schedule(params)

    def _arguments(self, problem: Problem, params: Mapping[str, Value]) -> Any:
        own = self.recipe.objective
        if not isinstance(own, LossObjective):
            return own.numbers
        return LossObjective(problem.task, params, own.widths).numbers

    def own_shapes(self, params: Mapping[str, Value]) -> list[Shape | None]:
        """Return the shape of each weight in a trial's own network; None if it lacks the weight."""
        if self.network.blocks is None:
            return [tuple(v.shape) for v in self.network.plan.weights]
        layers, units = _chain_sizes(params)
        shapes: list[Shape | None] = []
        for index, variable in enumerate(self.network.model.weights):
            axes = self.axes[index]
            own = tuple(units if axis in axes else n for axis, n in enumerate(variable.shape))
            shapes.append(own if self.layer[index] < layers else None)
        return shapes

    def draws(self, params: Mapping[str, Value]) -> tuple[Draws, int]:
        """Return the distributions of a trial's weights, and the number of weights."""
        key = (0, 0) if self.network.blocks is None else _chain_sizes(params)
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


def _chain_sizes(params: Mapping[str, Value]) -> tuple[int, int]:
    """Return the number of layers and units of a chain of dense layers."""
    layers, units = params["layers"], params["units"]
    assert isinstance(layers, int)
    assert isinstance(units, int)
    return layers, units


class Templates:
    """The templates of a problem, each made for the first trial that needs it."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._family = load_family(problem.model)
        self._made: dict[Key, Template] = {}
        self._exact: dict[Key, frozenset[str]] = {}  # numbers that are not inputs
        self._networks: dict[Key, tuple[Recipe, Sequence[str | float]]] = {}
        self.built = 0  # number of Keras models
        self._may_watch = self._family.defaults is None and may_watch_numbers(problem.model)
        self._text = read_text(problem.model) if self._may_watch else ""

    def resolve(self, trial: TrialSpec) -> dict[str, Value]:
        """Return a trial's hyperparameters with the fixed ones and the family's defaults."""
        return {**(self._family.defaults or {}), **self._problem.resolve(trial.params)}

    def get(self, trial: TrialSpec) -> Template:
        """Return the template of a trial.

        Raises:
            UnsuitableError: If the model cannot be vectorised.
            Exception: Any exception of a custom function.
        """
        given = self._problem.resolve(trial.params)
        params = self.resolve(trial)
        loss = params.get("loss")
        if isinstance(loss, str) and is_reference(loss):
            return self._make_own(given, trial.seed)
        if self._family.defaults is None:
            return self._get_watched(given, trial.seed) or self._make_own(given, trial.seed)
        rest = self._training_key(given)
        sizes = self._shared_sizes(params)
        if sizes is not None:
            key = (*self._network_key(given, params, sizes, rest), sizes)
            if key not in self._made:
                self._make_template(key, given, params, sizes, trial.seed)
            if key in self._made:
                return self._made[key]
        key = self._network_key(given, params, None, rest)
        if key not in self._made:
            self._make_template(key, given, params, None, trial.seed)
            key = self._network_key(given, params, None, rest)  # some numbers may not be inputs
        if key not in self._made:
            self._make_template(key, given, params, None, trial.seed)
        return self._made[key]

    def _make_own(self, params: Mapping[str, Value], seed: int) -> Template:
        """Make a template for one trial, whose network may depend on any hyperparameter."""
        key = ("own", repr(sorted(params.items())), seed)
        if key not in self._made:
            while len(self._made) > 1000:
                self._made.pop(next(iter(self._made)))
            recipe = self._make_recipe(params, seed)
            self._made[key] = _build_template(recipe, params, [float(s) for s in recipe.strengths])
        return self._made[key]

    def _get_watched(self, params: Mapping[str, Value], seed: int) -> Template | None:
        """Return the template of trials for which a custom function builds the same network.

        None if the function's numbers cannot be watched, or if it compiles its model.
        """
        if not self._may_watch:
            return None
        *rest, optimizer = self._training_key(params)
        names = [name for name in params if self._may_read(name)]
        numbers = tuple(name for name in names if isinstance(params[name], float))
        others = tuple((name, repr(params[name])) for name in names if name not in numbers)
        base = ("watched", others, numbers, *rest)
        while True:
            exact = self._exact.get(base, frozenset())
            network_key = (base, tuple((n, params[n]) for n in numbers if n in exact))
            if network_key in self._networks:
                break
            recipe, sources, used = self._build_watched(params, seed, set(numbers) - exact)
            if recipe.is_compiled:
                self._may_watch = False
                return None
            if used:
                self._exact[base] = exact | used
            else:
                self._networks[network_key] = recipe, sources
        key = (network_key, optimizer)
        if key not in self._made:
            recipe, sources = self._networks[network_key]
            update = make_update(self._problem, params, recipe.network)
            self._made[key] = _build_template(recipe.with_update(update), params, sources)
        return self._made[key]

    def _may_read(self, name: str) -> bool:
        """Whether a custom function may read a hyperparameter; training's only if it names them."""
        return name not in TRAINING_NAMES or name in self._text

    def _build_watched(
        self, params: Mapping[str, Value], seed: int, free: set[str]
    ) -> tuple[Recipe, Sequence[str | float], frozenset[str]]:
        """Build a network with unique numbers.

        Returns:
            The network, the source of each strength, and the numbers that its structure depends on.
        """
        probes = {n: 0.1037 + 0.011 * i for i, n in enumerate(sorted(free))}
        used: set[str] = set()

        def watch(chosen: dict[str, Value]) -> dict[str, Value]:
            watched = {n: WatchedNumber(v, n, used) for n, v in probes.items() if n in chosen}
            return {**chosen, **watched}

        try:
            recipe = self._make_recipe({**params, **probes}, seed, watch=watch)
        except Exception:
            if not probes:
                raise
            recipe, sources, _ = self._build_watched(params, seed, set())
            return recipe, sources, frozenset(free)
        text = recipe.network.structure + describe_initializers(recipe.network.plan)
        used |= {name for name, value in probes.items() if repr(value) in text}
        found = {np.float32(v): n for n, v in probes.items()}
        sources = [found.get(np.float32(s), float(s)) for s in recipe.strengths]
        return recipe, sources, frozenset(used)

    def _training_key(self, params: Mapping[str, Value]) -> Key:
        objective = LossObjective(self._problem.task, params).structure
        scaling = describe_scaling(self._problem, params)
        steps = has_scheduled_strengths(params)
        return (objective, scaling, steps, optimizer_key(self._problem, params))

    def _network_key(
        self, given: Mapping[str, Value], params: Mapping[str, Value], sizes: Any, rest: Key
    ) -> Key:
        """Return a key of a family's network: names of given numbers, values of the rest."""
        free = () if sizes is None else ("layers", "units")
        names = [n for n in self._family.defaults or () if n not in free]
        numbers = [n for n in names if isinstance(params[n], float)]
        base = (tuple((n, params[n]) for n in names if n not in numbers), rest, bool(sizes))
        exact = self._exact.get(base, frozenset())
        return (*base, tuple((n, params[n] if n in exact else n in given) for n in numbers))

    def _shared_sizes(self, params: Mapping[str, Value]) -> tuple[int, int] | None:
        """Return depth and width of the network that a trial's is padded to; None: its own."""
        if self._problem.model != "mlp" or not params["layers"]:
            return None
        layers, units = _chain_sizes(params)
        deepest = max(layers, *self._problem.sizes.get("layers", (0,)))
        top = padded_width(max(units, *self._problem.sizes.get("units", (0,))))
        classes = sorted({padded_width(max(1, top // 4)), padded_width(top // 2), top})
        return deepest, next(n for n in classes if n >= units)

    def _make_template(
        self,
        key: Key,
        given: Mapping[str, Value],
        params: Mapping[str, Value],
        sizes: Any,
        seed: int,
    ) -> None:
        """Make the template of `key`, unless the network is not a chain or has other numbers."""
        base, alike = key[:3], (key[0], key[1][:3], *key[2:])  # except for the optimizer
        wide = {} if sizes is None else dict(zip(("layers", "units"), sizes, strict=True))
        if alike in self._networks:
            recipe, sources = self._networks[alike]
            update = make_update(self._problem, params, recipe.network)
            if sizes is None or not getattr(update, "by_shape", False):
                self._made[key] = _build_template(
                    recipe.with_update(update), {**params, **wide}, sources
                )
            return
        exact = self._exact.get(base, frozenset())
        names = [n for n in self._family.defaults or () if isinstance(params[n], float)]
        probes = {n: 0.1037 + 0.011 * i for i, n in enumerate(names) if n in given}  # all different
        probes = {n: v for n, v in probes.items() if n not in exact}
        recipe = self._make_recipe({**params, **probes, **wide}, seed, shares_depth=bool(sizes))
        if sizes is not None and not recipe.network.is_padded:
            return
        found = {np.float32(v): n for n, v in probes.items()}
        sources = [found.get(np.float32(s), float(s)) for s in recipe.strengths]
        if lost := probes.keys() - set(sources):
            self._exact[base] = exact | lost
            return
        self._networks[alike] = recipe, sources
        self._made[key] = _build_template(recipe, {**params, **wide}, sources)

    def _make_recipe(self, params: Mapping[str, Value], seed: int, **options: Any) -> Recipe:
        self.built += 1
        return make_recipe(self._problem, params, seed, batched=True, **options)


def _build_template(
    recipe: Recipe, params: Mapping[str, Value], sources: Sequence[str | float]
) -> Template:
    slots, begins = probe_slots(recipe.update, recipe.network)
    optimizer = OptimizerNumbers.from_update(recipe.update, params, begins)
    template = Template(recipe, sources, optimizer, slots)
    if recipe.network.blocks is not None:
        _find_units(template, recipe.network.blocks)
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
