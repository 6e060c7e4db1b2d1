"""Networks at fixed points of their spaces, cross-validated on tables beside boosting.

    HPSEARCH_DATA=<data sets> python benchmarks/table_points.py EXPERIMENT
        [--only diabetes,pima] [--rows 1000] --keep FILE.jsonl
    python benchmarks/table_points.py EXPERIMENT --show FILE.jsonl

One process trains all points of a set by the study's five folds, with no study around it, so a
point costs its training alone. A score is that of the best epoch of the mean curve, as in a study.
It is measured on the folds that chose the epoch, so it flatters networks a little; `tables.py`
measures on locked rows. `HistGradientBoosting` has its defaults, on the same folds.

- `families`: each family with its defaults, TabM with fewer and narrower members.
- `ablation`: RealMLP with each part removed, beside what its paper measured.
- `mlp`: the `mlp` with one choice each that a space may offer, at most 200 epochs, patience 16.

`portfolio.py` trains random points of a space on every set.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from data_sets import boosted
from table_report import error_of, show
from tables import SETS, declare

from hpsearch.data import Dataset
from hpsearch.study.prepare import build_problem, load_data, resolve_study
from hpsearch.study.tune import read_spec
from hpsearch.training.metrics import METRICS
from hpsearch.training.vectorized import VectorizedTrainer
from hpsearch.trial import TrialSpec

# label -> family and hyperparameters; 32 members of 512 units, TabM's default, take minutes a set
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "mlp": ("mlp", {}),
    "realmlp": ("realmlp", {}),
    "tabm, 8 members of 128": ("tabm", {"members": 8, "units": 128}),
    "tabm, batches of 64": ("tabm", {"members": 8, "units": 128, "batch_size": 64}),
    "tabm, batches of 32": ("tabm", {"members": 8, "units": 128, "batch_size": 32}),
}
# What a space of the `mlp` may offer, one change each.
MLP_CHOICES: dict[str, dict[str, Any]] = {
    "mlp": {},
    "256 units": {"units": 256},
    "embedding pbld": {"embedding": "pbld"},
    "embedding plr": {"embedding": "plr"},
    "embedding piecewise": {"embedding": "piecewise"},
    "dropout 0.2": {"dropout": 0.2},
    "adamw, decay 0.1": {"optimizer": "adamw", "weight_decay": 0.1},
    "adamw, decay 1": {"optimizer": "adamw", "weight_decay": 1.0},
    "averaged weights": {"use_ema": True},
    "muon": {"optimizer": "muon", "weight_decay": 0.1},
    "robust clipping": {"scaling": "robust_clip"},
}
# Without the factor 1 / sqrt(256) of the hidden layers' rates, the rate itself is divided.
STANDARD_RATE = {"classes": 0.04 / 16, "regression": 0.2 / 16}
# part -> hyperparameters without it, and the paper's rise of the error in percent (classes, then
# regression)
ABLATIONS: dict[str, tuple[dict[str, Any], tuple[float | None, float | None]]] = {
    "embeddings of numbers": ({"embedding": "none"}, (2.3, 20.6)),
    "beta_2 of 0.95 (0.999)": ({"beta_2": 0.999}, (2.0, 22.8)),
    "schedule of the learning rate": ({"schedule": "constant"}, (1.8, 13.4)),
    "robust clipping (standard)": ({"scaling": "standard"}, (2.1, 8.7)),
    "label smoothing": ({"label_smoothing": 0.0}, (1.8, None)),
    "factors of the inputs": ({"front_scale": False}, (1.4, 1.0)),
    "NTK parametrization": ({"parametrization": "standard"}, (1.1, 1.3)),
    "initial weights from the rows": ({"weight_init": "normal", "bias_init": "zeros"}, (0.9, 1.2)),
    "parametric activations": ({"parametric_activation": False}, (None, None)),
    "dropout": ({"dropout": 0.0}, (None, None)),
    "weight decay": ({"weight_decay": 0.0}, (None, None)),
    "clamped predictions": ({"clamp": False}, (None, None)),
}


def points_of(experiment: str, name: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """The points of an experiment on one set: label -> family and hyperparameters."""
    task = SETS[name][1]
    if experiment == "families":
        return FAMILIES
    if experiment == "mlp":
        return {label: ("mlp", params) for label, params in MLP_CHOICES.items()}
    found: dict[str, tuple[str, dict[str, Any]]] = {"realmlp": ("realmlp", {})}
    for part, (params, _) in ABLATIONS.items():
        if {"classes": "clamp", "regression": "label_smoothing"}[kind_of(task)] in params:
            continue
        rate = STANDARD_RATE[kind_of(task)]
        more = {"learning_rate": rate} if "parametrization" in params else {}
        found[part] = ("realmlp", {**params, **more})
    return found


def kind_of(task: str) -> str:
    """The paper's two kinds of tasks."""
    return "regression" if task == "regression" else "classes"


