"""The contract of model families; see `hpsearch.models.Family`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from ..models import Family, make_outputs

TASKS = {"binary": 1, "multiclass": 3, "multilabel": 2, "regression": 2}  # task -> outputs


class FamilyContract:
    """Inherit from it and provide a fixture `family`; override `rows` and `params` if needed."""

    rows: tuple[int, ...] = (5,)  # the shape of a row
    params: Mapping[str, Any] = {}  # hyperparameters of the networks

    def test_its_defaults_are_what_it_reads(self, family: Family) -> None:
        if family.defaults is None:
            pytest.skip("it reads whatever it is given")
        assert {k: v for k, v in self.params.items() if k not in family.defaults} == {}

    @pytest.mark.parametrize("task", TASKS)
    def test_a_network_of_every_task_answers_with_its_outputs(
        self, family: Family, task: str
    ) -> None:
        model = self.build(family, task)
        answer = self.answer(model)
        assert (7, TASKS[task]) == answer.shape
        assert np.isfinite(answer).all()
        assert not model.compiled

    @pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
    def test_a_classification_answers_with_probabilities(self, family: Family, task: str) -> None:
        answer = self.answer(self.build(family, task))
        assert (answer >= 0).all()
        assert (answer <= 1).all()
        if task == "multiclass":
            np.testing.assert_allclose(1, answer.sum(axis=1), rtol=1e-5)

    def test_the_saved_network_opens_without_its_code(self, family: Family, tmp_path: Any) -> None:
        import keras

        model = self.build(family, "regression")
        model.save(tmp_path / "model.keras")
        again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
        np.testing.assert_array_equal(self.answer(model), self.answer(again))

    def build(self, family: Family, task: Any) -> Any:
        """Build a network for rows of shape `rows`."""
        params = {**(family.defaults or {}), **self.params}
        return family.build(params, self.rows, make_outputs(task, TASKS[task]))

    def answer(self, model: Any) -> np.ndarray:
        """Predict seven rows with a network."""
        rows = np.random.default_rng(0).normal(size=(7, *self.rows)).astype(np.float32)
        return np.asarray(model(rows, training=False))
