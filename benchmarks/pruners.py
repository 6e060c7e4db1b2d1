"""Pairs of sampler and pruner at an equal budget of epochs, on LCBench's curves or real trainings.

    python benchmarks/pruners.py run --results FILE   # append what is missing
    python benchmarks/pruners.py run --tasks other --results FILE  # 26 data sets that chose nothing
    python benchmarks/pruners.py run --tasks real --results FILE   # trains; see `real_tasks.py`
    python benchmarks/pruners.py table --results FILE # print the tables
    make curve-rivals                                 # the rows that need packages of their own

The pruners and samplers are those that a study uses, through their own protocols and a `History`;
beside them stand the defaults of Optuna and of Keras Tuner, driven by their own ask and tell.
The tasks and the regret are those of `samplers.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from curve_rivals import hebo, smac_multi_fidelity
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, GPSampler, TPESampler
from pruner_rivals import Meter, keras_tuner_default, one_epoch, optuna_search
from sampler_report import average_ranks, standard_error
from sampler_tasks import (
    BUDGETS,
    LCBENCH_TASKS,
    OTHER_LCBENCH_TASKS,
    Task,
    lcbench,
    load_surrogate,
)
from simulated_study import SimulatedStudy

from hpsearch.search.pruners import DEFAULT

SAMPLERS = ("gp", "tpe", "random")
PRUNERS = (
    *("none", "asha", "halving", "rolling_halving", "hyperband"),
    *("median", "percentile", "patience"),
)
ONE_EPOCH = "one epoch, then the best half in full"  # arXiv 2307.15422
# The pruner is made for the epochs of a full training.
OPTUNA: Mapping[str, tuple[Callable[..., BaseSampler], Callable[[int], BasePruner]]] = {
    "Optuna TPE + Median": (TPESampler, lambda epochs: MedianPruner()),  # `optuna.create_study()`
    "Optuna TPE + Hyperband": (TPESampler, lambda epochs: HyperbandPruner(max_resource=epochs)),
    "Optuna GP": (GPSampler, lambda epochs: NopPruner()),
    "Optuna GP + Hyperband": (GPSampler, lambda epochs: HyperbandPruner(max_resource=epochs)),
}
SMAC, HEBO = "SMAC3 multi-fidelity", "HEBO"
NEEDS = {  # packages that are not ours
    "Optuna GP": "torch",
    "Optuna GP + Hyperband": "torch",
    "Keras Tuner Hyperband": "keras_tuner",
    SMAC: "smac",
    HEBO: "hebo",
}
LIBRARIES = (*OPTUNA, "Keras Tuner Hyperband", SMAC, HEBO, ONE_EPOCH)
OURS = tuple(f"{sampler} + {pruner}" for sampler in SAMPLERS for pruner in PRUNERS)
OF_ENDS = " of ends"  # a bound: sampler and pruner know the end of a training after its first epoch
BOUNDS = tuple(f"gp + {pruner}{OF_ENDS}" for pruner in ("halving", "rolling_halving", "hyperband"))
WORKERS = (8, 64)
ON_WORKERS = tuple(f"{pair} on {n} workers" for pair in OURS for n in WORKERS)
FEWEST_RUNS = 8  # of a table that is worth printing
DEFAULT_PAIR = f"gp + {DEFAULT}"


class Simulation(SimulatedStudy):
    """A study whose epochs a meter counts.

    A worker trains a bracket in turns, an epoch of each of its trials; every epoch takes the same
    time on every worker.
    """

    def __init__(self, sampler: str, pruner: str, task: Task, seed: int, workers: int = 1) -> None:
        objectives = [{"metric": "error", "direction": "minimize"}]
        ours = pruner.removesuffix(OF_ENDS)
        super().__init__(sampler, ours, objectives, seed, task.space, task.epochs)
        self.meter, self.curve, self.is_of_ends = Meter(task), task.curve, ours != pruner
        self.curves: dict[int, np.ndarray] = {}  # of the running trials
        self.waiting: set[int] = set()  # trials at a rung
        self.brackets: list[list[int]] = [[] for _ in range(workers)]  # of each worker

    def run(self) -> Meter:
        """Train an epoch on each worker in turn until the budget is spent."""
        while not self.meter.over:
            for bracket in self.brackets:
                if not bracket:
                    bracket += [self.ask() for _ in range(self.pruner.bracket)]
                self.train_epoch(bracket)
        return self.meter

    def ask(self) -> int:
        """One trial more; its number."""
        self.meter.trials += 1
        number = super().ask()
        assert self.curve is not None
        self.curves[number] = self.curve(dict(self.history.last[number].params))
        return number

    def train_epoch(self, bracket: list[int]) -> None:
        """Train an epoch of the bracket's next trial that does not wait, and decide."""
        number = next(n for n in bracket if n not in self.waiting)
        bracket.remove(number)
        bracket.append(number)
        trial = self.history.last[number]
        epoch = trial.n_epochs
        scores = np.atleast_1d(self.curves[number][epoch])  # of the folds
        told = best_scores(self.curves[number]) if self.is_of_ends else scores
        self.record("epoch", trial=number, attempt=0, epoch=epoch, scores=told.tolist(), metrics={})
        self.meter.train(trial.params, float(np.mean(scores)))
        if epoch + 1 == self.epochs:
            self.end(number, "COMPLETE")
        elif epoch + 1 in self.pruner.rungs(number, self.epochs):
            self.waiting.add(number)
        if self.waiting:
            self.decide()

    def decide(self) -> None:
        """Prune waiting trials, or let them go on."""
        waiting = [self.history.last[n] for n in sorted(self.waiting)]
        for number, is_pruned in self.pruner.verdicts(waiting, self.history).items():
            self.waiting.discard(number)
            if is_pruned:
                self.end(number, "PRUNED")

    def end(self, number: int, state: str) -> None:
        """Write a trial's result down and tell it."""
        means = self.history.last[number].mean_scores()
        best = int(np.argmin(means))
        folds = np.array(self.history.last[number].scores[best])
        spread, fold_scores = float(folds.std()), folds.tolist() if len(folds) > 1 else None
        fields = {"score": means[best], "spread": spread, "fold_scores": fold_scores}
        self.record("result", trial=number, attempt=0, state=state, best_epoch=best, **fields)
        self.sampler.tell(self.history.last[number])
        del self.curves[number]
        next(bracket for bracket in self.brackets if number in bracket).remove(number)


