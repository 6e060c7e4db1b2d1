"""What trials outside a narrowed range are worth to `gp`, on LCBench.

    python benchmarks/narrowed.py --tables DIR [--seeds 5]

After 15 trials, the ranges of the learning rate and of the batch size are cut to a third of their
scale around the best trial, as a user would edit them. The search goes on with the trials inside
the new ranges alone, or with all of them. Each trial is a full training.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import cast

import numpy as np
import optuna
from optuna.distributions import FloatDistribution, IntDistribution
from sampler_tasks import LCBENCH_TASKS, Space, Task, draw, lcbench, load_surrogate

from hpsearch.search.gp import GaussianProcessSampler
from hpsearch.search.gp.model_space import ModelParameter

BEFORE, CHECKPOINTS = 15, (5, 10, 20)  # trials before the edit, and after it
NARROWED = ("learning_rate", "batch_size")
SHARE = 1 / 3  # of the old range
Number = FloatDistribution | IntDistribution


def make_study(space: Space, seed: int) -> optuna.Study:
    """A study by `gp` that minimizes."""
    parameters = [ModelParameter(name, distribution) for name, distribution in space.items()]
    return optuna.create_study(sampler=GaussianProcessSampler(seed=seed, space=parameters))


def extend(study: optuna.Study, space: Space, task: Task, trials: int) -> None:
    """Train so many more trials."""
    for _ in range(trials):
        trial = study.ask(space)
        study.tell(trial, task.truth(trial.params))


def narrow(space: Space, best: optuna.trial.FrozenTrial) -> Space:
    """The space after the edit."""
    narrowed = dict(space)
    for name in NARROWED:
        old = cast(Number, space[name])
        low, high, value = np.log([old.low, old.high, best.params[name]])
        width = SHARE * (high - low)
        start = min(max(value - width / 2, low), high - width)
        new_low = draw(old, (start - low) / (high - low))
        new_high = draw(old, (start + width - low) / (high - low))
        narrowed[name] = replace_range(old, new_low, new_high)
    return narrowed


def replace_range(old: Number, low: float, high: float) -> Number:
    """The same kind of range with other ends."""
    if isinstance(old, IntDistribution):
        return IntDistribution(int(low), int(high), log=old.log)
    return FloatDistribution(low, high, log=old.log)


def is_inside(trial: optuna.trial.FrozenTrial, space: Space) -> bool:
    """Whether a trial's numbers are in the ranges of the space."""
    ranges = {name: cast(Number, distribution) for name, distribution in space.items()}
    return all(r.low <= trial.params[name] <= r.high for name, r in ranges.items())


def search_after_edit(task: Task, seed: int) -> tuple[int, list[float], list[float]]:
    """Search, edit, and go on in both ways.

    Returns:
        The number of trials inside, and the regrets at the checkpoints without and with the others.
    """
    before = make_study(task.space, seed)
    extend(before, task.space, task, BEFORE)
    space = narrow(task.space, before.best_trial)
    regrets = []
    for with_others in (False, True):
        after = make_study(space, seed)
        for trial in before.trials:
            if with_others or is_inside(trial, space):
                after.add_trial(trial)
        known, found = len(after.trials), []
        for checkpoint in CHECKPOINTS:
            extend(after, space, task, known + checkpoint - len(after.trials))
            values = [t.value for t in (before.best_trial, *after.trials[known:])]
            found.append(min(v for v in values if v is not None) - task.best)
        regrets.append([gap / (task.median - task.best) for gap in found])
    n_inside = sum(is_inside(trial, space) for trial in before.trials)
    return n_inside, regrets[0], regrets[1]


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tables", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    surrogate = load_surrogate(args.tables / "yahpo_surrogates")
    tasks = [lcbench(surrogate, name) for name in LCBENCH_TASKS]
    runs = [search_after_edit(task, seed) for task in tasks for seed in range(args.seeds)]
    inside = np.mean([n for n, _, _ in runs])
    print(f"{len(runs)} runs; {inside:.1f} of {BEFORE} trials are inside on average\n")
    print(f"| regret after the edit | {' | '.join(f'{c} trials' for c in CHECKPOINTS)} |")
    print(f"|---|{'---|' * len(CHECKPOINTS)}")
    without, with_others = (np.array([run[k] for run in runs]) for k in (1, 2))
    rows = {"without the others": without, "with them": with_others}
    rows["paired difference"] = with_others - without
    for name, values in rows.items():
        means, errors = values.mean(axis=0), values.std(axis=0, ddof=1) / len(runs) ** 0.5
        cells = " | ".join(f"{m:.3f} ± {e:.3f}" for m, e in zip(means, errors, strict=True))
        print(f"| {name} | {cells} |")
    shares = (with_others < without).mean(axis=0) + (with_others == without).mean(axis=0) / 2
    print(f"| better with them, ties half | {' | '.join(f'{100 * s:.0f}%' for s in shares)} |")


if __name__ == "__main__":
    main()
