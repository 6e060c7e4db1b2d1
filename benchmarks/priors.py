"""What a prior is worth: regret with a good one, with a wrong one and without, on LCBench.

    nice -n 15 python benchmarks/priors.py --tables DIR [--seeds 5] [--tasks 8]

A good prior names the best of 100 random configurations, a wrong one the worst of them; the
draws differ by seed. Each trial is a full training. The mode is the first trial, as in a study.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from sampler_tasks import LCBENCH_TASKS, Task, lcbench, load_surrogate
from simulated_study import our_space

from hpsearch.search.sampler import make_running_trial
from hpsearch.search.samplers import make_sampler
from hpsearch.spec.priors import find_prior_mode, has_priors
from hpsearch.spec.search_space import SearchSpace

CHECKPOINTS = (5, 10, 20, 50)  # full trainings after which the incumbent is judged
SAMPLERS = ("gp", "tpe", "random")
PRIORS = ("none", "good", "wrong")
N_CONFIGURATIONS = 100  # of which the best and the worst are the priors


def make_space(task: Task, prior: str, seed: int) -> SearchSpace:
    """LCBench's space with a prior at the best or the worst of random configurations."""
    space, rng = our_space(), Random(seed)
    if prior == "none":
        return space
    drawn = sorted((space.draw(rng) for _ in range(N_CONFIGURATIONS)), key=task.truth)
    chosen: Mapping[str, Any] = drawn[0 if prior == "good" else -1]
    return replace(
        space, parameters=tuple(replace(p, prior=chosen[p.name]) for p in space.parameters)
    )


def run_search(sampler: str, space: SearchSpace, task: Task, seed: int) -> list[float]:
    """The regret of the incumbent at each checkpoint."""
    mode = find_prior_mode(space, Random(seed)) if has_priors(space) else None
    points = [] if mode is None else [mode]
    search = make_sampler(sampler, space, direction="minimize", seed=seed, points=points)
    best, regret = np.inf, []
    for number in range(max(CHECKPOINTS)):
        params = search.ask(number)
        assert params is not None
        error = task.truth(dict(params))
        ended = replace(make_running_trial(number, params), state="COMPLETE", score=error)
        search.tell(ended)
        best = min(best, error)
        if number + 1 in CHECKPOINTS:
            regret.append((best - task.best) / (task.median - task.best))
    return regret


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=len(LCBENCH_TASKS))
    parser.add_argument("--samplers", nargs="+", default=SAMPLERS)
    args = parser.parse_args()
    surrogate = load_surrogate(args.tables / "yahpo_surrogates")
    tasks = [lcbench(surrogate, name) for name in LCBENCH_TASKS[: args.tasks]]
    found: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    for sampler in args.samplers:
        for prior in PRIORS:
            for task in tasks:
                for seed in range(args.seeds):
                    space = make_space(task, prior, seed)
                    found[sampler, prior].append(run_search(sampler, space, task, seed))
    heads = " | ".join(f"{c} trainings" for c in CHECKPOINTS)
    print(f"| sampler | prior | {heads} |\n|---|---|{'---|' * len(CHECKPOINTS)}")
    for (sampler, prior), runs in found.items():
        means, error = np.mean(runs, axis=0), np.std(runs, axis=0) / len(runs) ** 0.5
        cells = " | ".join(f"{m:.3f} ± {e:.3f}" for m, e in zip(means, error, strict=True))
        print(f"| {sampler} | {prior} | {cells} |")


if __name__ == "__main__":
    main()
