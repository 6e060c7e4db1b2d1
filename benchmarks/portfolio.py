"""First trials that do well on many tables, and what they are worth on a table they never saw.

    HPSEARCH_DATA=<data sets> python benchmarks/portfolio.py --keep FILE.jsonl
        [--family realmlp] [--only diabetes,pima] [--rows 500] [--points 16] [--epochs 64]
    python benchmarks/portfolio.py --show FILE.jsonl

The same random points of the family's space, after its default, are trained on every set by three
folds; FILE keeps the finished ones. All points share the values of `SHARED`, so that few programs
train them. A portfolio begins with the default, and each next
point is the one that lowers the mean regret of the best so far most (Xu, Hoos & Leyton-Brown 2010,
"Hydra"; Feurer et al. 2022, "Auto-sklearn 2.0"). A regret is the error above that of the best point
on the set, in percent of it. Leaving out one set at a time, the portfolio of the others is compared
there with the default and random points.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from table_report import error_of
from tables import SETS, declare

from hpsearch.study.prepare import build_problem, load_data, resolve_study
from hpsearch.study.tune import read_spec
from hpsearch.training.vectorized import VectorizedTrainer
from hpsearch.trial import TrialSpec

FOLDS = 3
DRAWS = 2000  # of random first points
LONGEST = 6  # points of a portfolio
# Values that all points of a family have; None: its default.
SHARED: dict[str, dict[str, Any]] = {
    "mlp": {"layers": None, "units": None},
    "realmlp": {"layers": None, "units": None},
    # As `init` recommends: the depth differs.
    "tabm": {"members": 8, "units": 128, "embedding_units": 16, "embedding_bins": 48},
}
DEVELOPMENT = (
    *("pima", "diabetes", "adult", "california_housing", "telco", "bike_hours", "nba"),
    *("wine_quality", "cardiotocography", "beijing", "employee", "traffic", "bank"),
    *("forest_fires", "banknote", "air_quality"),
)


def draw_points(family: str, task: str, count: int, rows: int) -> list[dict[str, Any]]:
    """The default, then random points of the family's space."""
    space = read_spec(declare("pima", 0, rows, family, 1)).spec.space
    rng = Random(0)
    dropped = {*SHARED[family], *(["label_smoothing"] if task == "regression" else [])}
    shared = {k: v for k, v in SHARED[family].items() if v is not None}
    drawn = [space.draw(rng) for _ in range(count)]
    own = [{k: v for k, v in point.items() if k not in dropped} for point in drawn]
    return [{**shared, **point} for point in ({}, *own)]


def measure(
    name: str, given: argparse.Namespace, finished: set[tuple[str, int]]
) -> Iterator[dict[str, Any]]:
    """A record of every point on one set that is not finished."""
    task = SETS[name][1]
    points = draw_points(given.family, task, given.points, given.rows)
    left = [index for index in range(len(points)) if (name, index) not in finished]
    if not left:
        return
    declared = declare(name, 0, given.rows, given.family, 0)
    declared["cross_validation"] = {"folds": FOLDS}
    declared["training"] = {"epochs": given.epochs}
    study = read_spec(declared)
    dataset = load_data(study)
    trainer = VectorizedTrainer(build_problem(resolve_study(study, dataset), dataset))
    metric = study.spec.objective.metric
    for index in left:
        began = time.process_time()
        *_, result = trainer.train([TrialSpec(0, points[index], seed=0, epochs=given.epochs)])
        score = math.nan if result.score is None else result.score
        own = {"data": name, "family": given.family, "point": index, "params": points[index]}
        seconds = time.process_time() - began
        yield {**own, "metric": metric, "score": score, "cpu_seconds": seconds}


