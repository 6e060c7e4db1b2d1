"""Losses have Keras's names and arguments."""

from __future__ import annotations

import inspect

import keras
import numpy as np
import pytest
from sklearn.metrics import mean_pinball_loss

from hpsearch.errors import SpecError
from hpsearch.spec.pinball import name_pinball
from hpsearch.training import losses as module
from hpsearch.training.losses import (
    FIXED_ARGUMENTS,
    KERAS_ARGUMENT_NAMES,
    LOSSES,
    list_loss_params,
    make_loss,
)
from hpsearch.training.metrics import get_metric
from hpsearch.training.vectorized.objective import LossObjective

CASES = [(task, name) for task, losses in LOSSES.items() for name in losses]
VALUES: dict[str, float] = {
    "label_smoothing": 0.1,
    "alpha": 0.3,
    "gamma": 1.5,
    "delta": 0.5,
    "tversky_beta": 0.2,
}


@pytest.mark.parametrize(("task", "name"), CASES)
def test_every_loss_reads_what_its_keras_class_takes(task: str, name: str) -> None:
    kind = getattr(keras.losses, LOSSES[task][name][0])
    known = inspect.signature(kind).parameters.keys()
    assert {
        KERAS_ARGUMENT_NAMES.get(argument, argument) for argument in list_loss_params(task, name)
    } <= known
    assert keras.losses.get(name).__name__ == name  # as Keras calls it


@pytest.mark.parametrize(("task", "name"), CASES)
def test_every_loss_is_finite_and_zero_arguments_are_defaults(task: str, name: str) -> None:
    truth = np.eye(3, dtype=np.float32) if task == "multiclass" else np.ones((3, 1), np.float32)
    answer = np.full_like(truth, 1 / 3)
    plain = float(make_loss(task, {"loss": name})(truth, answer))
    kind = getattr(keras.losses, LOSSES[task][name][0])
    expected = float(kind(**FIXED_ARGUMENTS.get(name, {}))(truth, answer))
    assert np.isfinite(plain)
    assert expected == plain


@pytest.mark.parametrize(
    ("task", "name", "argument"),
    [(*c, argument) for c in CASES for argument in list_loss_params(*c)],
)
def test_every_argument_changes_the_loss(task: str, name: str, argument: str) -> None:
    truth = np.eye(3, dtype=np.float32) if task == "multiclass" else np.ones((3, 1), np.float32)
    answer = np.full_like(truth, 0.2) + 0.4 * np.eye(*truth.shape, dtype=np.float32)
    plain = float(make_loss(task, {"loss": name})(truth, answer))
    changed = make_loss(task, {"loss": name, argument: VALUES[argument], "units": 3})
    assert plain != float(changed(truth, answer))


def test_every_loss_of_keras_is_offered_or_left_out_with_a_reason() -> None:
    offered = {kind for table in LOSSES.values() for kind, _ in table.values()}
    theirs = {k for k, v in vars(keras.losses).items() if inspect.isclass(v)} - {"Loss"}
    assert {
        "CTC",
        "CategoricalGeneralizedCrossEntropy",
        "Circle",
        "MeanAbsolutePercentageError",
        "MeanSquaredLogarithmicError",
        "SparseCategoricalCrossentropy",
    } == theirs - offered
    reasons = (module.__doc__ or "").replace("_", "").lower()
    assert [] == [name for name in theirs - offered if name.lower() not in reasons]


@pytest.mark.parametrize("task", list(LOSSES))
def test_the_first_loss_is_the_default(task: str) -> None:
    assert next(iter(LOSSES[task])) == make_loss(task, {}).name


def test_an_unknown_loss_is_named_with_the_known_ones() -> None:
    with pytest.raises(SpecError, match=r"'hinge' does not exist for regression\. Known: huber, "):
        list_loss_params("regression", "hinge")


def test_the_loss_of_quantiles_is_the_mean_pinball_loss_of_scikit_learn() -> None:
    """Outputs are two targets of three quantiles each."""
    levels = (0.1, 0.5, 0.975)
    truth = np.repeat(np.random.default_rng(0).normal(size=(40, 2)), 3, axis=1)
    answer = np.random.default_rng(1).normal(size=(40, 6))
    expected = np.mean(
        [mean_pinball_loss(truth[:, k], answer[:, k], alpha=levels[k % 3]) for k in range(6)]
    )
    name = name_pinball(levels)
    loss = make_loss("regression", {"loss": name})(truth.astype("f"), answer.astype("f"))
    assert float(loss) == pytest.approx(expected, rel=1e-6)
    assert get_metric(name, "regression")(truth, answer) == pytest.approx(expected)
    assert () == list_loss_params("regression", name)


def test_programs_of_other_quantiles_differ() -> None:
    made = [LossObjective("regression", {"loss": f"pinball_{p}_90"}) for p in (10, 20)]
    assert made[0].structure != made[1].structure
