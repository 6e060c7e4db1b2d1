"""A shared server with PostgreSQL, S3, logins, and nginx with its defaults."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow_server import free_port
from server_parts import PASSWORD, S3_KEYS, login_server, nginx, postgresql, s3_server
from study.conftest import invoke

pytestmark = pytest.mark.long
SPEC = """\
study: team
seed: 3
data: {source: "sklearn:breast_cancer", test_fraction: 0.2}
cross_validation: {folds: 2}
training: {epochs: 2, early_stopping: null}
search_space:
  learning_rate: {type: float, low: 1e-3, high: 1e-1, log: true}
  units: 4
budget: {trials: 2}
selection: {finalists: 1}
"""


@dataclass
class Team:
    """The address of a team's server, and who this process is there."""

    uri: str
    patch: pytest.MonkeyPatch

    def login(self, user: str) -> None:
        self.patch.setenv("MLFLOW_TRACKING_USERNAME", user)
        self.patch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD.format(user))


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    from sqlalchemy import create_engine, text

    folder = tmp_path_factory.mktemp("team")
    with ExitStack() as stack:
        store = stack.enter_context(postgresql())
        engine = create_engine(store, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("create database logins"))
        engine.dispose()
        s3 = stack.enter_context(s3_server("team"))
        server = stack.enter_context(
            login_server(
                folder,
                ("editor", "reader"),
                store=store,
                logins=f"{store.rpartition('/')[0]}/logins",
                artifacts="s3://team/runs",
                env={**S3_KEYS, "MLFLOW_S3_ENDPOINT_URL": s3},
            )
        )
        uri = stack.enter_context(nginx(folder / "nginx", server.uri, free_port()))
        yield Team(uri, stack.enter_context(pytest.MonkeyPatch.context()))


@pytest.fixture(scope="module")
def editors(team: Team, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an editor who has run and promoted the study."""
    root = tmp_path_factory.mktemp("editor")
    (root / "team.yaml").write_text(SPEC)
    team.login("editor")
    done = invoke(root, "tune", "team.yaml", "--tracking-uri", team.uri)
    assert f"hpsearch promote team --as team@champion --tracking-uri {team.uri}" in done.output
    done = invoke(root, "promote", "team", "--as", "m", "--tracking-uri", team.uri)
    assert "m@champion is version 1 of team" in done.output
    assert "not tell of it yet" not in done.output
    return root


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from sklearn.datasets import load_breast_cancer

    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    load_breast_cancer(as_frame=True).data.head(5).to_csv(path, index=False)
    return path


def test_an_editor_can_do_all_that_a_study_needs(team: Team, editors: Path, rows: Path) -> None:
    team.login("editor")
    at = ("--tracking-uri", team.uri)
    done = invoke(editors, "sync", "team", *at)
    assert f"{team.uri} has all of team: 2 trials" in done.output
    assert "m" in invoke(editors, "models", *at).output
    assert 6 == len(invoke(editors, "predict", "m", rows, *at).stdout.splitlines())
    assert invoke(editors, "ui", "team", *at).output.startswith(f"{team.uri}/#/experiments/")
    invoke(editors, "report", "team", "-o", "report.html")
    assert (editors / "report.html").stat().st_size > 10_000
    assert "0 B" in invoke(editors, "gc", "--dry-run", *at).output
    invoke(editors, "gc", *at)
    assert "not in MLflow" not in invoke(editors, "doctor").output
    client = MlflowClient(team.uri)
    experiment = client.get_experiment_by_name("team")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert ["FINISHED"] * 3 == [run.info.status for run in runs]
    assert {"editor"} == {run.data.tags["mlflow.user"] for run in runs}
    assert all(run.data.tags["host"] for run in runs)


def test_a_reader_uses_the_model_and_is_told_what_to_ask_for(
    team: Team, editors: Path, rows: Path, tmp_path: Path
) -> None:
    at = ("--tracking-uri", team.uri)
    (tmp_path / "team.yaml").write_text(SPEC)
    team.login("reader")
    assert 6 == len(invoke(tmp_path, "predict", "m", rows, *at).stdout.splitlines())
    assert "champion" in invoke(tmp_path, "models", *at).output
    assert "/runs?" in invoke(tmp_path, "ui", "team", *at).output
    copied = tmp_path / "copied"  # as on a disk that they share
    shutil.copytree(editors, copied)
    for cursor in copied.rglob("uploaded-*.json"):
        cursor.unlink()
    experiment = "EDIT on the experiment 'team'"
    for folder, needs, *command in (
        (tmp_path, experiment, "tune", "team.yaml"),
        (copied, experiment, "sync", "team"),
        (copied, "EDIT on the study's experiment 'team'", "promote", "team", "--as", "of-reader"),
        (copied, "EDIT on the registered model 'm'", "promote", "team", "--as", "m@staging"),
    ):
        done = invoke(folder, *command, *at, code=2)
        (told,) = [line for line in done.output.splitlines() if line.strip()]
        assert f"permission denied: ask the server's administrator for {needs}" in told
    names = {model.name for model in MlflowClient(team.uri).search_registered_models()}
    assert names == {"m"}  # nothing empty was left


def test_a_file_over_the_proxys_limit_goes_round_it_in_parts(
    team: Team, editors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Straight to the bucket, with addresses that the server has signed: no keys are needed."""
    team.login("editor")
    client = MlflowClient(team.uri)
    experiment = client.get_experiment_by_name("team")
    assert experiment is not None
    run = client.search_runs([experiment.experiment_id], max_results=1)[0].info.run_id
    large = tmp_path / "large.bin"
    large.write_bytes(b"x" * 7_000_000)
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "true")
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", "1000000")
    client.log_artifact(run, str(large), "parts")
    assert [7_000_000] == [file.file_size for file in client.list_artifacts(run, "parts")]
