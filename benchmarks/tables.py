"""Tables: the families by their defaults, and tuned, beside gradient boosting and pytabkit.

    HPSEARCH_DATA=<data sets> python benchmarks/tables.py [--only diabetes,pima] [--seeds 3]
        [--models mlp,realmlp,tabm] [--tuned tabm --trials 8] [--rows 4000] --keep FILE.jsonl
        [--export FOLDER --rivals PYTHON]
    python benchmarks/tables.py --show FILE.jsonl
    HPSEARCH_DATA=<data sets> make tables      # with rivals, and the page from the file

FILE keeps what is finished, and a later call continues there; a FILE is for one `--rows`. One set
follows the other, so that an interrupted run leaves whole rows.

A quarter of the rows is locked, another one for each seed. Our families are trained by five folds,
which tell the number of epochs, and then once on all rows that are not locked: `--models` with
nothing but defaults, and `--tuned` by `--trials` trials of the space that `hpsearch init --family`
writes for the rows, with its ensemble, but without finalists. `HistGradientBoosting` with its
defaults gets the same rows, and so do the rivals that need other packages: `rivals.py`, run by the
interpreter PYTHON, reads them in FOLDER. Seconds are those of the processor. Sets without a file
are scikit-learn's.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from data_sets import boosted
from ruamel.yaml import YAML
from table_report import show, write_page

import hpsearch
from hpsearch.data import Dataset
from hpsearch.errors import DataError
from hpsearch.models import FAMILIES
from hpsearch.study.init.wizard import write_starter
from hpsearch.study.prepare import load_data
from hpsearch.study.tune import read_spec
from hpsearch.training.metrics import METRICS

RIVALS = Path(__file__).with_name("rivals.py")
# What `init` recommends besides the data: of its sections, those of a study here.
RECOMMENDED = ("training", "search_space", "enqueue", "pruner", "sampler")
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
        "execution": {"executor": "inline"},
    }
    if not data["source"].startswith("sklearn:"):
        source = Path(os.environ["HPSEARCH_DATA"]) / data["source"]
        declared["data"]["source"] = str(_thin_out(source, "names" not in data, rows))
    if trials:
        written = _recommend(declared["data"], model)
        declared |= {key: written[key] for key in RECOMMENDED if key in written}
        if task == "regression":  # where `init` takes numbers for classes
            declared["search_space"].pop("label_smoothing", None)
    return declared


def _recommend(data: dict[str, Any], family: str) -> dict[str, Any]:
    """Read the file that `init` writes for a table."""
    source, target = data["source"], data.get("target", "target")  # of scikit-learn's
    settings = [
        f"data.{key}={json.dumps(value)}"
        for key, value in data.items()
        if key not in ("source", "target")
    ]
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "study.yaml"
        write_starter(source, target, output, settings, family)
        written: dict[str, Any] = YAML(typ="safe").load(output.read_text(encoding="utf-8"))
    return written


@cache
def _thin_out(source: Path, has_header: bool, rows: int) -> Path:
    """Return the file with at most so many rows."""
    import pandas as pd

    header = "infer" if has_header else None
    frame = pd.read_csv(
        source, sep=None, engine="python", dtype=str, keep_default_na=False, header=header
    )
    if len(frame) <= rows:
        return source
    thin = (
        Path(tempfile.gettempdir()) / f"hpsearch-tables-{rows}-{source.name.partition('.')[0]}.csv"
    )
    frame.sample(rows, random_state=0).to_csv(thin, index=False, header=has_header)
    return thin


def measure(
    name: str, seed: int, given: argparse.Namespace, finished: set[tuple[str, int, str]]
) -> Iterator[dict[str, Any]]:
    """A record of every model on one split that is not finished; exports the rows."""
    plans = {model: (model, 0) for model in given.models.split(",") if model}
    if given.trials:
        tuned = given.tuned.split(",")
        plans |= {f"{model}, {given.trials} trials": (model, given.trials) for model in tuned}
    for label, (model, trials) in plans.items():
        if (name, seed, label) in finished:
            continue
        declared = declare(name, seed, given.rows, model, trials)
        began = time.process_time()
        with tempfile.TemporaryDirectory() as root:
            result = hpsearch.tune(declared, offline=True, root=Path(root))
        seconds = time.process_time() - began
        score = result.test[result.objective]
        record = _record(name, seed, label, result.objective, score, seconds)
        record["interval"] = list(result.intervals[result.objective])
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
    began = time.process_time()
    answer = boosted(
        dataset.task, dataset.features, dataset.target, dataset.schema.expand(rows.columns)
    )
    seconds = time.process_time() - began
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


def run_rivals(given: argparse.Namespace, name: str) -> None:
    """Run what is missing of the rivals on one set; they add their records to the file."""
    options = ["--keep", given.keep, "--trials", str(given.trials), "--sets", name]
    done = subprocess.run([given.rivals, RIVALS, given.export, *options], check=False)
    if done.returncode:
        print(f"{name}: the rivals ended with status {done.returncode}", flush=True)


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
    parser.add_argument("--tuned", default="tabm", help="families to tune, if there are trials")
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--export", type=Path)
    parser.add_argument("--rivals", type=Path, help="Python of `make rivals`; needs --export")
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
        try:
            for seed in range(given.seeds):
                for record in measure(name, seed, given, finished):
                    records.append(record)
                    if given.keep:
                        with given.keep.open("a", encoding="utf-8") as file:
                            file.write(json.dumps(record) + "\n")
        except DataError as error:  # so few rows cannot be divided into folds
            print(f"{name} is left out: {error}")
            continue
        if given.rivals:
            run_rivals(given, name)
    show(read_records(given.keep) if given.keep else records)


if __name__ == "__main__":
    main()
