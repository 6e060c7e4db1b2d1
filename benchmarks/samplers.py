"""Samplers on public tables: regret, mean rank and milliseconds an ask.

    python benchmarks/samplers.py run --tables DIR --results FILE   # append what is missing
    python benchmarks/samplers.py table --results FILE              # print the tables

The tables are FCNet (protein and naval: 62,208 trained networks each, four seeds a network) and
the surrogates of LCBench (2,000 networks on each of 34 data sets, with learning curves).
Knows samplers by the ask-and-tell of their own library and nothing of this package but
`hpsearch.search.gp`.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from sampler_report import (
    CHECKPOINTS,
    Key,
    checkpoints_of,
    families,
    print_batches,
    print_samplers,
    runs_of,
)
from sampler_tasks import Params, Space, Task, load_tasks

AFTER_SOBOL = "ours: gp after 64 Sobol points"  # what batches of 64 could be, one at a time


class Search(Protocol):
    """Ask and tell, whatever the library."""

    def ask(self) -> tuple[Any, Params]:
        """A handle for `tell`, and the values to try."""
        ...

    def tell(self, handle: Any, value: float) -> None:
        """What the trial measured; smaller is better."""
        ...


class OptunaSearch:
    """Any sampler of Optuna, ours included."""

    def __init__(self, sampler: optuna.samplers.BaseSampler, space: Space) -> None:
        self.study, self.space = optuna.create_study(sampler=sampler), space

    def ask(self) -> tuple[Any, Params]:
        trial = self.study.ask(self.space)
        return trial, trial.params

    def tell(self, handle: Any, value: float) -> None:
        self.study.tell(handle, value)


class KerasTunerSearch:
    """An oracle of Keras Tuner, driven as its Tuner would."""

    def __init__(self, oracle: str, space: Space, seed: int, folder: str) -> None:
        import keras_tuner as kt  # ten seconds: only for its own rows

        hp = kt.HyperParameters()
        for name, d in space.items():
            if isinstance(d, CategoricalDistribution):
                hp.Choice(name, list(d.choices))
            elif isinstance(d, IntDistribution):
                hp.Int(name, d.low, d.high, sampling="log" if d.log else "linear", step=None)
            elif isinstance(d, FloatDistribution):
                hp.Float(name, d.low, d.high, sampling="log" if d.log else "linear")
        self.space = space
        self.oracle = getattr(kt.oracles, oracle)(
            objective=kt.Objective("value", "min"),
            max_trials=10_000,
            hyperparameters=hp,
            seed=seed + 1,  # 0 means a random one there
        )
        self.oracle.verbose = 0
        self.oracle._set_project_dir(folder, f"{oracle}-{seed}")
        self.oracle.save = lambda: None  # its files would be timed with its asks
        self.oracle._save_trial = lambda trial: None
        self.asked = 0

    def ask(self) -> tuple[Any, Params]:
        self.asked += 1
        trial = self.oracle.create_trial(f"worker-{self.asked}")
        values = dict(trial.hyperparameters.values)
        for name, d in self.space.items():
            if isinstance(d, IntDistribution):  # its Int can return max + 1
                values[name] = min(max(int(values[name]), d.low), d.high)
        return trial, values

    def tell(self, handle: Any, value: float) -> None:
        self.oracle.update_trial(handle.trial_id, {"value": value})
        handle.status = "COMPLETED"
        self.oracle.end_trial(handle)


def make_search(sampler: str, task: Task, seed: int, folder: str) -> Search:
    """A fresh search by the name of its row."""
    if sampler.startswith("Keras Tuner"):
        oracle = "RandomSearchOracle" if "random" in sampler else "BayesianOptimizationOracle"
        return KerasTunerSearch(oracle, task.space, seed, folder)
    return OptunaSearch(make_sampler(sampler, seed), task.space)


def make_sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    """An Optuna sampler by the name of its row."""
    from hpsearch.search.gp import GaussianProcessSampler

    samplers: dict[str, Callable[[], optuna.samplers.BaseSampler]] = {
        "ours: gp": lambda: GaussianProcessSampler(seed=seed),
        AFTER_SOBOL: lambda: GaussianProcessSampler(seed=seed, startup=64),
        "Optuna TPE (its default)": lambda: optuna.samplers.TPESampler(seed=seed),
        "Optuna GP": lambda: optuna.samplers.GPSampler(seed=seed),
        "Optuna CMA-ES": lambda: optuna.samplers.CmaEsSampler(seed=seed),
        "Sobol": lambda: optuna.samplers.QMCSampler(seed=seed, scramble=True),
        "random": lambda: optuna.samplers.RandomSampler(seed=seed),
    }
    return samplers[name]()


SAMPLERS = (
    "ours: gp",
    "Optuna GP",
    "Optuna TPE (its default)",
    "Optuna CMA-ES",
    "Keras Tuner Bayesian",
    "Keras Tuner random",
    "Sobol",
    "random",
    AFTER_SOBOL,
)
NEEDS = {"Optuna GP": "torch", "Optuna CMA-ES": "cmaes"}  # rows that need an extra package


def run_search(
    search: Search, task: Task, batch: int, seed: int, checkpoints: Sequence[int] = CHECKPOINTS
) -> dict[str, Any]:
    """Trials in batches: regret at the checkpoints, wall clock and CPU time of an ask."""
    rng = np.random.default_rng([seed, 1])
    seen, regret, incumbent = np.inf, np.inf, []
    wall: list[float] = []
    busy: list[float] = []
    while len(incumbent) < max(checkpoints):
        asked = []
        for _ in range(min(batch, max(checkpoints) - len(incumbent))):
            start, used = time.perf_counter(), time.process_time()
            asked.append(search.ask())
            wall.append(time.perf_counter() - start)
            busy.append(time.process_time() - used)
        for handle, params in asked:
            value = task.observe(params, rng)
            search.tell(handle, value)
            if value < seen:
                seen, regret = value, task.regret(params)
            incumbent.append(regret)
    return {
        "checkpoints": list(checkpoints),
        "regret": [incumbent[c - 1] for c in checkpoints],
        "ms": [before(wall, c) for c in checkpoints],
        "cpu_ms": [before(busy, c) for c in checkpoints],
    }


def before(seconds: Sequence[float], checkpoint: int) -> float:
    """The median of the 10 asks before a checkpoint, in milliseconds."""
    return 1e3 * float(np.median(seconds[max(checkpoint - 10, 0) : checkpoint]))


def importable(sampler: str) -> bool:
    """Whether the packages of a row are installed."""
    from importlib.util import find_spec

    return sampler not in NEEDS or find_spec(NEEDS[sampler]) is not None


def read_results(path: Path) -> dict[Key, dict[str, Any]]:
    """What was measured before, by its key."""
    if not path.exists():
        return {}
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {Key(**r["key"]): r for r in records}


def missing(
    done: dict[Key, dict[str, Any]],
    tasks: Sequence[Task],
    samplers: Sequence[str],
    batches: Sequence[int],
    seeds: int,
) -> Iterator[tuple[Key, Task]]:
    """The runs still to make; seeds outermost, so that an aborted benchmark is balanced."""
    for seed in range(seeds):
        for task in tasks:
            for sampler in samplers:
                for batch in batches:
                    key = Key(sampler, task.name, batch, seed)
                    if key not in done and importable(sampler):
                        yield key, task


def run(args: argparse.Namespace) -> None:
    """Measure what the results file lacks, one line a run."""
    import tempfile

    tables = args.tables or Path(os.environ["HPSEARCH_DATA"]) / "hpo_tables"
    tasks = load_tasks(tables)
    done = read_results(args.results)
    with args.results.open("a") as out, tempfile.TemporaryDirectory() as folder:
        for key, task in missing(done, tasks, args.samplers, args.batches, args.seeds):
            search = make_search(key.sampler, task, key.seed, f"{folder}/{task.name}-{key.batch}")
            write(out, key, run_search(search, task, key.batch, key.seed, args.checkpoints))


def write(out: Any, key: Key, record: dict[str, Any]) -> None:
    """Append one run."""
    fields = {name: getattr(key, name) for name in Key.__slots__}
    out.write(json.dumps({"key": fields, **record}) + "\n")
    out.flush()


def table(args: argparse.Namespace) -> None:
    """Print the tables of the results file as Markdown.

    Every row of a table counts only where all of its rows ran. Rows with less than half as many
    runs as others are left to a table of their own.
    """
    results = read_results(args.results)
    for batch in sorted({key.batch for key in results}):
        rows = [s for s in SAMPLERS if runs_of(results, s, batch)]
        most = max((runs_of(results, s, batch) for s in rows), default=0)
        full = [s for s in rows if 2 * runs_of(results, s, batch) >= most]
        for title, part in families(results).items():
            print_samplers(f"batches of {batch}, {title}", part, full, batch)
        if len(full) < len(rows):
            print_samplers(f"batches of {batch}, where every row ran", results, rows, batch)
    for s in SAMPLERS:
        mine: dict[int, dict[tuple[str, int], Sequence[float]]] = defaultdict(dict)
        for key, record in results.items():
            if key.sampler == s:
                mine[key.batch][key.task, key.seed] = record["regret"]
        if mine:
            print_batches(s, mine, checkpoints_of(results))
    for s, package in NEEDS.items():
        if not any(k.sampler == s for k in results):
            print(f"\n{s}: not run, `{package}` is not installed.")


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    runs = commands.add_parser("run", help="measure what the results file lacks")
    runs.add_argument("--tables", type=Path, help="default: $HPSEARCH_DATA/hpo_tables")
    runs.add_argument("--samplers", nargs="+", default=SAMPLERS[:-1], choices=SAMPLERS)
    runs.add_argument("--batches", nargs="+", type=int, default=(1, 8))
    runs.add_argument("--seeds", type=int, default=20)
    runs.add_argument(
        "--checkpoints", nargs="+", type=int, default=CHECKPOINTS, help="one results file for each"
    )
    runs.set_defaults(function=run)
    prints = commands.add_parser("table", help="print the tables")
    prints.set_defaults(function=table)
    for sub in (runs, prints):
        sub.add_argument("--results", type=Path, required=True)
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    args.function(args)


if __name__ == "__main__":
    main()
