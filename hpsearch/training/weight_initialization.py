"""Initial weights, identical for a seed in both trainers and under every backend.

A network is built once without values (`build_blueprint`), which needs no array operation. Its
weights are drawn by the counter-based generator `counter_random` with the distributions of Keras's
initializers, on the host here and on the device in `vectorized.lane_init`. A custom initializer is
called, with its `seed` set if it has one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..compat.keras import (
    compute_fans,
    flat_layers,
    forget_made_up_seed,
    optimizers_with_values,
    user_seed,
    variable_initializer,
    without_values,
)
from ..errors import TrainingError
from ..trial import derive_seed
from .counter_random import (
    random_bits,
    signed_uniform,
    uniform_to_normal,
    uniform_to_truncated_normal,
)

if TYPE_CHECKING:
    import keras

DistributionKind = Literal["constant", "uniform", "normal", "truncated"]


@dataclass(frozen=True, slots=True)
class Distribution:
    """The distribution of a variable: `center + spread * base`, where base has unit width."""

    kind: DistributionKind
    center: Any  # a number; for a constant possibly an array
    spread: float


DistributionRule = Callable[[Any, tuple[int, ...]], Distribution]


def build_blueprint(build: Callable[[], keras.Model]) -> keras.Model:
    """Build a network whose variables have no values.

    It may be compiled: the counter and the learning rate of an optimizer get values.

    Raises:
        TrainingError: If `build` needs values, for example to load weights.
        Exception: Any exception of `build`.
    """
    try:
        with without_values() as scope, optimizers_with_values():
            model = build()
    except Exception as error:
        build()  # a bug in `build` raises here
        raise TrainingError(f"the model's function needs weights with values: {error}") from error
    if scope.state_mapping:
        raise TrainingError("the model's function sets weights itself")
    _clear_generated_seeds(model)
    return model


def _clear_generated_seeds(model: keras.Model) -> None:
    """Clear generated seeds of `EinsumDense` kernels (attention), to use the trial's seed."""
    import keras

    for layer in flat_layers(model):
        if isinstance(layer, keras.layers.EinsumDense) and layer.built:
            forget_made_up_seed(layer)


def draw_weights(model: keras.Model, seed: int) -> list[np.ndarray]:
    """Draw the weights of a blueprint, in the order of `keras.Model.get_weights`.

    Args:
        model: From `build_blueprint`; it can be used repeatedly.
        seed: `TrialSpec.fold_seed(fold, "weights")`.
    """
    return [
        draw_variable(
            variable_initializer(variable), tuple(variable.shape), variable.dtype, seed, index
        )
        for index, variable in enumerate(model.weights)
    ]


def draw_variable(
    initializer: Any, shape: tuple[int, ...], dtype: str, seed: int, index: int
) -> np.ndarray:
    """Draw a variable's initial value; `index` is its position among the model's weights."""
    seed = resolve_seed(initializer, seed)
    found = get_distribution(initializer, shape)
    if found is not None:
        bits = random_bits(np, np.arange(math.prod(shape)), seed, index)
        return np.asarray(
            found.center + found.spread * _draw_base(found.kind, bits), dtype
        ).reshape(shape)
    if _is_orthogonal(initializer):
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, index])))
        return np.asarray(_draw_orthogonal(initializer, shape, rng), dtype)
    return _call_initializer(initializer, shape, dtype, derive_seed(seed, index))


def resolve_seed(initializer: Any, seed: int) -> int:
    """Return the seed to draw with; a user's seed applies to every fold and trial."""
    own = user_seed(initializer)
    return seed if own is None else own


def _draw_base(kind: str, bits: np.ndarray) -> Any:
    from scipy.special import erfinv

    signed = signed_uniform(np, bits)
    if kind == "uniform":
        return signed
    if kind == "constant":
        return np.zeros_like(signed)
    return (uniform_to_normal if kind == "normal" else uniform_to_truncated_normal)(erfinv, signed)


def _call_initializer(
    initializer: Any, shape: tuple[int, ...], dtype: str, seed: int
) -> np.ndarray:
    """Call the initializer, with the seed if it accepts one."""
    config: dict[str, Any] = getattr(initializer, "get_config", dict)()
    if "seed" in config:
        initializer = type(initializer).from_config({**config, "seed": seed})
    return np.array(initializer(shape, dtype=dtype))


def get_distribution(initializer: Any, shape: tuple[int, ...]) -> Distribution | None:
    """Return an initializer's distribution for a variable of `shape`; None if it is unknown."""
    rule = _make_distribution_rules().get(type(initializer))
    return None if rule is None else rule(initializer, shape)


def _make_distribution_rules() -> dict[type, DistributionRule]:
    """Map Keras's initializers, by exact class, to their distributions."""
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
        k.Zeros: lambda i, shape: Distribution("constant", 0.0, 0.0),
        k.Ones: lambda i, shape: Distribution("constant", 1.0, 0.0),
        k.Constant: lambda i, shape: Distribution("constant", i.value, 0.0),
        k.RandomUniform: lambda i, shape: Distribution(
            "uniform", (i.minval + i.maxval) / 2, (i.maxval - i.minval) / 2
        ),
        k.RandomNormal: lambda i, shape: Distribution("normal", i.mean, i.stddev),
        k.TruncatedNormal: lambda i, shape: Distribution("truncated", i.mean, i.stddev),
    }


def _variance_scaling(i: Any, shape: tuple[int, ...]) -> Distribution:
    """Return the distribution of `keras.initializers.VarianceScaling`: Glorot, He, LeCun."""
    fan_in, fan_out = compute_fans(shape, i)
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[i.mode]
    scale = i.scale / max(1.0, fan)
    if i.distribution == "uniform":
        return Distribution("uniform", 0.0, math.sqrt(3 * scale))
    if i.distribution == "untruncated_normal":
        return Distribution("normal", 0.0, math.sqrt(scale))
    return Distribution("truncated", 0.0, math.sqrt(scale) / 0.87962566103423978)


def _is_orthogonal(initializer: Any) -> bool:
    from keras.initializers import Orthogonal

    return type(initializer) is Orthogonal


def _draw_orthogonal(i: Any, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    rows, columns = math.prod(shape[:-1]), shape[-1]
    normal = rng.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(normal)
    q *= np.sign(np.diag(r))
    q = q.T if rows < columns else q
    result: np.ndarray = i.gain * q.reshape(shape)
    return result
