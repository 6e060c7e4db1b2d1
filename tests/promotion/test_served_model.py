"""The served model takes the raw table and answers as the network does, without hpsearch."""

from __future__ import annotations

import builtins
import errno
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from promotion.conftest import RAW

from hpsearch.data.columns import Column, Target
from hpsearch.data.schema import Schema
from hpsearch.data.statistics import Statistics
from hpsearch.models import load_family, make_outputs
from hpsearch.models.assembly import WeightedNetwork, assemble_model
from hpsearch.promotion.package import Lineage, example_rows, save_served_model

COLUMNS = (
    Column("age", "numeric"),
    Column("city", "categorical", vocabulary=("Bonn", "Köln")),
    Column("charges", "numeric", indicator=True),
)
LINEAGE = Lineage("churn", 3, "abc", "roc_auc", 0.9, 0.01, 12, {"roc_auc": 0.88})
TARGETS = {
    "binary": Target("churn", "binary", classes=("no", "yes")),
    "multiclass": Target("grade", "multiclass", classes=(1, 2, 3)),
    "regression": Target("price", "regression"),
}


def make_model(folder: Path, task: str) -> tuple[Any, Schema]:
    """An assembled network with drawn weights, saved as `folder/model.keras`."""
    schema = Schema(COLUMNS, TARGETS[task])
    n_outputs = TARGETS[task].n_outputs
    rng = np.random.default_rng(0)
    impute, center = rng.normal(size=(2, 5))
    scale = rng.uniform(0.05, 0.1, 5)
    unit, shift = np.ones(n_outputs), np.zeros(n_outputs)
    if task == "regression":
        unit, shift = unit * 100, shift + 1000
    vectors = (impute, center, scale, shift, unit)
    keras.utils.set_random_seed(1)
    network = load_family("mlp").build({"units": 4}, (5,), make_outputs(task, n_outputs))
    statistics = Statistics(*(v.astype(np.float32) for v in vectors))
    model = assemble_model([WeightedNetwork(network, statistics)], schema, task)
    model.save(folder / "model.keras")
    return model, schema


def save(folder: Path, schema: Schema) -> Path:
    """Pack the network of `make_model`; the folder of the MLflow model."""
    path = folder / "served"
    columns = schema.clean(RAW)
    save_served_model(
        path, model=folder / "model.keras", schema=schema, columns=columns, lineage=LINEAGE
    )
    return path


