"""The vectorized trainer agrees with `keras.Model.fit` on images, sequences and texts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from long_cases import long_unless
from training.trainer_contract import curves_of_fit, first_fold, images, run, sequences, spec, texts

from hpsearch.training.problem import Problem
from hpsearch.training.vectorized import VectorizedTrainer
from hpsearch.training.vectorized.lane_convolution import make_shifted

KINDS = {
    "images": (images(), {"normalization": "batch"}),
    "lstm": (sequences(), {"cell": "lstm", "l2": 1e-3}),
    "text": (
        replace(texts(), model="mlp"),
        {"text_vocabulary": 40, "text_size": 4, "text_filters": 5, "text_pooling": "max"},
    ),
    "gru": (sequences(), {"cell": "gru", "bidirectional": True}),
}
CASES = [(kind, placement) for kind in KINDS for placement in ("threads", "batch")]
USUAL = (("images", "threads"), ("gru", "batch"))


@pytest.mark.parametrize(("kind", "placement"), long_unless(USUAL.__contains__, CASES))
def test_every_loss_is_that_of_fit(kind: str, placement: Any) -> None:
    problem, params = KINDS[kind]
    _agrees(first_fold(problem), params, placement)


@pytest.mark.parametrize(
    ("problem", "params"),
    [
        pytest.param(
            replace(images(), model="cnn"),
            {"filters": 4, "normalization": "batch", "l2": 1e-3},
            marks=pytest.mark.long,
        ),
        (replace(sequences(), model="conv1d"), {"filters": 4, "global_pooling": "max"}),
    ],
)
def test_every_loss_of_a_convolution_is_that_of_fit(
    problem: Problem, params: dict[str, Any]
) -> None:
    """As on an accelerator; on a CPU they are trained by `keras_fit`."""
    _agrees(first_fold(problem), params, "batch")


@pytest.mark.parametrize("size", [pytest.param(5, marks=pytest.mark.long), 8])
@pytest.mark.parametrize(
    "options",
    [
        {"padding": "same"},
        {"padding": "same", "strides": 2},
        {"padding": "valid", "dilation_rate": 2},
        {"padding": "valid", "strides": 3, "use_bias": False},
    ],
)
def test_a_convolution_of_products_is_that_of_keras(size: int, options: dict[str, Any]) -> None:
    x = np.random.default_rng(size).normal(size=(3, size, size + 1, 2)).astype(np.float32)
    causal = {**options, "padding": "causal"}
    layers = [keras.layers.Conv2D(4, (3, 2), activation="tanh", **options)]
    layers += [keras.layers.Conv1D(4, 2, **causal), keras.layers.Conv1D(4, 3, **options)]
    for layer, rows in zip(layers, (x, x[:, 0], x[:, 0]), strict=True):
        expected = np.asarray(layer(rows))
        shifted = make_shifted(layer, layer.get_config())
        assert shifted is not None
        shifted.build(rows.shape)
        shifted.set_weights(layer.get_weights())
        np.testing.assert_allclose(expected, np.asarray(shifted(rows)), rtol=1e-4, atol=1e-6)


def test_what_is_no_plain_convolution_stays_what_it_is() -> None:
    x = np.zeros((1, 8, 8, 4), np.float32)
    others = [keras.layers.Conv2D(4, 3, groups=2), keras.layers.DepthwiseConv2D(3)]
    for layer in [*others, keras.layers.Conv2D(4, 8), keras.layers.Dense(3)]:
        layer(x)
        assert make_shifted(layer, layer.get_config()) is None


OTHER_MOVES = {"random_rotation": 0.05, "random_zoom": 0.1}


def _agrees(problem: Problem, params: dict[str, Any], placement: Any) -> None:
    trial = spec(epochs=2, **params)
    result = run(VectorizedTrainer(problem, placement=placement), [trial])[1][0]
    assert result.error is None, result.traceback or result.error
    for name, expected in curves_of_fit(problem, trial).items():
        np.testing.assert_allclose(expected, result.curves[name], rtol=1e-4)


@pytest.mark.parametrize("more", [{}, pytest.param(OTHER_MOVES, marks=pytest.mark.long)])
def test_augmentation_changes_training_alone(more: dict[str, float]) -> None:
    """Its random numbers are the trial's: the same trial is the same, bit for bit."""
    problem = replace(first_fold(images()), model="cnn")
    moved = {"random_translation": 0.2, "random_flip": "vertical", "filters": 4, **more}
    trials = [spec(0, epochs=2, filters=4), spec(1, epochs=2, **moved)]
    trials += [spec(2, epochs=2, **moved)]
    results = run(VectorizedTrainer(problem, placement="batch"), trials)[1]
    assert [None] * 3 == [r.error for r in results.values()], results[1].traceback
    plain, one, two = (results[n].curves["train/loss"] for n in range(3))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(plain, one)
