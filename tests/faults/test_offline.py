"""A study without MLflow: later upload, rerun of trials, and no secret in its files."""

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
import synthetic
from answer_check import read_answer
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.cli import main
from hpsearch.errors import HpsearchError, TrackingError
from hpsearch.study.maintenance.rerun import rerun_trial
from hpsearch.tracking.store import default_uri, journal_path, open_store
from tests.study.conftest import command, invoke

CANARY = "canary-7f3a9"
SPEC = """\
study: offline
data: {source: "sklearn:wine"}
cross_validation: {folds: 2}
training: {epochs: 3}
search_space: {units: {type: int, low: 4, high: 9}, learning_rate: 0.01}
sampler: {kind: random}
budget: {trials: 2}
selection: {finalists: 0}
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A study of two trials that was run with --offline."""
    root = tmp_path_factory.mktemp("offline")
    (root / "offline.yaml").write_text(SPEC)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
        patch.setenv("MLFLOW_TRACKING_PASSWORD", CANARY)
        patch.setenv("MLFLOW_TRACKING_URI", f"http://ann:{CANARY}@127.0.0.1:1")
        done = invoke(root, "tune", "offline.yaml", "--offline")
    assert CANARY not in done.output
    return root


@pytest.fixture
def here(root, monkeypatch) -> Path:
    monkeypatch.chdir(root)
    return root


def test_offline_touches_no_store_and_sync_sends_everything_once(here, figure):
    assert not (here / "mlruns" / "mlflow.db").exists()
    for _ in range(2):
        done = CliRunner().invoke(main, ["sync", "offline"])
        assert 0 == done.exit_code, done.output
        assert "has all of offline: 2 trials" in done.output
    answer = read_answer("sync", CliRunner().invoke(main, ["sync", "offline", "--json"]).stdout)
    assert ("offline", 2, []) == (answer["study"], answer["trials"], answer["refused"])
    client = open_store(default_uri(here))
    [experiment] = client.search_experiments(filter_string="name = 'offline'")
    runs = client.search_runs([experiment.experiment_id])
    found = sorted((run.info.run_name, run.info.status) for run in runs)
    assert [("offline", "FINISHED"), ("trial-000", "FINISHED"), ("trial-001", "FINISHED")] == found
    [parent] = [run for run in runs if run.info.run_name == "offline"]
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert {"journal.jsonl", "final", "plots"} <= files
    figure(lost=0, doubled=0)


def test_nothing_of_the_environment_is_in_any_file(here, figure):
    CliRunner().invoke(main, ["report", "offline", "-o", "page.html"])
    files = [path for path in here.rglob("*") if path.is_file()]
    assert {"journal.jsonl", "page.html", "worker-0.log"} <= {path.name for path in files}
    found = [path for path in files if CANARY.encode() in path.read_bytes()]
    assert [] == found
    figure(canary_found=len(found))


def test_a_trial_trained_again_is_the_same_bit_for_bit(here, figure):
    again = rerun_trial(journal_path(here, "offline"), 1)
    assert again.is_same
    assert 0.0 == again.difference
    figure(difference=again.difference)


def test_a_score_that_comes_out_otherwise_is_told(here, tmp_path):
    path = journal_path(here, "offline")
    lines = []
    for line in path.read_bytes().splitlines(keepends=True):
        record = json.loads(line.partition(b" ")[2])
        if record["event"] == "result":
            record["fold_scores"][0] -= 2**-50
        lines.append(synthetic.line(record))
    shutil.copytree(path.parent, tmp_path / "mlruns" / "studies" / "offline")
    other = journal_path(tmp_path, "offline")
    other.write_bytes(b"".join(lines))
    again = rerun_trial(other, 1)
    assert not again.is_same
    assert 2**-50 == again.difference


def test_a_trial_that_is_not_there_is_named_with_those_that_are(here):
    with pytest.raises(HpsearchError, match=r"has no trial 7\. Trials: 0 to 1"):
        rerun_trial(journal_path(here, "offline"), 7)


WORD = st.text("abcXYZ019!#$%&*+,-./:;=?@[]^_`{|}~äß\u2713", max_size=20)


@given(user=WORD, before=WORD, after=WORD, told=st.sampled_from(["{}", "at {}.", "({}) is away"]))
def test_no_message_tells_the_password_of_a_uri(user, before, after, told):
    uri = f"postgresql://{user}:{before}{CANARY}{after}@db.example/runs"
    assert CANARY not in str(TrackingError(told.format(uri)))


@pytest.mark.parametrize("kind", ["refuses", "is silent"])
def test_a_server_that_is_down_at_the_start_is_told_in_seconds(kind, figure):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if kind == "refuses":
            server.close()
        began = time.monotonic()
        with pytest.raises(TrackingError) as told:
            open_store(f"http://ann:{CANARY}@127.0.0.1:{port}")
        seconds = time.monotonic() - began
    assert f"http://***@127.0.0.1:{port}" in str(told.value)
    assert "--offline" in str(told.value)
    assert CANARY not in str(told.value)
    assert seconds < 10
    figure(**{f"{kind}_s": round(seconds, 1)})


def test_ui_tells_no_password_of_a_server(tmp_path):
    done = subprocess.run(
        command("ui", "--tracking-uri", f"http://ann:{CANARY}@127.0.0.1:1"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "http://127.0.0.1:1/" in done.stdout
    assert CANARY not in done.stdout + done.stderr


def test_the_files_of_a_study_are_read_without_pickle(here):
    names = {path.suffix for path in here.rglob("*") if path.is_file()}
    assert set() == names & {".pkl", ".pickle", ".joblib"}
