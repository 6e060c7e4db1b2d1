"""Finding the weights that user code loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpsearch.spec.study_file import load_file
from hpsearch.study.weight_files import compute_user_digests

from .conftest import invoke

CODE = """
import helper, keras
def build(params, inputs, outputs):
    "Not none.keras, which does not exist."
    first = keras.Input(inputs)
    layer = keras.layers.Dense(outputs.units, outputs.activation)
    model = keras.Model(first, layer(first))
    model.load_weights(helper.WEIGHTS)
    return model
"""
STUDY = """
study: s
data: {source: rows.csv, target: y, test_fraction: 0}
model: code/m.py:build
cross_validation: {folds: 2}
training: {epochs: 1}
search_space: {preset: [nets/a, nets/b], table: words.npy, learning_rate: 0.1}
budget: {trials: 1}
selection: {finalists: 0}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "code/m.py": CODE,
        "code/helper.py": "WEIGHTS = 'start.weights.h5'\n",
        "s.yaml": STUDY,
        "rows.csv": "a,y\n" + "".join(f"{k % 7},{k % 2}\n" for k in range(20)),
        "code/start.weights.h5": "0",
        "words.npy": "1",
        "unused.npy": "1",
        "nets/a/config.json": "{}",
        "nets/a/model.weights.h5": "2",
        "nets/b/readme.txt": "no preset",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_weights_are_texts_of_the_code_and_values_of_hyperparameters(folder: Path) -> None:
    found = compute_user_digests(load_file(folder / "s.yaml"))
    code = {"code/m.py", "code/helper.py"}
    assert code | {"code/start.weights.h5", "words.npy", "nets/a"} == found.keys()
    (folder / "nets" / "a" / "model.weights.h5").write_text("3", encoding="utf-8")
    after = compute_user_digests(load_file(folder / "s.yaml"))
    assert ["nets/a"] == [name for name in found if found[name] != after[name]]


@pytest.mark.long
@pytest.mark.usefixtures("inline_workers")
def test_a_study_refuses_to_continue_with_other_weights(folder: Path) -> None:
    import keras

    def save(value: float) -> None:
        layer: Any = keras.layers.Dense(1)
        model = keras.Sequential([keras.Input((1,)), layer])
        model.set_weights([layer.kernel.numpy() * 0 + value, layer.bias.numpy()])
        model.save_weights(folder / "start.weights.h5")

    (folder / "code" / "start.weights.h5").unlink()
    save(0.5)
    invoke(folder, "tune", "s.yaml", "--quiet")
    save(0.7)
    told = invoke(folder, "tune", "s.yaml", "--set", "budget.trials=2", code=2).output
    assert "code start.weights.h5: SHA-256" in told
    invoke(folder, "tune", "s.yaml", "--set", "budget.trials=2", "--quiet", "--accept-changes")