def best_scores(curve: np.ndarray) -> np.ndarray:
    """The scores of the folds at the best epoch, shape (n_folds,)."""
    by_epoch = curve.reshape(len(curve), -1)
    return np.asarray(by_epoch[by_epoch.mean(axis=1).argmin()])


def measure(row: str, task: Task, seed: int, folder: str) -> Meter:
    """One search by the name of its row."""
    if row == ONE_EPOCH:
        return one_epoch(task, seed)
    if row == "Keras Tuner Hyperband":
        return keras_tuner_default(task, seed, folder)
    if row == SMAC:
        return smac_multi_fidelity(task, seed, folder)
    if row == HEBO:
        return hebo(task, seed)
    if row in OPTUNA:
        sampler_class, make = OPTUNA[row]
        return optuna_search(sampler_class(seed=seed), make(task.epochs), task, seed)
    pair, _, workers = row.removesuffix(" workers").partition(" on ")
    sampler, pruner = pair.split(" + ")
    return Simulation(sampler, pruner, task, seed, int(workers or 1)).run()


Key = tuple[str, str, int]  # row, task, seed


def read_results(path: Path) -> dict[Key, dict[str, Any]]:
    """What was measured before, by its key."""
    if not path.exists():
        return {}
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {(r["row"], r["task"], r["seed"]): r for r in records}


def missing(
    done: Mapping[Key, Any], tasks: list[Task], rows: list[str], seeds: int
) -> Iterator[tuple[str, Task, int]]:
    """The runs still to make; seeds outermost, so that an aborted benchmark is balanced."""
    for seed in range(seeds):
        for task in tasks:
            for row in rows:
                if (row, task.name, seed) not in done:
                    yield row, task, seed


def list_rows() -> list[str]:
    """The rows that can be measured here."""
    absent = [row for row, package in NEEDS.items() if find_spec(package) is None]
    if absent:
        print(f"packages are missing for {', '.join(absent)}")
    return [row for row in (*OURS, *BOUNDS, *LIBRARIES) if row not in absent]


