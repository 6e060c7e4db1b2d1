"""Private parts of Keras.

Uses `keras.src`, and underscore attributes of models, layers, variables, losses and optimizers,
which have no public counterpart. Importing this module does not import Keras, whose backend is
chosen before its first import.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

# ---- importing ----


def load_later(packages: Collection[str]) -> None:
    """Let Keras find `packages` when it uses them, after `import keras` ran without them.

    Data adapters look for pandas once, at import, and the callback `RemoteMonitor` for requests.
    """
    from keras.src.callbacks import remote_monitor
    from keras.src.trainers.data_adapters import array_data_adapter, array_slicing
    from keras.src.utils import module_utils

    if "pandas" in packages:
        array_data_adapter.pandas = array_slicing.pandas = module_utils.LazyModule("pandas")
    if "requests" in packages:
        remote_monitor.requests = module_utils.LazyModule("requests")


def hide_tensorflow() -> None:
    """Make Keras treat TensorFlow as missing.

    Under JAX, the first `get_config` would import it, which takes seconds, only for a type check.
    """
    from keras.src.utils import module_utils

    module_utils.tensorflow._available = False


def replace_clear_session(function: Callable[..., None]) -> None:
    """Replace `clear_session` under all its names."""
    import keras
    from keras.src.backend.common import global_state

    for module in (global_state, keras.utils, keras.backend):
        module.clear_session = function


# ---- variables without values ----


@contextmanager
def without_values() -> Iterator[keras.StatelessScope]:
    """A scope in which new variables get no values, not even after it ends.

    Keras collects variables created in a stateless scope and initializes them when the thread's
    next scope ends.
    """
    import keras
    from keras.src.backend.common import global_state

    waiting = list(global_state.get_global_attribute("uninitialized_variables", []))
    try:
        with keras.StatelessScope(initialize_variables=False) as scope:
            yield scope
    finally:
        global_state.set_global_attribute("uninitialized_variables", waiting)


_allowed = threading.local()  # whether this thread is inside `without_values`


@contextmanager
def optimizers_with_values() -> Iterator[None]:
    """Allow optimizers to be created inside `without_values`.

    An optimizer creates two variables, its counter and learning rate, and Keras does not assign
    values in a stateless scope. So `BaseOptimizer.__init__` is wrapped, once, and leaves the scope
    while it runs; outside this context it behaves as before.
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
    """Return the initializer of a variable."""
    return variable._initializer


def user_seed(initializer: Any) -> int | None:
    """Return the seed given by the user; `seed` may also be one that Keras generated."""
    seed = getattr(initializer, "_init_seed", None)
    return None if seed is None else int(seed)


def forget_made_up_seed(layer: keras.layers.EinsumDense) -> None:
    """Mark the seed of a kernel built in `without_values` as generated, unless the user gave it.

    The layer clones its initializer with the generated seed, which then looks like a user's.
    """
    if getattr(layer.kernel_initializer, "_init_seed", 0) is None:
        layer._kernel._initializer._init_seed = None


def compute_fans(shape: tuple[int, ...], initializer: Any) -> tuple[float, float]:
    """Compute fan-in and fan-out as `VarianceScaling` does."""
    from keras.src.initializers.random_initializers import compute_fans

    try:
        axes = {"input_axes": initializer.input_axes, "output_axes": initializer.output_axes}
    except AttributeError:  # older versions of Keras have a single rule
        axes = {}
    fan_in, fan_out = compute_fans(shape, **axes)
    return fan_in, fan_out


# ---- models and layers ----


def functional_class() -> Any:
    """The class of `keras.Model(inputs, outputs)`."""
    from keras.src.models.functional import Functional

    return Functional


def is_functional(model: Any) -> bool:
    """Whether a model is a functional model, `keras.Model(inputs, outputs)`."""
    return isinstance(model, functional_class())


def compute_output_shape(model: keras.Model, row_shape: tuple[int, ...]) -> Any:
    """Compute a model's output shape for rows of `row_shape`; a structure for several outputs.

    A subclassed model is traced: its layers alone say no shape.
    """
    import keras

    if is_functional(model) or isinstance(model, keras.Sequential):
        return model.compute_output_shape((None, *row_shape))
    answer = model.compute_output_spec(keras.KerasTensor((None, *row_shape)))
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
    """Return a model and all its nested layers."""
    return list(model._flatten_layers(include_self=include_self))


