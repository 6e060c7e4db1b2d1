"""A model of several outputs is trained as `fit` trains it, and is served as one table."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from long_cases import long_unless
from training.several_outputs import KINDS, curves_of_fit, made, three_columns
from training.trainer_contract import run, statistics_of

from hpsearch.data.columns import Column
from hpsearch.data.dataset import TestRows
from hpsearch.data.schema import Schema
from hpsearch.data.split import Split
from hpsearch.errors import TrainingError
from hpsearch.training.final_model import (
    FinalFitRequest,
    LockedPredictionRequest,
    MemberSpec,
    fit_final_model,
    predict_locked_rows,
)
from hpsearch.training.keras.keras_fit import KerasFitTrainer
from hpsearch.training.multi_output import concatenate_outputs, get_output_widths
from hpsearch.training.vectorized import VectorizedTrainer

# One that the study gives its loss, and one that brings losses by name.
USUAL = ("a dict", "a list compiled with names")


@pytest.mark.parametrize("kind", long_unless(USUAL[1].__eq__, KINDS))
def test_both_trainers_make_the_curves_of_fit(kind: str, tmp_path: Path) -> None:
    problem, trial = made(kind, tmp_path)
    expected = curves_of_fit(problem, trial)
    for trainer in (VectorizedTrainer(problem), KerasFitTrainer(problem)):
        result = run(trainer, [trial])[1][0]
        assert "COMPLETE" == result.state, result.traceback
        for name, curve in expected.items():
            np.testing.assert_allclose(curve, result.curves[name][:, 0], rtol=1e-4, err_msg=name)


def test_a_batch_of_lanes_does_the_same_and_predicts_every_column(tmp_path: Path) -> None:
    problem, trial = made("a dict", tmp_path)
    problem = replace(three_columns(), model=problem.model)
    batch = run(VectorizedTrainer(problem, placement="batch"), [trial])[1][0]
    kept = run(KerasFitTrainer(problem), [trial])[1][0]
    assert batch.predictions is not None
    assert kept.predictions is not None
    assert problem.target.shape == batch.predictions.shape
    assert np.isfinite(batch.predictions).all()
    np.testing.assert_allclose(kept.predictions, batch.predictions, rtol=1e-3, atol=1e-4)


SUBCLASSED = """
import keras

class Both(keras.Model):
    def __init__(self, unserializable):
        super().__init__()
        self.left, self.right = keras.layers.Dense(2), keras.layers.Dense(1)

    def call(self, rows):
        return {"pair": self.left(rows), "alone": self.right(rows)}

def build(params, inputs, outputs):
    model = Both(object())
    model.compile(keras.optimizers.SGD(0.02), {"pair": "mse", "alone": "mae"},
                  loss_weights={"pair": 0.3, "alone": 2.0})
    return model
"""


def test_a_subclassed_model_may_have_several_outputs(tmp_path: Path) -> None:
    problem, trial = made("a dict", tmp_path)
    (tmp_path / "mine.py").write_text(SUBCLASSED)
    fitted, kept = (
        run(trainer(problem), [replace(trial, params={}, epochs=2)])[1][0]
        for trainer in (VectorizedTrainer, KerasFitTrainer)
    )
    assert ("COMPLETE", "COMPLETE") == (fitted.state, kept.state), fitted.traceback
    for name in ("train/loss", "val/loss"):
        np.testing.assert_allclose(fitted.curves[name], kept.curves[name], rtol=1e-4)


PLAIN_KERAS = """
import sys
import keras, numpy as np
assert keras.backend.backend() == 'tensorflow'
for folder in sys.argv[1:]:
    model = keras.models.load_model(f'{folder}/model.keras', safe_mode=True)
    np.save(f'{folder}/p.npy', model.predict(np.load(f'{folder}/x.npy'), verbose=0))
