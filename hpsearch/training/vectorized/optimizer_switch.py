"""Combine the optimizers of a search space as branches of one program.

One program with a branch for each optimizer compiles faster than one program each; the cost is that
a branch copies its new values. The variables of elementwise optimizers are counters and vectors as
long as the weights, so all of them can use the same slots.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import jax
import numpy as np

from ...models.step_factors import StepFactors
from ...trial import Value
from .update import Arrays, OptimizerUpdate

Kind = tuple[bool, str]  # of a slot: whether it is as long as the weights, and its dtype


class OptimizerSwitch:
    """One trial's optimizer among the alternatives; an `Update`."""

    def __init__(self, updates: Sequence[OptimizerUpdate], own: int) -> None:
        """Combine the updates of all alternatives; those that compute the same are one branch.

        Args:
            updates: Flat ones, in the same order for all trials.
            own: The index of the trial's optimizer.
        """
        branches = {update.structure: update for update in updates}
        branches[updates[own].structure] = updates[own]
        self._updates = tuple(branches.values())
        self._own = self._updates.index(updates[own])
        self.numbers = self._pad_numbers(updates[own].numbers)
        self.structure = " or ".join(branches)

    def numbers_of(self, params: Mapping[str, Value]) -> tuple[Any, Any]:
        """See `Update`."""
        return self._pad_numbers(self._updates[self._own].numbers_of(params))

    def _pad_numbers(self, mine: np.ndarray) -> tuple[Any, Any]:
        longest = max(len(update.numbers) for update in self._updates)
        return np.int32(self._own), np.pad(mine, (0, longest - len(mine)))

    @property
    def scales(self) -> bool:
        """See `Update`."""
        return all(update.scales for update in self._updates)

    def is_flat(self, trainable: list[Any]) -> bool:
        """See `Update`."""
        return True

    def initial(self, trainable: list[Any], values: list[np.ndarray]) -> Arrays:
        """Return the initial slots; see `Update`."""
        [vector] = values
        free = [np.zeros(vector.shape if long else (), kind) for long, kind in self._slot_kinds]
        mine = self._updates[self._own].initial(trainable, values)
        return self._store_slots(free, mine, self._own)

    def prepare(self, trainable: list[Any], shapes: list[tuple[int, ...]]) -> None:
        """See `Update`."""
        for update in self._updates:
            update.prepare(trainable, shapes)

    def __call__(
        self,
        numbers: Any,
        rate: Any,
        state: Arrays,
        gradients: Arrays,
        values: Arrays,
        factors: StepFactors | None = None,
    ) -> tuple[Arrays, Arrays]:
        """See `Update`."""
        taken, given = numbers
        branches = [partial(self._branch, index) for index in range(len(self._updates))]
        answer: tuple[Arrays, Arrays] = jax.lax.switch(
            taken, branches, given, rate, state, gradients, values, factors
        )
        return answer

    def final_weights(self, state: Arrays, values: Arrays) -> Arrays:
        """Return the final weights; averages, if any, are the first vector of each optimizer."""
        return self._updates[self._own].final_weights(self._select_slots(state, self._own), values)

    def _branch(
        self,
        place: int,
        given: Any,
        rate: Any,
        state: Arrays,
        gradients: Arrays,
        values: Arrays,
        factors: StepFactors | None,
    ) -> tuple[Arrays, Arrays]:
        update = self._updates[place]
        own = given[: len(update.numbers)]
        slots = self._select_slots(state, place)
        values, after = update(own, rate, slots, gradients, values, factors)
        return values, self._store_slots(state, after, place)

    @cached_property
    def _kinds(self) -> list[list[Kind]]:
        """Return the kinds of each alternative's variables."""
        two = [np.zeros(2, np.float32)]
        variables = [update.initial([], two) for update in self._updates]
        return [[(v.ndim == 1, v.dtype.name) for v in own] for own in variables]

    @cached_property
    def _slot_kinds(self) -> list[Kind]:
        """Return the slots' kinds: of each, the largest number that an alternative needs."""
        most: Counter[Kind] = Counter()
        for kinds in self._kinds:
            most |= Counter(kinds)
        return sorted(most.elements())

    @cached_property
    def _slot_indices(self) -> list[list[int]]:
        """Return the slot indices of each alternative's variables."""
        places = []
        for kinds in self._kinds:
            free = {
                kind: [i for i, k in enumerate(self._slot_kinds) if k == kind] for kind in kinds
            }
            places.append([free[kind].pop(0) for kind in kinds])
        return places

    def _select_slots(self, state: Arrays, place: int) -> Arrays:
        return [state[slot] for slot in self._slot_indices[place]]

    def _store_slots(self, state: Arrays, values: Arrays, place: int) -> Arrays:
        filled = list(state)
        for slot, value in zip(self._slot_indices[place], values, strict=True):
            filled[slot] = value
        return filled
