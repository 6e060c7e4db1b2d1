"""Private parts of Keras.

Uses `keras.src`, and attributes of models, layers, variables, losses and optimizers that begin
with an underscore. Public Keras has no counterpart for them. Importing this module does not import
Keras, whose backend is chosen before its first import.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

# ---- importing ----


def let_pandas_load_later() -> None:
    """Let data adapters find pandas again, after `import keras` ran without it.

    They look for it once, when they are imported.
    """
    from keras.src.trainers.data_adapters import array_data_adapter, array_slicing
    from keras.src.utils import module_utils

    array_data_adapter.pandas = array_slicing.pandas = module_utils.LazyModule("pandas")


def hide_tensorflow() -> None:
    """Let Keras take TensorFlow for missing.

    The first `get_config` under JAX would import it, which takes seconds, to ask whether a value
    is one of its shapes.
    """
    from keras.src.utils import module_utils

    module_utils.tensorflow._available = False


def replace_clear_session(function: Callable[..., None]) -> None:
    """Replace `clear_session` under all of its names."""
    import keras
    from keras.src.backend.common import global_state

    for module in (global_state, keras.utils, keras.backend):
        module.clear_session = function


# ---- variables without values ----


@contextmanager
def without_values() -> Iterator[keras.StatelessScope]:
    """A scope in which variables get no values, neither inside nor after it.

    Keras lists variables that are made in a stateless scope, and gives values to them when the
    next scope of the thread ends.
    """
    import keras
    from keras.src.backend.common import global_state

    waiting = list(global_state.get_global_attribute("uninitialized_variables", []))
    try:
        with keras.StatelessScope(initialize_variables=False) as scope:
            yield scope
    finally:
        global_state.set_global_attribute("uninitialized_variables", waiting)


_allowed = threading.local()  # whether this thread may make an optimizer without weights


@contextmanager
def optimizers_with_values() -> Iterator[None]:
    """Let optimizers be made inside `without_values`.

    An optimizer makes two variables at once, its counter and its learning rate, and Keras takes
    no value in a stateless scope. `BaseOptimizer.__init__` is therefore wrapped, once, and leaves
    the scope for as long as it runs; outside of this context it does what it did.
    """
    from keras.src.backend.common import global_state
    from keras.src.optimizers.base_optimizer import BaseOptimizer

    init = BaseOptimizer.__init__
    if not hasattr(init, "outside_of_scopes"):

        @functools.wraps(init)
        def outside(self: Any, *args: Any, **kwargs: Any) -> None:
            scope = global_state.get_global_attribute("stateless_scope")
            if scope is None or not getattr(_allowed, "now", False):
                init(self, *args, **kwargs)
                return
            global_state.set_global_attribute("stateless_scope", None)
            try:
                init(self, *args, **kwargs)
            finally:
                global_state.set_global_attribute("stateless_scope", scope)

        outside.outside_of_scopes = True  # type: ignore[attr-defined]
        BaseOptimizer.__init__ = outside
    _allowed.now = True
    try:
        yield
    finally:
        _allowed.now = False


# ---- initializers ----


def variable_initializer(variable: keras.Variable) -> Any:
    """What gives a variable its first value."""
    return variable._initializer


def user_seed(initializer: Any) -> int | None:
    """The seed that an initializer was made with; `seed` also holds one that Keras made up."""
    seed = getattr(initializer, "_init_seed", None)
    return None if seed is None else int(seed)


def forget_made_up_seed(layer: keras.layers.EinsumDense) -> None:
    """Mark the seed of a kernel built in `without_values` as made up, where the user gave none.

    The layer clones its initializer and hands over the seed that Keras made up, which then looks
    like a custom one.
    """
    if getattr(layer.kernel_initializer, "_init_seed", 0) is None:
        layer._kernel._initializer._init_seed = None


def compute_fans(shape: tuple[int, ...], initializer: Any) -> tuple[float, float]:
    """Inputs and outputs of a unit, as a `VarianceScaling` counts them."""
    from keras.src.initializers.random_initializers import compute_fans

    try:
        axes = {"input_axes": initializer.input_axes, "output_axes": initializer.output_axes}
    except AttributeError:  # an older Keras counts them in one way
        axes = {}
    fan_in, fan_out = compute_fans(shape, **axes)
    return fan_in, fan_out


# ---- models and layers ----


def functional_class() -> Any:
    """The class of `keras.Model(inputs, outputs)`."""
    from keras.src.models.functional import Functional

    return Functional


def is_functional(model: Any) -> bool:
    """Whether a model is a graph of layers, as `keras.Model(inputs, outputs)` is."""
    return isinstance(model, functional_class())


def compute_output_shape(model: keras.Model, row_shape: tuple[int, ...]) -> Any:
    """What a model's output has as its shape for rows of `row_shape`; of several, their structure.

    A subclassed model is traced: its layers alone say no shape.
    """
    import keras

    if is_functional(model) or isinstance(model, keras.Sequential):
        return model.compute_output_shape((None, *row_shape))
    answer = model.compute_output_spec(keras.KerasTensor((None, *row_shape)), training=False)
    return keras.tree.map_structure(lambda part: tuple(part.shape), answer)


def restore_functions(layer: Any, config: dict[str, Any]) -> dict[str, Any]:
    """A layer's config with the layer's own activations, which no config can bring back."""
    return {
        key: getattr(layer, key) if _is_own_function(value) else value
        for key, value in config.items()
    }


def holds_own_function(config: Mapping[str, Any]) -> bool:
    """Whether a layer's config names a function that is not Keras's."""
    return any(_is_own_function(value) for value in config.values())


def _is_own_function(value: Any) -> bool:
    kinds = ("function", "__lambda__")
    return isinstance(value, Mapping) and value.get("class_name") in kinds


def flat_layers(model: keras.Model, *, include_self: bool = True) -> list[Any]:
    """A model and its layers, those inside of layers and models too."""
    return list(model._flatten_layers(include_self=include_self))


def feeds_alone(before: keras.layers.Layer, after: keras.layers.Layer) -> bool:
    """Whether the one layer's output goes to the other alone, which has no other input."""
    if len(before._outbound_nodes) != 1 or len(after._inbound_nodes) != 1:
        return False
    parents = after._inbound_nodes[0].parent_nodes
    return len(parents) == 1 and parents[0].operation is before


