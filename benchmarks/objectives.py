"""Several objectives: the error of LCBench networks and their number of weights, with pruning.

    python benchmarks/objectives.py run --results FILE [--seeds 5]   # append what is missing
    python benchmarks/objectives.py table --results FILE             # print the table

A study of each sampler trains without a pruner for 40 full trainings, and once with each pruner for
as many epochs. Counted are the epochs after which the front of the *complete* trials has the
hypervolume that the study without a pruner has at its end. Pruned trials are in no front.
The second factor is that to the final hypervolume of Optuna's default study, which prunes nothing.
Three rows bound what a pruner can save: `oracle` trains the trials to the end that will make the
hypervolume larger, others for 3 epochs; `oracle by dominance` those that no complete trial will
dominate, as it does not know which errors the hypervolume counts; `... of ends` is a pruner whose
every score is that of a full training.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from sampler_tasks import EPOCHS, LCBENCH_TASKS, Params, Task, lcbench, load_surrogate
from simulated_study import SimulatedStudy

from hpsearch.search.objectives import values_after_epoch
from hpsearch.search.pruners import SEVERAL_OBJECTIVES
from hpsearch.trial import EpochReport

FULL_TRAININGS = 40
TRAININGS = (10, 20, FULL_TRAININGS)  # at which the table has the hypervolume
SAMPLERS = ("random", "gp", "nsga2")
OF_ENDS = " of ends"
ORACLES = ("oracle", "oracle by dominance")
PRUNERS = ("none", *SEVERAL_OBJECTIVES, *ORACLES, *(p + OF_ENDS for p in SEVERAL_OBJECTIVES))
RIVALS = {  # Optuna's own ask and tell; it prunes nothing with several objectives
    "Optuna TPE + none": optuna.samplers.TPESampler,  # its default: `create_study(directions=…)`
    "Optuna NSGA-II + none": optuna.samplers.NSGAIISampler,  # its default up to version 4
}
OPTUNA_DEFAULT = next(iter(RIVALS))
PAIRS = (*(f"{sampler} + {pruner}" for sampler in SAMPLERS for pruner in PRUNERS), *RIVALS)
OBJECTIVES = [
    {"metric": "error", "direction": "minimize"},
    {"metric": "parameters", "direction": "minimize"},
]
Volumes = list[tuple[int, float]]  # epochs, and the hypervolume then
Run = tuple[str, str, int]  # task, pair, seed
ORACLE_EPOCHS = 3  # before the oracle's decision, as for our pruners
N_INPUTS, N_CLASSES = 50, 10
LEAST, MOST = 3_000, 5_000_000  # weights, the ends of the logarithmic scale


def count_weights(params: Mapping[str, Any]) -> int:
    """Count the weights of LCBench's funnel: widths fall evenly from `max_units` to the classes."""
    n = int(params["num_layers"])
    ends = np.linspace(params["max_units"], N_CLASSES, n + 1)[:n].round()
    widths = [N_INPUTS, *ends.tolist(), N_CLASSES]
    return int(sum((a + 1) * b for a, b in pairwise(widths)))


