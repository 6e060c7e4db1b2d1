"""`hpsearch delete` and `note`: deleted and kept data, and the confirmation."""

import re
from pathlib import Path

import pytest
import synthetic
from answer_check import read_answer
from click.testing import CliRunner, Result
from mlflow import MlflowClient
from mlflow.entities import ViewType

from hpsearch.cli import main
from hpsearch.history import load_history
from hpsearch.journal import Journal, take_lock
from hpsearch.tracking.study_sync import sync_study


@pytest.fixture
def journal(root: Path, uri: str, artifacts: str | None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished study that MLflow has."""
    monkeypatch.chdir(root)
    path = root / "mlruns" / "studies" / "churn" / "journal.jsonl"
    synthetic.write(path, synthetic.study(3))
    (path.parent / "plots").mkdir()
    (path.parent / "plots" / "a.png").write_bytes(b"a")
    sync_study(path, uri, artifacts)
    return path


def command(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(main, arguments, input=answer)


def count_runs(uri: str) -> tuple[int, int]:
    """How many runs of the study are active and deleted."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("churn").experiment_id
    kinds = (ViewType.ACTIVE_ONLY, ViewType.DELETED_ONLY)
    active, deleted = (len(client.search_runs([experiment], run_view_type=k)) for k in kinds)
    return active, deleted


def test_delete_asks_and_then_removes_folder_and_runs(journal: Path, uri: str) -> None:
    synthetic.write(journal.parents[1] / "other" / "journal.jsonl", synthetic.study(3))
    active, _ = count_runs(uri)
    assert active >= 4
    done = command("delete", "churn", answer="n\n")
    assert 1 == done.exit_code
    assert f"churn: 3 trials, 0.0 MB in {journal.parent}; {active} runs" in done.output
    assert journal.exists()
    assert (active, 0) == count_runs(uri)
    done = command("delete", "churn", answer="y\n")
    assert 0 == done.exit_code, done.output
    assert not journal.parent.exists()
    assert (0, active) == count_runs(uri)
    assert (journal.parents[1] / "other" / "journal.jsonl").exists()


def test_a_study_that_runs_is_not_deleted(journal: Path) -> None:
    with take_lock(journal):
        done = command("delete", "churn", "--yes", "--force")
    assert 2 == done.exit_code
    assert journal.exists()


def test_a_study_whose_model_is_registered_is_deleted_by_force_alone(
    journal: Path, uri: str
) -> None:
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("churn").experiment_id
    run = client.search_runs([experiment], "tags.`hpsearch.kind` = 'study'")[0].info
    client.create_registered_model("m")
    client.create_model_version("m", f"{run.artifact_uri}/model", run.run_id)
    done = command("delete", "churn", "--yes")
    assert 2 == done.exit_code
    assert "its model is registered" in done.output
    assert journal.exists()
    answer = read_answer("delete", command("delete", "churn", "--yes", "--force", "--json").stdout)
    assert ("churn", 3) == (answer["study"], answer["trials"])
    assert not journal.parent.exists()
    assert 1 == int(client.get_model_version("m", "1").version)


def test_a_note_is_shown_by_studies_report_and_mlflow(
    journal: Path, uri: str, artifacts: str | None
) -> None:
    command("report")
    assert 0 == command("note", "churn", "baseline for *May*, password=hunter22xyz").exit_code
    history = load_history(journal)
    assert "baseline for *May*" in history.note
    assert "hunter22xyz" not in journal.read_text(encoding="utf-8")
    shown = re.sub(r"\s+", " ", command("studies").output)
    assert "baseline" in shown
    assert "baseline for *May*" in journal.with_name("report.html").read_text()
    sync_study(journal, uri, artifacts)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("churn").experiment_id
    (run,) = client.search_runs([experiment], "tags.`hpsearch.kind` = 'study'")
    assert r"Note: baseline for \*May\*" in run.data.tags["mlflow.note.content"]
    command("note", "churn", "")
    assert "" == load_history(journal).note


def test_a_note_on_a_study_that_runs_is_refused(journal: Path) -> None:
    with Journal(journal):
        done = command("note", "churn", "later")
    assert 2 == done.exit_code
    assert "" == load_history(journal).note
