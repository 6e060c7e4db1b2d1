"""Samplers on planted functions: conditional branches, two basins, ties, noise.

    python benchmarks/planted.py --seeds 8                    # prints the table
    python benchmarks/planted.py --seeds 8 --first-seed 100   # other functions of the same kinds
    python benchmarks/planted.py --seeds 8 --batch 8          # trials asked before any is told

Each seed plants another function, whose minimum is 0. Regret is the true value of the best trial,
as a multiple of the median of random points.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from hpsearch.search.gp import GaussianProcessSampler, exploration
from hpsearch.search.gp.model_space import ModelParameter, ModelSpace

TRIALS = 100
CHECKPOINTS = (30, 100)
SHARE = exploration.SHARE  # the default
Function = Callable[[Mapping[str, Any]], float]


@dataclass(frozen=True, slots=True)
class Planted:
    """A function whose minimum is 0."""

    parameters: list[ModelParameter]
    value: Function
    noise: float = 0.0  # standard deviation of what a sampler is told


def make_bowl(rng: np.random.Generator, n_dims: int) -> tuple[np.ndarray, Callable[..., float]]:
    """Return a planted centre and a tilted quadratic around it, 0 there."""
    centre, weights = rng.uniform(0.1, 0.9, n_dims), rng.dirichlet(np.ones(n_dims)) * n_dims
    tilt = np.eye(n_dims) + 0.3 * rng.normal(0, 0.3, (n_dims, n_dims))

    def value(x: Any) -> float:
        moved = tilt @ (np.asarray(x) - centre)
        return 4 * float((weights * moved * moved).mean())

    return centre, value


def unit(name: str, when: Mapping[str, Any] | None = None) -> ModelParameter:
    """Return a number of [0, 1]."""
    return ModelParameter(name, FloatDistribution(0.0, 1.0), when or {})


def choice(name: str, n: int) -> ModelParameter:
    """Return a categorical parameter with the values "0", "1", …"""
    return ModelParameter(name, CategoricalDistribution([str(i) for i in range(n)]))


def hidden_branch(rng: np.random.Generator) -> Planted:
    """Four branches of three numbers: the best has a plateau, the others are smooth."""
    bowls, floors = [make_bowl(rng, 3) for _ in range(4)], rng.uniform(0.1, 0.4, 4)
    hidden = int(rng.integers(4))

    def value(params: Mapping[str, Any]) -> float:
        branch = int(params["branch"])
        x = [params[f"x{branch}{j}"] for j in range(3)]
        centre, bowl = bowls[branch]
        if branch != hidden:
            return float(floors[branch]) + 0.5 * bowl(x)
        distance = float(np.abs(np.array(x) - centre).max()) / 0.4
        return 0.75 + 0.1 * bowl(x) if distance > 1 else 0.55 * distance**2

    numbers = [unit(f"x{b}{j}", {"branch": (str(b),)}) for b in range(4) for j in range(3)]
    return Planted([choice("branch", 4), *numbers], value)


def smooth_branches(rng: np.random.Generator) -> Planted:
    """Three branches of three numbers, and two numbers that all have."""
    bowls = [make_bowl(rng, 5)[1] for _ in range(3)]
    floors = rng.permutation([0.0, *rng.uniform(0.02, 0.3, 2)])

    def value(params: Mapping[str, Any]) -> float:
        branch = int(params["branch"])
        x = [*(params[f"x{branch}{j}"] for j in range(3)), params["y"], params["z"]]
        return float(floors[branch]) + bowls[branch](x)

    numbers = [unit(f"x{b}{j}", {"branch": (str(b),)}) for b in range(3) for j in range(3)]
    return Planted([choice("branch", 3), unit("y"), unit("z"), *numbers], value)


def layers(rng: np.random.Generator) -> Planted:
    """Up to four layers, each with a number of its own; the deepest are best or worst."""
    _, bowl = make_bowl(rng, 5)
    floors = np.abs(np.arange(4) - rng.integers(4)) * rng.uniform(0.02, 0.15)

    def value(params: Mapping[str, Any]) -> float:
        depth = int(params["layers"])
        used = [params.get(f"units{j}", 0.5) for j in range(4)]
        return float(floors[depth - 1]) + bowl([*used, params["rate"]]) * (0.6 + 0.1 * depth)

    numbers = [unit(f"units{j}", {"layers": tuple(range(j + 1, 5))}) for j in range(1, 4)]
    parameters = [
        ModelParameter("layers", IntDistribution(1, 4)),
        unit("units0"),
        unit("rate"),
        *numbers,
    ]
    return Planted(parameters, value)


def two_basins(rng: np.random.Generator) -> Planted:
    """A wide basin of five numbers that ends at 0.2, and a narrow one."""
    (_, wide), (_, narrow) = make_bowl(rng, 5), make_bowl(rng, 5)
    return _numbers(5, lambda x: min(0.2 + 0.7 * wide(x), 2.5 * narrow(x)))


def bowl(rng: np.random.Generator) -> Planted:
    """Six numbers."""
    return _numbers(6, make_bowl(rng, 6)[1])


def ties(rng: np.random.Generator) -> Planted:
    """Six numbers; the values are steps, so many trials tie."""
    _, value = make_bowl(rng, 6)
    return _numbers(6, lambda x: float(np.ceil(max(0.0, value(x) - 0.02) * 20) / 20))


def ripples(rng: np.random.Generator) -> Planted:
    """Four numbers, with ripples on the bowl."""
    centre, value = make_bowl(rng, 4)
    waves = 2 * np.pi * rng.uniform(5, 9, 4)
    return _numbers(4, lambda x: value(x) + 0.06 * float((1 - np.cos(waves * (x - centre))).mean()))


def noisy(rng: np.random.Generator) -> Planted:
    """Five numbers, observed with noise."""
    return _numbers(5, make_bowl(rng, 5)[1], noise=0.06)


def mixed(rng: np.random.Generator) -> Planted:
    """Numbers, integers and unordered choices."""
    _, value = make_bowl(rng, 5)
    table = rng.uniform(0, 0.3, (4, 3))
    table -= table.min()

    def mixed_value(params: Mapping[str, Any]) -> float:
        width, depth = np.log(params["units"] / 16) / np.log(32), (params["layers"] - 1) / 4
        x = [params["x"], params["y"], width, depth, params["z"]]
        return value(x) + float(table[int(params["a"]), int(params["b"])])

    integers: dict[str, BaseDistribution] = {
        "units": IntDistribution(16, 512, log=True),
        "layers": IntDistribution(1, 5),
    }
    more = [ModelParameter(name, values) for name, values in integers.items()]
    return Planted([*map(unit, "xyz"), *more, choice("a", 4), choice("b", 3)], mixed_value)


def _numbers(n: int, value: Callable[[np.ndarray], float], noise: float = 0.0) -> Planted:
    return Planted(
        [unit(f"x{j}") for j in range(n)],
        lambda params: value(np.array([params[f"x{j}"] for j in range(n)])),
        noise,
    )


KINDS: dict[str, Callable[[np.random.Generator], Planted]] = {
    make.__name__: make
    for make in (
        *(hidden_branch, smooth_branches, layers, two_basins),
        *(bowl, ties, ripples, noisy, mixed),
    )
}


def make_samplers(seed: int, planted: Planted) -> dict[str, Callable[[], Any]]:
    """Return what makes each sampler of the table."""
    space = planted.parameters

    def make_gp() -> Any:
        return GaussianProcessSampler(seed=seed, space=space, budget=TRIALS)

    return {
        "gp": make_gp,
        "gp, no proposal given up": make_gp,
        "Optuna TPE": lambda: optuna.samplers.TPESampler(seed=seed),
        "random": lambda: optuna.samplers.RandomSampler(seed=seed),
    }


def ask(study: optuna.Study, space: ModelSpace) -> tuple[optuna.Trial, dict[str, Any]]:
    """Return a trial and its values."""
    trial = study.ask()
    params: dict[str, Any] = {}
    for p in space.parameters:
        if all(params.get(parent) in allowed for parent, allowed in p.when.items()):
            params[p.name] = trial._suggest(p.name, p.distribution)
    return trial, params


def search(row: str, kind: str, seed: int, batch: int) -> list[float]:
    """Return the regret of one search at each checkpoint."""
    rng = np.random.default_rng([seed, *kind.encode()])
    planted = KINDS[kind](rng)
    space = ModelSpace(planted.parameters)
    drawn = space.draw(np.random.default_rng(seed).random((1000, len(space))))
    median = float(np.median([planted.value(space.decode(point)) for point in drawn]))
    exploration.SHARE = 0.0 if row == "gp, no proposal given up" else SHARE
    study = optuna.create_study(sampler=make_samplers(seed, planted)[row]())
    best, regrets = np.inf, []
    asked: list[tuple[optuna.Trial, dict[str, Any]]] = []
    for number in range(1, TRIALS + 1):
        if not asked:
            asked = [ask(study, space) for _ in range(min(batch, TRIALS + 1 - number))]
        trial, params = asked.pop(0)
        told = planted.value(params) + planted.noise * rng.standard_normal()
        study.tell(trial, told)
        if told < best:
            best, incumbent = told, params
        if number in CHECKPOINTS:
            regrets.append(planted.value(incumbent) / median)
    return regrets


ROWS = ("gp", "gp, no proposal given up", "Optuna TPE", "random")


def main() -> None:
    """Print one table per checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=1, help="trials asked before any is told")
    parser.add_argument("--only", default=";".join(ROWS), help="rows, split by ';'")
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    began = time.process_time()
    rows = [row for row in ROWS if row in args.only.split(";")]
    found = {
        row: {k: [search(row, k, s, args.batch) for s in seeds] for k in KINDS} for row in rows
    }
    for index, trials in enumerate(CHECKPOINTS):
        print(f"\nregret at {trials} trials, {args.seeds} functions of each kind\n")
        print(f"| sampler | {' | '.join(KINDS)} | all |")
        print(f"|---|{'---|' * (len(KINDS) + 1)}")
        for row, kinds in found.items():
            each = [[regrets[index] for regrets in runs] for runs in kinds.values()]
            every = [regret for runs in each for regret in runs]
            error = stdev(every) / len(every) ** 0.5
            cells = " | ".join(f"{mean(runs):.3f}" for runs in each)
            print(f"| {row} | {cells} | {mean(every):.3f} ± {error:.3f} |")
    print(f"\n{time.process_time() - began:.0f} s of processor time")


if __name__ == "__main__":
    main()