class Front:
    """The hypervolume of complete trials: the share of the unit square that they dominate."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.points: list[tuple[float, float]] = []

    def add(self, error: float, weights: float) -> float:
        """Add a trial, and return the hypervolume; 1 is twice the median regret, or 5M weights."""
        self.points.append(self._place(error, weights))
        return self._volume(self.points)

    def is_extended(self, error: float, weights: float) -> bool:
        """Whether a trial would make the hypervolume larger."""
        longer = [*self.points, self._place(error, weights)]
        return self._volume(longer) > self._volume(self.points)

    def dominates(self, error: float, weights: float) -> bool:
        """Whether a known trial is at least as good in both objectives."""
        x, y = self._place(error, weights)
        return any(a <= x and b <= y for a, b in self.points)

    def _place(self, error: float, weights: float) -> tuple[float, float]:
        regret = (error - self.task.best) / (self.task.median - self.task.best)
        size = (math.log(weights) - math.log(LEAST)) / (math.log(MOST) - math.log(LEAST))
        return regret, size

    @staticmethod
    def _volume(points: Sequence[tuple[float, float]]) -> float:
        volume, floor = 0.0, 1.0
        for x, y in sorted(points):
            if x < 1.0 and y < floor:
                volume += (1.0 - x) * (floor - y)
                floor = y
        return volume


class Simulation(SimulatedStudy):
    """A study that counts epochs and hypervolumes."""

    def __init__(self, sampler: str, pruner: str, task: Task, seed: int) -> None:
        self.oracle = pruner if pruner in ORACLES else None
        self.is_of_ends = pruner.endswith(OF_ENDS)
        ours = "none" if self.oracle else pruner.removesuffix(OF_ENDS)
        super().__init__(sampler, ours, OBJECTIVES, seed)
        self.task, self.front = task, Front(task)
        self.spent = 0
        self.volumes: Volumes = []

    def run(self) -> Volumes:
        """Train brackets until the budget is spent."""
        while self.spent < FULL_TRAININGS * EPOCHS:
            self.train([self.ask() for _ in range(self.pruner.bracket)])
        return self.volumes

    def train(self, going: list[int]) -> None:
        """Train a bracket in lockstep."""
        assert self.task.curve is not None
        curves = {n: self.task.curve(dict(self.history.last[n].params)) for n in going}
        if self.oracle or self.is_of_ends:
            curves = {n: np.full(EPOCHS, curve.min()) for n, curve in curves.items()}
        for epoch in range(EPOCHS):
            for number in going:
                self.add_epoch(number, epoch, float(curves[number][epoch]))
            rungs = [n for n in going if epoch + 1 in self.pruner.rungs(n, EPOCHS)]
            waiting = [self.history.last[n] for n in rungs]
            pruned = dict(self.pruner.verdicts(waiting, self.history)) if waiting else {}
            if self.oracle and epoch + 1 == ORACLE_EPOCHS:
                pruned = {n: not self.is_worth_training(n, float(curves[n][-1])) for n in going}
            for number in [n for n in going if pruned.get(n) or epoch + 1 == EPOCHS]:
                self.end(number, "PRUNED" if pruned.get(number) else "COMPLETE")
                going.remove(number)

    def add_epoch(self, number: int, epoch: int, error: float) -> None:
        """Record an epoch as the loop does."""
        self.spent += 1
        trial = self.history.last[number]
        scores = np.array([error])
        costs = {"parameters": count_weights(trial.params)}
        report = EpochReport(number, epoch, scores, {"val/error": scores}, costs)
        fields: Params = {"epoch": epoch, "scores": [error], "metrics": {}}
        values = values_after_epoch(trial, report, self.history.objectives)
        self.record("epoch", trial=number, attempt=0, values=values, **fields)

    def is_worth_training(self, number: int, error: float) -> bool:
        """What the oracle says of a trial with this error at its end."""
        weights = float(count_weights(self.history.last[number].params))
        if self.oracle == "oracle":
            return self.front.is_extended(error, weights)
        return not self.front.dominates(error, weights)

    def end(self, number: int, state: str) -> None:
        """Record a trial's result and tell it."""
        trial = self.history.last[number]
        means = trial.mean_scores()
        best = int(np.argmin(means))
        values = [means[best], float(count_weights(trial.params))] if state == "COMPLETE" else None
        fields = {"state": state, "score": means[best], "spread": 0.0, "best_epoch": best}
        self.record("result", trial=number, attempt=0, values=values, **fields)
        if values is not None:
            self.volumes.append((self.spent, self.front.add(*values)))
        self.sampler.tell(self.history.last[number])


def search_with_optuna(sampler: optuna.samplers.BaseSampler, task: Task) -> Volumes:
    """Train what Optuna asks for in full; returns epochs and hypervolumes."""
    assert task.curve is not None
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    front, volumes = Front(task), []
    for n in range(1, FULL_TRAININGS + 1):
        trial = study.ask(task.space)
        values = float(task.curve(trial.params).min()), float(count_weights(trial.params))
        study.tell(trial, values)
        volumes.append((n * EPOCHS, front.add(*values)))
    return volumes


