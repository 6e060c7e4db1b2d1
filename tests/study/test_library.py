"""`hpsearch.tune` from Python: data in memory, custom models, regression, classification."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import synthetic
from mlflow import pyfunc
from sklearn.datasets import load_linnerud, make_multilabel_classification
from sklearn.metrics import f1_score, r2_score, roc_auc_score, root_mean_squared_error

import hpsearch
from hpsearch.errors import SpecError

MODELS = Path(__file__).with_name("own_models.py")


def line(n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Linear data without noise, on a scale of its own."""
    x = np.random.default_rng(0).normal(size=(n, 3))
    return x, 1000 + 50 * x @ [1.0, -2.0, 0.5]


def spec(name: str, **more) -> dict:
    return {
        "study": name,
        "data": {"test_fraction": 0.2},
        "cross_validation": {"folds": 3},
        "training": {"epochs": 60, "early_stopping": None},
        "search_space": {"units": [16, 32], "layers": 1, "learning_rate": [0.01, 0.03]},
        "budget": {"trials": 2},
        "selection": {"finalists": 0},
        **more,
    }


def tune(given: dict | Path, data: Any = None, **more: Any) -> hpsearch.StudyResult:
    """Run a study without MLflow, at which no test here looks."""
    return hpsearch.tune(given, data=data, offline=True, **more)


def test_linear_data_give_r2_near_one_in_the_targets_own_unit(tmp_path):
    records = []
    given = spec("line", selection={})  # and, unlike the others here, with finalists and MLflow
    result = hpsearch.tune(given, data=line(), root=tmp_path, listeners=[records.append])
    assert result.test["r2"] > 0.98
    assert 0 < result.test["rmse"] < 20
    assert ("rmse", 60) == (result.objective, result.n_test)
    assert result.confusion is None
    assert "ridge" == result.baselines[0].name
    assert result.baselines[0].metrics["r2"] > 0.99
    assert ["study", "asked"] == [e.kind for e in records][:2]
    assert result.model_path.is_file()


@pytest.mark.usefixtures("inline_workers")
@pytest.mark.parametrize(
    "trainer", ["vectorized", pytest.param("keras_fit", marks=pytest.mark.long)]
)
def test_the_log_of_a_target_is_learned_and_answers_are_in_its_own_unit(tmp_path, trainer):
    x, y = line()
    y = np.exp(y / 100)
    unit = {"test_fraction": 0.2, "columns": {"target": {"transform": "log"}}}
    given = spec("logs", data=unit, budget={"trials": 1})
    given["training"] = {"epochs": 60, "early_stopping": None, "trainer": trainer}
    result = tune(given, data=(x, y), root=tmp_path)
    assert result.test["r2"] > 0.9
    assert result.baselines[0].metrics["r2"] > 0.99
    served = pyfunc.load_model(str(result.model_path.parent / "model"))
    table = pd.DataFrame(x, columns=["x0", "x1", "x2"])
    answer = served.predict(table)["prediction"]
    assert np.corrcoef(np.log(answer), np.log(y))[0, 1] > 0.98
    assert abs(np.log(answer) - np.log(y)).mean() < 0.2
    with np.load(result.model_path.parent / "predictions.npz") as kept:
        served_locked = answer[np.isin(y.astype(np.float32), kept["truth"][:, 0])]
        np.testing.assert_allclose(np.sort(kept["prediction"][:, 0]), np.sort(served_locked), 1e-5)


@pytest.mark.usefixtures("inline_workers")
def test_the_scaling_is_searched_for_and_the_final_model_scales_as_its_trial(tmp_path):
    x = np.random.default_rng(0).standard_t(1, size=(400, 2)) ** 3
    y = np.sign(x[:, 0]) * np.abs(x[:, 0]) ** (1 / 9)
    own = spec("tails", sampler={"kind": "grid"}, pruner={"kind": "none"})
    own["search_space"] = {"scaling": ["standard", "quantile"], "units": 32, "learning_rate": 0.02}
    result = tune(own, data=(x, y), root=tmp_path)
    assert 2 == result.counts["complete"]
    assert "quantile" == result.best.params["scaling"]
    assert result.test["r2"] > 0.9 > 0.5 > result.baselines[0].metrics["r2"]


