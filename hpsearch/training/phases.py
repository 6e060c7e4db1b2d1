"""Phases of a training, such as a frozen backbone that is fine-tuned afterwards.

Each phase has its epochs, trainable layers and learning rate, as if the model were compiled again
and `fit` called again. The curves of a trial run on through its phases.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np

from ..compat.keras import frozen_variables, list_named_layers
from ..errors import TrainingError
from ..trial import Value
from .schedules import make_schedule

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, slots=True)
class Phase:
    """Some epochs of a trial."""

    first_epoch: int  # 0-based
    epochs: int
    trainable: tuple[str, ...] | None = None  # patterns of layers; None: as in the phase before
    learning_rate: float | str | None = None  # a str names a hyperparameter; None: the trial's

    def find_learning_rate(self, params: Mapping[str, Value]) -> float | None:
        """Return the phase's learning rate; None: the trial's.

        Raises:
            TrainingError: If it is a hyperparameter that the trial does not have.
        """
        if not isinstance(self.learning_rate, str):
            return self.learning_rate
        value = params.get(self.learning_rate)
        if not isinstance(value, int | float):
            raise TrainingError(
                f"training.phases: the learning rate {self.learning_rate!r} is {value!r} in this "
                "trial: a number is needed"
            )
        return float(value)


def arrange_phases(declared: Iterable[Phase]) -> tuple[Phase, ...]:
    """Let each phase begin where the one before it ends."""
    phases: list[Phase] = []
    for phase in declared:
        first = phases[-1].first_epoch + phases[-1].epochs if phases else 0
        phases.append(replace(phase, first_epoch=first))
    return tuple(phases)


def compute_rates(
    phases: Sequence[Phase],
    params: Mapping[str, Value],
    epoch: int,
    *,
    n_steps: int,
    n_epochs: int,
    losses: Sequence[float],
) -> np.ndarray:
    """Compute the learning rate of each step of an epoch; a schedule begins with its phase.

    The other arguments are those of `Schedule.rates`.
    """
    first = 0
    if phases:
        phase = phases[find_phase(phases, epoch)]
        rate = phase.find_learning_rate(params)
        params = params if rate is None else {**params, "learning_rate": rate}
        first, n_epochs = phase.first_epoch, phase.epochs
    return make_schedule(params).rates(
        epoch - first, n_steps=n_steps, n_epochs=n_epochs, losses=losses[first:]
    )


def find_phase(phases: Sequence[Phase], epoch: int) -> int:
    """Return the index of the phase to which an epoch belongs; 0 if there are no phases."""
    return sum(epoch >= phase.first_epoch for phase in phases[1:])


def matches(path: str, pattern: str) -> bool:
    """Whether a pattern names a layer, or a model around it.

    Examples:
        >>> matches("backbone/block5_conv1", "block5_*"), matches("backbone/block5_conv1", "back*")
        (True, True)
        >>> matches("backbone/head", "backbone/h*"), matches("backbone/head", "conv*")
        (True, False)
    """
    names = path.split("/")
    return any(
        fnmatchcase("/".join(names[start:end]), pattern)
        for start in range(len(names))
        for end in range(start + 1, len(names) + 1)
    )


def find_unmatched(phases: Sequence[Phase], layers: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Find patterns that match none of the `layers`, by phase."""
    for index, phase in enumerate(phases):
        for pattern in phase.trainable or ():
            if not any(matches(path, pattern) for path in layers):
                yield index, pattern


def set_trainable_layers(model: keras.Model, patterns: Sequence[str]) -> None:
    """Let the layers that a pattern matches be trainable, and no others."""
    model.trainable = True
    chosen: dict[int, tuple[keras.layers.Layer, bool]] = {}  # a layer may be used in several models
    for path, layer in list_named_layers(model):
        earlier = chosen.get(id(layer), (layer, False))[1]
        chosen[id(layer)] = layer, earlier or any(matches(path, each) for each in patterns)
    for layer, is_trainable in chosen.values():  # a model before its layers, which it sets too
        # Each layer: under TensorFlow, Keras ignores an assignment that does not change a model's.
        if layer.trainable != is_trainable:
            layer.trainable = is_trainable


def enter_phase(model: keras.Model, phases: Sequence[Phase], index: int) -> set[int]:
    """Set which layers of a newly built model are trainable in a phase.

    Args:
        model: The model.
        phases: All phases; empty: the model is trained as it was built.
        index: Of the phase.

    Returns:
        The `id` of each weight that is frozen in this phase and in those before.

    Raises:
        TrainingError: If the phase trains nothing.
    """
    untrained = {id(v) for v in model.weights}
    for phase in phases[: index + 1] or [Phase(0, 0)]:
        if phase.trainable is not None:
            set_trainable_layers(model, phase.trainable)
        untrained &= {id(v) for v in frozen_variables(model)}
    if phases and not model.trainable_variables:
        raise TrainingError(
            f"phase {index + 1} of training.phases trains nothing: no trainable layer has weights"
        )
    return untrained
