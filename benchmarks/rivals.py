"""Rivals of `tables.py` that need packages of their own; knows nothing of ours.

    make rivals                                           # their environment, in build/rivals
    build/rivals/bin/python benchmarks/rivals.py FOLDER --keep FILE.jsonl [--trials 40]
        [--only LightGBM,CatBoost] [--sets diabetes,pima]

FOLDER is what `tables.py --export` wrote, and FILE keeps what is finished. LightGBM is tuned:
`--trials` configurations, each cross-validated by five folds that also tell the number of trees,
and the best one fitted on all rows. CatBoost has its defaults, and so have pytabkit's RealMLP and
TabM by five folds; RealMLP is then fitted on all rows, as ours are, while TabM, which pytabkit does
not refit, predicts by the mean of its five folds. A missing package is left out, and the script
says so. OMP_NUM_THREADS limits the threads; seconds are those of the processor.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

FOLDS = 5
THREADS = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
TREES, PATIENCE = 2000, 50  # of LightGBM at most, and without improvement
LGB_METRICS = {"rmse": "rmse", "roc_auc": "auc", "log_loss": "multi_logloss"}
LGB_OBJECTIVES = {"regression": "regression", "binary": "binary", "multiclass": "multiclass"}


class TunedLightGBM:
    """LightGBM by random search over the ranges of TabArena, its default first."""

    def __init__(self, task: str, metric: str, seed: int, trials: int) -> None:
        """Tune for `metric` by `trials` configurations."""
        self._task, self._metric, self._seed, self._trials = task, LGB_METRICS[metric], seed, trials

    def fit(self, x: Any, y: np.ndarray) -> None:
        """Choose a configuration, and fit it on all rows."""
        import lightgbm

        fixed = {
            "objective": LGB_OBJECTIVES[self._task],
            "metric": self._metric,
            "verbose": -1,
            "num_threads": THREADS,
            "seed": self._seed,
            "feature_pre_filter": False,
        }
        if self._task == "multiclass":
            fixed["num_class"] = int(y.max()) + 1
        data = lightgbm.Dataset(x, y, params=fixed, free_raw_data=False)
        sign = -1 if self._metric == "auc" else 1
        found = []
        for index in range(self._trials):
            params = {**fixed, **self._draw(index)}
            curve = lightgbm.cv(
                params,
                data,
                TREES,
                nfold=FOLDS,
                stratified=self._task != "regression",
                seed=self._seed,
                callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
            )[f"valid {self._metric}-mean"]
            found.append((sign * curve[-1], index, len(curve), params))
        _, _, trees, params = min(found)
        self._model = lightgbm.train(params, data, trees)

    def _draw(self, index: int) -> dict[str, Any]:
        if not index:
            return {}
        rng = Random(f"{self._seed} {index}")
        return {
            "learning_rate": 10 ** rng.uniform(-2.3, -1),
            "num_leaves": round(2 ** rng.uniform(2, 7.6)),
            "min_data_in_leaf": round(2 ** rng.uniform(0, 6)),
            "feature_fraction": rng.uniform(0.4, 1.0),
            "bagging_fraction": rng.uniform(0.7, 1.0),
            "bagging_freq": 1,
            "lambda_l1": 10 ** rng.uniform(-5, 0),
            "lambda_l2": 10 ** rng.uniform(-5, 0.3),
            "extra_trees": rng.random() < 0.5,
        }

    def predict(self, x: Any) -> np.ndarray:
        """Predict numbers, (n,)."""
        return np.asarray(self._model.predict(x))

    def predict_proba(self, x: Any) -> np.ndarray:
        """Predict probabilities, (n, n_classes)."""
        told = np.asarray(self._model.predict(x))
        return told if told.ndim == 2 else np.stack([1 - told, told], axis=1)


class CatBoost:
    """CatBoost's defaults; it wants the names of the categories."""

    def __init__(self, task: str, metric: str, seed: int, trials: int) -> None:
        """Nothing is tuned."""
        from catboost import CatBoostClassifier, CatBoostRegressor

        kind = CatBoostRegressor if task == "regression" else CatBoostClassifier
        self._model = kind(
            random_seed=seed, verbose=False, allow_writing_files=False, thread_count=THREADS
        )

    def fit(self, x: Any, y: np.ndarray) -> None:
        """Fit on all rows."""
        categories = [name for name in x if str(x[name].dtype) == "category"]
        self._model.fit(x, y, cat_features=categories)

    def predict(self, x: Any) -> np.ndarray:
        """Predict numbers, (n,)."""
        return np.asarray(self._model.predict(x))

    def predict_proba(self, x: Any) -> np.ndarray:
        """Predict probabilities, (n, n_classes)."""
        return np.asarray(self._model.predict_proba(x))


