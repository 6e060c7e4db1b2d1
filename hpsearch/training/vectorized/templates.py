"""Find the template of a trial; each is made for the first trial that needs it.

Numeric hyperparameters are identified by building a family's network with unique numbers and
finding these in the result. A custom function is called with numbers that record their use
(`watched_number`); if it could hide their use, its network is built for every trial.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...models import load_family
from ...spec.function_reference import is_reference
from ...trial import TrialSpec, Value
from ..problem import Problem
from ..schedules import has_scheduled_strengths
from .objective import LossObjective
from .optimizer_numbers import depends_on_shapes, describe_clipping, optimizer_key
from .padding import hidden_blocks, padded_width
from .program import Recipe
from .recipe import describe_scaling, make_recipe, make_update, require_step_factors
from .template import Found, Key, Template, build_template, chain_sizes, find_sources
from .watched_number import (
    TRAINING_NAMES,
    WatchedNumber,
    describe_initializers,
    find_read_names,
    may_watch_numbers,
)

MAX_KEPT = 256  # networks and templates; the oldest are made again if they are needed


class Templates:
    """The templates of a problem."""

    def __init__(self, problem: Problem, *, batched: bool = True) -> None:
        """Begin without templates.

        Args:
            problem: The problem.
            batched: Whether the lanes of a program are one batch, rather than threads.
        """
        self._problem, self._batched = problem, batched
        self._family = load_family(problem.model)
        self._made: dict[Key, Template] = {}
        self._exact: dict[Key, frozenset[str]] = {}  # numbers that are not inputs
        self._networks: dict[Key, tuple[Recipe, Found]] = {}
        self._compiled: dict[Key, bool] = {}  # whether a custom function compiles its model
        self._unpadded: set[Key] = set()  # networks whose layers cannot be padded
        self.built = 0  # number of Keras models
        self._may_watch = self._family.defaults is None and may_watch_numbers(problem.model)
        self._read: frozenset[str] = frozenset()  # names of the training that the function reads
        if self._may_watch:
            self._read = find_read_names(problem.model, TRAINING_NAMES)

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
        sizes = self._shared_sizes(params)
        shared = None if sizes is None else self._get_for_family(given, params, sizes, trial.seed)
        template = shared or self._get_for_family(given, params, None, trial.seed)
        assert template is not None
        return template

    def _get_for_family(
        self, given: Mapping[str, Value], params: Mapping[str, Value], sizes: Any, seed: int
    ) -> Template | None:
        """Return the template of a family's trial; None: its layers cannot be padded to `sizes`."""
        rest = self._training_key(given)
        while True:  # until it is known which numbers are not inputs
            key = (*self._network_key(given, params, sizes, rest), sizes)
            if key in self._made:
                return self._made[key]
            if _without_optimizer(key) in self._unpadded:
                return None
            self._make_template(key, given, params, sizes, seed)

    def _make_own(self, params: Mapping[str, Value], seed: int) -> Template:
        """Make a template for one trial, whose network may depend on any hyperparameter."""
        key = ("own", repr(sorted(params.items())), seed)
        if key not in self._made:
            recipe = self._make_recipe(params, seed)
            _keep(self._made, key, build_template(recipe, params, {}, None))
        return self._made[key]

    def _get_watched(self, params: Mapping[str, Value], seed: int) -> Template | None:
        """Return the template of trials for which a custom function builds the same network.

        None if the function's numbers cannot be watched.
        """
        if not self._may_watch:
            return None
        names = [name for name in params if self._may_read(name)]
        numbers = tuple(name for name in names if isinstance(params[name], float))
        base = (tuple((name, repr(params[name])) for name in names if name not in numbers), numbers)
        while True:
            exact = self._exact.get(base, frozenset())
            alike = (base, tuple((n, params[n]) for n in numbers if n in exact))
            if alike in self._compiled:
                key, optimizer = self._watched_keys(alike, params)
                if key in self._networks:
                    break
            recipe, found, used = self._build_watched(params, seed, set(numbers) - exact)
            self._compiled[alike] = recipe.is_compiled
            if used:
                self._exact[base] = exact | used
            else:
                key, _ = self._watched_keys(alike, params)
                _keep(self._networks, key, (recipe, found))
        if (key, optimizer) not in self._made:
            recipe, found = self._networks[key]
            if recipe.is_compiled:
                made = build_template(recipe, params, found, None)
            else:
                made = self._with_optimizer(recipe, params, found, None)
            _keep(self._made, (key, optimizer), made)
        return self._made[key, optimizer]

    def _watched_keys(self, alike: Key, params: Mapping[str, Value]) -> tuple[Key, Any]:
        """Return keys of a custom function's network and of a trial's optimizer.

        A compiled model has its own optimizer and loss.
        """
        if self._compiled[alike]:
            rest = (describe_scaling(self._problem, params), has_scheduled_strengths(params))
            return ("compiled", alike, *rest), None
        *training, optimizer = self._training_key(params)
        return ("watched", alike, *training), optimizer

    def _may_read(self, name: str) -> bool:
        """Whether a custom function may read a hyperparameter; training's only if it names them."""
        return name not in TRAINING_NAMES or name in self._read

    def _build_watched(
        self, params: Mapping[str, Value], seed: int, free: set[str]
    ) -> tuple[Recipe, Found, frozenset[str]]:
        """Build a network with unique numbers.

        Returns:
            The network, the numbers, and those that its structure depends on.
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
            recipe, found, _ = self._build_watched(params, seed, set())
            return recipe, found, frozenset(free)
        text = recipe.network.structure + describe_initializers(recipe.network.plan)
        if recipe.is_compiled:
            text += f"{recipe.objective.structure} {describe_clipping(recipe.update)}"
            text += recipe.update.structure
        used |= {name for name, value in probes.items() if repr(value) in text}
        return recipe, {np.float32(v): n for n, v in probes.items()}, frozenset(used)

    def _training_key(self, params: Mapping[str, Value]) -> Key:
        objective = LossObjective(self._problem.task, params).structure
        scaling = describe_scaling(self._problem, params)
        pads = self._batched or not depends_on_shapes(params)
        steps = (has_scheduled_strengths(params), pads)
        return (objective, scaling, steps, optimizer_key(self._problem, params))

    def _network_key(
        self, given: Mapping[str, Value], params: Mapping[str, Value], sizes: Any, rest: Key
    ) -> Key:
        """Return a key of a family's network: names of given numbers, values of the rest."""
        free = () if sizes is None else ("layers", "units")
        names = [n for n in self._family.defaults or () if n not in free]
        numbers = [n for n in names if isinstance(params[n], float)]
        base = (tuple((n, params[n]) for n in names if n not in numbers), rest, bool(sizes))
        exact = self._exact.get(_without_optimizer(base), frozenset())
        return (*base, tuple((n, params[n] if n in exact else n in given) for n in numbers))

    def _shared_sizes(self, params: Mapping[str, Value]) -> tuple[int, int] | None:
        """Return depth and width of the network that a trial's is padded to; None: its own."""
        if self._problem.model != "mlp" or not params["layers"] or depends_on_shapes(params):
            return None
        layers, units = chain_sizes(params)
        if not self._batched:
            return layers, padded_width(units)
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
        base, alike = _without_optimizer(key[:3]), _without_optimizer(key)
        wide = {} if sizes is None else dict(zip(("layers", "units"), sizes, strict=True))
        if alike in self._networks:
            recipe, found = self._networks[alike]
            made = self._with_optimizer(recipe, {**params, **wide}, found, sizes)
            _keep(self._made, key, made)
            return
        exact = self._exact.get(base, frozenset())
        names = [n for n in self._family.defaults or () if isinstance(params[n], float)]
        probes = {n: 0.1037 + 0.011 * i for i, n in enumerate(names) if n in given}  # all different
        probes = {n: v for n, v in probes.items() if n not in exact}
        shares_depth = sizes is not None and self._batched
        recipe = self._make_recipe({**params, **probes, **wide}, seed, shares_depth=shares_depth)
        if sizes is not None and not recipe.network.is_padded:
            self._unpadded.add(alike)
            return
        found = {np.float32(v): n for n, v in probes.items()}
        if lost := probes.keys() - set(find_sources(recipe, found)):
            self._exact[base] = exact | lost
            return
        _keep(self._networks, alike, (recipe, found))
        blocks = _blocks(recipe, sizes)
        _keep(self._made, key, build_template(recipe, {**params, **wide}, found, blocks))

    def _make_recipe(self, params: Mapping[str, Value], seed: int, **options: Any) -> Recipe:
        self.built += 1
        batched = self._batched
        return make_recipe(
            self._problem, params, seed, batched=batched, shares=not batched, **options
        )

    def _with_optimizer(
        self, recipe: Recipe, params: Mapping[str, Value], found: Found, sizes: Any
    ) -> Template:
        """Return a network's template for the optimizer of `params`."""
        update = make_update(self._problem, params, recipe.network, batched=self._batched)
        require_step_factors(self._problem, params, recipe.network.plan, update)
        return build_template(recipe.with_update(update), params, found, _blocks(recipe, sizes))


def _keep(held: dict[Key, Any], key: Key, value: Any) -> None:
    """Store a value; the oldest beyond `MAX_KEPT` are dropped."""
    held[key] = value
    while len(held) > MAX_KEPT:
        del held[next(iter(held))]


def _without_optimizer(key: Key) -> Key:
    """Return the part of a template's key that identifies its network."""
    return (key[0], key[1][:3], *key[2:])


def _blocks(recipe: Recipe, sizes: Any) -> Any:
    """Return the hidden blocks of a network whose widths are those of `sizes`, or None."""
    return None if sizes is None else hidden_blocks(recipe.network.model)
