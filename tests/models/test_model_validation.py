"""A custom model, loss or metric that does not work is refused before the first trial."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras.src.backend.common import global_state

from hpsearch.errors import HpsearchError, SpecError
from hpsearch.spec.study_file import StudyFile, load_dict
from hpsearch.study.model_validation import check_metric
from hpsearch.training.keras.keras_fit import KerasFitTrainer
from hpsearch.training.keras_import import ignore_clear_session
from hpsearch.training.model_inspection import (
    ModelInspection,
    discover_space,
    inspect_model,
    why_unfit,
)
from hpsearch.training.problem import Problem, sample_problem
from hpsearch.training.vectorized import VectorizedTrainer
from hpsearch.trial import TrialResult, TrialSpec
from tests import small_problem

FILE = Path(__file__).with_name("wrong_models.py")
PRUNED = f"optuna:{FILE}:optuna_pruned_at_the_default"
KT_FAILED = f"keras_tuner:{FILE}:kt_failed"
POINTS = [{"width": 3}, {"width": 9}]


def make_problem(task: Any = "binary", columns: int = 5) -> Problem:
    problem = small_problem.problem(columns=columns)
    target = problem.target
    if task == "multiclass":
        target = np.eye(3, dtype=np.float32)[np.arange(len(target)) % 3]
    elif task == "multilabel":
        target = np.hstack([target, 1 - target])
    return replace(problem, task=task, target=target)


def problem_of(function: str, task: Any = "binary") -> Problem:
    return sample_problem(replace(make_problem(task=task), model=f"{FILE}:{function}"))


def examined(function: str, task: Any = "binary") -> ModelInspection:
    problem = problem_of(function, task)
    found = inspect_model(problem, POINTS)
    if reason := why_unfit(found, problem):
        raise SpecError(reason)
    return found


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("without_return", r"without_return must return a keras.Model. Received: None. Is there a"),
        ("a_layer", r"a_layer must return a keras.Model. Received: <Dense"),
        ("missing_parameter", r"wrong_models.py:\d+: KeyError: 'widht', which is not a hyperparam"),
        ("raising", r"wrong_models.py:\d+: RuntimeError: no luck$"),
        ("without_activation", r"no activation, but a binary task .*activation='sigmoid'"),
        ("scaled_output", r"answers with values from -\d.* give the last layer activation"),
        ("softmax_of_one", r"is a softmax, but a binary task needs activation='sigmoid'"),
        ("logits_behind_a_sigmoid", r"activation='sigmoid', but the model is compiled with a loss"),
        ("two_inputs", r"has the name of no column and of no group of data.inputs"),
        ("wide_output", r"output has shape \(None, 7\), but the task needs \(None, 1\)"),
        ("other_input", r"takes 30 features, .* but the data have 5"),
        ("squeezed", r"shape \(None,\), .* keep the axis of the units"),
        ("sequence", r"shape \(None, 5, 1\), .* put Flatten or a pooling layer"),
        ("strings", r"input 'color' takes strings, .* features of 0 and 1, shape \(5,\): leave"),
        ("attribute", r"AttributeError: .* The hyperparameters are a dict: params\['width'\]"),
        ("no_input", r"inputs is the shape of a row: begin with first = keras.Input\(inputs\)"),
        ("misspelt_call", r"AttributeError: Misspelt.call\(\): .*no attribute 'dense_of_no_name'"),
        ("hashing", r"Hashing 'hashing.*' is computed by TensorFlow, .* so leave the layer out"),
        ("own_predict_step", r"Inverted has a custom predict_step, which neither the scores nor"),
        ("infinite_loss", "loss of the first rows is nan: see that it takes"),
    ],
)
def test_a_model_with_a_mistake_is_refused_with_the_remedy(function: str, told: str) -> None:
    with pytest.raises(HpsearchError, match=told):
        examined(function)


@pytest.mark.parametrize(
    ("function", "task", "told"),
    [
        ("sigmoid", "regression", "activation='sigmoid', but a regression needs any number"),
        ("without_activation", "multiclass", "activation='softmax'"),
        ("without_activation", "multilabel", "activation='sigmoid'"),
        ("softmax_of_one", "multilabel", "is a softmax, but a multilabel"),
        ("sigmoid", "multiclass", "is a sigmoid for each class, .* activation='softmax'"),
        ("hidden_sigmoid", "multiclass", "add up to numbers from .* not to 1: give the last"),
        ("own_sparse_loss", "multiclass", "The target is one-hot: take a categorical loss"),
    ],
)
def test_the_activation_is_held_against_the_task(function: str, task: str, told: str) -> None:
    with pytest.raises(SpecError, match=told):
        examined(function, task)


@pytest.mark.parametrize(
    ("function", "task"),
    [
        ("fine", "binary"),
        ("logits", "binary"),
        ("own_loss", "binary"),
        ("loss_of_a_partial", "binary"),
        ("sparse_loss_of_a_name", "multiclass"),
    ],
)
def test_a_model_without_a_mistake_passes(function: str, task: str) -> None:
    assert () == examined(function, task).notes


def test_a_normalization_without_statistics_is_noted() -> None:
    [note] = examined("normalizing").notes
    assert "adapted to the training rows of each fold, and to all of them in the end" in note


def test_a_function_that_clears_the_session_clears_nothing(monkeypatch: Any) -> None:
    for module in (keras.backend, keras.utils, global_state):
        monkeypatch.setattr(module, "clear_session", module.clear_session)  # put back at the end
    ignore_clear_session()
    assert () == examined("clearing").notes


def test_a_function_that_fails_at_some_points_is_noted_with_its_line() -> None:
    [note] = examined("raising_when_wide").notes
    assert "fails at 1 of 2 points, the first time with" in note
    assert "wrong_models.py:" in note
    assert "RuntimeError: too wide" in note


def test_a_function_that_asks_is_looked_at_too() -> None:
    with pytest.raises(SpecError, match=r"must return a keras.Model. Received: None"):
        discover_space(f"keras_tuner:{FILE}:kt_without_return")


def test_the_output_of_a_function_that_asks_is_held_against_the_task() -> None:
    found = discover_space(f"keras_tuner:{FILE}:kt_linear")
    problem = replace(make_problem(), model="")
    assert "no activation, but a binary task" in str(why_unfit(found, problem))


@pytest.mark.parametrize(
    ("loss", "told"),
    [
        ("one_argument", r"TypeError: one_argument\(\) takes 1 positional argument"),
        ("one_number", r"must return what each row costs, shape \(\d+,\)"),
        ("nothing", "has no function 'nothing'"),
    ],
)
@pytest.mark.parametrize("model", ["mlp", f"{FILE}:fine"])
def test_a_loss_of_another_signature_is_refused(loss: str, told: str, model: str) -> None:
    problem = replace(problem_of("fine"), model=model)
    with pytest.raises(SpecError, match=told):
        inspect_model(problem, [{**POINTS[0], "units": 4}], [f"{FILE}:{loss}"])


@pytest.mark.parametrize("name", ["each_row", "Squares", "SQUARES"])
def test_a_loss_of_ones_own_passes(name: str) -> None:
    loss = f"{FILE}:{name}"
    inspect_model(replace(problem_of("fine"), model="mlp"), [{"units": 4, "loss": loss}], [loss])


def test_a_callback_that_would_mix_folds_is_refused() -> None:
    problem = replace(problem_of("fine"), callbacks=(f"{FILE}:backup",))
    with pytest.raises(HpsearchError, match=r"^/.*:backup: BackupAndRestore would let a fold"):
        inspect_model(problem, POINTS)


METRICS = """
def fine(truth, prediction, weights): return float(((truth - prediction) ** 2).mean())
def two_arguments(truth, prediction): return 0.0
def raising(truth, prediction, weights):
    return truth["a"]