def pytabkit_network(name: str, n_refit: int) -> Callable[[str, str, int, int], Any]:
    """A network of pytabkit by its defaults; its folds' mean, if it is not fitted again."""

    def make(task: str, metric: str, seed: int, trials: int) -> Any:
        import pytabkit

        own = {"n_cv": FOLDS, "n_refit": n_refit, "random_state": seed, "device": "cpu"}
        own["n_threads"] = THREADS
        if task == "regression":
            return getattr(pytabkit, f"{name}_Regressor")(**own)
        watched = {"log_loss": "cross_entropy", "roc_auc": "1-auc_ovr"}[metric]
        return getattr(pytabkit, f"{name}_Classifier")(val_metric_name=watched, **own)

    return make


# row -> package, and what makes the model
RIVALS: dict[str, tuple[str, Callable[[str, str, int, int], Any]]] = {
    "LightGBM": ("lightgbm", TunedLightGBM),
    "CatBoost": ("catboost", CatBoost),
    "pytabkit's RealMLP": ("pytabkit", pytabkit_network("RealMLP_TD", 1)),
    "pytabkit's TabM": ("pytabkit", pytabkit_network("TabM_D", 0)),
}


def measure(path: Path, label: str, trials: int) -> dict[str, Any]:
    """The record of one rival on one split."""
    with np.load(path) as kept:
        given = {name: kept[name] for name in kept.files}
    task, metric = str(given["task"]), str(given["metric"])
    name, _, seed = path.stem.rpartition("-")
    y = given["train_target"]
    labels = y.argmax(axis=1) if task == "multiclass" else y[:, 0]
    categories = np.flatnonzero(given["is_category"])
    tables = [_frame(given[part], categories) for part in ("train", "test")]
    model = RIVALS[label][1](task, metric, int(seed), trials)
    began = time.process_time()
    model.fit(tables[0], labels if task == "regression" else labels.astype(int))
    if task == "regression":
        answer = np.asarray(model.predict(tables[1])).reshape(-1)
    else:
        answer = np.asarray(model.predict_proba(tables[1]))
    seconds = time.process_time() - began
    score = _score(metric, given["test_target"], answer)
    own = {"data": name, "seed": int(seed), "model": name_row(label, trials), "metric": metric}
    return {**own, "score": score, "seconds": seconds}


def name_row(label: str, trials: int) -> str:
    """Name a rival's row."""
    return f"{label}, {trials} trials" if label == "LightGBM" else label


def _frame(columns: np.ndarray, categories: np.ndarray) -> Any:
    import pandas as pd

    frame = pd.DataFrame(columns, columns=[f"c{j}" for j in range(columns.shape[1])])
    for j in categories:
        frame[f"c{j}"] = frame[f"c{j}"].astype(int).astype("category")
    return frame


def _score(metric: str, target: np.ndarray, answer: np.ndarray) -> float:
    from sklearn.metrics import log_loss, roc_auc_score

    if metric == "rmse":
        return float(np.sqrt(np.mean((target[:, 0] - answer) ** 2)))
    if metric == "roc_auc":
        return float(roc_auc_score(target[:, 0], answer[:, 1]))
    return float(log_loss(target.argmax(axis=1), answer, labels=range(target.shape[1])))


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--only", default=",".join(RIVALS))
    parser.add_argument("--sets", help="names of sets; all of the folder if left out")
    given = parser.parse_args()
    finished = set()
    if given.keep.exists():
        lines = given.keep.read_text(encoding="utf-8").splitlines()
        finished = {(r["data"], r["seed"], r["model"]) for r in map(json.loads, lines)}
    for label in given.only.split(","):
        package = RIVALS[label][0]
        if find_spec(package) is None:
            print(f"{package} is not installed: {label} is left out")
            continue
        for path in sorted(given.folder.glob("*.npz")):
            name, _, seed = path.stem.rpartition("-")
            left_out = given.sets is not None and name not in given.sets.split(",")
            if left_out or (name, int(seed), name_row(label, given.trials)) in finished:
                continue
            record = measure(path, label, given.trials)
            print(json.dumps(record), flush=True)
            with given.keep.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
