"""`KerasSearchClassifier` and `KerasSearchRegressor`, as scikit-learn's users call them."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    PredefinedSplit,
    ShuffleSplit,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from hpsearch import Choice, Float
from hpsearch.sklearn import KerasSearchClassifier, KerasSearchRegressor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4))
Y = np.where(X[:, 0] + 0.5 * X[:, 1] > 0, "yes", "no")
TINY = {
    "search_space": {"learning_rate": [0.03, 0.1]},
    "fixed": {"units": 8, "layers": 1, "batch_size": 16},
    "n_trials": 2,
    "epochs": 4,
    "cv": 2,
    "settings": {"selection.finalists": 0, "training.early_stopping": None},
    "random_state": 0,
}
pytestmark = pytest.mark.usefixtures("inline_workers")


@pytest.fixture(scope="module")
def fitted():
    from inline_worker_pool import training_inline

    with training_inline():
        return KerasSearchClassifier(**TINY).fit(X, Y)


def test_a_search_is_fitted_and_predicts(fitted):
    assert fitted.score(X, Y) > 0.85
    assert ["no", "yes"] == list(fitted.classes_)
    proba = fitted.predict_proba(X)
    np.testing.assert_allclose(1, proba.sum(axis=1), rtol=1e-5)
    assert (fitted.classes_[proba.argmax(axis=1)] == fitted.predict(X)).mean() > 0.99


def test_what_was_tried_is_told_as_scikit_learn_tells_it(fitted):
    results = fitted.cv_results_
    assert 2 == fitted.n_splits_ == len(results["params"])
    assert results["params"][fitted.best_index_] == fitted.best_params_
    assert 1 == results["rank_test_score"][fitted.best_index_]
    assert results["mean_test_score"][fitted.best_index_] == pytest.approx(fitted.best_score_)
    splits = [results[f"split{k}_test_score"][fitted.best_index_] for k in range(2)]
    assert np.mean(splits) == pytest.approx(fitted.best_score_)
    assert {0.03, 0.1} == set(results["param_learning_rate"])
    assert ("roc_auc", None) == (fitted.scorer_, fitted.study_folder_)


def test_a_pickled_search_predicts_the_same_and_a_clone_is_not_fitted(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(fitted.predict_proba(X), again.predict_proba(X))
    fresh = clone(fitted)
    assert fresh.get_params() == fitted.get_params()
    assert not hasattr(fresh, "model_bytes_")


@pytest.mark.parametrize(
    ("cv", "groups", "expected"),
    [
        (ShuffleSplit(3, test_size=0.25, random_state=0), None, 3),
        (GroupKFold(2), np.arange(120) % 4, 2),
        (PredefinedSplit(np.where(np.arange(120) < 60, -1, np.arange(120) % 2)), None, 2),
        ([(np.arange(80), np.arange(80, 120))], None, 1),
    ],
    ids=["overlapping", "groups", "fold ids", "pairs"],
)
def test_any_splitter_is_taken(cv, groups, expected):
    seen = []

    class Watched(KerasSearchRegressor):
        def _search(self, spec, table, folds, root):
            seen.extend(folds)
            raise ValueError("enough seen")

    with pytest.raises(ValueError, match="enough seen"):
        Watched(**{**TINY, "cv": cv}).fit(X, X[:, 0], groups=groups)
    assert expected == len(seen)


def test_weights_and_overlapping_folds_reach_the_study(tmp_path):
    weights = np.where(X[:, 2] > 0, 1.0, 0.01)
    target = np.where(X[:, 2] > 0, X[:, 0], -3 * X[:, 0])
    cv = ShuffleSplit(2, test_size=0.3, random_state=0)
    given = {**TINY, "cv": cv, "n_trials": 1, "epochs": 20, "study": "kept", "root": tmp_path}
    search = KerasSearchRegressor(**given).fit(X, target, sample_weight=weights)
    assert search.score(X, target, weights) > 0.8 > search.score(X, target)
    assert search.study_folder_.parent == tmp_path / "mlruns" / "studies"
    assert ("rmse", 2) == (search.scorer_, search.n_splits_)
    again = clone(search).fit(X, target, sample_weight=weights)
    assert search.study_folder_ == again.study_folder_
    assert search.best_score_ == again.best_score_


def test_a_table_with_text_and_missing_cells_needs_no_pipeline():
    town = pd.Series(np.where(X[:, 0] > 0, "Rome", "Oslo"), dtype=object)
    table = pd.DataFrame({"town": town, "age": np.where(X[:, 1] > 1, np.nan, X[:, 1])})
    search = KerasSearchClassifier(**TINY).fit(table, Y)
    assert search.score(table, Y) > 0.75
    assert ["town", "age"] == list(search.feature_names_in_)
    with pytest.raises(ValueError, match="feature names"):
        search.predict(table[["age", "town"]])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"scoring": "accurracy"}, "objective.metric"),
        ({"search_space": [Float("learning_rate", 0.1, 0.2), Choice("unitz", [1])]}, "unitz"),
        ({"settings": {"budget.trials": 0}}, r"^overrides: budget\.trials"),
        ({"cv": [(np.arange(80), np.arange(40, 120))]}, r"folds\[0\]: 40 rows are for training"),
        ({"cv": [(np.arange(80), np.arange(40, 121))]}, r"folds\[0\]: give .* from 0 to 119"),
    ],
)
def test_what_is_wrong_is_a_value_error(changed, message):
    with pytest.raises(ValueError, match=message):
        KerasSearchClassifier(**{**TINY, **changed}).fit(X, Y)


@pytest.mark.long
def test_a_pipeline_with_a_column_transformer_in_front_is_cross_validated():
    table = pd.DataFrame({"town": np.where(X[:, 0] > 0, "Rome", "Oslo"), "age": X[:, 1]})
    columns = ColumnTransformer(
        [("town", OneHotEncoder(sparse_output=False), ["town"]), ("age", StandardScaler(), ["age"])]
    )
    pipeline = make_pipeline(columns, KerasSearchClassifier(**TINY))
    scores = cross_val_score(pipeline, table, Y, cv=2)
    assert scores.min() > 0.75
    pipeline.fit(table, Y, kerassearchclassifier__sample_weight=np.ones(len(Y)))
    assert pipeline.score(table, Y) > 0.75


@pytest.mark.long
def test_nested_cross_validation_is_cross_val_score_of_a_search():
    search = KerasSearchRegressor(**{**TINY, "n_trials": 1, "epochs": 20})
    scores = cross_val_score(search, X, X[:, 0], cv=KFold(2, shuffle=True, random_state=0))
    assert scores.min() > 0.7


@pytest.mark.long
def test_groups_and_weights_are_routed_where_they_are_requested():
    from sklearn import config_context

    groups = np.arange(120) % 4
    with config_context(enable_metadata_routing=True):
        search = KerasSearchClassifier(**{**TINY, "n_trials": 1, "cv": GroupKFold(2)})
        search.set_fit_request(groups=True, sample_weight=True)
        search.set_score_request(sample_weight=False)
        scores = cross_val_score(
            search,
            X,
            Y,
            cv=GroupKFold(2),
            params={"groups": groups, "sample_weight": np.ones(len(Y))},
        )
    assert scores.min() > 0.7
