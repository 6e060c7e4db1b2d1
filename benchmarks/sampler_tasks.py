"""Tasks of the sampler benchmark with a known optimum: FCNet tables, LCBench surrogates."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

EPOCHS = 52  # a full training of an LCBench network
BUDGETS = (5, 10, 20, 50)  # full trainings at which an incumbent is judged
LCBENCH_TASKS = ("3945", "34539", "126026", "146212", "167149", "167168", "168330", "189908")
# fmt: off
OTHER_LCBENCH_TASKS = (  # on which nothing of this project was chosen
    "7593", "126025", "126029", "167104", "167152", "167161", "167181", "167184", "167185",
    "167190", "167200", "167201", "168329", "168331", "168335", "168868", "168908", "168910",
    "189354", "189862", "189865", "189866", "189873", "189905", "189906", "189909",
)
# fmt: on

Params = dict[str, Any]
Space = dict[str, BaseDistribution]


@dataclass(frozen=True, slots=True)
class Task:
    """A black box whose truth is known; smaller is better."""

    name: str
    space: Space
    observe: Callable[[Params, np.random.Generator], float]  # what a sampler is told
    truth: Callable[[Params], float]  # what its choice is judged by
    best: float  # the best known
    median: float  # of random configurations
    # Where there is one, shape (epochs,) or (epochs, n_folds).
    curve: Callable[[Params], np.ndarray] | None = None
    epochs: int = EPOCHS
    budgets: tuple[int, ...] = BUDGETS

    def regret(self, params: Params) -> float:
        """0 for the best known configuration, 1 for the median random one."""
        return (self.truth(params) - self.best) / (self.median - self.best)


def fcnet(path: Path) -> Task:
    """One FCNet table: an observation is one of four seeds, the truth is their mean.

    Klein and Hutter, "Tabular benchmarks for joint architecture and hyperparameter
    optimization", 2019. Ordered choices are integers (their position), the others categories.
    """
    with np.load(path, allow_pickle=False) as archive:
        table, meta = archive["table"], json.loads(str(archive["meta"]))
    space: Space = {}
    for name, choices in zip(meta["params"], meta["choices"], strict=True):
        ordered = not isinstance(choices[0], str)
        space[name] = (
            IntDistribution(0, len(choices) - 1) if ordered else CategoricalDistribution(choices)
        )
    texts = {
        n: c for n, c in zip(meta["params"], meta["choices"], strict=True) if isinstance(c[0], str)
    }

    def cell(params: Params) -> np.ndarray:
        index = tuple(
            texts[n].index(params[n]) if n in texts else params[n] for n in meta["params"]
        )
        return np.asarray(table[index])

    means = table.mean(axis=-1)
    return Task(
        name=f"fcnet {meta['dataset']}",
        space=space,
        observe=lambda params, rng: float(rng.choice(cell(params))),
        truth=lambda params: float(cell(params).mean()),
        best=float(np.nanmin(means)),
        median=float(np.nanmedian(means)),
    )


LCBENCH_SPACE: Space = {
    "batch_size": IntDistribution(16, 512, log=True),
    "learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
    "momentum": FloatDistribution(0.1, 0.99),
    "weight_decay": FloatDistribution(1e-5, 1e-1),
    "num_layers": IntDistribution(1, 5),
    "max_units": IntDistribution(64, 1024, log=True),
    "max_dropout": FloatDistribution(0.0, 1.0),
}


def lcbench(
    surrogate: Callable[[Sequence[Params]], list[dict[str, float]]],
    task: str,
    *,
    at_best_epoch: bool = False,
) -> Task:
    """One LCBench data set: 100 minus the validation accuracy in percent after 52 epochs.

    With `at_best_epoch`, the truth is that of the best epoch, to which a study trains its winner;
    the best known and the median are still those of the last epoch.

    Zimmer, Lindauer and Hutter, "Auto-PyTorch Tabular", 2021; surrogates by Pfisterer et al.,
    "YAHPO Gym", 2022.
    """

    def errors(rows: Sequence[Params]) -> np.ndarray:
        filled = [{"epoch": EPOCHS, **row, "OpenML_task_id": task} for row in rows]
        return np.array([100.0 - r["val_accuracy"] for r in surrogate(filled)])

    def curve(params: Params) -> np.ndarray:
        return errors([{**params, "epoch": epoch} for epoch in range(1, EPOCHS + 1)])

    def truth(params: Params) -> float:
        return float(curve(params).min() if at_best_epoch else errors([params])[0])

    best, median = known_best(errors, LCBENCH_SPACE)
    return Task(
        name=f"lcbench {task}",
        space=LCBENCH_SPACE,
        observe=lambda params, rng: truth(params),
        truth=truth,
        best=best,
        median=median,
        curve=curve,
    )


def known_best(
    errors: Callable[[Sequence[Params]], np.ndarray], space: Space
) -> tuple[float, float]:
    """The best of 20,000 random points and of 40 rounds of local search, and the median."""
    rng = np.random.default_rng(0)
    rows = [{n: draw(d, rng.random()) for n, d in space.items()} for _ in range(20_000)]
    values = errors(rows)
    median = float(np.median(values))
    order = np.argsort(values)[:20]
    rows, values = [rows[i] for i in order], values[order]
    for round_ in range(40):
        width = 0.2 * 0.9**round_
        moved = [
            {
                n: nudge(d, row[n], width, rng) if rng.random() < 0.5 else row[n]
                for n, d in space.items()
            }
            for row in rows
            for _ in range(50)
        ]
        pool, scores = rows + moved, np.concatenate([values, errors(moved)])
        order = np.argsort(scores)[:20]
        rows, values = [pool[i] for i in order], scores[order]
    return float(values[0]), median


def draw(distribution: BaseDistribution, quantile: float) -> Any:
    """The value at `quantile` in [0, 1] of a numeric distribution on its own scale."""
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high = distribution.low, distribution.high
    if distribution.log:
        value = float(np.exp(np.log(low) + quantile * (np.log(high) - np.log(low))))
    else:
        value = low + quantile * (high - low)
    value = min(max(value, low), high)
    return round(value) if isinstance(distribution, IntDistribution) else value


def nudge(
    distribution: BaseDistribution, value: Any, width: float, rng: np.random.Generator
) -> Any:
    """A neighbour of `value`, about `width` of the range away."""
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high = distribution.low, distribution.high
    scale = np.log if distribution.log else float
    position = (scale(value) - scale(low)) / (scale(high) - scale(low))
    return draw(distribution, float(np.clip(position + width * rng.standard_normal(), 0, 1)))


def load_surrogate(path: Path) -> Callable[[Sequence[Params]], list[dict[str, float]]]:
    """The evaluator that lies beside the surrogates (numpy only)."""
    scope: dict[str, Any] = {}
    source = path / "eval_numpy.py"
    exec(compile(source.read_text(), str(source), "exec"), scope)
    surrogate: Callable[[Sequence[Params]], list[dict[str, float]]] = scope["Surrogate"](
        path / "lcbench" / "model_numpy.npz"
    )
    return surrogate


def load_tasks(tables: Path) -> list[Task]:
    """Every task of the benchmark, from the folder that holds `fcnet_hpolib`."""
    folder = tables / "fcnet_hpolib"
    surrogate = load_surrogate(tables / "yahpo_surrogates")
    return [
        fcnet(folder / "protein_structure.npz"),
        fcnet(folder / "naval_propulsion.npz"),
        *(lcbench(surrogate, task) for task in LCBENCH_TASKS),
    ]
