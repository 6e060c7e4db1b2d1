"""First trials that do well on many tables, and what they are worth on a table they never saw.

    HPSEARCH_DATA=<data sets> python benchmarks/portfolio.py --keep FILE.jsonl
        [--family mlp] [--only diabetes,pima] [--rows 850] [--random 10] [--splits 3]
        [--fixed 15]
    python benchmarks/portfolio.py --show FILE.jsonl [--longest 2] [--fixed 15]

On every set, the default, the same random points of the family's space and its `CANDIDATES` are
trained as `hpsearch init` says for the set, by three folds. What is then trained on all their rows,
for the epochs that the folds tell, is scored on a locked quarter; each split locks another one.
FILE keeps the finished ones. All points share the values of `SHARED`, so that few programs train
them.

A portfolio begins with the default, and each next point is the one that lowers most what the first
trials reach, until none does: the error of the one that the folds prefer, as the mean of the
logarithms of its errors by folds and on locked rows, over sets and splits (Xu, Hoos & Leyton-Brown
2010, "Hydra"; Feurer et al. 2022, "Auto-sklearn 2.0").
Leaving out one set at a time, the portfolio of the others is compared there with the default and
with random points after it, which is what a study tries without a portfolio.

`--fixed` tries the points of these indices instead of chosen ones, on sets that had no part in
their choice: there, only they, the default and the random points are trained.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedKFold
from table_report import error_of
from tables import declare, read_records

from hpsearch.data import Dataset
from hpsearch.data.split import Split
from hpsearch.study.prepare import build_problem, load_data, resolve_study, with_folds
from hpsearch.study.tune import read_spec
from hpsearch.training.vectorized import VectorizedTrainer
from hpsearch.trial import TrialSpec

PARTS = 4  # of the rows: three folds, and one that is locked
DRAWS = 2000  # of random first points
TRIALS = 6  # at most, of a comparison
LEAST = 1e-3  # errors below count as this
# Values that all points of a family have; None: its default.
SHARED: dict[str, dict[str, Any]] = {
    "mlp": {"activation": None},
    "realmlp": {"layers": None, "units": None},
    # As `init` recommends: the depth differs.
    "tabm": {"members": 8, "units": 128, "embedding_units": 16, "embedding_bins": 48},
}
KINDS = ("score", "locked")  # of a record: by folds, on locked rows
DROPPED = ("loss", "label_smoothing")  # which not every task has
_ADAMW = {"optimizer": "adamw", "weight_decay": 0.1}
_STRONG = {"optimizer": "adamw", "weight_decay": 1.0}
# Points by what single choices are worth (benchmarks/tables.md), after the random ones.
CANDIDATES: dict[str, list[dict[str, Any]]] = {
    "mlp": [
        {"embedding": embedding, "layers": layers, "units": units}
        | {"learning_rate": rate, "dropout": dropout, **decay}
        for embedding, layers, units, rate, dropout, decay in (
            ("plr", 2, 128, 0.003, 0.1, _ADAMW),
            ("plr", 2, 256, 0.001, 0.2, _STRONG),
            ("plr", 3, 256, 0.001, 0.2, _ADAMW),
            ("plr", 1, 64, 0.01, 0.1, _ADAMW),
            ("plr", 1, 256, 0.003, 0.3, _STRONG),
            ("piecewise", 2, 128, 0.003, 0.1, _ADAMW),
            ("piecewise", 2, 256, 0.001, 0.2, _STRONG),
            ("piecewise", 1, 128, 0.003, 0.3, _STRONG),
            ("none", 2, 256, 0.001, 0.2, _STRONG),
            ("none", 3, 128, 0.003, 0.1, _ADAMW),
            ("none", 1, 32, 0.003, 0.0, _STRONG),
        )
    ],
}
DEVELOPMENT = (
    *("pima", "diabetes", "adult", "california_housing", "telco", "bike_hours", "nba"),
    *("wine_quality", "cardiotocography", "beijing", "employee", "traffic", "bank"),
    *("forest_fires", "banknote", "air_quality"),
)


def draw_points(family: str, n_random: int, rows: int) -> list[dict[str, Any]]:
    """The default, then random points of the family's space, then its candidates."""
    space = read_spec(declare("pima", 0, rows, family, 1)).spec.space
    rng = Random(0)
    drawn = [space.draw(rng) for _ in range(n_random)]
    shared = {k: v for k, v in SHARED[family].items() if v is not None}
    own = [{k: v for k, v in p.items() if k not in {*SHARED[family], *DROPPED}} for p in drawn]
    return [{**shared, **point} for point in ({}, *own, *CANDIDATES.get(family, ()))]


