"""A registry that is another server than the one that holds the runs (MLFLOW_REGISTRY_URI)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow_server import served
from promotion.conftest import Store

from hpsearch.promotion import Reference, promote_run
from hpsearch.promotion.model_loading import fetch_model

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The addresses of a tracking server and of a registry."""
    with ExitStack() as stack:
        made = []
        for name in ("tracking", "registry"):
            folder = tmp_path_factory.mktemp(name)
            where = ("--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db")
            where += ("--artifacts-destination", str(folder / "artifacts"))
            made.append(stack.enter_context(served("server", *where, path="/health")))
        yield made


def test_colleagues_load_a_model_from_the_registry_alone(
    servers: list[str], store: Store, tmp_path: Path
) -> None:
    tracking, registry = servers
    run = store.study("two-servers")
    final = store.client.download_artifacts(run, "final", str(tmp_path))
    client = MlflowClient(tracking, registry_uri=registry)
    experiment = client.create_experiment("two-servers")
    made = client.create_run(experiment, tags={"hpsearch.kind": "study"}).info.run_id
    client.log_artifacts(made, final, "final")
    assert 1 == promote_run(client, made, Reference("shared")).version
    colleague = MlflowClient(registry)
    assert fetch_model(colleague, Reference("shared"), str(tmp_path)).is_dir()
    assert 1 == promote_run(client, made, Reference("shared")).version  # it is known again


def test_a_model_of_a_local_store_is_loaded_from_a_shared_registry(
    servers: list[str], store: Store, tmp_path: Path
) -> None:
    client = MlflowClient(store.uri, registry_uri=servers[1])
    assert 1 == promote_run(client, store.study("only-here"), Reference("from-here")).version
    done = promote_run(client, store.study("better", skill=4.0), Reference("from-here"))
    assert (2, 1) == (done.version, done.before)
    assert done.comparison is not None
    assert fetch_model(MlflowClient(servers[1]), Reference("from-here"), str(tmp_path)).is_dir()
