"""A Keras optimizer as a pure function with Keras's update rules; its numbers are inputs.

For elementwise optimizers all weights are one vector, so a program has few operations, whatever the
number of layers.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import keras
import numpy as np

from ...compat.keras import learning_rate, moving_averages, override_learning_rate, set_path
from ...models.step_factors import StepFactors
from ...trial import Value
from .traced_scalar import pack_numbers, unpack_numbers

Arrays = list[Any]

# Their updates depend on a variable's shape or norm.
BY_VARIABLE = (keras.optimizers.Lamb, keras.optimizers.Adafactor, keras.optimizers.Muon)
# Their updates depend on a variable's shape, so padding would change them.
BY_SHAPE = (keras.optimizers.Adafactor, keras.optimizers.Muon)
# They use the learning rate only as a factor of the step.
BY_WEIGHT = (
    *(keras.optimizers.SGD, keras.optimizers.RMSprop, keras.optimizers.Adam),
    *(keras.optimizers.AdamW, keras.optimizers.Adamax, keras.optimizers.Nadam),
    *(keras.optimizers.Adagrad, keras.optimizers.Adadelta, keras.optimizers.Lion),
)
CLIP_ARGUMENTS = ("clipnorm", "clipvalue", "global_clipnorm")
PLAIN_ARGUMENTS = ("l1_regularization_strength",)  # passed to an operation that takes only arrays
OPTIONAL_ARGUMENTS = ("weight_decay", "adam_weight_decay")  # None is equivalent to 0


class Update(Protocol):
    """A trial's optimizer in a program: `OptimizerUpdate` or `OptimizerSwitch`."""

    numbers: Any  # the inputs of the program that hold the optimizer's arguments
    structure: str  # equal for updates that compute the same

    def numbers_of(self, params: Mapping[str, Value]) -> Any:
        """Return the `numbers` of another trial's optimizer that differs only in numbers."""
        ...

    @property
    def scales(self) -> bool:
        """Whether each weight may have a learning rate of its own."""
        ...

    def is_flat(self, trainable: list[Any]) -> bool:
        """Whether all weights can be updated as one vector."""
        ...

    def initial(self, trainable: list[Any], values: list[np.ndarray]) -> Arrays:
        """Return the optimizer's initial variables, which may depend on the weights.

        Args:
            trainable: The network's trainable variables.
            values: Their values; one vector if the update is flat.
        """
        ...

    def prepare(self, trainable: list[Any], shapes: list[tuple[int, ...]]) -> None:
        """Prepare for tracing with weights of `shapes`; may be called again. See `initial`."""
        ...

    def __call__(
        self,
        numbers: Any,
        rate: Any,
        state: Arrays,
        gradients: Arrays,
        values: Arrays,
        factors: StepFactors | None = None,
    ) -> tuple[Arrays, Arrays]:
        """Return the new weights and the new state; `factors` are those of each weight."""
        ...

    def final_weights(self, state: Arrays, values: Arrays) -> Arrays:
        """Return the weights after `fit`: averages, if the optimizer keeps them."""
        ...


