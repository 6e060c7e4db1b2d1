"""Named inputs of custom models: which columns they take, and what is refused."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from hpsearch.data.columns import ColumnInput
from hpsearch.errors import DataError, TrainingError
from hpsearch.models.named_inputs import (
    NamedInput,
    count_numbers,
    hash_ngrams,
    pack_inputs,
    split_features,
)
from hpsearch.testing.executors import small_problem
from hpsearch.training.input_layout import find_layout, group_columns, list_input_shapes

COLUMNS = (
    ColumnInput("a", "numeric", 0, (1,)),
    ColumnInput("b", "categorical", 1, (3,)),
    ColumnInput("t", "text", 4, (5,)),
)


def problem(declared=None, columns=COLUMNS):
    groups = group_columns(columns, declared or {})
    return replace(small_problem(), column_inputs=columns, input_groups=groups)


def model(**shapes):
    inputs = [keras.Input(shape, name=name) for name, shape in shapes.items()]
    return keras.Model(inputs, keras.ops.concatenate([x[:, :1] for x in inputs], axis=1))


def test_texts_are_inputs_and_the_rest_is_one():
    assert {"features": (4,), "t": (5,)} == list_input_shapes(problem(), {})
    assert {"features": (3,), "mine": (1,), "t": (5,)} == list_input_shapes(
        problem({"mine": ["a"]}), {}
    )
    assert {} == group_columns(COLUMNS[:2], {})


def test_hyperparameters_of_text_change_its_shape():
    shapes = list_input_shapes(problem(), {"text_tokens": 3, "text_ngrams": 2})
    assert (3 + 2,) == shapes["t"]
    tokens = np.ones((2, 5), np.float32)
    for ngrams in (1, 2, 9):
        made = hash_ngrams(tokens, 100, ngrams=ngrams, n_tokens=3).shape
        assert made[1] == count_numbers(5, ngrams=ngrams, n_tokens=3)


def test_inputs_are_matched_by_name_with_groups_and_columns():
    layout = find_layout(problem(), model(b=(3,), t=(5,), features=(4,)), {})
    assert ["b", "t", "features"] == [each.name for each in layout]
    assert [(1, 2, 3), (4, 5, 6, 7, 8), (0, 1, 2, 3)] == [each.features for each in layout]
    assert [None, None] == [layout[0].text, layout[2].text]
    assert 20000 == layout[1].text["vocabulary"]


def test_a_list_of_inputs_is_matched_by_name_in_any_order():
    rows = np.arange(8, dtype=np.float32).reshape(2, 4)
    layout = [NamedInput("z", (0,), (1,)), NamedInput("a", (1, 2, 3), (3,))]
    parts = split_features(rows, layout)
    inputs = [keras.Input(each.shape, name=each.name) for each in layout]
    for given in (inputs, {each.name: each for each in inputs}):
        network = keras.Model(given, keras.ops.concatenate([inputs[0], inputs[1]], axis=1))
        np.testing.assert_array_equal(rows, network(pack_inputs(network, parts)))


def test_features_of_a_group_that_lie_apart_are_gathered():
    rows = np.arange(12, dtype=np.float32).reshape(2, 6)
    parts = split_features(rows, [NamedInput("x", (5, 0), (2,)), NamedInput("y", (1, 2), (2,))])
    np.testing.assert_array_equal(rows[:, [5, 0]], parts["x"])
    np.testing.assert_array_equal(rows[:, 1:3], parts["y"])


@pytest.mark.parametrize(
    ("shapes", "why"),
    [
        ({"b": (3,), "c": (1,)}, r"'c' has the name of no column .* a \(1,\), b \(3,\)"),
        ({"b": (2,), "a": (1,)}, r"'b' takes rows of shape \(2,\), but .* shape \(3,\)"),
    ],
)
def test_an_input_that_does_not_fit_is_refused(shapes, why):
    with pytest.raises(TrainingError, match=why):
        find_layout(problem(), model(**shapes), {})


def test_strings_are_refused():
    first, second = keras.Input((1,), name="t", dtype="string"), keras.Input((1,), name="a")
    with pytest.raises(TrainingError, match=r"takes strings, .* leave TextVectorization out"):
        find_layout(problem(), keras.Model([first, second], second * 2), {})


@pytest.mark.parametrize(
    ("declared", "why"),
    [({"x": ["no"]}, "x: no is not a feature"), ({"x": ["a", "t"]}, "x: t is text, which is")],
)
def test_a_group_that_does_not_fit_the_columns_is_refused(declared, why):
    with pytest.raises(DataError, match=why):
        group_columns(COLUMNS, declared)
