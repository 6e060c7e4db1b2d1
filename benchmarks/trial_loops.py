"""Cross-validation as a user would write it: loops over `fit`, with Optuna or Keras Tuner."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from trial_tasks import OPTIMIZERS, Config, build, make_folds


def loop_trial(config: Config, x: np.ndarray, y: np.ndarray) -> float:
    """Cross-validated AUC at the best epoch of the mean curve, a `fit` for each fold."""
    import keras
    from sklearn.preprocessing import StandardScaler

    from hpsearch.models import make_outputs
    from hpsearch.training.optimizers import make_optimizer

    curves = []
    for train, validation in make_folds(x, y):
        scaler = StandardScaler().fit(x[train])
        model = build(config, x.shape[1:], make_outputs("binary", 1))
        model.compile(
            make_optimizer(
                {k: v for k, v in config.items() if k in ("optimizer", "learning_rate")}
            ),
            loss="binary_crossentropy",
            metrics=["accuracy", keras.metrics.AUC(name="auc")],
        )
        history = model.fit(
            scaler.transform(x[train]),
            y[train],
            validation_data=(scaler.transform(x[validation]), y[validation]),
            batch_size=config["batch_size"],
            epochs=config["epochs"],
            verbose=0,
        )
        curves.append(history.history["val_auc"])
    return float(np.mean(curves, axis=0).max())


def loop_study(configs: list[Config], x: np.ndarray, y: np.ndarray) -> list[float]:
    """Optuna asks, the loop answers, MLflow hears of each trial."""
    import mlflow
    import optuna

    open_mlflow()
    study = optuna.create_study(direction="maximize")
    for config in configs:
        study.enqueue_trial(config)

    def objective(trial: Any) -> float:
        config = {
            "optimizer": trial.suggest_categorical("optimizer", OPTIMIZERS),
            "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
            "batch_size": trial.suggest_categorical("batch_size", [32, 64, 128, 256]),
            "units": trial.suggest_categorical("units", sorted({c["units"] for c in configs})),
            "dropout": trial.suggest_float("dropout", 0.05, 0.5),
            "epochs": configs[0]["epochs"],
        }
        with mlflow.start_run():
            mlflow.log_params(config)
            score = loop_trial(config, x, y)
            mlflow.log_metric("auc", score)
        return score

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study.optimize(objective, n_trials=len(configs))
    return [trial.value for trial in study.trials]


def keras_tuner_study(configs: list[Config], x: np.ndarray, y: np.ndarray) -> list[float]:
    """Keras Tuner's Tuner, the loop over folds in its `run_trial`."""
    import keras_tuner
    import mlflow

    open_mlflow()
    scores: list[float] = []

    class GivenOracle(keras_tuner.Oracle):  # type: ignore[misc]
        """Hands out the given configurations."""

        def populate_space(self, trial_id: str) -> dict[str, Any]:
            index = len(self.start_order) - 1
            if index >= len(configs):
                return {"status": "STOPPED", "values": None}
            return {"status": "RUNNING", "values": configs[index]}

    class CrossValidated(keras_tuner.Tuner):  # type: ignore[misc]
        """A trial is five fits."""

        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            config = configs[len(scores)]
            with mlflow.start_run():
                mlflow.log_params(config)
                scores.append(loop_trial(config, x, y))
                mlflow.log_metric("auc", scores[-1])
            return scores[-1]

    space = keras_tuner.HyperParameters()
    for name in configs[0]:
        space.Choice(name, sorted({c[name] for c in configs}))
    oracle = GivenOracle(keras_tuner.Objective("auc", "max"), len(configs), hyperparameters=space)
    tuner = CrossValidated(
        oracle, lambda hp: None, directory=tempfile.mkdtemp(), project_name="t", overwrite=True
    )
    tuner.search(verbose=0)
    return scores


def open_mlflow() -> None:
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{Path.cwd()}/mlflow.db")
