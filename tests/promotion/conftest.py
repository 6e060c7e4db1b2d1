"""A store with studies whose winners were fitted, as `hpsearch tune` leaves them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow_server import served

from hpsearch.data.schema import Schema

N_LOCKED = 400
RAW = pd.DataFrame(
    {
        "unused": [1, 2, 3, 4],
        "city": ["Köln", None, "Bonn", "Ulm"],
        "age": [20, 30, 40, 50],
        "charges": ["12.5", " ", None, "40"],
    }
)


@dataclass(frozen=True)
class Store:
    """A SQLite store and what makes studies in it."""

    client: Any
    uri: str
    study: Callable[..., str]  # (name, skill, fingerprint) -> run id


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    from promotion.test_served_model import make_model

    from hpsearch.promotion.package import Lineage, save_served_model
    from hpsearch.tracking.store import open_store

    folder = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{folder}/mlflow.db"
    client = open_store(uri)
    model, schema = make_model(folder, "binary")
    assert model is not None
    rows = schema.clean(RAW)
    truth = np.random.default_rng(0).integers(0, 2, (N_LOCKED, 1)).astype(np.float32)

    def study(
        name: str,
        skill: float = 1.0,
        fingerprint: str = "f" * 64,
        locked: int = 0,
        winner: tuple[Path, Schema, np.ndarray] = (folder / "model.keras", schema, rows),
    ) -> str:
        """A study whose predictions separate the classes by `skill` standard deviations.

        `winner` is its network, with some cleaned rows.
        """
        place = folder / name
        final = place / "final"
        final.mkdir(parents=True)
        save_served_model(
            final / "model",
            model=winner[0],
            schema=winner[1],
            columns=winner[2],
            lineage=Lineage(name, 3, fingerprint, "roc_auc", 0.9, 0.01, 12, {"roc_auc": 0.88}),
        )
        rng = np.random.default_rng(7)
        logit = skill * (truth - 0.5) + rng.normal(size=truth.shape)
        held = slice(locked, None)
        np.savez(
            final / "predictions.npz",
            truth=truth[held],
            prediction=1 / (1 + np.exp(-logit[held])),
            weights=np.ones(N_LOCKED)[held],
            fingerprint=fingerprint,
        )
        experiment = client.create_experiment(name, str(folder / "artifacts"))
        run = client.create_run(experiment, tags={"hpsearch.kind": "study"})
        client.log_artifacts(run.info.run_id, str(final), "final")
        client.set_terminated(run.info.run_id)
        return str(run.info.run_id)

    return Store(client, uri, study)


@pytest.fixture(scope="session")
def over_http(store: Store) -> Iterator[Store]:
    """The same store behind MLflow's tracking server."""
    from mlflow import MlflowClient

    where = ("--workers", "1", "--backend-store-uri", store.uri)
    with served("server", *where, path="/health") as uri:
        yield replace(store, client=MlflowClient(uri), uri=uri)


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of 500 rows with text, blanks and strange categories."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "id": np.arange(500),
            "city": rng.choice(["Köln", "Bonn", "Ulm", ""], 500),
            "age": rng.integers(18, 90, 500),
            "charges": rng.choice(["12.5", " ", "", "40", "1e2"], 500),
        }
    )
    path = tmp_path_factory.mktemp("table") / "new.csv"
    frame.to_csv(path, index=False)
    return path