"""


def test_what_is_served_is_one_table(tmp_path: Path) -> None:
    assert np.isfinite(finally_fitted("a dict", tmp_path / "a dict")).all()


@pytest.mark.long  # tests/models/test_array_families.py opens what is served under TensorFlow
def test_what_is_served_is_one_table_that_tensorflow_predicts_too(tmp_path: Path) -> None:
    served = {kind: tmp_path / kind for kind in USUAL}
    answers = {kind: finally_fitted(kind, folder) for kind, folder in served.items()}
    subprocess.run(
        [sys.executable, "-c", PLAIN_KERAS, *map(str, served.values())],
        env={**os.environ, "KERAS_BACKEND": "tensorflow"},
        check=True,
    )
    for kind, folder in served.items():
        told = np.load(folder / "p.npy")
        np.testing.assert_allclose(answers[kind], told, atol=1e-5, err_msg=kind)


def finally_fitted(kind: str, folder: Path) -> np.ndarray:
    """What the model of two networks, written into `folder` with its rows, answers for them."""
    folder.mkdir()
    problem, trial = made(kind, folder)
    rows = np.arange(len(problem.target))
    problem = replace(
        problem,
        folds=(Split(rows, np.empty(0, np.int64)),),
        statistics=(statistics_of(problem.features, problem.target, "regression"),),
    )
    members = tuple(MemberSpec(replace(trial, seed=n), 0.5) for n in range(2))
    schema = Schema(tuple(Column(name, "numeric") for name in "abcd"))
    rows = TestRows(None, problem.features, problem.target, None)
    final = FinalFitRequest(members, problem, schema, folder / "model.keras")
    fit_final_model(VectorizedTrainer(problem), final)
    order = LockedPredictionRequest(final.path, rows, schema, problem)
    answer = predict_locked_rows(order).predictions
    assert problem.target.shape == answer.shape
    np.save(folder / "x.npy", problem.features)
    return answer


def test_widths_that_do_not_add_up_say_what_the_task_needs(tmp_path: Path) -> None:
    problem, trial = made("a list", tmp_path)
    problem = replace(problem, target=np.ascontiguousarray(problem.target[:, :2]))
    result = run(KerasFitTrainer(problem), [trial])[1][0]
    assert "(None, 3), but the task needs (None, 2)" in (result.error or "")


def ends(*widths: int) -> tuple[keras.KerasTensor, list[keras.KerasTensor]]:
    first = keras.Input((4,))
    return first, [keras.layers.Dense(n, name=f"end_{n}")(first) for n in widths]


def test_one_output_is_left_as_it_is() -> None:
    first, outputs = ends(2)
    model = keras.Model(first, outputs)
    assert concatenate_outputs(model) is model
    assert () == get_output_widths(model)


def test_a_dict_of_one_output_is_that_output() -> None:
    first, [output] = ends(2)
    joined = concatenate_outputs(keras.Model(first, {"only": output}))
    assert ((None, 2), ()) == (joined.output_shape, get_output_widths(joined))


@pytest.mark.parametrize(
    ("compiled", "why"),
    [
        ({"loss": {"end_1": "mse"}}, "names end_1, but the model's outputs are end_1, end_2"),
        ({"loss": ["mse", "mse", "mse"]}, "has 3 entries, but the model has 2 outputs"),
        ({"loss": ["mse", None]}, "no loss for one of the outputs"),
        ({"loss": ["mse", "sparse_categorical_crossentropy"]}, "takes class numbers or logits"),
        ({"loss": [keras.losses.Huber(reduction="sum"), "mse"]}, "reduction='sum'"),
        ({"loss": "mse", "loss_weights": [1.0]}, "has 1 entries, but the model has 2 outputs"),
    ],
)
def test_what_cannot_be_summed_is_refused(compiled: dict[str, object], why: str) -> None:
    first, outputs = ends(1, 2)
    model = keras.Model(first, outputs)
    model.compile("sgd", **compiled)
    with pytest.raises(TrainingError, match=why):
        concatenate_outputs(model)


def test_outputs_that_are_no_columns_are_refused() -> None:
    first, [output] = ends(2)
    model = keras.Model(first, [output, keras.layers.Reshape((2, 1))(output)])
    with pytest.raises(TrainingError, match=r"not all of shape \(n, width\)"):
        concatenate_outputs(model)
