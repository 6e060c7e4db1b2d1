"""Networks for text columns: their vocabulary, and equal results in training and serving."""

import keras
import numpy as np
import pytest

from hpsearch.data.columns import Column, Target
from hpsearch.data.schema import Schema
from hpsearch.data.statistics import fit_statistics
from hpsearch.data.text_tokens import encode_texts
from hpsearch.models import load_family, make_outputs
from hpsearch.models.assembly import WeightedNetwork, assemble_model
from hpsearch.models.families.text_embedding import DEFAULTS, embed_text
from hpsearch.models.named_inputs import hash_ngrams

TEXTS = ["win a prize now", "see you now", "", "a prize"]
PARAMS = {**DEFAULTS, "text_vocabulary": 50, "text_size": 3}


def hashed(texts, vocabulary=1000, **options):
    tokens = np.nan_to_num(encode_texts(texts, 4))
    return np.asarray(hash_ngrams(keras.ops.convert_to_tensor(tokens), vocabulary, **options))


def test_words_and_pairs_are_hashed_alike_wherever_they_stand():
    first, second, missing, last = hashed(TEXTS, ngrams=2)
    assert first[2] == last[1]  # prize
    assert first[4 + 1] == last[4]  # a prize
    assert first[3] == second[2]  # now
    assert 6 == len({*first[:4], *last[4:5], *second[4:5]})
    assert not missing.any()
    assert not last[4 + 1 :].any()  # no pair reaches into the padding


def test_a_pair_depends_on_the_order_of_its_words():
    forth, back = hashed(["a b", "b a"], ngrams=2)
    assert forth[4] != back[4]


def test_numbers_stay_below_the_vocabulary_and_only_padding_is_0():
    numbers = hashed([f"w{k} v{k} u t" for k in range(50)], 20, ngrams=3)
    assert (50, 4 + 3 + 2) == numbers.shape
    assert 1 == numbers.min()
    assert 19 == numbers.max()


def test_only_the_first_tokens_are_used_and_runs_are_not_longer_than_a_text():
    np.testing.assert_array_equal(hashed(TEXTS, n_tokens=2), hashed(TEXTS)[:, :2])
    assert (4, 1) == hashed(TEXTS, n_tokens=1, ngrams=3).shape


@pytest.mark.parametrize(
    ("pooling", "pool"),
    [
        ("sqrtn", lambda x: x.sum(axis=0) / max(1, len(x)) ** 0.5),
        ("mean", lambda x: x.mean(axis=0) if len(x) else np.zeros(3)),
        ("max", lambda x: x.max(axis=0) if len(x) else np.zeros(3)),
    ],
)
def test_a_text_is_its_pooled_words_without_the_padding(pooling, pool):
    tokens = keras.Input((4,))
    params = {**PARAMS, "text_ngrams": 1, "text_pooling": pooling}
    model = keras.Model(tokens, embed_text(tokens, params, "0"))
    [table] = model.get_weights()
    seen = model(np.nan_to_num(encode_texts(TEXTS, 4)))
    for text, numbers, vector in zip(TEXTS, hashed(TEXTS, 50), np.asarray(seen), strict=True):
        expected = pool(table[numbers[numbers > 0]])
        np.testing.assert_allclose(expected, vector, rtol=1e-5, atol=1e-6, err_msg=text)


@pytest.mark.parametrize("kernel_size", [2, 3, 6])
def test_filters_are_the_global_maximum_of_a_convolution_of_keras(kernel_size):
    tokens = keras.Input((4,))
    params = {**PARAMS, "text_filters": 5, "text_kernel_size": kernel_size}
    model = keras.Model(tokens, embed_text(tokens, params, "0"))
    table, kernel, bias = model.get_weights()
    own = keras.layers.Conv1D(5, kernel_size, padding="same", activation="relu")
    embedded = np.where((numbers := hashed(TEXTS, 50))[..., None] > 0, table[numbers], 0)
    own.build(embedded.shape)
    bias += 0.3  # shows in the padding, which must not reach the maximum
    own.set_weights([kernel.reshape(kernel_size, 3, 5), bias])
    model.set_weights([table, kernel, bias])
    expected = np.where(numbers[..., None] > 0, own(embedded), 0).max(axis=1)
    seen = np.asarray(model(np.nan_to_num(encode_texts(TEXTS, 4))))
    np.testing.assert_allclose(expected, seen[:, 3:], rtol=1e-5, atol=1e-6)


def test_the_served_model_answers_as_the_network_that_was_trained(tmp_path):
    columns = (
        Column("size", "numeric", indicator=True),
        Column("kind", "categorical", vocabulary=("x", "y")),
        Column("message", "text", shape=(4,)),
    )
    schema = Schema(columns, Target("y", "binary", (0, 1)))
    table = {"size": [1.0, None, 3.0, 5.0], "kind": ["x", "y", None, "y"], "message": TEXTS}
    cleaned = schema.clean(table)
    features = schema.expand(cleaned)
    statistics = fit_statistics(schema, cleaned, np.zeros((4, 1), np.float32), np.arange(3))
    keras.utils.set_random_seed(0)
    arrays = {"categories": schema.category_ranges, "arrays": schema.column_inputs[-1:]}
    network = load_family("mlp").build(
        {**PARAMS, "embedding": "pbld", "units": 4, "text_filters": 3},
        (8,),
        make_outputs("binary", 1),
        **arrays,
    )
    expected = np.asarray(network(statistics.apply(features)))
    model = assemble_model([WeightedNetwork(network, statistics)], schema, "binary")
    model.save(tmp_path / "m.keras")
    opened = keras.models.load_model(tmp_path / "m.keras", safe_mode=True)
    np.testing.assert_allclose(expected, opened.predict(cleaned, verbose=0), rtol=1e-4)
    assert len(TEXTS) == len({f"{p:.7f}" for p in expected[:, 0]})