def compute_regrets(records: Sequence[dict[str, Any]]) -> tuple[list[str], np.ndarray]:
    """Compute the regret of each point on each set with all points, (n_sets, n_points)."""
    errors: dict[str, dict[int, float]] = {}
    for r in records:
        errors.setdefault(r["data"], {})[r["point"]] = error_of(r["metric"], r["score"])
    longest = max(map(len, errors.values()))
    whole = {name: found for name, found in errors.items() if len(found) == longest}
    table = np.array([[found[k] for k in range(longest)] for found in whole.values()])
    table = np.where(np.isfinite(table), table, np.nanmax(table, axis=1, keepdims=True))
    least = np.maximum(table.min(axis=1, keepdims=True), 1e-3)
    return list(whole), 100 * (table - table.min(axis=1, keepdims=True)) / least


def choose_portfolio(regrets: np.ndarray, size: int) -> list[int]:
    """Choose points greedily, the default first.

    Examples:
        >>> choose_portfolio(np.array([[9.0, 0.0, 5.0], [9.0, 8.0, 1.0]]), 2)
        [0, 2]
    """
    chosen = [0]
    while len(chosen) < size:
        best = regrets[:, chosen].min(axis=1, keepdims=True)
        means = np.minimum(best, regrets).mean(axis=0)
        means[chosen] = np.inf
        chosen.append(int(means.argmin()))
    return chosen


def compare_unseen(regrets: np.ndarray, size: int) -> np.ndarray:
    """Compute the regrets on a set that was left out, (n_sets, size, 2): portfolio, random.

    Of the random points, the mean over `DRAWS` draws after the default.
    """
    rng = np.random.default_rng(0)
    found = np.zeros((len(regrets), size, 2))
    for k, own in enumerate(regrets):
        chosen = choose_portfolio(np.delete(regrets, k, axis=0), size)
        found[k, :, 0] = np.minimum.accumulate(own[chosen])
        draws = np.array([rng.permutation(len(own) - 1)[: size - 1] + 1 for _ in range(DRAWS)])
        first = np.full((DRAWS, 1), own[0])
        drawn = np.concatenate([first, own[draws]], axis=1)
        found[k, :, 1] = np.minimum.accumulate(drawn, axis=1).mean(axis=0)
    return found


def show(records: Sequence[dict[str, Any]]) -> None:
    """Print the portfolio, and its regrets on sets that were left out beside random points."""
    names, regrets = compute_regrets(records)
    params = {r["point"]: r["params"] for r in records}
    chosen = choose_portfolio(regrets, min(LONGEST, regrets.shape[1]))
    unseen = compare_unseen(regrets, len(chosen))
    print(f"{len(names)} sets, {regrets.shape[1]} points: {', '.join(names)}\n")
    print("| first trials | regret on unseen sets | of random points | better on | next point |")
    print("|---|---|---|---|---|")
    for k, point in enumerate(chosen):
        ours, theirs = unseen[:, k].T
        better = f"{(ours < theirs).sum()}, worse on {(ours > theirs).sum()}"
        gain = ours - theirs
        error = gain.std(ddof=1) / math.sqrt(len(gain)) if len(gain) > 1 else math.nan
        shown = json.dumps({n: _shorten(v) for n, v in params[point].items()}) if point else ""
        print(
            f"| {k + 1} | {ours.mean():.2f}% | {theirs.mean():.2f}% "
            f"(difference {gain.mean():+.2f} ± {error:.2f}) | {better} | {shown or 'default'} |"
        )


def _shorten(value: Any) -> Any:
    return float(f"{value:.3g}") if isinstance(value, float) else value


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", default="realmlp")
    parser.add_argument("--only", default=",".join(DEVELOPMENT))
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--points", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=64)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--show", type=Path)
    given = parser.parse_args()
    file = given.show or given.keep
    if file is None:
        parser.error("name a file: --keep FILE, or --show FILE")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    records = [json.loads(line) for line in lines]
    if given.keep:
        finished = {(r["data"], r["point"]) for r in records}
        for name in given.only.split(","):
            for record in measure(name, given, finished):
                records.append(record)
                with file.open("a", encoding="utf-8") as kept:
                    kept.write(json.dumps(record) + "\n")
    show(records)


if __name__ == "__main__":
    main()
