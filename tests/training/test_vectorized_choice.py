"""`trainer: auto` chooses without importing Keras, and says why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from training.trainer_contract import separable

from hpsearch.training import trainer_selection
from hpsearch.training.trainer_selection import choose_trainer


@pytest.fixture(autouse=True)
def no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer_selection, "has_accelerator", lambda: False)


def chosen(folder: Path, text: str) -> tuple[str, str]:
    path = folder / "mine.py"
    path.write_text(f"def other():\n    model.compile(Conv1D)\n\ndef build():\n    {text}\n")
    return choose_trainer("auto", replace(separable(), model=f"{path}:build"))


def test_a_family_is_vectorised() -> None:
    assert "vectorized" == choose_trainer("auto", separable())[0]


def test_a_named_trainer_is_used() -> None:
    assert ("keras_fit", "asked for") == choose_trainer("keras_fit", separable())


def test_a_function_with_convolutions_goes_to_keras_on_a_cpu(tmp_path: Path) -> None:
    name, reason = chosen(tmp_path, "x = keras.layers.SeparableConv2D(8, 3)(x)")
    assert ("keras_fit", "SeparableConv2D is slow under XLA on a CPU") == (name, reason)


def test_a_function_that_compiles_its_model_is_vectorised(tmp_path: Path) -> None:
    assert "vectorized" == chosen(tmp_path, "model.compile('adam', 'mse')")[0]


def test_a_function_that_loads_weights_goes_to_keras(tmp_path: Path) -> None:
    assert ("keras_fit", "the model's function calls load_weights") == chosen(
        tmp_path, "model.load_weights('a.weights.h5')"
    )


def test_the_text_of_a_function_of_keras_tuner_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def build(hp):\n    keras.layers.Conv2D(8, 3)\n")
    model = f"keras_tuner:{path}:build"
    assert "keras_fit" == choose_trainer("auto", replace(separable(), model=model))[0]


def test_a_function_of_dense_layers_is_vectorised(tmp_path: Path) -> None:
    assert "vectorized" == chosen(tmp_path, "x = keras.layers.Dense(8)(x)")[0]


def test_a_convolution_on_an_accelerator_is_vectorised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_selection, "has_accelerator", lambda: True)
    assert "vectorized" == chosen(tmp_path, "x = keras.layers.Conv2D(8, 3)(x)")[0]