def layer_of(output: Any) -> Any:
    """The layer or operation that made a symbolic tensor."""
    return output._keras_history.operation


# ---- what was compiled ----


def compile_settings(model: keras.Model) -> Mapping[str, Any]:
    """The arguments of `model.compile`; empty where it was not called."""
    config = getattr(model, "_compile_config", None)
    settings: Mapping[str, Any] = config.config if config is not None else {}
    return settings


def loss_of_function(function: Callable[[Any, Any], Any], name: str | None = None) -> Any:
    """A `keras.losses.Loss` of a function of (y_true, y_pred)."""
    from keras.src.losses.losses import LossFunctionWrapper

    return LossFunctionWrapper(function, name=name or getattr(function, "__name__", "loss"))


def loss_arguments(loss: Any) -> dict[str, Any]:
    """The keyword arguments with which a loss calls its function `loss.fn`."""
    return dict(getattr(loss, "_fn_kwargs", {}))


# ---- optimizers ----


def learning_rate(optimizer: Any) -> Any:
    """The learning rate as the optimizer keeps it: a variable, or a schedule.

    The public attribute gives a schedule's current value.
    """
    return getattr(optimizer, "_learning_rate", None)


def moving_averages(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """The moving averages of the weights, of an optimizer with `use_ema`."""
    return list(optimizer._model_variables_moving_average)


def excludes_from_weight_decay(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether `exclude_from_weight_decay` was called."""
    return hasattr(optimizer, "_exclude_from_weight_decay")


def set_path(variable: keras.Variable, path: str) -> None:
    """Give a variable the path of another: an optimizer knows variables by it."""
    variable._path = path


@functools.cache
def make_per_weight_optimizer(kind: type) -> type:
    """A class of optimizers whose rate and decay have factors by variable, and a share of decay.

    Both are lists in the order of the variables that the optimizer is built on; empty: all are 1.
    """

    class PerWeight(kind):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.rate_factors: list[float] = []
            self.decay_factors: list[float] = []
            self.decay_share = self.add_variable((), initializer="ones", name="decay_share")

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            super().update_step(gradient, variable, learning_rate * self._rate_factor(variable))

        def _apply_weight_decay(self, variables: Any) -> None:
            if self.weight_decay is None:
                return
            for v in variables:
                index = self._get_variable_index(v)
                factor = self.decay_factors[index] if self.decay_factors else 1.0
                share = self.decay_share * self.weight_decay * factor * self._rate_factor(v)
                v.assign(v - v * share * self.learning_rate)

        def _rate_factor(self, variable: Any) -> float:
            index = self._get_variable_index(variable)
            return self.rate_factors[index] if self.rate_factors else 1.0

    PerWeight.__name__ = PerWeight.__qualname__ = f"PerWeight{kind.__name__}"
    return PerWeight


@contextmanager
def override_learning_rate(optimizer: Any, rate: Any) -> Iterator[None]:
    """Let an optimizer's learning rate be `rate`, of any shape that suits its variables."""
    optimizer._get_current_learning_rate = lambda: rate
    try:
        yield
    finally:
        del optimizer._get_current_learning_rate