def measure(
    name: str, given: argparse.Namespace, finished: set[tuple[str, int, int]]
) -> Iterator[dict[str, Any]]:
    """A record of every split and point on one set that is not finished."""
    points = draw_points(given.family, given.random, given.rows)
    left = [
        (split, index)
        for split in range(given.splits)
        for index in range(len(points))
        if (name, split, index) not in finished
        and (not given.fixed or index <= given.random or index in given.fixed)
    ]
    if not left:
        return
    declared = declare(name, 0, given.rows, given.family, 1)
    declared["data"].pop("test_fraction")
    declared["cross_validation"] = {"folds": PARTS - 1}
    study = read_spec({k: v for k, v in declared.items() if k not in ("enqueue", "pruner")})
    dataset = load_data(study)
    problem = build_problem(resolve_study(study, dataset), dataset)
    searching, metric, epochs = None, study.spec.objective.metric, study.spec.training.epochs
    previous = -1
    for split, index in left:
        if split != previous:
            folds, all_rows = divide(dataset, split)
            own = with_folds(problem, dataset, folds)
            searching = VectorizedTrainer(own, earlier=searching)
            own = replace(with_folds(problem, dataset, (all_rows,)), early_stopping=None)
            final, previous = VectorizedTrainer(own, earlier=searching), split
        assert searching is not None
        began = time.process_time()
        score, locked, epoch = math.nan, math.nan, None
        *_, result = searching.train([TrialSpec(0, points[index], seed=split, epochs=epochs)])
        if result.score is not None and result.best_epoch is not None:
            score, epoch = result.score, result.best_epoch
            refitted = TrialSpec(0, points[index], split + 100, epoch + 1, planned=epochs)
            *_, last = final.train([refitted])
            locked = float(last.curves[f"val/{metric}"][-1].mean()) if last.curves else math.nan
        yield {
            "data": name,
            "split": split,
            "family": given.family,
            "point": index,
            "random": given.random,
            "params": points[index],
            "metric": metric,
            "score": score,
            "locked": locked,
            "epoch": epoch,
            "cpu_seconds": round(time.process_time() - began, 2),
        }


def divide(dataset: Dataset, split: int) -> tuple[tuple[Split, ...], Split]:
    """Divide the rows into folds, and into all rows of the folds and locked ones."""
    cut = StratifiedKFold(PARTS, shuffle=True, random_state=split)
    labels = dataset.split_inputs.labels
    locked, *parts = (part for _, part in cut.split(labels, labels))
    folds = tuple(
        Split(np.sort(np.concatenate([p for p in parts if p is not part])), part) for part in parts
    )
    return folds, Split(np.sort(np.concatenate(parts)), locked)


