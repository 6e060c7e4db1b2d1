"""Initial weights: the same for a seed in both trainers and under every backend.

A network is built once without values (`blueprint`), which costs no array operation, and its
weights are drawn with numpy after the rules of Keras's own initializers. An initializer that is
not Keras's is asked itself, with its `seed` set where it has one.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import TrainingError
from ..trial import derive_seed

if TYPE_CHECKING:
    import keras

Draw = Callable[[Any, tuple[int, ...], np.random.Generator], np.ndarray]


def blueprint(build: Callable[[], keras.Model]) -> keras.Model:
    """The network that `build` makes, its variables without values.

    It may be compiled: an optimizer's counter and learning rate do get values.

    Raises:
        TrainingError: If `build` needs values, as one that loads weights does.
        Exception: What `build` raises in any case.
    """
    import keras
    from keras.src.backend.common import global_state

    # Keras would give values to them when the next scope of this thread ends.
    waiting = list(global_state.get_global_attribute("uninitialized_variables", []))
    try:
        with keras.StatelessScope(initialize_variables=False) as scope, _optimizers_allowed():
            model = build()
    except Exception as error:
        build()  # a mistake in it is raised here, as the user knows it
        raise TrainingError(f"the model's function needs weights with values: {error}") from error
    finally:
        global_state.set_global_attribute("uninitialized_variables", waiting)
    if scope.state_mapping:
        raise TrainingError("the model's function sets weights itself")
    _forget_made_up_seeds(model)
    return model


def _forget_made_up_seeds(model: keras.Model) -> None:
    """Let kernels of `EinsumDense`, as in attention, be drawn with our seed.

    The layer clones its initializer and hands over the seed that Keras made up, which then looks
    like one of the user's.
    """
    import keras

    for layer in model._flatten_layers():
        if not isinstance(layer, keras.layers.EinsumDense) or not layer.built:
            continue
        if getattr(layer.kernel_initializer, "_init_seed", 0) is None:
            layer._kernel._initializer._init_seed = None


_allowed = threading.local()  # whether this thread may make an optimizer without weights


@contextmanager
def _optimizers_allowed() -> Iterator[None]:
    """Let optimizers be made where weights have no values.

    An optimizer makes two variables at once, its counter and its learning rate, and Keras takes
    no value in a stateless scope. With values the weights of a network would be drawn and
    compiled for nothing, a hundred times slower.
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


def initial_weights(model: keras.Model, seed: int) -> list[np.ndarray]:
    """Drawn weights of a `blueprint`, in the order of `keras.Model.get_weights`.

    Args:
        model: What `blueprint` returned; it can be drawn from any number of times.
        seed: `TrialSpec.fold_seed(fold, "weights")`.
    """
    return [
        draw(variable._initializer, tuple(variable.shape), variable.dtype, seed, place)
        for place, variable in enumerate(model.weights)
    ]


def draw(initializer: Any, shape: tuple[int, ...], dtype: str, seed: int, place: int) -> np.ndarray:
    """One variable's initial value; `place` is its index among the model's weights."""
    if getattr(initializer, "_init_seed", None) is not None:
        seed = initializer._init_seed  # the user's own seed holds in every fold and trial
    rule = _rules().get(type(initializer))
    if rule is None:
        return _ask(initializer, shape, dtype, derive_seed(seed, place))
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, place])))
    return np.asarray(rule(initializer, shape, rng), dtype)


def _ask(initializer: Any, shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    """The initializer's own answer, with our seed where it takes one."""
    config: dict[str, Any] = getattr(initializer, "get_config", dict)()
    if "seed" in config:
        initializer = type(initializer).from_config({**config, "seed": seed})
    return np.array(initializer(shape, dtype=dtype))


def _rules() -> dict[type, Draw]:
    """Keras's initializers that are drawn here, by exact class."""
    from keras import initializers as k

    scaled = (
        k.VarianceScaling,
        k.GlorotUniform,
        k.GlorotNormal,
        k.LecunUniform,
        k.LecunNormal,
        k.HeUniform,
        k.HeNormal,
    )
    return {
        **dict.fromkeys(scaled, _variance_scaling),
        k.Zeros: lambda i, shape, rng: np.zeros(shape),
        k.Ones: lambda i, shape, rng: np.ones(shape),
        k.Constant: lambda i, shape, rng: np.full(shape, i.value),
        k.RandomUniform: lambda i, shape, rng: rng.uniform(i.minval, i.maxval, shape),
        k.RandomNormal: lambda i, shape, rng: rng.normal(i.mean, i.stddev, shape),
        k.TruncatedNormal: lambda i, shape, rng: i.mean + i.stddev * _truncated(shape, rng),
        k.Orthogonal: _orthogonal,
    }


def _variance_scaling(i: Any, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Glorot, He, LeCun and their like: `keras.initializers.VarianceScaling`."""
    from keras.src.initializers.random_initializers import compute_fans

    fan_in, fan_out = compute_fans(shape, input_axes=i.input_axes, output_axes=i.output_axes)
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[i.mode]
    scale = i.scale / max(1.0, fan)
    if i.distribution == "uniform":
        limit = math.sqrt(3 * scale)
        return rng.uniform(-limit, limit, shape)
    if i.distribution == "untruncated_normal":
        return rng.normal(0, math.sqrt(scale), shape)
    return math.sqrt(scale) / 0.87962566103423978 * _truncated(shape, rng)


def _truncated(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Standard normal draws within two standard deviations; the others are drawn again."""
    values = rng.standard_normal(shape)
    while (outside := np.abs(values) > 2).any():
        values[outside] = rng.standard_normal(int(outside.sum()))
    return values


def _orthogonal(i: Any, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    rows, columns = math.prod(shape[:-1]), shape[-1]
    normal = rng.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(normal)
    q *= np.sign(np.diag(r))
    q = q.T if rows < columns else q
    result: np.ndarray = i.gain * q.reshape(shape)
    return result
