"""The families for images and sequences: their outputs, their layers, and what is saved of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from hpsearch.data.columns import Column, Target
from hpsearch.data.schema import Schema
from hpsearch.data.statistics import Statistics
from hpsearch.models import FAMILIES, Family, load_family, make_outputs
from hpsearch.models.assembly import WeightedNetwork, assemble_model
from hpsearch.testing import FamilyContract

IMAGE, SEQUENCE = (8, 8, 2), (6, 2)
EVERYTHING: dict[str, dict[str, Any]] = {
    "cnn": {
        "blocks": 2,
        "convolutions": 2,
        "filters": 4,
        "pooling": "average",
        "global_pooling": "average",
        "normalization": "batch",
        "dropout": 0.1,
        "spatial_dropout": 0.1,
        "l2": 1e-4,
        "random_flip": "horizontal",
        "random_translation": 0.1,
        "random_rotation": 0.1,
        "random_zoom": 0.1,
    },
    "conv1d": {"blocks": 3, "normalization": "layer", "units": 0, "l1": 1e-4},
    "recurrent": {"cell": "gru", "layers": 2, "bidirectional": True, "dropout": 0.1, "l2": 1e-4},
    "mlp": {"units": 8},
}
ARRAYS = ("conv1d", "recurrent")
PLAIN_KERAS = """
import sys
import keras, numpy as np
assert not any(name.startswith("hpsearch") for name in sys.modules)
for folder in sys.argv[1:]:
    model = keras.models.load_model(f"{folder}/model.keras", safe_mode=True)
    np.save(f"{folder}/answer.npy", model.predict(np.load(f"{folder}/rows.npy"), verbose=0))
"""


@pytest.mark.parametrize("name", FAMILIES)
class TestEveryFamily(FamilyContract):
    """The suite that families of other packages are tested by, too, with every layer they have."""

    @pytest.fixture
    def family(self, name: str) -> Family:
        self.rows = IMAGE if name == "cnn" else SEQUENCE if name in ARRAYS else (5,)
        self.params = EVERYTHING.get(name, {"units": 8})
        return load_family(name)

    def test_a_regression_answers_with_any_number(self, family: Family) -> None:
        layers = self.build(family, "regression").layers
        last = next(each for each in reversed(layers) if hasattr(each, "activation"))
        assert "linear" == last.activation.__name__

    def test_its_defaults_make_a_network(self, family: Family) -> None:
        model = family.build({}, self.rows, make_outputs("multiclass", 3))
        assert (None, 3) == model.output_shape


@pytest.mark.parametrize("name", ["cnn", "conv1d"])
def test_blocks_double_their_filters_and_halve_a_row_until_it_is_one(name: str) -> None:
    shape = (5, 9, 1) if name == "cnn" else (5, 3)
    model = load_family(name).build(
        {"blocks": 4, "filters": 2, "units": 0}, shape, make_outputs("binary", 1)
    )
    widths = [x.filters for x in model.layers if hasattr(x, "filters")]
    assert [2, 4, 8, 16] == widths
    assert 2 == sum("Pooling" in type(x).__name__ for x in model.layers)


def test_an_image_without_channels_gets_one() -> None:
    model = load_family("cnn").build({"filters": 2}, (8, 8), make_outputs("binary", 1))
    assert (None, 8, 8) == model.input_shape


SAVED = {"cnn": "uint8", "recurrent": "float32", "conv1d": "float32", "mlp": "uint8"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each of `SAVED`: the model, rows, ours and plain Keras's answers for them.

    One process answers for all of them: TensorFlow takes seconds to import.
    """
    root = tmp_path_factory.mktemp("saved")
    for name, dtype in SAVED.items():
        save(name, dtype, root / name)
    done = subprocess.run(
        [sys.executable, "-c", PLAIN_KERAS, *SAVED],
        cwd=root,
        env={**os.environ, "KERAS_BACKEND": "tensorflow", "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr[-3000:]
    return root


def save(name: str, dtype: Any, folder: Path) -> None:
    folder.mkdir()
    shape = IMAGE if name == "cnn" else SEQUENCE
    target = Target("y", "multiclass", (0, 1, 2))
    schema = Schema((Column("a", "numeric"), Column("b", "numeric")), target, shape, dtype)
    vectors = ((7.0, 9.0), (10.0, 20.0), (0.1, 0.02), (0.0,) * 3, (1.0,) * 3)
    statistics = Statistics(*(np.array(v, np.float32) for v in vectors))
    network = load_family(name).build(EVERYTHING[name], shape, make_outputs("multiclass", 3))
    model = assemble_model([WeightedNetwork(network, statistics)], schema, "multiclass")
    model.save(folder / "model.keras")
    rows = np.random.default_rng(0).integers(0, 256, (9, *shape)).astype(dtype)
    if dtype == "float32":
        rows[2, 1] = np.nan
    np.save(folder / "rows.npy", rows)
    np.save(folder / "expected.npy", network(statistics.apply(rows), training=False))
    np.save(folder / "here.npy", model.predict(rows, verbose=0))


@pytest.mark.parametrize("name", SAVED)
def test_what_is_saved_is_opened_by_plain_keras_under_another_backend(
    name: str, saved: Path
) -> None:
    expected, here, answer = (
        np.load(saved / name / f"{kind}.npy") for kind in ("expected", "here", "answer")
    )
    np.testing.assert_allclose(expected, here, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(expected, answer, rtol=1e-4, atol=1e-5)


def test_augmentation_is_for_training_alone() -> None:
    network = load_family("cnn").build(EVERYTHING["cnn"], IMAGE, make_outputs("binary", 1))
    rows = np.random.default_rng(0).normal(size=(4, *IMAGE)).astype(np.float32)
    one, two = (keras.ops.convert_to_numpy(network(rows, training=False)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    pair = [keras.ops.convert_to_numpy(network(rows, training=True)) for _ in range(2)]
    assert not np.array_equal(*pair)
