"""The searches that `pruners.py` compares a study's pairs with, and the meter that judges each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import numpy as np
import optuna
from optuna.distributions import IntDistribution
from sampler_tasks import Task


@dataclass(slots=True)
class Meter:
    """Counts epochs and knows the incumbent: the trial with the best value seen so far.

    Pruned trials count; what is judged is the regret of the configuration after a full training.
    """

    task: Task
    spent: int = 0  # epochs
    seen: float = np.inf
    trials: int = 0
    best: Mapping[str, Any] = field(default_factory=dict)
    regret: list[float] = field(default_factory=list)  # at each budget

    def train(self, params: Mapping[str, Any], value: float) -> None:
        """Take in one epoch and the value after it."""
        if self.over:
            return
        self.spent += 1
        if value < self.seen:
            self.seen, self.best = value, params
        if self.spent == self.task.budgets[len(self.regret)] * self.task.epochs:
            self.regret.append(self.task.regret(dict(self.best)))

    @property
    def over(self) -> bool:
        """Whether the largest budget is spent."""
        return len(self.regret) == len(self.task.budgets)


def curve_of(task: Task) -> Callable[[Mapping[str, Any]], np.ndarray]:
    """The learning curve of a configuration, mean over its folds, (epochs,); smaller is better."""
    assert task.curve is not None
    curve, epochs = task.curve, task.epochs
    return lambda params: curve(dict(params)).reshape(epochs, -1).mean(axis=1)


def optuna_search(
    sampler: optuna.samplers.BaseSampler, pruner: optuna.pruners.BasePruner, task: Task, seed: int
) -> Meter:
    """Optuna's own loop; steps are counted from 0 as its examples do."""
    meter, curve = Meter(task), curve_of(task)
    study = optuna.create_study(
        study_name=f"{task.name} {seed}",  # Hyperband draws its brackets from the name
        sampler=sampler,
        pruner=pruner,
    )
    while not meter.over:
        trial = study.ask(task.space)
        values = curve(trial.params)
        meter.trials += 1
        state = optuna.trial.TrialState.COMPLETE
        for step, value in enumerate(values):
            meter.train(trial.params, float(value))
            trial.report(float(value), step)
            if step + 1 < task.epochs and trial.should_prune():
                state = optuna.trial.TrialState.PRUNED
                break
        is_complete = state == optuna.trial.TrialState.COMPLETE
        study.tell(trial, task.truth(trial.params) if is_complete else None, state=state)
    return meter


def keras_tuner_default(task: Task, seed: int, folder: str) -> Meter:
    """Keras Tuner's Hyperband: survivors of a round go on from their checkpoint."""
    import keras_tuner as kt  # ten seconds: only for its own row

    meter, curve = Meter(task), curve_of(task)
    hp = kt.HyperParameters()
    for name, d in task.space.items():
        kind = hp.Int if isinstance(d, IntDistribution) else hp.Float
        kind(name, d.low, d.high, sampling="log" if d.log else "linear", step=None)
    oracle = kt.oracles.HyperbandOracle(
        objective=kt.Objective("value", "min"),
        max_epochs=task.epochs,
        hyperband_iterations=1000,  # the budget ends it
        hyperparameters=hp,
        seed=seed + 1,  # 0 means a random one there
    )
    oracle.verbose = 0
    oracle._set_project_dir(folder, f"hyperband-{task.name}-{seed}")
    oracle.save = lambda: None
    oracle._save_trial = lambda trial: None
    asked = 0
    while not meter.over:
        asked += 1
        trial = oracle.create_trial(f"worker-{asked}")
        values = trial.hyperparameters.values
        params = {
            n: min(max(int(values[n]), d.low), d.high)  # its Int can return max + 1
            if isinstance(d, IntDistribution)
            else values[n]
            for n, d in task.space.items()
        }
        first, last = values["tuner/initial_epoch"], values["tuner/epochs"]
        meter.trials += first == 0
        errors = curve(params)[first:last]
        for value in errors:
            meter.train(params, float(value))
        # Its Tuner scores a trial by the best epoch of the round.
        oracle.update_trial(trial.trial_id, {"value": float(errors.min())})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    return meter


def one_epoch(task: Task, seed: int) -> Meter:
    """Random trials of one epoch, then the better half in full: a search for each budget."""
    curve, regret = curve_of(task), []
    for index, budget in enumerate(task.budgets):
        meter = Meter(task)
        sampler = optuna.samplers.RandomSampler(seed=seed)
        study = optuna.create_study(sampler=sampler)
        # Two trials cost one full training and one epoch.
        pairs = ceil(budget * task.epochs / (task.epochs + 1))
        tried = [study.ask(task.space).params for _ in range(2 * pairs)]
        curves = np.stack([curve(params) for params in tried])
        for params, values in zip(tried, curves, strict=True):
            meter.train(params, float(values[0]))
        for trial in np.argsort(curves[:, 0], kind="stable")[:pairs]:
            for value in curves[trial, 1:]:
                meter.train(tried[trial], float(value))
        meter.trials = len(tried)
        regret.append(meter.regret[index])
    meter.regret = regret
    return meter
