"""`hpsearch rename`: folder, MLflow and registered versions, there and back."""

from pathlib import Path

import pytest
import synthetic
from answer_check import read_answer
from click.testing import CliRunner, Result
from mlflow import MlflowClient

from hpsearch.cli import main
from hpsearch.events import ModelPromoted, StudyRenamed
from hpsearch.history import load_history
from hpsearch.journal import Journal, take_lock
from hpsearch.tracking.study_sync import sync_study


@pytest.fixture
def journal(root: Path, uri: str, artifacts: str | None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished study that MLflow has, with a registered version."""
    monkeypatch.chdir(root)
    path = root / "mlruns" / "studies" / "churn" / "journal.jsonl"
    synthetic.write(path, synthetic.study(3))
    with Journal(path) as opened:
        opened.append(ModelPromoted(name="m", version=1, alias="champion"))
    run = sync_study(path, uri, artifacts).parent
    client = MlflowClient(uri)
    client.create_registered_model("m")
    tags = {"hpsearch.run": run, "hpsearch.study": "churn", "hpsearch.experiment": "1"}
    client.create_model_version("m", f"{root}/model", run, tags=tags)
    return path


def rename(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["rename", *arguments])


def study_runs(uri: str) -> list[tuple[str, str]]:
    """Experiment and name of every study's run."""
    client = MlflowClient(uri)
    names = {e.experiment_id: e.name for e in client.search_experiments()}
    runs = client.search_runs([*names], "tags.`hpsearch.kind` = 'study'")
    return [(names[run.info.experiment_id], run.info.run_name) for run in runs]


def test_folder_mlflow_and_versions_get_the_name_and_get_the_old_one_back(
    journal: Path, uri: str, artifacts: str | None
) -> None:
    folder = journal.parents[1]
    journal.with_name("report.html").write_text("old", encoding="utf-8")
    client = MlflowClient(uri)
    for then, now in (("churn", "leavers"), ("leavers", "churn")):
        done = rename(then, now, "--json")
        answer = read_answer("rename", done.stdout)
        assert (then, now, 1) == (answer["before"], answer["study"], answer["versions"])
        assert [now] == [path.name for path in folder.iterdir()]
        moved = folder / now / "journal.jsonl"
        assert now == load_history(moved).name
        assert f"<h1>{now}</h1>" in moved.with_name("report.html").read_text(encoding="utf-8")
        assert [(now, now)] == study_runs(uri)
        version = client.get_model_version("m", "1")
        assert now == version.tags["hpsearch.study"]
        assert f"From [{now}](#/experiments/" in version.description
        sync_study(moved, uri, artifacts)
        assert [(now, now)] == study_runs(uri)


def test_a_renamed_study_arrives_in_a_new_store_by_its_new_name(
    journal: Path, tmp_path: Path
) -> None:
    rename("churn", "leavers")
    uri = f"sqlite:///{tmp_path}/other.db"
    sync_study(journal.parents[1] / "leavers" / "journal.jsonl", uri, str(tmp_path / "files"))
    assert [("leavers", "leavers")] == study_runs(uri)


def test_the_experiment_of_several_studies_keeps_its_name(
    journal: Path, uri: str, artifacts: str | None, tmp_path: Path
) -> None:
    other = synthetic.study(3)
    other[0]["key"] = "another"
    synthetic.write(tmp_path / "journal.jsonl", other)
    sync_study(tmp_path / "journal.jsonl", uri, artifacts)
    assert 0 == rename("churn", "leavers").exit_code
    assert [("churn", "churn"), ("churn", "leavers")] == sorted(study_runs(uri))


def test_what_was_broken_off_is_finished_by_the_same_command(journal: Path, uri: str) -> None:
    with Journal(journal) as opened:
        opened.append(StudyRenamed(name="leavers"))
    journal.parent.rename(journal.parents[1] / "leavers")
    assert [("churn", "churn")] == study_runs(uri)
    assert 0 == rename("churn", "leavers").exit_code
    assert [("leavers", "leavers")] == study_runs(uri)


def test_a_running_study_a_taken_name_and_a_bad_one_are_refused(journal: Path) -> None:
    synthetic.write(journal.parents[1] / "other" / "journal.jsonl", synthetic.study(3))
    before = journal.read_bytes()
    with take_lock(journal):
        assert "is being run by" in rename("churn", "leavers").output
    assert "there is a study 'other' already" in rename("churn", "other").output
    assert "is not a valid name of a study" in rename("churn", "a/b").output
    assert "Did you mean 'churn'?" in rename("churm", "leavers").output
    assert before == journal.read_bytes()