@pytest.fixture(scope="module", params=list(TARGETS))
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Task, folder of the MLflow model, what the network answers for RAW."""
    folder = tmp_path_factory.mktemp(request.param)
    model, schema = make_model(folder, request.param)
    expected = np.asarray(model(schema.clean(RAW), training=False))
    return request.param, save(folder, schema), expected


def test_it_answers_a_raw_table_as_the_network_does(served: Any) -> None:
    from mlflow import pyfunc

    task, path, expected = served
    answer = pyfunc.load_model(str(path)).predict(RAW)
    if task == "regression":
        assert ["prediction"] == list(answer.columns)
        np.testing.assert_allclose(expected[:, 0], answer["prediction"], rtol=1e-6)
    elif task == "binary":
        assert ["label", "probability_no", "probability_yes"] == list(answer.columns)
        np.testing.assert_allclose(expected[:, 0], answer["probability_yes"], rtol=1e-6)
        np.testing.assert_allclose(1 - expected[:, 0], answer["probability_no"], rtol=1e-6)
        assert np.where(expected[:, 0] > 0.5, "yes", "no").tolist() == answer["label"].tolist()
    else:
        names = ["label", "probability_1", "probability_2", "probability_3"]
        assert names == list(answer.columns)
        np.testing.assert_allclose(expected, answer[names[1:]], rtol=1e-6)
        assert (expected.argmax(axis=1) + 1).tolist() == answer["label"].tolist()


def test_unknown_categories_are_logged_by_column(served: Any, caplog: Any) -> None:
    from mlflow import pyfunc

    model = pyfunc.load_model(str(served[1]))
    model.predict(RAW.assign(city="Bonn"))
    assert [] == [r for r in caplog.records if r.name == "hpsearch.served_model"]
    strange = RAW.assign(city=["Ulm", " Ulm", None, "Bonn"])
    model.predict(strange)
    said = [r.getMessage() for r in caplog.records if r.name == "hpsearch.served_model"]
    expected = f"in {len(RAW)} rows: 'city' 2 ('Ulm' 2)"
    assert [expected] == [line[line.index("in ") :] for line in said]


def test_two_models_of_one_process_are_each_read_by_their_own_code(
    served: Any, tmp_path: Path
) -> None:
    from mlflow import pyfunc

    other = tmp_path / "other"
    shutil.copytree(served[1], other)
    code = other / "code" / "hpsearch_schema.py"
    code.write_text(code.read_text() + "\nVERSION = 'other'\n")
    opened = [pyfunc.load_model(str(path)) for path in (served[1], other, served[1])]
    found = [getattr(m.unwrap_python_model().code["schema"], "VERSION", "ours") for m in opened]
    assert ["ours", "other", "ours"] == found
    answers = [m.predict(RAW) for m in opened]
    assert answers[0].equals(answers[1])


def test_a_missing_column_is_named(served: Any) -> None:
    from mlflow import pyfunc
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match="charges"):
        pyfunc.load_model(str(served[1])).predict(RAW.drop(columns="charges"))


def test_the_model_brings_signature_example_and_requirements(served: Any) -> None:
    from mlflow.models import Model

    task, path, _ = served
    model = Model.load(str(path))
    assert ["age", "city", "charges"] == model.get_input_schema().input_names()
    first = "prediction" if task == "regression" else "label"
    assert first == model.get_output_schema().input_names()[0]
    assert asdict(LINEAGE) == model.metadata
    requirements = (path / "requirements.txt").read_text()
    assert {"mlflow", "keras", "jax", "numpy", "pandas"} == {
        line.partition("==")[0] for line in requirements.split()
    }
    example = json.loads((path / "input_example.json").read_text())
    assert ["age", "city", "charges"] == example["columns"]
    assert not list(path.rglob("*.pkl"))


def test_a_flipped_bit_is_found_before_the_model_is_opened(tmp_path: Path) -> None:
    from mlflow import pyfunc

    _, schema = make_model(tmp_path, "binary")
    path = save(tmp_path, schema)
    (file,) = path.rglob("*.keras")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match="is damaged: its SHA-256"):
        pyfunc.load_model(str(path))


def test_a_full_disk_is_told_as_the_system_tells_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, schema = make_model(tmp_path, "binary")
    opened = open

    def open_on_a_full_disk(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if "w" in mode and str(file).endswith("/code/hpsearch_cells.py"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
        return opened(file, mode, *arguments, **options)

    monkeypatch.setattr(builtins, "open", open_on_a_full_disk)
    with pytest.raises(OSError, match="No space left on device") as told:
        save(tmp_path, schema)
    assert errno.ENOSPC == told.value.errno


def test_it_loads_without_us_under_another_backend(tmp_path: Path) -> None:
    model, schema = make_model(tmp_path, "binary")
    save(tmp_path, schema)
    RAW.to_json(tmp_path / "raw.json", orient="split")
    needless = ("hpsearch", "sklearn", "optuna", "jax", "ray", "pydantic_settings")
    script = (
        "import sys\n"
        f"for name in {needless!r}: sys.modules[name] = None\n"
        "import mlflow.pyfunc, pandas as pd\n"
        "raw = pd.read_json('raw.json', orient='split')\n"
        "answer = mlflow.pyfunc.load_model('served').predict(raw)\n"
        "import keras\n"
        "assert keras.backend.backend() == 'tensorflow'\n"
        "answer.to_json('answer.json', double_precision=15)\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == child.returncode, child.stderr[-3000:]
    answer = pd.read_json(tmp_path / "answer.json")
    expected = np.asarray(model(schema.clean(RAW), training=False))[:, 0]
    np.testing.assert_allclose(expected, answer["probability_yes"], rtol=1e-5)


def test_the_example_is_cleaned_to_the_rows_it_came_from() -> None:
    schema = Schema((*COLUMNS, Column("size", "numeric", transform="log1p")))
    columns = np.array([[1, 0, 2, 0.5], [np.nan, 1, np.nan, 3], [4, np.nan, 0, 0]], np.float32)
    cleaned = schema.clean(example_rows(schema, columns))
    np.testing.assert_allclose(columns, cleaned, rtol=1e-6)
