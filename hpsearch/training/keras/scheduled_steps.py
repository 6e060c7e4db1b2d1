"""Schedules of dropout and weight decay, and learning-rate factors of single weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...compat.keras import make_per_weight_optimizer
from ...models.step_factors import StepFactors
from ...trial import Value
from ..optimizers import make_optimizer, make_optimizer_arguments
from ..schedules import is_scheduled

if TYPE_CHECKING:
    import keras

SHARE = "dropout_share"  # name of the factor of a layer's rate


def make_scheduled_optimizer(
    params: Mapping[str, Value], factors: StepFactors | None
) -> keras.optimizers.Optimizer:
    """Make the optimizer of `params`, with factors and a decay schedule if needed."""
    import keras

    if factors is None and not is_scheduled(params, "weight_decay_schedule"):
        return make_optimizer(params)
    kind, arguments = make_optimizer_arguments(params)
    optimizer = make_per_weight_optimizer(getattr(keras.optimizers, kind))(**arguments)
    if factors is not None:
        optimizer.rate_factors = factors.rates.tolist()
        optimizer.decay_factors = factors.decays.tolist()
    return optimizer


def schedule_dropout(model: keras.Model) -> keras.Model:
    """Clone a model; its dropout rates are multiplied by a variable. Weights are not copied."""
    import keras

    class ScheduledDropout(keras.layers.Dropout):  # type: ignore[misc]  # Keras ships no types
        def build(self, input_shape: Any) -> None:
            self.share = self.add_weight(shape=(), initializer="ones", trainable=False, name=SHARE)

        def call(self, inputs: Any, training: bool = False) -> Any:
            if not training or self.rate == 0:
                return inputs
            # Keras's function tests whether the rate is 0, which fails for a variable.
            shape = list(keras.ops.shape(inputs))
            for axis, n in enumerate(self.noise_shape or ()):
                shape[axis] = shape[axis] if n is None else n
            drawn = keras.random.uniform(tuple(shape), seed=self.seed_generator)
            rate = self.rate * self.share
            return keras.ops.where(drawn >= rate, inputs / (1 - rate), 0.0)

    def replace(layer: Any) -> Any:
        kind = ScheduledDropout if type(layer) is keras.layers.Dropout else type(layer)
        return kind.from_config(layer.get_config())

    return keras.models.clone_model(model, clone_function=replace)
