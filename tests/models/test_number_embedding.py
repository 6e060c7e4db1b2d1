"""Embeddings of numbers: the papers' formulas in stock layers, with bins of the training rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from hpsearch.models import load_family, make_outputs
from hpsearch.models.families.number_embedding import EMBEDDINGS, fit_bins, list_number_features

CATEGORIES = ((0, 2), (3, 5))  # features 2, 8 and 9 are numbers
ROWS = np.random.default_rng(0).normal(size=(30, 10)).astype("float32")
FAMILIES = ("mlp", "wide_and_deep", "realmlp", "tabm")


def network(model: str, **params: Any) -> keras.Model:
    small = {"layers": 1, "units": 8, "embedding_frequencies": 6, **params}
    return load_family(model).build(small, (10,), make_outputs("binary", 1), categories=CATEGORIES)


def embedded(model: keras.Model) -> np.ndarray:
    layer = model.get_layer("number_embedding")
    return np.asarray(keras.Model(model.input, layer.output)(ROWS)).reshape(30, 3, -1)


def test_the_numbers_are_the_features_of_no_category() -> None:
    assert [2, 8, 9] == list_number_features(10, CATEGORIES)
    assert [0, 1] == list_number_features(2, ())


@pytest.mark.parametrize("family", FAMILIES)
def test_pbld_is_the_papers_formula_and_the_number_itself(family: str) -> None:
    model = network(family, embedding="pbld", embedding_units=4)
    w, b = (np.asarray(v) for v in model.get_layer("number_frequencies").get_weights())
    u, c = (np.asarray(v) for v in model.get_layer("number_linear").get_weights())
    x = ROWS[:, [2, 8, 9]]
    waves = np.cos(2 * np.pi * w * x[:, :, None] + b)
    expected = np.concatenate([np.einsum("bdh,dhe->bde", waves, u) + c, x[:, :, None]], axis=2)
    np.testing.assert_allclose(expected, embedded(model), rtol=1e-3, atol=1e-5)


def test_plr_is_the_papers_formula() -> None:
    model = network("mlp", embedding="plr", embedding_units=5)
    [w] = model.get_layer("number_frequencies").get_weights()
    u, c = model.get_layer("number_linear").get_weights()
    angles = 2 * np.pi * w * ROWS[:, [2, 8, 9]][:, :, None]
    waves = np.concatenate([np.cos(angles), np.sin(angles)], axis=2)
    expected = np.maximum(np.einsum("bdh,dhe->bde", waves, u) + c, 0)
    np.testing.assert_allclose(expected, embedded(model), rtol=1e-3, atol=1e-5)


def test_a_bin_tells_how_much_of_it_lies_below_the_number() -> None:
    numbers = np.linspace(0, 8, 81)[:, None].astype("float32")
    kernel, bias = fit_bins(numbers, 4)  # from 0, 2, 4 and 6 on
    told = np.clip(np.array([-9, 1, 3, 9])[:, None] * kernel[0] + bias[0], 0, 1)
    np.testing.assert_allclose(
        [[0, 0, 0, 0], [0.5, 0, 0, 0], [1, 0.5, 0, 0], [1, 1, 1, 1]], told, atol=1e-6
    )


@pytest.mark.parametrize(
    "numbers", [[5.0, 5, 5, 5], [1.0, 2, 2], [7.0], [0, 1e30, -1e30], [0, 1e-38, 1]], ids=str
)
def test_bins_of_few_or_equal_rows_are_finite(numbers: list[float]) -> None:
    rows = np.array(numbers, "f")[:, None]
    kernel, bias = fit_bins(rows, 16)
    assert np.isfinite(kernel).all()
    with np.errstate(over="ignore"):
        told = np.clip(rows * kernel + bias, 0, 1)
    assert ((told >= 0) & (told <= 1)).all()
    order = np.argsort(rows[:, 0], kind="stable")
    assert (np.diff(told[order].sum(axis=1)) >= 0).all()


@pytest.mark.parametrize("kind", EMBEDDINGS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_network_opens_anywhere(family: str, kind: str, tmp_path: Path) -> None:
    model = network(family, embedding=kind, encoding="embedding")
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
    np.testing.assert_array_equal(np.asarray(model(ROWS)), np.asarray(again(ROWS)))
