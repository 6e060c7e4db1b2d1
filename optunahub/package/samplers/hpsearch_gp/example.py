"""Minimize a function one of whose parameters exists in one branch alone."""

import optuna

from hpsearch.optuna import (
    GPSampler,  # from OptunaHub: optunahub.load_module("samplers/hpsearch_gp")
)


def objective(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", -5, 5)
    if trial.suggest_categorical("kind", ["a", "b"]) == "a":
        return x**2 + 3
    return x**2 + (trial.suggest_float("y", -5, 5) - 2) ** 2


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=GPSampler(seed=0))
    study.optimize(objective, n_trials=30)
    print("best value", study.best_value, "at", study.best_params)
