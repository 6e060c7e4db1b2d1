"""The assembled model equals preprocessing plus network, and loads with plain Keras."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from hpsearch.data.columns import Column, Target
from hpsearch.data.schema import Schema
from hpsearch.data.statistics import Statistics
from hpsearch.models import load_family, make_outputs
from hpsearch.models.assembly import WeightedNetwork, assemble_model

MIXED = Schema(
    (
        Column("age", "numeric"),
        Column("city", "categorical", vocabulary=("Aachen", "Bonn", "Köln")),
        Column("income", "numeric", indicator=True),
        Column("plan", "categorical", vocabulary=("a", "b"), indicator=True),
        Column("street", "categorical", buckets=4),
    )
)
NUMBERS = Schema((Column("a", "numeric"), Column("b", "numeric")))


def cleaned(schema: Schema, n_rows: int = 50) -> np.ndarray:
    """Numbers and codes, a fifth of them missing."""
    rng = np.random.default_rng(0)
    columns = rng.normal(1000, 300, (n_rows, len(schema.columns)))
    for j, column in enumerate(schema.columns):
        if column.kind == "categorical":
            columns[:, j] = rng.integers(0, len(column.vocabulary) or column.buckets, n_rows)
    columns[rng.random(columns.shape) < 0.2] = np.nan
    return columns.astype(np.float32)


def statistics_for(schema: Schema, n_outputs: int, task: str) -> Statistics:
    """Vectors as a fold would have them; the second feature is hidden."""
    rng = np.random.default_rng(1)
    n_features = len(schema.feature_names)
    impute, center = rng.normal(1000, 300, (2, n_features))
    scale = 1 / rng.uniform(100, 300, n_features)
    scale[1] = 0
    shift, unit = np.zeros(n_outputs), np.ones(n_outputs)
    if task == "regression":
        shift, unit = shift + 2000, unit * 30
    return Statistics(*(v.astype(np.float32) for v in (impute, center, scale, shift, unit)))


def network_for(schema: Schema, n_outputs: int, task: str) -> Any:
    keras.utils.set_random_seed(3)
    return load_family("mlp").build(
        {"units": 8, "normalization": "batch", "dropout": 0.1},
        (len(schema.feature_names),),
        make_outputs(task, n_outputs),
    )


def by_hand(network: Any, schema: Schema, statistics: Statistics, columns: np.ndarray) -> Any:
    seen = statistics.apply(schema.expand(columns))
    answer = np.asarray(network(seen, training=False))
    return answer * statistics.target_scale + statistics.target_center


@pytest.mark.parametrize(
    ("schema", "task", "n_outputs"),
    [
        (MIXED, "binary", 1),
        (MIXED, "multiclass", 3),
        (MIXED, "regression", 2),
        (NUMBERS, "regression", 1),
    ],
)
def test_it_equals_the_network_behind_its_statistics(
    schema: Schema, task: str, n_outputs: int
) -> None:
    network = network_for(schema, n_outputs, task)
    statistics = statistics_for(schema, n_outputs, task)
    columns = cleaned(schema)
    model = assemble_model([WeightedNetwork(network, statistics)], schema, task)
    assert [(None, len(schema.columns))] == [tuple(i.shape) for i in model.inputs]
    expected = by_hand(network, schema, statistics, columns)
    np.testing.assert_allclose(expected, model(columns, training=False), rtol=1e-6, atol=1e-6)


def test_each_of_several_networks_answers_in_the_targets_own_unit() -> None:
    schema = replace(NUMBERS, target=Target("y", "regression", transform="log1p"))
    shift, unit = np.float32([3]), np.float32([0.5])
    statistics = replace(
        statistics_for(schema, 1, "regression"), target_center=shift, target_scale=unit
    )
    networks = [network_for(schema, 1, "regression") for _ in range(2)]
    networks[1].set_weights([2 * w for w in networks[1].get_weights()])
    columns = cleaned(schema)
    expected = sum(
        weight * np.expm1(by_hand(network, schema, statistics, columns))
        for network, weight in zip(networks, (0.25, 0.75), strict=True)
    )
    parts = [
        WeightedNetwork(network, statistics, weight)
        for network, weight in zip(networks, (0.25, 0.75), strict=True)
    ]
    model = assemble_model(parts, schema, "regression")
    np.testing.assert_allclose(expected, model(columns, training=False), rtol=1e-5)


@pytest.mark.long  # as tests/models/test_array_families.py does with four families
def test_plain_keras_opens_the_file_under_tensorflow_without_us(tmp_path: Path) -> None:
    network = network_for(MIXED, 3, "multiclass")
    statistics = statistics_for(MIXED, 3, "multiclass")
    columns = cleaned(MIXED)
    assemble_model([WeightedNetwork(network, statistics)], MIXED, "multiclass").save(
        tmp_path / "model.keras"
    )
    np.save(tmp_path / "columns.npy", columns)
    script = (
        "import sys; sys.modules['hpsearch'] = None\n"
        "import keras, numpy as np\n"
        "assert keras.backend.backend() == 'tensorflow'\n"
        "model = keras.models.load_model('model.keras', safe_mode=True)\n"
        "np.save('answer.npy', model.predict(np.load('columns.npy'), verbose=0))\n"
    )
    subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "KERAS_BACKEND": "tensorflow"},
        check=True,
        capture_output=True,
    )
    expected = by_hand(network, MIXED, statistics, columns)
    np.testing.assert_allclose(expected, np.load(tmp_path / "answer.npy"), rtol=1e-5, atol=1e-6)