def read_errors(records: Sequence[dict[str, Any]]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Read the logarithms of errors by folds and on locked rows, (n_sets, n_splits, n_points).

    Of the sets with all points in as many splits as the first one.
    """
    found: dict[str, dict[tuple[int, int], tuple[float, float]]] = {}
    for r in records:
        errors = [error_of(r["metric"], math.nan if r[k] is None else r[k]) for k in KINDS]
        found.setdefault(r["data"], {})[r["split"], r["point"]] = (errors[0], errors[1])
    most = max(map(len, found.values()))
    whole = {name: own for name, own in found.items() if len(own) == most}
    splits, points = (
        sorted({key[axis] for own in whole.values() for key in own}) for axis in (0, 1)
    )
    table = np.array([[[own[s, p] for p in points] for s in splits] for own in whole.values()])
    worst = np.nanmax(np.where(np.isfinite(table), table, np.nan), axis=2, keepdims=True)
    table = np.log(np.maximum(np.where(np.isfinite(table), table, worst), LEAST))
    return list(whole), table[..., 0], table[..., 1]


def reach(folds: np.ndarray, errors: np.ndarray, chosen: Sequence[int]) -> np.ndarray:
    """The errors of those of the chosen points that the folds prefer, over the other axes.

    Examples:
        >>> float(reach(np.array([3.0, 1.0, 2.0]), np.array([7.0, 8.0, 9.0]), [0, 2]))
        9.0
    """
    best = folds[..., chosen].argmin(axis=-1)[..., None]
    best = np.broadcast_to(best, (*errors.shape[:-1], 1))
    return np.take_along_axis(errors[..., chosen], best, axis=-1)[..., 0]


def choose_portfolio(folds: np.ndarray, locked: np.ndarray, size: int) -> list[int]:
    """Choose at most `size` points greedily, the default first.

    Examples:
        >>> folds = np.array([[[9.0, 8.0, 5.0]], [[9.0, 8.0, 1.0]]])
        >>> choose_portfolio(folds, folds, 2)
        [0, 2]
    """
    chosen, errors = [0], (folds + locked) / 2
    while len(chosen) < size:
        means = [
            float(reach(folds, errors, [*chosen, point]).mean()) for point in range(folds.shape[-1])
        ]
        best = int(np.argmin(means))
        if means[best] >= means[0]:  # what they reach without another one
            break
        chosen.append(best)
    return chosen


def compare_unseen(
    folds: np.ndarray, locked: np.ndarray, n_random: int, size: int, fixed: Sequence[int] = ()
) -> np.ndarray:
    """Errors on each set beside the default's, (n_sets, TRIALS, 2 kinds, portfolio and random).

    The portfolio is `fixed` or that of the other sets, and random points follow it. Means of
    `DRAWS` draws.
    """
    rng = np.random.default_rng(0)
    found = np.zeros((len(folds), TRIALS, 2, 2))
    draws = [[*(rng.permutation(n_random)[:TRIALS] + 1)] for _ in range(DRAWS)]
    for k, own in enumerate(folds):
        others = np.delete(folds, k, axis=0), np.delete(locked, k, axis=0)
        firsts = [0, *fixed] if fixed else choose_portfolio(*others, size), [0]
        gains = np.stack([own - own[:, :1], locked[k] - locked[k][:, :1]])
        for n, j in np.ndindex(TRIALS, 2):
            tried = [[*firsts[j], *drawn][: n + 1] for drawn in draws]
            found[k, n, :, j] = np.mean([reach(own, gains, t).mean(axis=1) for t in tried], axis=0)
    return found


def show(records: Sequence[dict[str, Any]], size: int, fixed: Sequence[int]) -> None:
    """Print the portfolio, and what it reaches on sets that were left out beside random points."""
    names, folds, locked = read_errors(records)
    params = {r["point"]: r["params"] for r in records}
    known = sorted(params)
    at = [known.index(point) for point in fixed]
    chosen = [0, *fixed] if fixed else choose_portfolio(folds, locked, size)
    unseen = compare_unseen(folds, locked, records[0]["random"], size, at)
    print(f"{len(names)} sets of {folds.shape[1]} splits, {folds.shape[2]} points: ", end="")
    print(f"{', '.join(names)}\n\n| first trials | next point |\n|---|---|")
    for k, point in enumerate(chosen):
        shown = {n: _shorten(v) for n, v in params[point].items()}
        print(f"| {k + 1} | {json.dumps(shown) if point else 'the default'} |")
    head = "by folds, portfolio | random | locked rows, portfolio | random | difference | better on"
    print(f"\n| first trials | {head} |\n|---|---|---|---|---|---|---|")
    for k in range(1, TRIALS):
        means = unseen[:, k].mean(axis=0).ravel()
        cells = [f"{100 * math.expm1(mean):+.1f}%" for mean in means]
        gain = unseen[:, k, 1, 0] - unseen[:, k, 1, 1]
        error = gain.std(ddof=1) / math.sqrt(len(gain)) if len(gain) > 1 else math.nan
        better = f"{(gain < 0).sum()}, worse on {(gain > 0).sum()}"
        difference = f"{100 * gain.mean():+.1f} ± {100 * error:.1f}"
        print(f"| {k + 1} | {' | '.join(cells)} | {difference} | {better} |")


def _shorten(value: Any) -> Any:
    return float(f"{value:.3g}") if isinstance(value, float) else value


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", default="mlp", choices=SHARED)
    parser.add_argument("--only", default=",".join(DEVELOPMENT))
    parser.add_argument("--rows", type=int, default=850)
    parser.add_argument("--random", type=int, default=10)
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--longest", type=int, default=4, help="points, with the default")
    parser.add_argument("--fixed", type=lambda text: [*map(int, text.split(","))], default=[])
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--show", type=Path)
    given = parser.parse_args()
    file = given.show or given.keep
    if file is None:
        parser.error("name a file: --keep FILE, or --show FILE")
    records = read_records(file)
    if given.keep:
        finished = {(r["data"], r["split"], r["point"]) for r in records}
        for name in given.only.split(","):
            for record in measure(name, given, finished):
                records.append(record)
                with file.open("a", encoding="utf-8") as kept:
                    kept.write(json.dumps(record) + "\n")
    show(records, given.longest, given.fixed)


if __name__ == "__main__":
    main()
