"""Embeddings of categories, and the families that have them."""

import keras
import numpy as np
import pytest

import hpsearch
from hpsearch.data.columns import Column
from hpsearch.data.schema import Schema
from hpsearch.models import FAMILIES, load_family, make_outputs
from hpsearch.spec.data_spec import DataSpec

CATEGORIES = ((0, 2), (3, 5), (9, 3))  # features 2 and 8 are numbers
INPUTS = (12,)


def network(model: str, **params):
    build = load_family(model).build
    return build(params, INPUTS, make_outputs("binary", 1), categories=CATEGORIES)


def test_an_embedding_is_what_keras_looks_up_and_zero_for_a_missing_category():
    model = network("mlp", encoding="embedding", embedding_size=4)
    dense = model.get_layer("embedding_0")
    table = keras.layers.Embedding(5, 4)
    table.build((None,))
    table.set_weights([dense.kernel])
    codes = np.arange(5)
    np.testing.assert_array_equal(table(codes), dense(np.eye(5)[codes]))
    assert not np.asarray(dense(np.zeros((1, 5)))).any()


def test_columns_of_two_categories_and_numbers_stay_as_they_are():
    model = network("mlp", encoding="embedding", embedding_size=4)
    names = [layer.name for layer in model.layers]
    assert ["embedding_0", "embedding_1"] == sorted(n for n in names if "embedding" in n)
    assert (None, 3 + 4 + 1 + 4) == model.get_layer("encoded").output.shape
    rows = np.random.default_rng(0).normal(size=(6, 12)).astype("float32")
    seen = keras.Model(model.input, model.get_layer("encoded").output)(rows)
    np.testing.assert_array_equal(rows[:, [0, 1, 2]], seen[:, :3])
    np.testing.assert_array_equal(rows[:, 8], seen[:, 7])


def test_without_embeddings_the_network_is_the_plain_one():
    assert "encoded" not in [layer.name for layer in network("mlp").layers]
    bare = load_family("mlp").build({"encoding": "embedding"}, INPUTS, make_outputs("binary", 1))
    assert "encoded" not in [layer.name for layer in bare.layers]


def test_wide_and_deep_adds_a_linear_model_to_the_deep_one():
    model = network("wide_and_deep", layers=1, units=8)
    rows = np.random.default_rng(0).normal(size=(6, 12)).astype("float32")
    wide = model.get_layer("wide")
    assert (12, 1) == wide.kernel.shape
    wide.set_weights([np.linspace(-1, 1, 12).reshape(12, 1)])
    before = np.asarray(model(rows))
    logit = np.log(before / (1 - before)) - np.asarray(wide(rows))
    wide.set_weights([np.zeros((12, 1))])
    np.testing.assert_allclose(1 / (1 + np.exp(-logit)), np.asarray(model(rows)), rtol=1e-4)


def test_the_wide_part_begins_at_zero_and_is_linear_in_each_row_of_a_window():
    model = load_family("wide_and_deep").build({"layers": 1}, (5, 3), make_outputs("regression", 2))
    wide = model.get_layer("wide")
    assert (15, 2) == wide.kernel.shape
    assert not np.asarray(wide.kernel).any()
    windows = np.random.default_rng(0).normal(size=(4, 5, 3)).astype("float32")
    before = np.asarray(model(windows))
    kernel = np.linspace(-1, 1, 30).reshape(15, 2)
    wide.set_weights([kernel])
    expected = before + windows.reshape(4, 15) @ kernel
    np.testing.assert_allclose(expected, np.asarray(model(windows)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", [m for m in FAMILIES if load_family(m).takes_categories])
def test_a_network_with_embeddings_is_saved_and_opened_safely(model, tmp_path):
    built = network(model, encoding="embedding")
    built.save(tmp_path / "model.keras")
    opened = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    rows = np.random.default_rng(0).normal(size=(6, 12)).astype("float32")
    np.testing.assert_array_equal(np.asarray(built(rows)), np.asarray(opened(rows)))


def test_the_schema_says_where_the_categories_are():
    schema = Schema(
        (
            Column("a", "numeric", indicator=True),
            Column("b", "categorical", ("x", "y", "z"), indicator=True),
            Column("c", "categorical", buckets=7),
        )
    )
    assert ((2, 3), (6, 7)) == schema.category_ranges
    assert ["b=x", "b=y", "b=z"] == list(schema.feature_names[2:5])


@pytest.mark.usefixtures("inline_workers")
def test_a_study_searches_for_the_encoding_of_a_column_of_many_categories(tmp_path):
    rng = np.random.default_rng(0)
    city = rng.integers(0, 120, 900)
    worth = rng.normal(size=120)
    frame = {"city": [f"city {c}" for c in city], "size": rng.normal(size=900)}
    frame["price"] = 100 + 10 * (worth[city] + frame["size"])
    import pandas as pd

    spec = {
        "study": "cities",
        "data": DataSpec(target="price", columns={"city": {"kind": "categorical"}}).model_dump(
            exclude_unset=True
        ),
        "model": "wide_and_deep",
        "cross_validation": {"folds": 3},
        "training": {"epochs": 40},
        "search_space": {"encoding": ["one_hot", "embedding"], "learning_rate": 0.02},
        "sampler": {"kind": "grid"},
        "pruner": {"kind": "none"},
    }
    result = hpsearch.tune(spec, data=pd.DataFrame(frame), root=tmp_path)
    assert 2 == result.counts["complete"]
    assert result.test["r2"] > 0.8
    model = keras.models.load_model(result.model_path, safe_mode=True)
    assert (None, 2) == model.input_shape


def test_an_encoding_that_does_not_exist_is_refused():
    spec = {
        "data": {"source": "sklearn:wine"},
        "search_space": {"encoding": ["one_hot", "embeding"]},
    }
    with pytest.raises(
        hpsearch.errors.SpecError, match="got 'embeding'; allowed: one_hot, embedding"
    ):
        hpsearch.tune(spec)
