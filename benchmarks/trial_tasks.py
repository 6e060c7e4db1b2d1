"""Tables, folds, network and configurations of the benchmark `trials.py`."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

FOLDS = 5
MODEL = f"{Path(__file__).resolve()}:build"
OPTIMIZERS = ("adam", "adamw", "rmsprop", "sgd", "nadam")  # of a study
Config = dict[str, Any]

# data -> the configuration that is trained again and again; units are those of each layer
STEADY: dict[str, Config] = {
    "breast_cancer": {"units": "64-32", "batch_size": 32, "dropout": 0.2, "epochs": 20},
    "telco": {"units": "64-32", "batch_size": 64, "dropout": 0.2, "epochs": 20},
    "bank": {"units": "64-32", "batch_size": 256, "dropout": 0.2, "epochs": 10},
    "wide": {"units": "512-256", "batch_size": 512, "epochs": 2},
    "wide_dropout": {"units": "512-256", "batch_size": 512, "dropout": 0.2, "epochs": 2},
}


def build(params: Config, inputs: tuple[int, ...], outputs: Any) -> Any:
    """The network of every contestant."""
    import keras

    x = first = keras.Input(inputs)
    for units in str(params["units"]).split("-"):
        x = keras.layers.Dense(int(units), activation="relu")(x)
        if params.get("dropout"):
            x = keras.layers.Dropout(params["dropout"])(x)
    return keras.Model(first, keras.layers.Dense(outputs.units, outputs.activation)(x))


def draw_configurations(n: int, epochs: int) -> list[Config]:
    """Different configurations of a study: optimizer, batch size, layers and units all vary."""
    rng = np.random.default_rng(7)
    widths = [16, 24, 32, 48, 64, 96, 128]
    return [
        {
            "optimizer": str(rng.choice(OPTIMIZERS)),
            "learning_rate": float(10 ** rng.uniform(-4, -2)),
            "batch_size": int(rng.choice([32, 64, 128, 256])),
            "units": "-".join([str(rng.choice(widths))] * int(rng.integers(1, 4))),
            "dropout": float(rng.uniform(0.05, 0.5)),
            "epochs": epochs,
        }
        for _ in range(n)
    ]


def load_table(data: str) -> tuple[np.ndarray, np.ndarray]:
    """Features, one-hot and unscaled, float32, and a 0/1 target, shape (n_rows,)."""
    import pandas as pd

    if data == "breast_cancer":
        from sklearn.datasets import load_breast_cancer

        return tuple(a.astype("float32") for a in load_breast_cancer(return_X_y=True))  # type: ignore[return-value]
    if data.startswith("wide"):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(60_000, 60)).astype("float32")
        signal = np.tanh(x[:, :20] @ rng.normal(size=(20, 8))) @ rng.normal(size=8)
        return x, (signal + 0.5 * rng.normal(size=len(x)) > 0).astype("float32")
    folder = Path(os.environ["HPSEARCH_DATA"])
    if data == "telco":
        frame = pd.read_csv(folder / "telco_churn" / "Telco-Customer-Churn.csv")
        frame = frame.drop(columns="customerID")
        frame["TotalCharges"] = pd.to_numeric(frame["TotalCharges"], errors="coerce").fillna(0)
        target = frame.pop("Churn") == "Yes"
    else:
        frame = pd.read_csv(folder / "bank_marketing" / "bank-full.csv.gz", sep=";")
        target = frame.pop("y") == "yes"
    return pd.get_dummies(frame).to_numpy("float32"), target.to_numpy("float32")


def make_folds(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The folds of every contestant."""
    from sklearn.model_selection import StratifiedKFold

    yield from StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(x, y)


def count_flops(data: str, rows: int, features: int) -> float:
    """Floating-point operations of a steady trial's products, forward, backward and judging."""
    config = STEADY[data]
    dims = [features, *map(int, config["units"].split("-")), 1]
    products = [2 * a * b for a, b in itertools.pairwise(dims)]
    training = (FOLDS - 1) * rows * (3 * sum(products) - products[0])
    return float(config["epochs"] * (training + rows * sum(products)))
