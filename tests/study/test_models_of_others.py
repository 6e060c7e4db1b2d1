"""Studies with models for Keras Tuner and Optuna, and with compiled models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic

import hpsearch
from hpsearch.errors import HpsearchError, SpecError
from hpsearch.study.tune import read_spec

USERS = Path(__file__).parents[1] / "models" / "users_models.py"
X = np.random.default_rng(0).normal(size=(150, 5))


def study(model: Any, **more: Any) -> dict[str, Any]:
    return {
        "study": "own",
        "data": {"test_fraction": 0.2},
        "cross_validation": {"folds": 2},
        "training": {"epochs": 3, "early_stopping": None},
        "model": model,
        "budget": {"trials": 3},
        "selection": {"finalists": 0},
        **more,
    }


def tune(declared: dict[str, Any], y: Any, root: Path, x: Any = X, **more: Any) -> Any:
    """Run a study without MLflow, at which no test here looks."""
    return hpsearch.tune(declared, data=(x, y), offline=True, root=root, **more)


def asked(root: Path) -> list[dict[str, Any]]:
    records = synthetic.read_records(root / "mlruns/studies/own/journal.jsonl")
    return [r["params"] for r in records if r["event"] == "asked"]


@pytest.mark.usefixtures("inline_workers")
def test_a_hypermodel_with_scopes_and_logits_is_searched_and_served(tmp_path: Path) -> None:
    model = {"keras_tuner": f"{USERS}:conditional"}
    y = np.array(["low", "mid", "high"])[np.digitize(X[:, 0], [-0.5, 0.5])]
    declared = study(model, search_space={"batch_size": [16, 32]})
    result = tune(declared, y, tmp_path)
    assert {"complete": 3, "pruned": 0, "failed": 0} == result.counts
    for params in asked(tmp_path):
        assert ("body/units" in params) == (params["kind"] == "dense")
        assert ("nesterov" in params) == (params["optimizer"] == "sgd")
        assert params["batch_size"] in (16, 32)
    with np.load(result.model_path.parent / "predictions.npz") as file:
        predictions = file["prediction"]
    np.testing.assert_allclose(predictions.sum(axis=1), 1, rtol=1e-5)  # not logits
    assert 0 < result.test["log_loss"] < 3


@pytest.mark.usefixtures("inline_workers")
def test_a_study_of_a_hypermodel_goes_on_without_asking_its_model_anew(tmp_path: Path) -> None:
    model = {"keras_tuner": f"{USERS}:WithFit"}
    y = (X[:, 0] > 0).astype(int)
    first = tune(study(model), y, tmp_path, overrides=["budget.trials=1"])
    second = tune(study(model), y, tmp_path, overrides=["budget.trials=2"])
    assert (1, 2) == (first.counts["complete"], second.counts["complete"])
    assert {2} == {params["epochs"] for params in asked(tmp_path)}


@pytest.mark.usefixtures("inline_workers")
def test_a_define_by_run_function_of_optunas_is_searched_and_served(tmp_path: Path) -> None:
    declared = study({"optuna": f"{USERS}:define_by_run"})
    result = tune(declared, X @ np.arange(5.0), tmp_path)
    assert 3 == result.counts["complete"]
    for params in asked(tmp_path):
        assert ("n_units_1" in params) == (params["n_layers"] == 2)
        assert ("momentum" in params) == (params["optimizer"] == "SGD")
    assert result.model_path.is_file()


@pytest.mark.usefixtures("inline_workers")
def test_a_compiled_function_of_ones_own_refuses_an_optimizer_in_the_space(tmp_path: Path) -> None:
    y = (X[:, 0] > 0).astype(int)
    space = {"width": [4, 8], "learning_rate": [0.1, 0.2], "optimizer": "adam"}
    declared = study(f"{USERS}:plain_compiled", search_space=space)
    with pytest.raises(SpecError) as told:
        tune(declared, y, tmp_path)
    lines = str(told.value).splitlines()
    assert 2 == len(lines)
    assert all("nothing reads this parameter: the model's function compiles" in x for x in lines)


@pytest.mark.usefixtures("inline_workers")
def test_data_that_do_not_fit_the_model_are_refused_before_the_first_trial(tmp_path: Path) -> None:
    declared = study({"keras_tuner": f"{USERS}:conditional"})
    with pytest.raises(HpsearchError, match=r"model: the model takes 5 features.*have 4 after"):
        tune(declared, (X[:, 0] > 0).astype(int), tmp_path, x=X[:, :4])
    assert not (tmp_path / "mlruns/studies/own/journal.jsonl").exists()


@pytest.mark.usefixtures("inline_workers")
def test_what_nothing_reads_beside_a_compiled_model_is_an_error() -> None:
    declared = study({"keras_tuner": f"{USERS}:tutorial"}, search_space={"learning_rate": [1, 2]})
    with pytest.raises(SpecError, match=r"learning_rate: nothing reads this parameter.*units_0"):
        read_spec(declared)


@pytest.mark.usefixtures("inline_workers")
def test_the_file_may_narrow_what_the_model_asks_for_and_constrain_it() -> None:
    declared = study(
        {"keras_tuner": f"{USERS}:tutorial"},
        search_space={"units_1": {"type": "int", "low": 4, "high": 8}, "activation": "tanh"},
        constraints=["units_0 >= 8"],
    )
    spec = read_spec(declared).spec
    units = next(p for p in spec.space if p.name == "units_1")
    assert (4, 8, {"num_layers": (2, 3)}) == (units.low, units.high, dict(units.when))
    assert "tanh" == spec.fixed_params["activation"]
    assert 1 == len(spec.space.constraints)


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ({"keras_tuner": "a.py:b", "optuna": "a.py:b"}, "model: give keras_tuner or optuna, and"),
        ({"keras_tuner": "build"}, "'build' names no function: write FILE.py:FUNCTION"),
        ({"kerastuner": "a.py:b"}, r"kerastuner: unknown key\. Did you mean 'keras_tuner'\?"),
        ({"keras_tuner": "nowhere.py:build"}, "model.keras_tuner: there is no file"),
        ("mlp", "search_space: is required, with at least one hyperparameter"),
        ("nowhere.py:build", "there is no file"),
    ],
)
def test_a_model_that_names_nothing_is_told_with_its_key(model: Any, why: str) -> None:
    space = {"search_space": {"units": [4, 8]}} if model == "nowhere.py:build" else {}
    with pytest.raises(SpecError, match=why):
        read_spec(study(model, **space))
