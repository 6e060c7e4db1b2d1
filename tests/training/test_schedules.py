"""Learning rates of every step are those of Keras's own schedules."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from hpsearch.errors import SpecError
from hpsearch.training.schedules import (
    SCHEDULES,
    list_schedule_params,
    make_schedule,
    parse_boundaries,
)

STEPS, EPOCHS = 7, 6
schedules = keras.optimizers.schedules


def rates_of(params: dict[str, Any], losses: list[float] | None = None) -> np.ndarray:
    """The rates of all steps, shape (EPOCHS * STEPS,)."""
    schedule = make_schedule({"learning_rate": 0.02, **params})
    given = {"n_steps": STEPS, "n_epochs": EPOCHS, "losses": losses or []}
    return np.concatenate([schedule.rates(epoch, **given) for epoch in range(EPOCHS)])


# params -> Keras's own schedule of the same meaning, in steps
TWINS: list[tuple[dict[str, Any], Any]] = [
    (
        {"schedule": "exponential", "decay_rate": 0.5, "decay_epochs": 2},
        lambda: schedules.ExponentialDecay(0.02, 2 * STEPS, 0.5),
    ),
    (
        {"schedule": "exponential", "decay_rate": 0.5, "decay_epochs": 2, "staircase": True},
        lambda: schedules.ExponentialDecay(0.02, 2 * STEPS, 0.5, staircase=True),
    ),
    ({"schedule": "cosine"}, lambda: schedules.CosineDecay(0.02, EPOCHS * STEPS)),
    (
        {"schedule": "cosine", "decay_epochs": 3, "decay_alpha": 0.1},
        lambda: schedules.CosineDecay(0.02, 3 * STEPS, alpha=0.1),
    ),
    (
        {"schedule": "cosine", "warmup_epochs": 2},
        lambda: schedules.CosineDecay(
            0.0, (EPOCHS - 2) * STEPS, warmup_target=0.02, warmup_steps=2 * STEPS
        ),
    ),
    (
        {"schedule": "piecewise", "boundaries": "1, 4", "decay_rate": 0.3},
        lambda: schedules.PiecewiseConstantDecay([STEPS, 4 * STEPS], [0.02, 0.006, 0.0018]),
    ),
]


@pytest.mark.parametrize(
    ("params", "twin"), TWINS, ids=lambda p: str(p) if isinstance(p, dict) else "keras"
)
def test_every_step_has_the_rate_of_keras(params: dict[str, Any], twin: Any) -> None:
    keras_rates = [float(twin()(step)) for step in range(EPOCHS * STEPS)]
    np.testing.assert_allclose(keras_rates, rates_of(params), rtol=1e-5, atol=1e-9)


def test_coslog_is_a_row_of_cosines_each_twice_as_long() -> None:
    schedule = make_schedule({"learning_rate": 0.04, "schedule": "coslog", "cycles": 3})
    rates = schedule.rates(0, n_steps=7, n_epochs=1, losses=[])
    np.testing.assert_allclose(0, rates[[0, 1, 3]], atol=1e-7)  # a cycle ends at 1/7 and at 3/7
    middle = [(2**0.5 - 1) / 7, (2**1.5 - 1) / 7, (2**2.5 - 1) / 7]  # log2(1 + 7 t) = 0.5, …
    fine = schedule.rates(0, n_steps=7000, n_epochs=1, losses=[])
    np.testing.assert_allclose(0.04, fine[[round(7000 * t) for t in middle]], rtol=1e-5)


@pytest.mark.parametrize("params", [{}, {"schedule": "constant"}, {"schedule": None}])
def test_without_a_schedule_the_rate_is_constant(params: dict[str, Any]) -> None:
    np.testing.assert_array_equal(np.full(EPOCHS * STEPS, 0.02, np.float32), rates_of(params))


@pytest.mark.parametrize("cooldown", [0, 2])
@pytest.mark.parametrize("patience", [1, 2])
def test_a_plateau_is_that_of_the_callback(cooldown: int, patience: int) -> None:
    losses = [1.0, 1.1, 1.0, 0.99995, 0.8, 0.9, 0.9, 0.9, 0.9, 0.9, 0.7, 0.8, 0.8, 0.8]
    own = {"factor": 0.4, "cooldown": cooldown, "min_lr": 0.001}
    callback = keras.callbacks.ReduceLROnPlateau(mode="min", patience=patience, **own)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.02), "mse")
    callback.set_model(model)
    callback.on_train_begin()
    schedule = make_schedule(
        {
            "schedule": "reduce_on_plateau",
            "plateau_patience": patience,
            "learning_rate": 0.02,
            **own,
        }
    )
    for epoch, loss in enumerate(losses):
        [rate] = schedule.rates(epoch, n_steps=1, n_epochs=99, losses=losses)
        assert float(model.optimizer.learning_rate) == pytest.approx(float(rate), rel=1e-6)
        callback.on_epoch_end(epoch, {"val_loss": loss})


def test_a_plateau_looks_at_no_later_epoch() -> None:
    params = {"schedule": "reduce_on_plateau", "plateau_patience": 1}
    early, late = rates_of(params, [1, 2, 0.5, 9, 9, 9]), rates_of(params, [1, 2, 0.5, 0, 0, 0])
    np.testing.assert_array_equal(early[: 4 * STEPS], late[: 4 * STEPS])
    assert early[-1] != late[-1]


def test_boundaries_are_a_number_or_a_text_of_numbers() -> None:
    assert ((3.0,), (2.5,), (3.0, 8.0)) == tuple(map(parse_boundaries, (3, "2.5", "3, 8")))


@pytest.mark.parametrize("wrong", [None, "", "three", "8, 3", -1])
def test_wrong_boundaries_are_named(wrong: Any) -> None:
    with pytest.raises(SpecError, match="boundaries"):
        make_schedule({"schedule": "piecewise", "boundaries": wrong})


def test_an_unknown_schedule_is_named_with_the_known_ones() -> None:
    with pytest.raises(SpecError, match=r"'linear' does not exist\. Known: constant, "):
        list_schedule_params("linear")


@pytest.mark.parametrize("wrong", [{"decay_epochs": 0, "schedule": "cosine"}])
def test_arguments_without_meaning_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="decay_epochs must be above 0, got 0"):
        make_schedule(wrong)


def test_every_schedule_can_be_made() -> None:
    for kind in SCHEDULES:
        assert kind == make_schedule({"schedule": kind, "boundaries": 3}).kind
