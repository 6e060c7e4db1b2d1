"""The optimizers between which a study chooses, as branches of one program.

A program of its own for each optimizer costs more to compile than all of them as branches of one,
and a branch that is not taken costs nothing. Where a weight is updated by itself, an optimizer's
variables are counters and vectors as long as the weights, so all can use the same slots.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any

import jax
import numpy as np

from .update import Arrays, Update

Kind = tuple[bool, str]  # of a slot: whether it is as long as the weights, and its type


class Alternatives:
    """One trial's optimizer among others; stands where an `Update` does."""

    by_shape = False

    def __init__(self, updates: Sequence[Update], own: int) -> None:
        """Take over the updates of all alternatives.

        Args:
            updates: Flat ones, in the order that all trials give them.
            own: The place of the trial's.
        """
        self._updates, self._own = tuple(updates), updates[own]
        longest = max(len(update.numbers) for update in updates)
        numbers = np.zeros(longest, np.float32)
        numbers[: len(self._own.numbers)] = self._own.numbers
        self.numbers = (np.int32(own), numbers)
        self.structure = " or ".join(update.structure for update in updates)

    def is_flat(self, trainable: list[Any]) -> bool:
        """Whether all weights are updated as one vector."""
        return True

    def initial(self, trainable: list[Any], values: list[np.ndarray]) -> Arrays:
        """The slots before the first step; see `Update.initial`."""
        [vector] = values
        free = [np.zeros(vector.shape if long else (), kind) for long, kind in self._slots]
        return self._filled(free, self._own.initial(trainable, values), self._own)

    def prepare(self, trainable: list[Any], shapes: list[tuple[int, ...]]) -> None:
        """Get ready to be traced; see `Update.prepare`."""
        for update in self._updates:
            update.prepare(trainable, shapes)

    def __call__(
        self, numbers: Any, rate: Any, state: Arrays, gradients: Arrays, values: Arrays
    ) -> tuple[Arrays, Arrays]:
        """New values of the weights, and of the slots."""
        place, given = numbers
        branches = [partial(self._branch, update) for update in self._updates]
        answer: tuple[Arrays, Arrays] = jax.lax.switch(
            place, branches, given, rate, state, gradients, values
        )
        return answer

    def kept(self, state: Arrays, values: Arrays) -> Arrays:
        """See `Update.kept`; averages are the first vector of each alternative, or of none."""
        return self._own.kept(self._taken(state, self._own), values)

    def _branch(
        self,
        update: Update,
        given: Any,
        rate: Any,
        state: Arrays,
        gradients: Arrays,
        values: Arrays,
    ) -> tuple[Arrays, Arrays]:
        own = given[: len(update.numbers)]
        values, after = update(own, rate, self._taken(state, update), gradients, values)
        return values, self._filled(state, after, update)

    @cached_property
    def _kinds(self) -> dict[int, list[Kind]]:
        """The variables of each alternative, by its identity."""
        two = [np.zeros(2, np.float32)]
        return {
            id(update): [(v.ndim == 1, v.dtype.name) for v in update.initial([], two)]
            for update in self._updates
        }

    @cached_property
    def _slots(self) -> list[Kind]:
        """As many of each kind as the alternative that has most."""
        most: Counter[Kind] = Counter()
        for kinds in self._kinds.values():
            most |= Counter(kinds)
        return sorted(most.elements())

    def _places(self, update: Update) -> list[int]:
        """The slots of an alternative's variables."""
        free = list(enumerate(self._slots))
        places = []
        for kind in self._kinds[id(update)]:
            first = next(slot for slot in free if slot[1] == kind)
            free.remove(first)
            places.append(first[0])
        return places

    def _taken(self, state: Arrays, update: Update) -> Arrays:
        return [state[place] for place in self._places(update)]

    def _filled(self, state: Arrays, values: Arrays, update: Update) -> Arrays:
        filled = list(state)
        for place, value in zip(self._places(update), values, strict=True):
            filled[place] = value
        return filled