def search(pair: str, task: Task, seed: int) -> Volumes:
    """Run a pair; returns epochs and hypervolumes."""
    if pair in RIVALS:
        return search_with_optuna(RIVALS[pair](seed=seed), task)
    sampler, pruner = pair.split(" + ")
    return Simulation(sampler, pruner, task, seed).run()


def run(results: Path, seeds: int, pairs: Sequence[str]) -> None:
    """Append the runs that are missing; seeds outermost, so that an aborted run is balanced."""
    known = {(r["task"], r["pair"], r["seed"]) for r in read(results)}
    folder = Path(os.environ["HPSEARCH_DATA"]) / "hpo_tables" / "yahpo_surrogates"
    surrogate = load_surrogate(folder)
    tasks = [(name, lcbench(surrogate, name)) for name in LCBENCH_TASKS]
    for seed in range(seeds):
        for name, task in tasks:
            for pair in pairs:
                if (name, pair, seed) in known:
                    continue
                volumes = search(pair, task, seed)
                row = {"task": name, "pair": pair, "seed": seed, "volumes": volumes}
                with results.open("a", encoding="utf-8") as out:
                    out.write(json.dumps(row) + "\n")


def read(results: Path) -> list[dict[str, Any]]:
    """Read the runs so far."""
    lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    return [json.loads(line) for line in lines]


def show(results: Path) -> None:
    """Print the table."""
    rows = {(r["task"], r["pair"], r["seed"]): r["volumes"] for r in read(results)}
    heads = " | ".join(map(str, TRAININGS))
    print(
        f"| pair | runs | hypervolume at {heads} full trainings "
        "| times fewer epochs than without a pruner | reached it "
        "| than Optuna's default | reached it |"
    )
    print(f"|---|---|{'---|' * len(TRAININGS)}---|---|---|---|")
    for pair in PAIRS:
        alone = pair if pair in RIVALS else f"{pair.split(' + ')[0]} + none"
        found = {k: v for k, v in rows.items() if k[1] == pair and (k[0], alone, k[2]) in rows}
        if not found:
            continue
        means = [np.mean([value_at(v, n * EPOCHS) for v in found.values()]) for n in TRAININGS]
        print(
            f"| {pair} | {len(found)} | {' | '.join(f'{m:.3f}' for m in means)} "
            f"| {compare(found, alone, rows)} | {compare(found, OPTUNA_DEFAULT, rows)} |"
        )


def compare(found: Mapping[Run, Volumes], other: str, rows: Mapping[Run, Volumes]) -> str:
    """Return the median factor of epochs that runs save to another pair's final hypervolume.

    And how many of them have it at all.
    """
    factors = []
    for (task, _, seed), volumes in found.items():
        if (theirs := rows.get((task, other, seed))) is not None:
            wanted = value_at(theirs, FULL_TRAININGS * EPOCHS)
            factors.append(first_at(theirs, wanted) / first_at(volumes, wanted))
    if not factors:
        return "- | -"
    return f"{np.median(factors):.1f} | {sum(f > 0 for f in factors)} of {len(factors)}"


def value_at(volumes: Volumes, epochs: int) -> float:
    """Return the hypervolume after so many epochs."""
    return max((volume for spent, volume in volumes if spent <= epochs), default=0.0)


def first_at(volumes: Volumes, wanted: float) -> float:
    """Return the epochs until the hypervolume is reached; infinite if it is not."""
    return next((spent for spent, volume in volumes if volume >= wanted), math.inf)


def main() -> None:
    """Run or print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("action", choices=["run", "table"])
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pairs", nargs="+", default=PAIRS, choices=PAIRS, metavar="PAIR")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if arguments.action == "run":
        run(arguments.results, arguments.seeds, arguments.pairs)
    else:
        show(arguments.results)


if __name__ == "__main__":
    main()
