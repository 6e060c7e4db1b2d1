"""Share one built optimizer among trials that differ only in its numbers.

An optimizer's variables start as constants or as copies of the weights, so no trial needs to build
an optimizer of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...trial import Value
from ..optimizers import DEFAULT_OPTIMIZER, OPTIMIZER_CLASSES, list_optimizer_params
from ..problem import Problem
from .lane_init import Slot, Slots
from .network import LaneNetwork
from .update import BY_SHAPE, CLIP_ARGUMENTS, OptimizerUpdate, Update

Key = tuple[Any, ...]


def optimizer_key(problem: Problem, params: Mapping[str, Value]) -> Key:
    """Return a key that is equal for trials whose optimizers differ only in numbers."""
    name = str(params.get("optimizer", DEFAULT_OPTIMIZER))
    found: list[tuple[str, Any]] = []
    for given in list_optimizer_params(name):
        if given == "learning_rate" or given not in params:
            continue
        value = params[given]
        is_number = isinstance(value, float)
        found.append(
            (given, (given in CLIP_ARGUMENTS and bool(value)) if is_number else repr(value))
        )
    return (name, problem.optimizers, tuple(found))


def depends_on_shapes(params: Mapping[str, Value]) -> bool:
    """Whether the optimizer's updates depend on shapes, so that layers may not be padded."""
    name = OPTIMIZER_CLASSES.get(str(params.get("optimizer", DEFAULT_OPTIMIZER)))
    return any(kind.__name__ == name for kind in BY_SHAPE)


def describe_clipping(update: Update) -> str:
    """Describe an optimizer's limits of gradients, which 0 disables, as text."""
    if not isinstance(update, OptimizerUpdate):
        return ""
    return str({k: v for k, v in update.arguments.items() if k in CLIP_ARGUMENTS})


@dataclass(frozen=True, slots=True)
class OptimizerNumbers:
    """Computes the numbers of trials with one `optimizer_key`."""

    update: Update
    reads: Mapping[str, str]  # argument of the trial's own optimizer -> hyperparameter
    slots: Slots
    initial: Mapping[int, str]  # slot -> the hyperparameter of its initial value

    @classmethod
    def from_update(
        cls, update: Update, params: Mapping[str, Value], slots: Slots
    ) -> OptimizerNumbers:
        """Create it from an update that was made for `params`."""
        reads = list_optimizer_params(str(params.get("optimizer", DEFAULT_OPTIMIZER)))
        initial: dict[int, str] = {}
        for name in sorted(n for n in {*reads} & params.keys() if n.startswith("initial_")):
            value = np.float32(params[name])
            initial |= {i: name for i, v in enumerate(slots.values) if v == value}
        return cls(update, {name: name for name in reads}, slots, initial)

    @classmethod
    def from_compiled(
        cls, update: Update, found: Mapping[np.float32, str], slots: Slots
    ) -> OptimizerNumbers:
        """Create it from a compiled model's update.

        Args:
            update: The update, made with the numbers `found`.
            found: Number -> its hyperparameter.
            slots: The initial values of the update's variables.
        """
        values = update.arguments.items() if isinstance(update, OptimizerUpdate) else ()
        reads = {name: found[np.float32(v)] for name, v in values if np.float32(v) in found}
        initial = {i: found[v] for i, v in enumerate(slots.values) if v in found}
        return cls(update, reads, slots, initial)

    def rates(self, params: Mapping[str, Value]) -> Any:
        """Return the numbers of a trial's optimizer."""
        given = {k: params[name] for k, name in self.reads.items() if name in params}
        return self.update.numbers_of(given)

    def initial_slots(self, params: Mapping[str, Value]) -> Slots:
        """Return the initial values of a trial's optimizer."""
        values = self.slots.values.copy()
        for slot, name in self.initial.items():
            values[slot] = params[name]
        return self.slots._replace(values=values)


def probe_slots(update: Any, network: LaneNetwork) -> tuple[list[Slot], Slots]:
    """Find the optimizer's variables and their initial values, using artificial weights.

    Raises:
        ValueError: If one starts neither as a constant nor as a copy of the weights.
    """
    flat = update.is_flat(network.trainable)
    rng = np.random.default_rng(0)
    shapes = [(2,)] if flat else [tuple(v.shape) for v in network.trainable]
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    slots: list[Slot] = []
    values, copies = [], []
    for value in update.initial([] if flat else network.trainable, arrays):
        long = flat and value.shape == (2,)
        source = 0 if long else _find_source(value, arrays)
        is_copy = source is not None and np.array_equal(value, arrays[0 if flat else source - 1])
        if not is_copy and value.size and not (value == value.flat[0]).all():
            raise ValueError("a variable of the optimizer begins neither constant nor as a weight")
        slots.append(Slot((network.size,) if long else value.shape, value.dtype, source))
        values.append(0.0 if is_copy or not value.size else float(value.flat[0]))
        copies.append(is_copy)
    return slots, Slots(np.array(values, np.float32), np.array(copies, bool))


def _find_source(value: np.ndarray, arrays: Sequence[np.ndarray]) -> int | None:
    """Return the 1-based index of the weight that a variable copies; 0: all in one vector."""
    found = [i for i, a in enumerate(arrays, 1) if a.ndim and np.array_equal(a, value)]
    return found[0] if found else None
