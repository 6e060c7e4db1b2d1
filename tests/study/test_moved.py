"""A moved or copied project folder: commands work there and do not change the old one."""

import shutil
import sqlite3
from pathlib import Path

from hpsearch.study.prepare import load_data
from hpsearch.study.tune import read_spec
from hpsearch.tracking.relocation import FOLDER, update_locations
from hpsearch.tracking.store import artifact_location, default_uri, get_experiment_id, open_store

from .conftest import invoke, run


def snapshot(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def locations(root: Path) -> set[str]:
    with sqlite3.connect(root / "mlruns" / "mlflow.db") as database:
        found = database.execute(
            "select artifact_location from experiments union select artifact_uri from runs "
            "union select source from model_versions"
        ).fetchall()
    return {location for (location,) in found if FOLDER in location}


def test_a_folder_that_was_copied_or_moved_works_and_leaves_the_old_one_alone(
    finished, tmp_path, caplog, figure
):
    old, copied, moved = (tmp_path / name for name in ("old", "copied", "moved"))
    shutil.copytree(finished.root, old)
    locked = load_data(read_spec(finished.spec)).locked_rows.read().table.to_pandas()
    locked.head(5).to_csv(old / "some.csv", index=False)
    run(old, "promote", "cancer", "--as", "m")  # MLflow remembers a run's folder per process
    shutil.copytree(old, copied)
    before = snapshot(old)
    for root in (copied, moved):
        if root == moved:
            old.rename(moved)
        told = invoke(root, "predict", "m@champion", "some.csv").stdout
        assert f"{root} was moved or copied from {old}" in caplog.text
        assert 6 == len(told.splitlines())
        assert all(str(root) in location for location in locations(root))
        invoke(root, "report", "cancer", "-o", "r.html")
        if root == copied:
            run(root, "promote", "cancer", "--as", "again")
            assert before == snapshot(old)
    assert not old.exists()
    figure(files_written_into_the_old_folder=0)


def test_a_database_copied_without_its_artifacts_leaves_the_old_ones_alone(
    tmp_path, empty_store, caplog
):
    old, copied = tmp_path / "old", tmp_path / "copied"
    client = open_store(default_uri(old))
    mine = get_experiment_id(client, "mine", artifact_location(default_uri(old), old))
    client.log_text(client.create_run(mine).info.run_id, "x", "a.txt")
    (copied / "mlruns").mkdir(parents=True)
    shutil.copy(old / "mlruns" / "mlflow.db", copied / "mlruns")
    before = snapshot(old)
    client = open_store(default_uri(copied))
    assert f"{copied} was moved or copied from {old}" in caplog.text
    client.log_text(client.create_run(mine).info.run_id, "x", "b.txt")
    assert all(str(copied) in location for location in locations(copied))
    assert ["b.txt"] == [path.name for path in (copied / "mlruns" / "artifacts").rglob("*.txt")]
    assert before == snapshot(old)


def test_another_project_that_shares_the_database_keeps_its_locations(tmp_path, empty_store):
    other = tmp_path.parent / f"{tmp_path.name}-other"
    (other / "mlruns" / "artifacts").mkdir(parents=True)
    client = open_store(default_uri(tmp_path))
    theirs = get_experiment_id(client, "theirs", artifact_location(default_uri(tmp_path), other))
    made = client.create_run(theirs)
    client.log_text(made.info.run_id, "x", "a.txt")
    before = locations(tmp_path)
    update_locations(tmp_path / "mlruns" / "mlflow.db")
    assert before == locations(tmp_path)
    shutil.rmtree(other)
