"""MLflow's own logins: what an administrator, an owner, an editor and a reader can do."""

from __future__ import annotations

import json
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import synthetic
from mlflow import MlflowClient
from mlflow_server import served
from promotion.conftest import Store

from hpsearch.errors import PromotionError, TrackingError
from hpsearch.promotion import Reference, models, promote, rollback
from hpsearch.promotion.registry import version_at
from hpsearch.promotion.scoring import fetch
from hpsearch.tracking.sender import sync
from hpsearch.tracking.store import journal_path, open_store

pytestmark = pytest.mark.long  # a server with logins hashes a password with each request
PASSWORD = "of-this-test-{}"
CONFIG = """\
[mlflow]
default_permission = READ
database_uri = sqlite:///{folder}/auth.db
admin_username = admin
admin_password = {password}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


@dataclass
class Server:
    """A server with logins."""

    uri: str
    patch: pytest.MonkeyPatch

    def client(self, user: str) -> MlflowClient:
        """A client, and the login of this process, of a user."""
        self.login(user, PASSWORD.format(user))
        return MlflowClient(self.uri)

    def login(self, user: str, password: str) -> None:
        self.patch.setenv("MLFLOW_TRACKING_USERNAME", user)
        self.patch.setenv("MLFLOW_TRACKING_PASSWORD", password)

    def ask(self, what: str, **fields: str) -> None:
        """A request of the administrator's."""
        login = b64encode(f"admin:{PASSWORD.format('admin')}".encode()).decode()
        request = urllib.request.Request(
            f"{self.uri}/api/{what}",
            json.dumps(fields).encode(),
            {"Content-Type": "application/json", "Authorization": f"Basic {login}"},
        )
        urllib.request.urlopen(request, timeout=30).close()

    def grant(self, user: str, kind: str, which: str, permission: str) -> None:
        """Give a user a permission."""
        given = {"resource_type": kind, "resource_id": which, "permission": permission}
        self.ask("3.0/mlflow/users/permissions/grant", username=user, **given)


@contextmanager
def logged_out() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("USERNAME", "PASSWORD", "TOKEN"):
            patch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
        yield patch


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pytest.importorskip("flask_wtf", reason="Flask-WTF is not installed: no server with logins")
    folder = tmp_path_factory.mktemp("auth")
    config = folder / "auth.ini"
    config.write_text(CONFIG.format(folder=folder, password=PASSWORD.format("admin")))
    where = ("--app-name", "basic-auth", "--workers", "1")
    where += ("--backend-store-uri", f"sqlite:///{folder}/mlflow.db")
    where += ("--artifacts-destination", str(folder / "artifacts"))
    env = {"MLFLOW_AUTH_CONFIG_PATH": str(config), "MLFLOW_FLASK_SERVER_SECRET_KEY": "of-this-test"}
    with served("server", *where, path="/health", env=env) as uri, logged_out() as patch:
        made = Server(uri, patch)
        for user in ("owner", "editor", "reader"):
            made.ask("2.0/mlflow/users/create", username=user, password=PASSWORD.format(user))
        yield made


@pytest.fixture(scope="module")
def study(server: Server, store: Store, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The run of a finished study of the owner's; the editor may write in its experiment."""
    run = store.study("of-the-owner", skill=2.0)
    folder = tmp_path_factory.mktemp("final")
    final = store.client.download_artifacts(run, "final", str(folder))
    owner = server.client("owner")
    experiment = owner.create_experiment("of-the-owner")
    made = owner.create_run(experiment, tags={"hpsearch.kind": "study"}).info.run_id
    owner.log_artifacts(made, final, "final")
    server.grant("editor", "experiment", experiment, "EDIT")
    return str(made)


def place(root: Path, user: str, name: str) -> Path:
    records = synthetic.study(1, folds=2, epochs=1)
    records[0] |= {"key": f"key-of-{user}", "study": name, "owner": user}
    return synthetic.write(journal_path(root / user, name), records)


def test_everybody_can_send_a_study_of_a_new_name(server: Server, tmp_path: Path) -> None:
    for user in ("admin", "owner", "editor", "reader"):
        server.client(user)
        sent = sync(place(tmp_path, user, f"new-{user}"), server.uri)
        run = server.client(user).get_run(sent.parent)
        assert ("FINISHED", user) == (run.info.status, run.data.tags["mlflow.user"])


def test_sync_of_a_reader_ends_in_one_line_that_says_what_to_ask_for(
    server: Server, tmp_path: Path
) -> None:
    server.client("owner")
    sent = sync(place(tmp_path, "owner", "shared"), server.uri)
    server.client("reader")
    with pytest.raises(TrackingError) as told:
        sync(place(tmp_path, "reader", "shared"), server.uri)
    text = str(told.value)
    assert "permission denied: ask the server's administrator for EDIT on the experiment" in text
    assert "'shared'" in text
    assert 1 == len(text.splitlines())
    owner = server.client("owner")
    assert 2 == len(owner.search_runs([sent.experiment_id]))  # nothing empty was left
    server.grant("reader", "experiment", sent.experiment_id, "EDIT")
    server.client("reader")
    sync(place(tmp_path, "reader", "shared"), server.uri)


def test_a_wrong_password_is_told_as_one(server: Server) -> None:
    server.login("owner", "wrong")
    with pytest.raises(TrackingError, match="the login is refused"):
        open_store(server.uri)


@pytest.mark.parametrize("user", ["owner", "editor", "admin"])
def test_who_may_write_in_the_experiment_promotes_to_a_new_name(
    server: Server, study: str, user: str, tmp_path: Path
) -> None:
    client = server.client(user)
    name = f"new-of-{user}"
    assert 1 == promote(client, study, Reference(name)).version
    reader = server.client("reader")
    assert ["champion"] == [alias for row in models(reader, name) for alias in row.aliases]
    assert fetch(reader, Reference(name), str(tmp_path)).is_dir()


def test_a_reader_is_told_what_to_ask_for_and_leaves_no_empty_model(
    server: Server, study: str
) -> None:
    reader = server.client("reader")
    assert version_at(reader, Reference("of-nobody")) is None
    with pytest.raises(PromotionError) as told:
        promote(reader, study, Reference("of-nobody"))
    text = str(told.value)
    assert "permission denied: ask the server's administrator for EDIT on the study's" in text
    assert 1 == len(text.splitlines())
    assert "of-nobody" not in {model.name for model in reader.search_registered_models()}


def test_the_model_of_somebody_else_needs_edit_on_it(
    server: Server, study: str, store: Store, tmp_path: Path
) -> None:
    promote(server.client("owner"), study, Reference("of-the-team"))
    editor = server.client("editor")
    with pytest.raises(PromotionError, match="for EDIT on the registered model 'of-the-team'"):
        promote(editor, study, Reference("of-the-team", "staging"))
    with pytest.raises(PromotionError, match="nothing to go back to"):
        rollback(editor, "of-the-team")
    server.grant("editor", "registered_model", "of-the-team", "EDIT")
    assert 1 == promote(server.client("editor"), study, Reference("of-the-team", "staging")).version
