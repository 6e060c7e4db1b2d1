"""MLflow's own logins: what an administrator, an owner, an editor and a reader can do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import synthetic
from mlflow import MlflowClient
from promotion.conftest import Store
from server_parts import PASSWORD, LoginServer, login_server

from hpsearch.errors import PromotionError, TrackingError
from hpsearch.promotion import Reference, list_versions, promote_run, rollback_model
from hpsearch.promotion.model_loading import fetch_model
from hpsearch.promotion.registry import version_at
from hpsearch.tracking.store import journal_path, open_store
from hpsearch.tracking.study_sync import sync_study

pytestmark = pytest.mark.long  # a server with logins hashes a password with each request


@dataclass
class Server:
    """A server with logins, and the login of this process."""

    parts: LoginServer
    patch: pytest.MonkeyPatch

    @property
    def uri(self) -> str:
        return self.parts.uri

    def client(self, user: str) -> MlflowClient:
        """A client, and the login of this process, of a user."""
        self.login(user, PASSWORD.format(user))
        return MlflowClient(self.uri)

    def login(self, user: str, password: str) -> None:
        self.patch.setenv("MLFLOW_TRACKING_USERNAME", user)
        self.patch.setenv("MLFLOW_TRACKING_PASSWORD", password)

    def grant(self, user: str, kind: str, which: str, permission: str) -> None:
        self.parts.grant(user, kind, which, permission)


@contextmanager
def logged_out() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("USERNAME", "PASSWORD", "TOKEN"):
            patch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
        yield patch


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    users = ("owner", "editor", "reader")
    with login_server(tmp_path_factory.mktemp("auth"), users) as parts, logged_out() as patch:
        yield Server(parts, patch)


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
    records[0] |= {"key": f"key-of-{user}-{name}", "study": name, "owner": user}
    return synthetic.write(journal_path(root / user, name), records)


def test_everybody_can_send_a_study_of_a_new_name(server: Server, tmp_path: Path) -> None:
    for user in ("admin", "owner", "editor", "reader"):
        server.client(user)
        sent = sync_study(place(tmp_path, user, f"new-{user}"), server.uri)
        run = server.client(user).get_run(sent.parent)
        assert ("FINISHED", user) == (run.info.status, run.data.tags["mlflow.user"])


def test_sync_of_a_reader_ends_in_one_line_that_says_what_to_ask_for(
    server: Server, tmp_path: Path
) -> None:
    server.client("owner")
    sent = sync_study(place(tmp_path, "owner", "shared"), server.uri)
    server.client("reader")
    with pytest.raises(TrackingError) as told:
        sync_study(place(tmp_path, "reader", "shared"), server.uri)
    text = str(told.value)
    assert "permission denied: ask the server's administrator for EDIT on the experiment" in text
    assert "'shared'" in text
    assert 1 == len(text.splitlines())
    owner = server.client("owner")
    assert 2 == len(owner.search_runs([sent.experiment_id]))  # nothing empty was left
    server.grant("reader", "experiment", sent.experiment_id, "EDIT")
    server.client("reader")
    sync_study(place(tmp_path, "reader", "shared"), server.uri)


def test_a_wrong_password_is_told_as_one(server: Server) -> None:
    server.login("owner", "wrong")
    with pytest.raises(TrackingError, match="the login is refused"):
        open_store(server.uri)


def run_and_tell_imports(folder: Path, *arguments: str) -> tuple[str, bool]:
    """What a command prints on stderr, and whether it has imported MLflow."""
    code = (
        "import sys, atexit; from hpsearch.cli import main; "
        "atexit.register(lambda: print('mlflow' in sys.modules)); main()"
    )
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert 2 == done.returncode, done.stderr
    return done.stderr, done.stdout.endswith("True\n")


SPEC = """\
study: {study}
data: {{source: "sklearn:wine"}}
search_space: {{units: [4, 8]}}
budget: {{trials: 1}}
"""


def test_refusals_are_told_in_one_line_before_mlflow_is_imported(
    server: Server, tmp_path: Path
) -> None:
    owner = server.client("owner")
    owner.create_experiment("begun-by-the-owner")
    spec = tmp_path / "study.yaml"
    spec.write_text(SPEC.format(study="begun-by-the-owner"))
    at = ("--tracking-uri", server.uri)
    server.client("reader")
    told, has_imported = run_and_tell_imports(tmp_path, "tune", str(spec), *at)
    needed = "ask the server's administrator for EDIT on the experiment 'begun-by-the-owner'."
    assert f"{server.uri}: permission denied: {needed}\n" == told
    assert not has_imported
    assert [spec] == list(tmp_path.iterdir())  # nothing was begun
    server.login("reader", "wrong")
    for command in (["models"], ["tune", str(spec)], ["sync", "x"], ["predict", "m", "rows.csv"]):
        if command[0] == "sync":
            place(tmp_path, "reader", "x").parents[3].rename(tmp_path / "there")
            folder = tmp_path / "there"
        else:
            folder = tmp_path
        told, has_imported = run_and_tell_imports(folder, *command, *at)
        assert 1 == told.count("the login is refused. Check MLFLOW_TRACKING_USERNAME")
        assert 1 == len(told.splitlines())
        assert not has_imported


@pytest.mark.parametrize("user", ["owner", "editor", "admin"])
def test_edit_permission_on_the_experiment_suffices_to_promote_to_a_new_name(
    server: Server, study: str, user: str, tmp_path: Path
) -> None:
    client = server.client(user)
    name = f"new-of-{user}"
    assert 1 == promote_run(client, study, Reference(name)).version
    reader = server.client("reader")
    assert ["champion"] == [alias for row in list_versions(reader, name) for alias in row.aliases]
    assert fetch_model(reader, Reference(name), str(tmp_path)).is_dir()


def test_a_reader_is_told_what_to_ask_for_and_leaves_no_empty_model(
    server: Server, study: str
) -> None:
    reader = server.client("reader")
    assert version_at(reader, Reference("of-nobody")) is None
    with pytest.raises(PromotionError) as told:
        promote_run(reader, study, Reference("of-nobody"))
    text = str(told.value)
    assert "permission denied: ask the server's administrator for EDIT on the study's" in text
    assert 1 == len(text.splitlines())
    assert "of-nobody" not in {model.name for model in reader.search_registered_models()}


def test_another_users_model_needs_edit_permission(
    server: Server, study: str, store: Store, tmp_path: Path
) -> None:
    promote_run(server.client("owner"), study, Reference("of-the-team"))
    editor = server.client("editor")
    with pytest.raises(PromotionError, match="for EDIT on the registered model 'of-the-team'"):
        promote_run(editor, study, Reference("of-the-team", "staging"))
    with pytest.raises(PromotionError, match="has no previous champion"):
        rollback_model(editor, "of-the-team")
    server.grant("editor", "registered_model", "of-the-team", "EDIT")
    assert (
        1
        == promote_run(server.client("editor"), study, Reference("of-the-team", "staging")).version
    )