def list_named_layers(model: keras.Model, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Iterate over all nested layers, a model before its layers, as `MODEL/LAYER` and layer."""
    for layer in model._flatten_layers(include_self=False, recursive=False):
        yield prefix + layer.name, layer
        yield from list_named_layers(layer, f"{prefix}{layer.name}/")


def frozen_variables(model: keras.Model) -> list[keras.Variable]:
    """Return the weights that training would change if they were not frozen."""
    layers = flat_layers(model)
    return [v for layer in layers for v in layer._trainable_variables if not v.trainable]


def feeds_alone(before: keras.layers.Layer, after: keras.layers.Layer) -> bool:
    """Whether one layer's output goes only to the other, which has no other input."""
    if len(before._outbound_nodes) != 1 or len(after._inbound_nodes) != 1:
        return False
    parents = after._inbound_nodes[0].parent_nodes
    return len(parents) == 1 and parents[0].operation is before


def layer_of(output: Any) -> Any:
    """Return the layer or operation that produced a symbolic tensor."""
    return output._keras_history.operation


def observe_calls(observe: Callable[[Any, Any], None]) -> None:
    """Let `observe(layer, inputs)` see each call of a `Normalization` or `Discretization`.

    Also let `Normalization` read its statistics from its weights at each call, with the same
    outputs. Keras makes constants of them when the layer is built, so one model could not hold the
    statistics of several folds.
    """
    import keras

    normalize, discretize = keras.layers.Normalization.call, keras.layers.Discretization.call
    if hasattr(normalize, "is_observed"):
        return

    @functools.wraps(normalize)
    def call_normalization(self: Any, inputs: Any) -> Any:
        observe(self, inputs)
        constants = self.mean, getattr(self, "variance", None)
        self.finalize_state()
        try:
            return normalize(self, inputs)
        finally:
            self.mean, self.variance = constants

    @functools.wraps(discretize)
    def call_discretization(self: Any, inputs: Any) -> Any:
        observe(self, inputs)
        return discretize(self, inputs)

    call_normalization.is_observed = True  # type: ignore[attr-defined]
    keras.layers.Normalization.call = call_normalization
    keras.layers.Discretization.call = call_discretization


# ---- compile settings ----


def compile_settings(model: keras.Model) -> Mapping[str, Any]:
    """Return the arguments of `model.compile`; empty if it was not called."""
    config = getattr(model, "_compile_config", None)
    settings: Mapping[str, Any] = config.config if config is not None else {}
    return settings


def loss_of_function(
    function: Callable[..., Any], name: str | None = None, **arguments: Any
) -> Any:
    """Wrap a function of (y_true, y_pred) and `arguments` as a `keras.losses.Loss`."""
    from keras.src.losses.losses import LossFunctionWrapper

    given = name or getattr(function, "__name__", "loss")
    return LossFunctionWrapper(function, name=given, **arguments)


def loss_arguments(loss: Any) -> dict[str, Any]:
    """Return the keyword arguments with which a loss calls its function `loss.fn`."""
    return dict(getattr(loss, "_fn_kwargs", {}))


# ---- optimizers ----


def learning_rate(optimizer: Any) -> Any:
    """Return the optimizer's learning rate: a variable or a schedule.

    The public attribute returns a schedule's current value instead.
    """
    return getattr(optimizer, "_learning_rate", None)


def moving_averages(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Return the moving averages of the weights of an optimizer with `use_ema`."""
    return list(optimizer._model_variables_moving_average)


def excludes_from_weight_decay(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether `exclude_from_weight_decay` was called."""
    return hasattr(optimizer, "_exclude_from_weight_decay")


def set_path(variable: keras.Variable, path: str) -> None:
    """Give a variable the path of another; optimizers identify variables by path."""
    variable._path = path


@functools.cache
def make_per_weight_optimizer(kind: type) -> type:
    """Make an optimizer class with factors of learning rate and weight decay per variable.

    Both lists follow the order of the optimizer's variables; an empty list means that all are 1.
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
    """Set an optimizer's learning rate to `rate`, which may have any shape that broadcasts."""
    optimizer._get_current_learning_rate = lambda: rate
    try:
        yield
    finally:
        del optimizer._get_current_learning_rate
