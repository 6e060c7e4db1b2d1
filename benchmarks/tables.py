"""Tables: the families by their defaults, and tuned, beside gradient boosting by its defaults.

    HPSEARCH_DATA=<data sets> python benchmarks/tables.py [--only diabetes,pima] [--seeds 3]
        [--trials 0] [--rows 4000] [--models mlp,realmlp,tabm] --keep FILE.jsonl [--export FOLDER]
    python benchmarks/rivals.py FOLDER --keep FILE.jsonl     # in an environment that has pytabkit
    python benchmarks/tables.py --show FILE.jsonl
    HPSEARCH_DATA=<data sets> make tables      # all three, with rivals, and the page from the file

FILE keeps what is finished, and a later call continues there; a FILE is for one `--rows`.

A quarter of the rows is locked, another one for each seed. Our families are trained by five folds,
which tell the number of epochs, and then once on all rows that are not locked: `mlp`, `realmlp` and
`tabm` with nothing but defaults, and, with `--trials N`, `realmlp` in the space of
`search_spaces/realmlp.yaml`. `HistGradientBoosting` with its defaults gets the same rows, and
`--export` writes them for the rivals that need other packages. Sets without a file are
scikit-learn's.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from data_sets import boosted
from ruamel.yaml import YAML
from table_report import show, write_page

import hpsearch
from hpsearch.data import Dataset
from hpsearch.models import FAMILIES
from hpsearch.study.prepare import load_data
from hpsearch.study.tune import read_spec
from hpsearch.training.metrics import METRICS

SPACE = Path(__file__).parents[1] / "search_spaces" / "realmlp.yaml"
BOOSTING = "HistGradientBoosting"
METRIC = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}
# name -> section `data`, and the task
SETS: dict[str, tuple[dict[str, Any], str]] = {
    "breast_cancer": ({"source": "sklearn:breast_cancer"}, "binary"),
    "diabetes": ({"source": "sklearn:diabetes"}, "regression"),
    "wine": ({"source": "sklearn:wine"}, "multiclass"),
    "digits": ({"source": "sklearn:digits"}, "multiclass"),
    "pima": ({"source": "tables/pima.csv.gz", "target": "diabetes"}, "binary"),
    "banknote": ({"source": "tables/banknote.csv.gz", "target": "class"}, "binary"),
    "employee": ({"source": "tables/employee.csv.gz", "target": "left"}, "binary"),
    "automobile": (
        {"source": "tables/automobile.csv.gz", "target": "price", "missing_target": "drop"},
        "regression",
    ),
    "california_housing": (
        {"source": "california_housing/housing.csv.gz", "target": "median_house_value"},
        "regression",
    ),
    "wine_quality": (
        {
            "source": "wine_quality/winequality-white.csv",
            "names": [
                *("fixed_acidity", "volatile_acidity", "citric_acid", "residual_sugar"),
                *("chlorides", "free_sulfur_dioxide", "total_sulfur_dioxide", "density", "pH"),
                *("sulphates", "alcohol", "quality"),
            ],
            "target": "quality",
        },
        "regression",
    ),
    "adult": (
        {
            "source": "adult/adult.data.gz",
            "names": [
                *("age", "workclass", "fnlwgt", "education", "education_num", "marital_status"),
                *("occupation", "relationship", "race", "sex", "capital_gain", "capital_loss"),
                *("hours_per_week", "native_country", "income"),
            ],
            "target": "income",
            "missing": ["?"],
        },
        "binary",
    ),
    "telco": (
        {
            "source": "telco_churn/Telco-Customer-Churn.csv",
            "target": "Churn",
            "drop": ["customerID"],
        },
        "binary",
    ),
    "bank": (
        {"source": "bank_marketing/bank-full.csv.gz", "target": "y", "drop": ["duration"]},
        "binary",
    ),
    "nba": ({"source": "tables/nba.csv.gz", "target": "TARGET_5Yrs"}, "binary"),
    "cardiotocography": (
        {
            "source": "tables/cardiotocography.csv.gz",
            "target": "NSP",
            "missing_target": "drop",
            "drop": [
                *("FileName", "Date", "SegFile", "b", "e", "LBE", "A", "B", "C", "D", "E"),
                *("AD", "DE", "LD", "FS", "SUSP", "CLASS"),
            ],
        },
        "multiclass",
    ),
    "facebook_posts": (
        {
            "source": "tables/facebook_posts.csv.gz",
            "target": "status_type",
            "drop": ["status_published"],
        },
        "multiclass",
    ),
    "bike_hours": (
        {
            "source": "bike_sharing/hour.csv.gz",
            "target": "cnt",
            "drop": ["instant", "casual", "registered", "dteday"],
        },
        "regression",
    ),
    "beijing": (
        {
            "source": "beijing_pm25/pollution.csv.gz",
            "target": "pm2.5",
            "drop": ["No"],
            "missing_target": "drop",
        },
        "regression",
    ),
    "air_quality": (
        {
            "source": "tables/air_quality.csv.gz",
            "target": "C6H6(GT)",
            "drop": ["Date", "Time"],
            "missing": ["-200"],
            "missing_target": "drop",
        },
        "regression",
    ),
    "traffic": ({"source": "tables/traffic.csv.gz", "target": "traffic_volume"}, "regression"),
    "forest_fires": ({"source": "tables/forest_fires.csv.gz", "target": "area"}, "regression"),
    "sgemm": (
        {
            "source": "sgemm_gpu/sgemm_product.csv.gz",
            "target": "Run1 (ms)",
            "drop": ["Run2 (ms)", "Run3 (ms)", "Run4 (ms)"],
            "columns": {"Run1 (ms)": {"transform": "log"}},
        },
        "regression",
    ),
}


def declare(name: str, seed: int, rows: int, model: str, trials: int) -> dict[str, Any]:
    """The study of one model on one split."""
    data, task = SETS[name]
    declared: dict[str, Any] = {
        "study": f"{name}-{model}-{seed}",
        "seed": seed,
        "data": {**data, "test_fraction": 0.25},
        "task": task,
        "objective": {"metric": METRIC[task]},
        "model": model,
        "search_space": {"units": (FAMILIES[model].defaults or {})["units"]},
        "budget": {"trials": max(1, trials)},
        "selection": {"finalists": 0},
    }
    if not data["source"].startswith("sklearn:"):
        declared["data"]["source"] = str(_thinned(Path(os.environ["HPSEARCH_DATA"]), data, rows))
    if trials:
        given = YAML(typ="safe").load(SPACE.read_text(encoding="utf-8"))
        space = given["search_space"]
        if task == "regression":
            space.pop("label_smoothing")
        declared |= {"search_space": space, "pruner": given["pruner"], "enqueue": "defaults"}
        declared["selection"] = {"kind": "ensemble"}
    return declared


def _thinned(folder: Path, data: dict[str, Any], rows: int) -> Path:
    """The file with so many rows at most."""
    import pandas as pd

    source = folder / data["source"]
    header = None if "names" in data else "infer"
    frame = pd.read_csv(
        source, sep=None, engine="python", dtype=str, keep_default_na=False, header=header
    )
    if len(frame) <= rows:
        return source
    thin = (
        Path(tempfile.gettempdir()) / f"hpsearch-tables-{rows}-{source.name.partition('.')[0]}.csv"
    )
    frame.sample(rows, random_state=0).to_csv(thin, index=False, header=header is not None)
    return thin


def measure(
    name: str, seed: int, given: argparse.Namespace, finished: set[tuple[str, int, str]]
) -> Iterator[dict[str, Any]]:
    """A record of every model on one split that is not finished; exports the rows."""
    models = given.models.split(",")
    plans = {model: (model, 0) for model in models}
    if given.trials and "realmlp" in models:
        plans[f"realmlp, {given.trials} trials"] = ("realmlp", given.trials)
    for label, (model, trials) in plans.items():
        if (name, seed, label) in finished:
            continue
        declared = declare(name, seed, given.rows, model, trials)
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as root:
            result = hpsearch.tune(declared, offline=True, root=Path(root))
        seconds = time.perf_counter() - began
        score = result.test[result.objective]
        record = _record(name, seed, label, result.objective, score, seconds)
        record["temperature"] = result.calibration.temperature
        if result.coverage is not None:
            record |= {"coverage": result.coverage.share, "size": result.coverage.size}
        yield record
    exported = given.export / f"{name}-{seed}.npz" if given.export else None
    is_boosted = (name, seed, BOOSTING) in finished
    if is_boosted and (exported is None or exported.exists()):
        return
    dataset = load_data(read_spec(declare(name, seed, given.rows, "mlp", 0)))
    assert dataset.locked_rows is not None
    rows, metric = dataset.locked_rows.read(), METRIC[dataset.task]
    if exported:
        export(dataset, rows, exported, metric)
    if is_boosted:
        return
    began = time.perf_counter()
    answer = boosted(
        dataset.task, dataset.features, dataset.target, dataset.schema.expand(rows.columns)
    )
    seconds = time.perf_counter() - began
    score = METRICS[metric](rows.target, answer, rows.weights)
    yield _record(name, seed, BOOSTING, metric, score, seconds)


def export(dataset: Dataset, locked: Any, path: Path, metric: str) -> None:
    """The rows of one split for `rivals.py`: numbers imputed, categories as codes."""
    train, test = np.array(dataset.columns), np.array(locked.columns)
    is_category = np.array([c.kind == "categorical" for c in dataset.schema.columns])
    for j, category in enumerate(is_category):
        filled = -1.0 if category else np.nanmedian(train[:, j])
        for part in (train, test):
            part[np.isnan(part[:, j]), j] = filled
    path.parent.mkdir(parents=True, exist_ok=True)
    given = {"train": train, "test": test, "is_category": is_category}
    targets = {"train_target": dataset.target, "test_target": locked.target}
    np.savez(path, task=dataset.task, metric=metric, **given, **targets)


def _record(
    name: str, seed: int, model: str, metric: str, score: float, seconds: float
) -> dict[str, Any]:
    own = {"data": name, "seed": seed, "model": model, "metric": metric}
    return {**own, "score": float(score), "seconds": seconds}


def read_records(file: Path) -> list[dict[str, Any]]:
    """Read the finished records; none if there is no file."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [json.loads(line) for line in lines]


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(SETS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=0)
    parser.add_argument("--models", default="mlp,realmlp,tabm")
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--export", type=Path)
    parser.add_argument("--show", type=Path)
    parser.add_argument("--page", action="store_true", help="write the tables into tables.md")
    given = parser.parse_args()
    if given.show:
        records = read_records(given.show)
        show(records)
        if given.page:
            write_page(records)
        return
    records = read_records(given.keep) if given.keep else []
    finished = {(r["data"], r["seed"], r["model"]) for r in records}
    for name in given.only.split(","):
        for seed in range(given.seeds):
            for record in measure(name, seed, given, finished):
                records.append(record)
                if given.keep:
                    with given.keep.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(record) + "\n")
    show(records)


if __name__ == "__main__":
    main()