def make_tasks(args: argparse.Namespace) -> list[Task]:
    """Data sets of LCBench's surrogates, or the real sets."""
    if args.tasks == "real":
        from real_tasks import OBJECTIVES, real_task  # seconds, for Keras

        tasks = [real_task(name, trainings_file(args.results)) for name in OBJECTIVES]
    else:
        tables = args.tables or Path(os.environ["HPSEARCH_DATA"]) / "hpo_tables"
        surrogate = load_surrogate(tables / "yahpo_surrogates")
        is_other = args.tasks == "other"
        names = OTHER_LCBENCH_TASKS if is_other else LCBENCH_TASKS
        tasks = [lcbench(surrogate, name, at_best_epoch=is_other) for name in names]
    return [replace(task, budgets=tuple(args.budgets or task.budgets)) for task in tasks]


def trainings_file(results: Path) -> Path:
    """The file beside the results that holds the trainings on real sets."""
    return results.with_suffix(".trainings.jsonl")


def run(args: argparse.Namespace) -> None:
    """Measure what the results file lacks, one line a run."""
    import tempfile

    tasks = make_tasks(args)
    done, rows = read_results(args.results), args.rows or list_rows()
    with args.results.open("a", encoding="utf-8") as out, tempfile.TemporaryDirectory() as folder:
        for row, task, seed in missing(done, tasks, rows, args.seeds):
            meter = measure(row, task, seed, folder)
            fields = {"row": row, "task": task.name, "seed": seed}
            record = {**fields, "regret": meter.regret, "trials": meter.trials}
            out.write(json.dumps(record) + "\n")
            out.flush()


def table(args: argparse.Namespace) -> None:
    """Print a Markdown table for each budget; a task and seed counts where every row ran."""
    results = read_results(args.results)
    if trainings_file(args.results).exists():
        from real_tasks import scale_regrets

        scale_regrets(results, trainings_file(args.results))
    known = (*OURS, *BOUNDS, *ON_WORKERS, *LIBRARIES)
    rows = [row for row in known if any(key[0] == row for key in results)]
    most = max(sum(key[0] == row for key in results) for row in rows)
    full = [row for row in rows if 2 * sum(key[0] == row for key in results) >= most]
    n_budgets = min(len(record["regret"]) for record in results.values())
    for place, budget in enumerate((args.budgets or BUDGETS)[:n_budgets]):
        print_table(f"{budget} full trainings", results, full, place)
        if len(full) < len(rows):
            print_table(f"{budget} full trainings, where every row ran", results, rows, place)


def print_table(title: str, results: Mapping[Key, Any], rows: list[str], place: int) -> None:
    """One table, the best mean regret first."""
    runs = sorted({key[1:] for key in results})
    runs = [run for run in runs if all((row, *run) in results for row in rows)]
    if len(runs) < FEWEST_RUNS:
        return
    grid = np.array([[results[(row, *run)]["regret"][place] for run in runs] for row in rows])
    ranks = average_ranks(grid)
    tasks, seeds = ({run[i] for run in runs} for i in (0, 1))
    print(f"\n### {title}: {len(tasks)} tasks, {len(seeds)} seeds, {len(runs)} runs\n")
    print("| pair | regret | rank | trials in all |\n|---|---|---|---|")
    for k in np.argsort(grid.mean(axis=1), kind="stable"):
        name = f"**{rows[k]}** (default)" if rows[k] == DEFAULT_PAIR else rows[k]
        trials = np.mean([results[(rows[k], *run)]["trials"] for run in runs])
        print(
            f"| {name} | {grid[k].mean():.3f} ± {standard_error(grid[k]):.3f} "
            f"| {ranks[k].mean():.2f} ± {standard_error(ranks[k]):.2f} | {trials:.0f} |"
        )


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    runs = commands.add_parser("run", help="measure what the results file lacks")
    runs.add_argument("--tasks", choices=("lcbench", "other", "real"), default="lcbench")
    runs.add_argument("--tables", type=Path, help="default: $HPSEARCH_DATA/hpo_tables")
    runs.add_argument("--rows", nargs="+", metavar="PAIR", help="default: all")
    runs.add_argument("--seeds", type=int, default=20)
    runs.set_defaults(function=run)
    prints = commands.add_parser("table", help="print the tables")
    prints.set_defaults(function=table)
    for sub in (runs, prints):
        sub.add_argument("--results", type=Path, required=True)
        sub.add_argument("--budgets", nargs="+", type=int, help="full trainings; default: 5 to 50")
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    args.function(args)


if __name__ == "__main__":
    main()
