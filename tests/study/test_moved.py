"""A project's folder that was moved or copied: everything works there, nothing in the old one."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from hpsearch.study import read_spec
from hpsearch.study.prepare import load_data
from hpsearch.tracking.relocation import FOLDER, mend_locations
from hpsearch.tracking.store import artifact_location, default_uri, experiment_of, open_store

from .conftest import invoke


def snapshot(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def locations(root: Path) -> set[str]:
    with sqlite3.connect(root / "mlruns" / "mlflow.db") as database:
        found = database.execute(
            "select artifact_location from experiments union select artifact_uri from runs "
            "union select source from model_versions"
        ).fetchall()
    return {location for (location,) in found if FOLDER in location}


@pytest.mark.parametrize("is_moved", [False, True], ids=["copied", "moved"])
def test_a_folder_that_was_moved_or_copied_works_and_leaves_the_old_one_alone(
    is_moved, finished, tmp_path, caplog, figure
):
    old, new = tmp_path / "old", tmp_path / "new"
    shutil.copytree(finished.root, old)
    locked = load_data(read_spec(finished.spec)).locked.read().table.to_pandas()
    locked.head(5).to_csv(old / "some.csv", index=False)
    invoke(old, "promote", "cancer", "--as", f"moved{is_moved:d}")
    assert all(str(old) in location for location in locations(old))
    assert f"{old} was moved or copied from {finished.root}" in caplog.text
    (old.rename if is_moved else lambda target: shutil.copytree(old, target))(new)
    before = snapshot(old)
    told = invoke(new, "predict", f"moved{is_moved:d}@champion", "some.csv").stdout
    assert 6 == len(told.splitlines())
    assert all(str(new) in location for location in locations(new))
    invoke(new, "report", "cancer", "-o", "r.html")
    invoke(new, "promote", "cancer", "--as", "again")
    invoke(new, "sync", "cancer")
    assert before == snapshot(old)
    assert old.exists() != is_moved
    figure(files_written_into_the_old_folder=0)


def test_another_project_that_shares_the_database_keeps_its_locations(tmp_path, empty_store):
    other = tmp_path.parent / f"{tmp_path.name}-other"
    (other / "mlruns" / "artifacts").mkdir(parents=True)
    client = open_store(default_uri(tmp_path))
    theirs = experiment_of(client, "theirs", artifact_location(default_uri(tmp_path), other))
    run = client.create_run(theirs)
    client.log_text(run.info.run_id, "x", "a.txt")
    before = locations(tmp_path)
    mend_locations(tmp_path / "mlruns" / "mlflow.db")
    assert before == locations(tmp_path)
    shutil.rmtree(other)
