"""SMAC3 and HEBO on learning curves, for `pruners.py`.

They need packages of their own: `make curve-rivals`. Each is imported only for its own row.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from pruner_rivals import Meter, curve_of
from sampler_tasks import Task

N_RANDOM = 12  # first trials of SMAC, as many as `gp` has; its default is a quarter of the trials
N_RUNS = 200  # that SMAC plans with: a few more than 50 full trainings have
MIN_EPOCHS = 3  # before SMAC's first decision, as for our pruners


def smac_multi_fidelity(task: Task, seed: int, folder: str) -> Meter:
    """SMAC's multi-fidelity facade (Hyperband over a random forest).

    A configuration that it runs again for longer costs the additional epochs only, as if it went
    on from a checkpoint. It is told the best value so far, which is how our trials are scored.
    """
    from ConfigSpace import ConfigurationSpace, Float, Integer
    from smac import MultiFidelityFacade, Scenario
    from smac.runhistory.dataclasses import TrialValue

    space = ConfigurationSpace(seed=seed)
    for name, d in task.space.items():
        make = Integer if isinstance(d, IntDistribution) else Float
        space.add(make(name, (low_of(d), high_of(d)), log=is_log(d)))
    scenario = Scenario(
        space,
        deterministic=True,
        min_budget=MIN_EPOCHS,
        max_budget=task.epochs,
        n_trials=N_RUNS,
        seed=seed,
        output_directory=Path(folder) / "smac",
    )
    smac = MultiFidelityFacade(
        scenario,
        lambda config, seed, budget: 0.0,  # we tell the values ourselves
        initial_design=MultiFidelityFacade.get_initial_design(scenario, n_configs=N_RANDOM),
        logging_level=logging.ERROR,
        overwrite=True,
    )
    meter, curve = Meter(task), curve_of(task)
    trained: dict[tuple[Any, ...], int] = {}  # epochs of each configuration
    while not meter.over:
        asked = smac.ask()
        params = {name: plain(asked.config[name]) for name in task.space}
        values, key = curve(params), tuple(params.values())
        done, wanted = trained.get(key, 0), int(np.ceil(asked.budget))
        for value in values[done:wanted]:
            meter.train(params, float(value))
        trained[key] = max(done, wanted)
        smac.tell(asked, TrialValue(cost=float(values[:wanted].min()), time=1.0), save=False)
    meter.trials = len(trained)
    return meter


def hebo(task: Task, seed: int) -> Meter:
    """HEBO with full trainings: it has no pruning."""
    import torch
    from hebo.design_space.design_space import DesignSpace
    from hebo.optimizers.hebo import HEBO

    np.random.seed(seed)  # its evolution draws from the global states
    torch.manual_seed(seed)
    space = DesignSpace().parse([hebo_parameter(n, d) for n, d in task.space.items()])
    search = HEBO(space, scramble_seed=seed)
    meter, curve = Meter(task), curve_of(task)
    while not meter.over:
        asked = search.suggest(n_suggestions=1)
        params = {name: plain(asked.iloc[0][name]) for name in task.space}
        for name, d in task.space.items():
            if isinstance(d, IntDistribution):
                params[name] = min(max(round(params[name]), d.low), d.high)
        values = curve(params)
        meter.trials += 1
        for value in values:
            meter.train(params, float(value))
        search.observe(asked, np.array([[float(values.min())]]))
    return meter


def hebo_parameter(name: str, distribution: BaseDistribution) -> dict[str, Any]:
    """A parameter as HEBO declares it."""
    is_integer = isinstance(distribution, IntDistribution)
    kinds = ("pow_int", "int") if is_integer else ("pow", "num")
    kind = kinds[0] if is_log(distribution) else kinds[1]
    return {"name": name, "type": kind, "lb": low_of(distribution), "ub": high_of(distribution)}


def low_of(distribution: BaseDistribution) -> float:
    """The least value."""
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return distribution.low


def high_of(distribution: BaseDistribution) -> float:
    """The largest value."""
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return distribution.high


def is_log(distribution: BaseDistribution) -> bool:
    """Whether the scale is logarithmic."""
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return distribution.log


def plain(value: Any) -> Any:
    """A number of NumPy as Python's."""
    return value.item() if isinstance(value, np.generic) else value
