"""A study of batches from Python, from `tune` to the predictions of the promoted model."""

import mlflow
import numpy as np
import pytest

import hpsearch
from hpsearch.errors import DataError

from .conftest import with_store

N = 90
SPEC = {
    "study": "batches",
    "data": {"test_fraction": 0.2},
    "cross_validation": {"folds": 2},
    "training": {"epochs": 1, "early_stopping": None, "trainer": "vectorized"},
    "search_space": {"units": 4, "layers": 1, "learning_rate": [0.01, 0.02]},
    "budget": {"trials": 1},
    "selection": {"finalists": 0},
}


def make_rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 3)).astype(np.float32)
    return {"pair": x[:, :2], "age": x[:, 2]}, (x[:, 0] > 0).astype(np.int64)


def make_tf_data(x, y):
    tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(16)


def make_py_dataset(x, y):
    import keras

    class Rows(keras.utils.PyDataset):
        def __len__(self):
            return -(-N // 16)

        def __getitem__(self, index):
            part = slice(index * 16, index * 16 + 16)
            return {name: column[part] for name, column in x.items()}, y[part]

    return Rows()


def make_grain_loader(x, y):
    grain = pytest.importorskip("grain", reason="grain is not installed: pip install grain")
    rows = grain.MapDataset.source(np.arange(N))
    rows = rows.map(lambda i: ({name: column[i] for name, column in x.items()}, y[i]))
    return rows.batch(16)


def make_torch_loader(x, y):
    data = pytest.importorskip("torch.utils.data", reason="torch is not installed")
    rows = [({name: column[i] for name, column in x.items()}, y[i]) for i in range(N)]
    return data.DataLoader(rows, batch_size=16)


LONG = (make_py_dataset, make_grain_loader, make_torch_loader)


@pytest.mark.usefixtures("inline_workers")
@pytest.mark.parametrize(
    "make", [make_tf_data, *(pytest.param(make, marks=pytest.mark.long) for make in LONG)]
)
def test_a_study_of_batches_is_promoted_and_predicts_batches(make, tmp_path, empty_store):
    root = with_store(tmp_path / "root", empty_store)
    x, y = make_rows()
    batches = make(x, y)
    result = hpsearch.tune(SPEC, batches, root=root, progress=False)
    hpsearch.promote("batches", "fed", force=True, root=root)

    found = result.predict_proba(batches)
    assert len(found) == N
    columns = {"pair[0]": x["pair"][:, 0], "pair[1]": x["pair"][:, 1], "age": x["age"]}
    import pandas as pd

    frame = pd.DataFrame(columns)
    np.testing.assert_allclose(found, result.predict_proba(frame), 1e-5)
    inputs = [element[0] for element in batches] if make is not make_py_dataset else None
    if inputs is not None:
        np.testing.assert_array_equal(result.predict(batches), result.predict(Inputs(inputs)))
    mlflow.set_tracking_uri(f"sqlite:///{root}/mlruns/mlflow.db")
    served = mlflow.pyfunc.load_model("models:/fed@champion").predict(frame)
    np.testing.assert_array_equal(served["label"], result.predict(batches))
    with pytest.raises(DataError, match="batch 1 is a single row: give batches"):
        result.predict(Inputs([{"pair": x["pair"][0], "age": x["age"][0]}]))


class Inputs:
    """Batches without targets."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)