@pytest.mark.usefixtures("inline_workers")
@pytest.mark.parametrize("encoding", ["one_hot", pytest.param("embedding", marks=pytest.mark.long)])
def test_categories_that_say_nothing_score_as_nothing(tmp_path, encoding):
    """Encoded by the target, on all rows, the same categories would seem to say much."""
    import pandas as pd

    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"city": rng.integers(0, 80, 1000), "y": rng.integers(0, 2, 1000)})
    leaky = frame.assign(city=frame.groupby("city").y.transform("mean"))
    own = spec("cities", task="binary", pruner={"kind": "none"}, budget={"trials": 1})
    own["search_space"] = {"encoding": encoding, "units": [8, 16]}
    own["data"] = {"target": "y", "columns": {"city": {"kind": "categorical"}}}
    own["training"] = {"epochs": 20, "early_stopping": None}
    honest = tune(own, data=frame, root=tmp_path)
    assert abs(honest.best.score - 0.5) < 0.06
    own |= {"study": "leaky", "data": {"target": "y"}}
    assert tune(own, data=leaky, root=tmp_path).best.score > 0.6


def test_a_scaling_that_does_not_exist_or_is_declared_twice_is_refused():
    own = spec("refused")
    own["search_space"]["scaling"] = ["standard", "standrad"]
    with pytest.raises(SpecError, match=r"got 'standrad'; allowed: .*quantile"):
        tune(own, data=line())
    own["search_space"]["scaling"] = ["standard", "quantile"]
    own["data"]["scaling"] = "robust"
    with pytest.raises(SpecError, match=r"data\.scaling.*keep one of the two"):
        tune(own, data=line())


@pytest.mark.usefixtures("inline_workers")
def test_a_model_that_cannot_be_vectorised_goes_to_the_other_trainer_with_the_reason(tmp_path):
    own = spec("conv", model=f"{MODELS}:hidden_convolution", search_space={"width": [2, 4]})
    own |= {"pruner": {"kind": "none"}, "training": {"epochs": 3}}
    x, y = line(120)
    result = tune(own, data=(x, (y > 1000).astype(int)), root=tmp_path)
    assert 2 == result.counts["complete"]
    records = synthetic.read_records(tmp_path / "mlruns/studies/conv/journal.jsonl")
    [event] = [r for r in records if r["event"] == "trainer"]
    assert "keras_fit" == event["trainer"]
    assert "is a convolution" in event["reason"]
    assert {"keras_fit"} == {r["trainer"] for r in records if r["event"] == "result"}


@pytest.mark.long  # tests/gallery runs one through the whole path, down to what is served
@pytest.mark.usefixtures("inline_workers")
def test_a_model_of_ones_own_is_searched_like_any_other(tmp_path):
    own = spec("own", model=f"{MODELS}:dense", search_space={"width": [4, 8]})
    x, _ = line(240)
    y = np.array(["low", "mid", "high"])[np.digitize(x[:, 0], [-0.5, 0.5])]
    result = tune(own, data=(x, y), root=tmp_path)
    assert result.best.params["width"] in (4, 8)
    assert {"high", "low", "mid"} == set(result.classes)
    assert result.test["accuracy"] > 0.6
    assert 3 == len(result.confusion)


def test_without_any_data_the_missing_key_is_named(tmp_path):
    with pytest.raises(SpecError, match=r"data\.source: is required, unless data are passed"):
        tune(spec("none"), root=tmp_path)


def served(result: hpsearch.StudyResult, table: pd.DataFrame) -> pd.DataFrame:
    """What the model of a study answers as MLflow serves it."""
    return pyfunc.load_model(str(result.model_path.parent / "model")).predict(table)


def locked(result: hpsearch.StudyResult) -> tuple[np.ndarray, np.ndarray]:
    """Truth and predictions of the locked rows."""
    with np.load(result.model_path.parent / "predictions.npz") as kept:
        return kept["truth"], kept["prediction"]


def few(name: str, trainer: str, **data) -> dict:
    given = spec(name, budget={"trials": 1})
    given["data"] = {"test_fraction": 0.25, **data}
    given["training"] = {"epochs": 30, "early_stopping": None, "trainer": trainer}
    return given