def measure(name: str, given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A record of every point on one set, and one of boosting on the same folds."""
    dataset, trainers = None, {}
    for label, (family, params) in points_of(given.experiment, name).items():
        declared = declare(name, 0, given.rows, family, 0)
        if given.experiment == "mlp":
            declared["training"] = {"epochs": 200, "early_stopping": {"patience": 16}}
        if "scaling" in params:
            declared["search_space"]["scaling"] = ["none", params["scaling"]]
        study = read_spec(declared)
        dataset = load_data(study) if dataset is None else dataset
        key = (family, "scaling" in params)
        if key not in trainers:
            trainers[key] = VectorizedTrainer(build_problem(resolve_study(study, dataset), dataset))
        trial = TrialSpec(0, params, seed=0, epochs=study.spec.training.epochs)
        began = time.perf_counter()
        *_, result = trainers[key].train([trial])
        seconds = time.perf_counter() - began
        metric = study.spec.objective.metric
        own = {"data": name, "seed": 0, "model": label, "metric": metric, "seconds": seconds}
        score = math.nan if result.score is None else result.score
        yield {**own, "score": score, "rows": dataset.n_rows, "params": params}
    assert dataset is not None
    began = time.perf_counter()
    score = boosting_score(dataset, metric)
    own = {"data": name, "seed": 0, "model": "HistGradientBoosting", "metric": metric}
    yield {**own, "score": score, "seconds": time.perf_counter() - began, "rows": dataset.n_rows}


def boosting_score(dataset: Dataset, metric: str) -> float:
    """The mean over the folds."""
    scores = []
    for fold in dataset.folds:
        x, y = dataset.features[fold.train], dataset.target[fold.train]
        answer = boosted(dataset.task, x, y, dataset.features[fold.validation])
        scores.append(METRICS[metric](dataset.target[fold.validation], answer))
    return float(np.mean(scores))


def show_ablation(records: list[dict[str, Any]]) -> None:
    """The rise of the error without each part in percent, by kind of task, beside the paper's."""
    errors = {(r["data"], r["model"]): error_of(r["metric"], r["score"]) for r in records}
    sets = list(dict.fromkeys(r["data"] for r in records))
    print(f"| without | {' | '.join(sets)} | classes | paper | numbers | paper |")
    print(f"|---|{'---|' * len(sets)}---|---|---|---|")
    for part, (_, published) in ABLATIONS.items():
        rises = {
            name: 100 * (errors[name, part] / errors[name, "realmlp"] - 1)
            for name in sets
            if (name, part) in errors
        }
        cells = [f"{rises[name]:+.1f}" if name in rises else "-" for name in sets]
        for kind, paper in zip(("classes", "regression"), published, strict=True):
            own = [rise for name, rise in rises.items() if kind_of(SETS[name][1]) == kind]
            cells += [f"{np.mean(own):+.1f}" if own else "-", "-" if paper is None else f"+{paper}"]
        print(f"| {part} | {' | '.join(cells)} |")


def show_choices(records: list[dict[str, Any]]) -> None:
    """The change of the error with each choice in percent, and its median over the sets."""
    errors = {(r["data"], r["model"]): error_of(r["metric"], r["score"]) for r in records}
    sets = list(dict.fromkeys(r["data"] for r in records))
    print(f"| choice | {' | '.join(sets)} | median | better on |")
    print(f"|---|{'---|' * len(sets)}---|---|")
    for label in [*MLP_CHOICES, "HistGradientBoosting"][1:]:
        changes = {
            name: 100 * (errors[name, label] / errors[name, "mlp"] - 1)
            for name in sets
            if (name, label) in errors
        }
        cells = [f"{changes[name]:+.1f}" if name in changes else "-" for name in sets]
        told = list(changes.values())
        better = f"{sum(c < 0 for c in told)} of {len(told)}"
        print(f"| {label} | {' | '.join(cells)} | {np.median(told):+.1f} | {better} |")


def main() -> None:
    """Parse the command line."""
    shown = {
        "families": show,
        "ablation": show_ablation,
        "mlp": show_choices,
    }
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", choices=shown)
    parser.add_argument("--only", default=",".join(SETS))
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--show", type=Path)
    given = parser.parse_args()
    if given.show:
        lines = given.show.read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines]
        shown[given.experiment]([r for r in records if math.isfinite(r["score"])])
        return
    records = []
    for name in given.only.split(","):
        for record in measure(name, given):
            records.append(record)
            if given.keep:
                with given.keep.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(record) + "\n")
    shown[given.experiment](records)


if __name__ == "__main__":
    main()
