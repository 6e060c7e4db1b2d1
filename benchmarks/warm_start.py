"""What earlier studies of other data are worth: regret of `gp` with and without, on LCBench.

    nice -n 15 python benchmarks/warm_start.py --tables DIR [--seeds 3] [--tasks 8]

The sources are studies of the other tasks, half random and half `gp`, of 30 full trainings each.
A planted source has the same space and another optimum, a negated one the target's own scores
times -1. The best point of each of the first three sources is tried first, in a random order of
the sources by seed.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import optuna
from sampler_tasks import LCBENCH_SPACE, LCBENCH_TASKS, Params, Task, draw, lcbench, load_surrogate

from hpsearch.search.gp import EarlierStudy, GaussianProcessSampler, ModelParameter

CHECKPOINTS = (5, 10, 20)  # full trainings after which the incumbent is judged
N_TRIALS = 30  # of a source
N_BEST = 3  # sources whose best point is tried first
SPACE = [ModelParameter(name, distribution) for name, distribution in LCBENCH_SPACE.items()]


def run_study(
    task: Task, seed: int, n_trials: int, points: Sequence[Params] = (), **options: Any
) -> EarlierStudy:
    """Run `gp` on a task; its trials in order."""
    sampler = GaussianProcessSampler(seed=seed, space=SPACE, **options)
    study = optuna.create_study(sampler=sampler)
    for point in points:
        study.enqueue_trial(point)
    for _ in range(n_trials):
        trial = study.ask(LCBENCH_SPACE)
        study.tell(trial, task.truth(trial.params))
    return EarlierStudy([t.params for t in study.trials], [t.value or 0.0 for t in study.trials])


def draw_study(score: Any, seed: int) -> EarlierStudy:
    """Random trials with the scores of a function."""
    rng = Random(seed)
    rows = [{n: draw(d, rng.random()) for n, d in LCBENCH_SPACE.items()} for _ in range(N_TRIALS)]
    return EarlierStudy(rows, [score(row) for row in rows])


def planted_score(seed: int) -> Any:
    """A paraboloid with a random optimum in the same space."""
    rng = Random(seed)
    optimum = {name: rng.random() for name in LCBENCH_SPACE}

    def score(row: Params) -> float:
        total = 0.0
        for name, d in LCBENCH_SPACE.items():
            scale = np.log if d.log else float  # type: ignore[attr-defined]
            low, high = scale(d.low), scale(d.high)  # type: ignore[attr-defined]
            total += ((scale(row[name]) - low) / (high - low) - optimum[name]) ** 2
        return float(total)

    return score


def find_best(source: EarlierStudy) -> Params:
    return dict(source.params[int(np.argmin(source.values))])


def make_rows(
    target: Task, earlier: Sequence[EarlierStudy], seed: int
) -> dict[str, tuple[list[EarlierStudy], bool]]:
    """The sources of each row, and whether their best points are tried first."""
    good = list(earlier)
    Random(seed).shuffle(good)
    planted = draw_study(planted_score(seed), seed)
    negated = draw_study(lambda row: -target.truth(row), seed)
    return {
        "none": ([], False),
        "other tasks, best points only": (good, True),
        "other tasks": (good, True),
        "planted": ([planted], True),
        "negated": ([negated], True),
        "other tasks, planted and negated": ([planted, negated, *good], True),
    }


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=len(LCBENCH_TASKS))
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    surrogate = load_surrogate(args.tables / "yahpo_surrogates")
    tasks = [lcbench(surrogate, name) for name in LCBENCH_TASKS]
    sources = [
        draw_study(task.truth, i) if i % 2 else run_study(task, i, N_TRIALS)
        for i, task in enumerate(tasks)
    ]
    found: dict[str, list[list[float]]] = defaultdict(list)
    for seed in range(args.seeds):
        for i, task in enumerate(tasks[: args.tasks]):
            earlier = [s for j, s in enumerate(sources) if j != i]
            for name, (known, first) in make_rows(task, earlier, seed).items():
                points = [find_best(s) for s in known[:N_BEST]] if first else []
                used = {} if name.endswith("only") else {"earlier": known}
                run = run_study(task, seed, max(CHECKPOINTS), points, **used)
                best = np.minimum.accumulate(run.values)
                scale = task.median - task.best
                found[name].append([(best[c - 1] - task.best) / scale for c in CHECKPOINTS])
        print_table(found, seed + 1)


def print_table(found: dict[str, list[list[float]]], n_seeds: int) -> None:
    """Print the mean regret of each row, with its standard error."""
    heads = " | ".join(f"{c} trainings" for c in CHECKPOINTS)
    print(f"\n{n_seeds} seeds\n\n| sources | {heads} |\n|---|{'---|' * len(CHECKPOINTS)}")
    for name, runs in found.items():
        means, error = np.mean(runs, axis=0), np.std(runs, axis=0) / len(runs) ** 0.5
        cells = " | ".join(f"{m:.3f} ± {e:.3f}" for m, e in zip(means, error, strict=True))
        print(f"| {name} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
