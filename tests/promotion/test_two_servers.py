"""A registry that is another server than the one that holds the runs (MLFLOW_REGISTRY_URI)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow_server import served
from promotion.conftest import Store

from hpsearch.errors import PromotionError
from hpsearch.promotion import Reference, promote
from hpsearch.promotion.scoring import fetch

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
    assert 1 == promote(client, made, Reference("shared")).version
    colleague = MlflowClient(registry)
    version = colleague.get_model_version_by_alias("shared", "champion")
    host = tracking.removeprefix("http://")
    assert version.source.startswith(f"mlflow-artifacts://{host}/")
    assert fetch(colleague, Reference("shared"), str(tmp_path)).is_dir()


def test_a_model_that_nobody_else_could_load_is_not_registered(
    servers: list[str], store: Store
) -> None:
    client = MlflowClient(store.uri, registry_uri=servers[1])
    with pytest.raises(PromotionError, match="lies on this machine"):
        promote(client, store.study("only-here"), Reference("only-here"))
    assert "only-here" not in {m.name for m in client.search_registered_models()}