class OptimizerUpdate:
    """One optimizer of Keras; an `Update`."""

    def __init__(self, optimizer: Any) -> None:
        """Wrap a new Keras optimizer, which is not used elsewhere."""
        if type(optimizer) is keras.optimizers.AdamW:  # Adam with a weight decay; shares programs
            optimizer = keras.optimizers.Adam.from_config(optimizer.get_config())
        self._optimizer = optimizer
        self._config = optimizer.get_config()  # during tracing the optimizer holds traced values
        self._names = _number_names(self._optimizer)
        self._values = [_argument_value(self._optimizer, name) for name in self._names]
        self.numbers = pack_numbers(self._values)
        self.by_shape = isinstance(self._optimizer, BY_SHAPE)
        self.structure = _optimizer_structure(self._optimizer, self._names)
        self._built: list[Any] = []  # the variables that the traced optimizer was built with

    @property
    def arguments(self) -> Mapping[str, float]:
        """The numeric arguments of the optimizer, without its learning rate."""
        return dict(zip(self._names, self._values, strict=True))

    def numbers_of(self, params: Mapping[str, Value]) -> np.ndarray:
        """See `Update`."""
        own = zip(self._names, self._values, strict=True)
        values: list[Any] = [params.get(name, value) for name, value in own]
        return pack_numbers([0.0 if v is None else float(v) for v in values])

    @property
    def scales(self) -> bool:
        """See `Update`."""
        return type(self._optimizer) in BY_WEIGHT and not self._optimizer.clipnorm

    def is_flat(self, trainable: list[Any]) -> bool:
        """See `Update`."""
        return (
            not isinstance(self._optimizer, BY_VARIABLE)
            and not self._optimizer.clipnorm
            and not any(v.constraint is not None for v in trainable)
        )

    def initial(self, trainable: list[Any], values: list[np.ndarray]) -> Arrays:
        """See `Update`."""
        fresh = type(self._optimizer).from_config(dict(self._config))
        optimizer = _build_variables(fresh, _stand_ins(trainable, values))
        return [
            np.asarray(v.value) for v in optimizer.variables if v is not _learning_rate(optimizer)
        ]

    def prepare(self, trainable: list[Any], shapes: list[tuple[int, ...]]) -> None:
        """See `Update`."""
        # A built optimizer would keep the variables of an earlier trace.
        self._optimizer = type(self._optimizer).from_config(dict(self._config))
        self._built = _stand_ins(trainable, [np.zeros(s, np.float32) for s in shapes])
        _build_variables(self._optimizer, self._built)

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
        optimizer = self._optimizer
        given: dict[str, Any] = dict(zip(self._names, unpack_numbers(numbers), strict=True))
        given |= {name: given[name].value for name in PLAIN_ARGUMENTS if name in given}
        if "clipvalue" in given:  # like PLAIN_ARGUMENTS, but Keras also tests for None
            limit, given["clipvalue"] = given["clipvalue"].value, None
            gradients = [jnp.clip(g, -limit, limit) for g in gradients]
        scaled: Any = nullcontext()
        if factors is not None:
            given["weight_decay"] = given["weight_decay"].value * factors.decays
            scaled = override_learning_rate(optimizer, rate * factors.rates)
        own = [v for v in optimizer.variables if v is not _learning_rate(optimizer)]
        mapping = [
            *zip(self._built, values, strict=True),
            *zip(own, state, strict=True),
            (_learning_rate(optimizer), rate),
        ]
        kept = {name: getattr(optimizer, name) for name in given}
        scope = keras.StatelessScope(mapping, initialize_variables=False)
        try:
            for name, number in given.items():
                setattr(optimizer, name, number)
            with scope, scaled:
                optimizer.apply(gradients)
        finally:
            for name, value in kept.items():
                setattr(optimizer, name, value)
        return (
            [scope.get_current_value(v) for v in self._built],
            [scope.get_current_value(v) for v in own],
        )

    def final_weights(self, state: Arrays, values: Arrays) -> Arrays:
        """See `Update`."""
        if not self._optimizer.use_ema:
            return values
        own = [v for v in self._optimizer.variables if v is not _learning_rate(self._optimizer)]
        by_variable = {id(v): value for v, value in zip(own, state, strict=True)}
        return [by_variable[id(v)] for v in moving_averages(self._optimizer)]


def _build_variables(optimizer: Any, variables: list[Any]) -> Any:
    """Build the optimizer's variables, those of its momentum even if that is 0."""
    momentum = getattr(optimizer, "momentum", None)
    if momentum == 0:
        optimizer.momentum = 0.5
    optimizer.build(variables)
    if momentum == 0:
        optimizer.momentum = momentum
    return optimizer


def _learning_rate(optimizer: Any) -> Any:
    return learning_rate(optimizer)


def _argument_value(optimizer: Any, name: str) -> float:
    value = getattr(optimizer, name)
    return 0.0 if value is None else float(value)


def _number_names(optimizer: Any) -> list[str]:
    """Return the names of the optimizer's numeric arguments, except those that None disables."""
    names: list[str] = []
    for kind in type(optimizer).__mro__:
        for name, parameter in inspect.signature(kind).parameters.items():
            if name in (*names, "learning_rate") or not hasattr(optimizer, name):
                continue
            present = name in CLIP_ARGUMENTS and getattr(optimizer, name)
            if isinstance(parameter.default, float) or name in OPTIONAL_ARGUMENTS or present:
                names.append(name)
        if kind is keras.optimizers.Optimizer:
            break
    return names


def _optimizer_structure(optimizer: Any, names: list[str]) -> str:
    config = optimizer.get_config()
    inputs = (*names, "learning_rate", "name")
    fixed = {k: v for k, v in sorted(config.items()) if k not in inputs}
    return f"{type(optimizer).__name__} {fixed} {names}"


def _stand_ins(trainable: list[Any], values: list[np.ndarray]) -> list[Any]:
    """Make variables with these values for building an optimizer."""
    if len(values) != len(trainable) or any(
        tuple(v.shape) != a.shape for v, a in zip(trainable, values, strict=True)
    ):
        return [keras.Variable(values[0], name="weights")]
    made = []
    for variable, value in zip(trainable, values, strict=True):
        stand_in = keras.Variable(value, name=variable.name)
        set_path(stand_in, variable.path)
        stand_in.constraint = variable.constraint
        made.append(stand_in)
    return made


def flatten_arrays(arrays: Arrays) -> Any:
    """Concatenate arrays to one vector."""
    if not arrays:
        return jnp.zeros(0)
    # A concatenation fused with its inputs would compute the source of each element.
    return jnp.concatenate([jax.lax.optimization_barrier(jnp.ravel(a)) for a in arrays])
