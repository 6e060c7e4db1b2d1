"""Counter-based initial weights and row orders, equal on host and device."""

from __future__ import annotations

import numpy as np
import pytest

from hpsearch.training.batching import derive_order_seed, draw_epoch_order
from hpsearch.training.counter_random import random_bits, signed_uniform


def test_a_device_draws_the_bits_that_the_host_draws() -> None:
    import jax
    import jax.numpy as jnp

    count = np.arange(1000)
    host = random_bits(np, count, 2**31 - 1, 7)
    device = jax.jit(lambda c, seed: random_bits(jnp, c, seed, 7))(count, np.uint32(2**31 - 1))
    np.testing.assert_array_equal(host, device)
    np.testing.assert_array_equal(signed_uniform(np, host), signed_uniform(jnp, jnp.asarray(host)))


def test_every_row_is_seen_once_in_an_epoch_and_another_epoch_has_another_order() -> None:
    seed = derive_order_seed(np.arange(3, 503))
    first, second = (draw_epoch_order(seed, epoch, 500) for epoch in range(2))
    np.testing.assert_array_equal(np.arange(500), np.sort(first))
    np.testing.assert_array_equal(np.arange(500), np.sort(second))
    assert (first == second).mean() < 0.05
    other = draw_epoch_order(derive_order_seed(np.arange(4, 504)), 0, 500)
    assert (first == other).mean() < 0.05


@pytest.mark.parametrize("kind", ["normal", "truncated", "uniform"])
def test_draws_have_the_mean_and_deviation_of_their_distribution(kind: str) -> None:
    import keras

    from hpsearch.training.weight_initialization import draw_variable

    k = keras.initializers
    initializer, deviation = {
        "normal": (k.RandomNormal(0.5, 2.0), 2.0),
        "truncated": (k.TruncatedNormal(0.5, 2.0), 2.0 * 0.87962566103423978),
        "uniform": (k.RandomUniform(-1.5, 2.5), 4 / np.sqrt(12)),
    }[kind]
    n = 40_000
    values = draw_variable(initializer, (200, 200), "float32", 11, 3).astype(np.float64)
    assert 0.5 == pytest.approx(values.mean(), abs=4.5 * deviation / np.sqrt(n))
    assert deviation == pytest.approx(values.std(), rel=0.02)
    again = draw_variable(initializer, (200, 200), "float32", 11, 4)
    correlation = np.corrcoef(values.ravel(), again.ravel())[0, 1]
    assert abs(correlation) < 4.5 / np.sqrt(n)