@pytest.mark.usefixtures("inline_workers")
@pytest.mark.parametrize(
    "trainer", [pytest.param("vectorized", marks=pytest.mark.long), "keras_fit"]
)
def test_linnerud_is_tuned_scored_and_served_for_its_three_targets(tmp_path, trainer):
    given = few("linnerud", trainer, source="sklearn:linnerud")
    given["data"]["columns"] = {"Pulse": {"transform": "log"}}
    result = tune(given, root=tmp_path)
    frame = load_linnerud(as_frame=True).frame
    answer = served(result, frame)
    assert ["prediction_Weight", "prediction_Waist", "prediction_Pulse"] == list(answer)
    truth, prediction = locked(result)
    assert (5, 3) == truth.shape
    places = [int(np.flatnonzero((frame.iloc[:, 3:] == row).all(axis=1))[0]) for row in truth]
    np.testing.assert_allclose(prediction, answer.iloc[places], rtol=1e-5)
    assert result.test["rmse"] == pytest.approx(root_mean_squared_error(truth, prediction))
    assert result.test["r2"] == pytest.approx(r2_score(truth, prediction))
    assert answer["prediction_Weight"].between(100, 300).all()
    assert ("ridge", None) == (result.baselines[0].name, result.confusion)


@pytest.mark.usefixtures("inline_workers_with_plots")
@pytest.mark.parametrize(
    "trainer", ["vectorized", pytest.param("keras_fit", marks=pytest.mark.long)]
)
def test_a_multilabel_study_is_tuned_scored_and_served_label_by_label(tmp_path, trainer):
    x, y = make_multilabel_classification(300, 6, n_classes=3, random_state=1)
    frame = pd.DataFrame(x, columns=list("pqrstu"))
    marks = pd.DataFrame({"red": y[:, 0], "tall": np.where(y[:, 1], "yes", "no"), "new": y[:, 2]})
    table = pd.concat([frame, marks], axis=1)
    given = few("labels", trainer, target=["red", "tall", "new"])
    result = tune(given, data=table, root=tmp_path)
    truth, prediction = locked(result)
    assert result.test["roc_auc"] == pytest.approx(roc_auc_score(truth, prediction))
    assert result.test["f1"] == pytest.approx(f1_score(truth, prediction > 0.5, average="macro"))
    assert result.test["roc_auc"] > 0.75
    assert result.baselines[0].metrics["roc_auc"] > 0.75
    assert ("roc_auc", None) == (result.objective, result.confusion)
    answer = served(result, frame)
    assert [f"{w}_{n}" for n in marks for w in ("label", "probability")] == list(answer)
    assert {"yes", "no"} == set(answer["label_tall"])
    called = (answer["probability_tall"] > 0.5).map({True: "yes", False: "no"})
    assert called.tolist() == answer["label_tall"].tolist()
    probability = answer[[f"probability_{n}" for n in marks]].to_numpy()
    assert all(np.isclose(probability, row, rtol=1e-4).all(axis=1).any() for row in prediction)
    assert (result.model_path.parent.parent / "plots").is_dir()


def test_a_threshold_or_class_weights_of_several_labels_are_refused(tmp_path):
    x, y = make_multilabel_classification(200, 4, n_classes=3, random_state=1)
    given = few("refused", "vectorized") | {"objective": {"metric": "f1", "threshold": "tuned"}}
    with pytest.raises(SpecError, match="threshold: a multilabel task's labels are called at one"):
        tune(given, data=(x, y), root=tmp_path)
    for task in ("multilabel", None):
        given = few("refused", "vectorized") | {"task": task}
        given["search_space"] = {"class_weight": ["none", "balanced"], "units": [4, 8]}
        with pytest.raises(SpecError, match="a multilabel task has several labels a row: leave it"):
            tune(given, data=(x, y), root=tmp_path)
    assert not list(tmp_path.rglob("journal.jsonl"))


def test_what_does_not_suit_the_task_that_the_rows_are_is_refused_with_its_line(tmp_path):
    x, y = make_multilabel_classification(200, 4, n_classes=1, random_state=1)
    file = tmp_path / "study.yaml"
    file.write_text("study: unsuited\ndata: {}\nsearch_space:\n  units: 8\n  loss: [huber]\n")
    with pytest.raises(
        SpecError, match=r"yaml:5: search_space\.loss: 'huber' does not exist"
    ) as told:
        tune(file, data=(x, y[:, 0]), root=tmp_path)
    assert str(told.value).endswith("from the target's values: binary. The key task overrides it.")