def table(truth, prediction, weights): return prediction
def nothing(truth, prediction, weights): return None
def undefined(truth, prediction, weights): return float("nan")
"""


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("fine", None),
        ("two_arguments", r"TypeError: two_arguments\(\) takes 2 positional .* It is called as"),
        ("raising", r"metrics.py:5: IndexError: only integers"),
        ("table", "TypeError: only"),
        ("nothing", "TypeError: float"),
        ("undefined", "undefined returns nan for 30 rows"),
    ],
)
def test_a_metric_is_called_once_before_the_first_trial(
    tmp_path: Path, name: str, told: str | None
) -> None:
    (tmp_path / "metrics.py").write_text(METRICS)
    reference = f"{tmp_path}/metrics.py:{name}"
    problem = replace(make_problem(), custom_metric=(reference, "minimize"), objective=name)
    declared = {"data": {}, "search_space": {"units": 4}}
    file: StudyFile = load_dict(declared, folder=tmp_path)
    if told is None:
        return check_metric(file, problem)
    with pytest.raises(SpecError, match=told) as refused:
        check_metric(file, problem)
    assert str(refused.value).startswith("spec: objective.metric: ")
    return None


def test_a_point_that_is_rejected_at_the_defaults_shows_what_is_asked_all_the_same() -> None:
    found = discover_space(f"optuna:{FILE}:optuna_pruned_at_the_default")
    assert {"units", "layers"} == found.declared.keys()
    assert () == found.notes


@pytest.mark.parametrize("trainer", [KerasFitTrainer, VectorizedTrainer])
@pytest.mark.parametrize(
    ("model", "params", "state", "error"),
    [
        (
            PRUNED,
            {"units": 3, "layers": 1},
            "PRUNED",
            "too small",
        ),
        (KT_FAILED, {"units": 3}, "FAILED", "three is wrong\nfor a reason"),
    ],
)
def test_a_rejected_point_ends_as_its_library_says_with_its_message(
    trainer: Any, model: str, params: dict[str, Any], state: str, error: str
) -> None:
    problem = replace(make_problem(), model=model)
    reports = [*trainer(problem).train([TrialSpec(0, params, seed=1, epochs=1)])]
    [result] = [r for r in reports if isinstance(r, TrialResult)]
    assert (state, error, None) == (result.state, result.error, result.traceback)


@pytest.mark.parametrize("trainer", [KerasFitTrainer, VectorizedTrainer])
def test_what_is_no_probability_fails_after_the_first_epoch(trainer: Any) -> None:
    problem = replace(make_problem(), model=f"{FILE}:scaled_output")
    reports = [*trainer(problem).train([TrialSpec(0, {}, seed=1, epochs=9)])]
    [result] = reports
    assert "FAILED" == result.state
    assert "a binary task needs probabilities" in result.error
    assert np.isfinite(result.curves["train/loss"]).all()
    assert 1 == len(result.curves["train/loss"])
