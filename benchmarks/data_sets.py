"""Real data sets: the tuned network on the locked rows, beside scikit-learn's usual answers.

    HPSEARCH_DATA=<data sets> python benchmarks/data_sets.py [--only adult,bank] [--trials 40]
        [--keep FILE.jsonl]
    python benchmarks/data_sets.py --show FILE.jsonl

Each study is the file in `search_spaces/` with the paths of the data set. The linear model
(logistic regression or ridge, scikit-learn's defaults) is the one that every study fits beside its
winner; `HistGradientBoosting` with its defaults gets the same development rows, missing numbers
left missing, and is judged by the same locked rows.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import hpsearch
from hpsearch.study.prepare import load_data
from hpsearch.study.tune import read_spec
from hpsearch.study.winner.baselines import fit_estimator, make_estimators
from hpsearch.training.metrics import METRICS

SPECS = Path(__file__).parents[1] / "search_spaces"
# study's file -> the settings that say where its data are
SETS: dict[str, dict[str, str]] = {
    "telco_churn": {"source": "telco_churn/Telco-Customer-Churn.csv"},
    "adult": {"source": "adult/adult.data.gz", "test_source": "adult/adult.test.gz"},
    "bank": {"source": "bank_marketing/bank-full.csv.gz"},
    "california_housing": {"source": "california_housing/housing.csv.gz"},
    "wine_quality": {"source": "wine_quality/winequality-white.csv"},
    "bike_sharing": {"source": "bike_sharing/hour.csv.gz"},
    "bike_sharing_windows": {"source": "bike_sharing/hour.csv.gz"},
    "beijing_pm25": {"source": "beijing_pm25/pollution.csv.gz"},
    "digits": {},
    "digits_images": {},
    "mnist10k": {},
}


def boosted(task: str, x: np.ndarray, y: np.ndarray, locked: np.ndarray) -> np.ndarray:
    """Predictions of scikit-learn's histogram gradient boosting, shape (n_locked, n_outputs)."""
    return fit_estimator(make_estimators(task)["gradient_boosting"], task, x, y)(locked)


def measured(name: str, data: Path, trials: int | None) -> dict[str, Any]:
    """One study and its rivals."""
    settings = [f"data.{key}={data / path}" for key, path in SETS[name].items()]
    if trials is not None:
        settings.append(f"budget.trials={trials}")
    spec = SPECS / f"{name}.yaml"
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as root:
        result = hpsearch.tune(spec, overrides=settings, offline=True, root=Path(root))
    seconds = time.perf_counter() - began
    dataset = load_data(read_spec(spec, settings))
    assert dataset.locked_rows is not None
    rows = dataset.locked_rows.read()
    own = dataset.features
    if dataset.windows is not None:
        own = dataset.windows.take(own, np.arange(dataset.n_rows))
    flat = [x.reshape(len(x), -1) for x in (own, dataset.schema.expand(rows.columns))]
    answer = boosted(dataset.task, flat[0], dataset.target, flat[1])
    metric = result.objective
    return {
        "data": name,
        "metric": metric,
        "rows": [dataset.n_rows, result.n_test],
        "trials": sum(result.counts.values()),
        "seconds": seconds,
        "network": result.test[metric],
        "interval": list(result.intervals[metric]),
        "linear": result.baselines[0].metrics[metric],
        "boosting": METRICS[metric](rows.target, answer, rows.weights),
    }


def show(records: list[dict[str, Any]]) -> None:
    """The table, the best of each line in bold."""
    print("| data | rows, locked | metric | network (95%) | linear | boosting | trials, time |")
    print("|---|---|---|---|---|---|---|")
    for r in records:
        scores = [r["network"], r["linear"], r["boosting"]]
        best = (max if METRICS[r["metric"]].direction == "maximize" else min)(scores)
        said = [f"**{s:.5g}**" if s == best else f"{s:.5g}" for s in scores]
        said[0] += f" ({r['interval'][0]:.5g} to {r['interval'][1]:.5g})"
        rows = f"{r['rows'][0]:,}, {r['rows'][1]:,}"
        print(
            f"| {r['data']} | {rows} | {r['metric']} | {' | '.join(said)} "
            f"| {r['trials']}, {r['seconds']:.0f} s |"
        )


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(SETS))
    parser.add_argument("--trials", type=int, default=None)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--show", type=Path)
    given = parser.parse_args()
    if given.show:
        lines = given.show.read_text(encoding="utf-8").splitlines()
        show(list({r["data"]: r for r in map(json.loads, lines)}.values()))
        return
    records = []
    for name in given.only.split(","):
        records.append(measured(name, Path(os.environ["HPSEARCH_DATA"]), given.trials))
        if given.keep:
            with given.keep.open("a", encoding="utf-8") as file:
                file.write(json.dumps(records[-1]) + "\n")
    show(records)


if __name__ == "__main__":
    main()
