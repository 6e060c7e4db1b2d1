"""Rivals of `tables.py` that need packages of their own; knows nothing of ours.

    python benchmarks/rivals.py FOLDER --keep FILE.jsonl

FOLDER is what `tables.py --export` wrote. Whatever is installed takes part: pytabkit's RealMLP by
its default, with five folds and one network on all rows as ours are trained, LightGBM and CatBoost
by their defaults. A package that is missing is left out, and the script says so.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np


def realmlp(task: str, metric: str, seed: int) -> Any:
    """pytabkit's RealMLP-TD."""
    from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

    own = {"n_cv": 5, "n_refit": 1, "random_state": seed, "device": "cpu", "n_threads": 1}
    if task == "regression":
        return RealMLP_TD_Regressor(**own)
    watched = {"log_loss": "cross_entropy", "roc_auc": "1-auc_ovr"}[metric]
    return RealMLP_TD_Classifier(val_metric_name=watched, **own)


def lightgbm(task: str, metric: str, seed: int) -> Any:
    """LightGBM's defaults."""
    from lightgbm import LGBMClassifier, LGBMRegressor

    kind = LGBMRegressor if task == "regression" else LGBMClassifier
    return kind(random_state=seed, verbose=-1)


def catboost(task: str, metric: str, seed: int) -> Any:
    """CatBoost's defaults."""
    from catboost import CatBoostClassifier, CatBoostRegressor

    kind = CatBoostRegressor if task == "regression" else CatBoostClassifier
    return kind(random_seed=seed, verbose=False)


# package -> its row, and what makes it
RIVALS: dict[str, tuple[str, Callable[[str, str, int], Any]]] = {
    "pytabkit": ("pytabkit's RealMLP", realmlp),
    "lightgbm": ("LightGBM", lightgbm),
    "catboost": ("CatBoost", catboost),
}


def measure(path: Path, label: str, make: Callable[[str, str, int], Any]) -> dict[str, Any]:
    """The record of one rival on one split."""
    with np.load(path) as kept:
        given = {name: kept[name] for name in kept.files}
    task, metric = str(given["task"]), str(given["metric"])
    name, _, seed = path.stem.rpartition("-")
    y = given["train_target"]
    labels = y.argmax(axis=1) if task == "multiclass" else y[:, 0]
    categories = np.flatnonzero(given["is_category"])
    tables = [_frame(given[part], categories) for part in ("train", "test")]
    model = make(task, metric, int(seed))
    began = time.perf_counter()
    model.fit(tables[0], labels if task == "regression" else labels.astype(int))
    if task == "regression":
        answer = np.asarray(model.predict(tables[1])).reshape(-1)
    else:
        answer = np.asarray(model.predict_proba(tables[1]))
    seconds = time.perf_counter() - began
    score = _score(metric, given["test_target"], answer)
    own = {"data": name, "seed": int(seed), "model": label, "metric": metric}
    return {**own, "score": score, "seconds": seconds}


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
    given = parser.parse_args()
    for package, (label, make) in RIVALS.items():
        if find_spec(package) is None:
            print(f"{package} is not installed: left out")
            continue
        for path in sorted(given.folder.glob("*.npz")):
            record = measure(path, label, make)
            print(json.dumps(record), flush=True)
            with given.keep.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
