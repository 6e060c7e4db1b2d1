"""The version of the user's files, from a real repository."""

import subprocess
from pathlib import Path

import pytest

from hpsearch.study.source import source_of


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(
        ["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "trunk")
    (folder / "model.py").write_text("units = 8\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "begin")
    return folder


def test_a_clean_folder_is_its_commit(repository: Path, tmp_path: Path) -> None:
    expected = {"commit": git(repository, "rev-parse", "HEAD"), "branch": "trunk", "changed": "no"}
    assert expected == source_of(repository, tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_what_is_not_committed_is_kept_as_a_diff_without_passwords(
    repository: Path, tmp_path: Path
) -> None:
    (repository / "model.py").write_text("store = 'postgresql://ann:hunter2@db/runs'\n")
    (repository / "untracked.txt").write_text("secret\n")
    assert "yes" == source_of(repository, tmp_path / "study")["changed"]
    diff = (tmp_path / "study" / "source.diff").read_text()
    assert "-units = 8" in diff
    assert "+store = 'postgresql://***@db/runs'" in diff
    assert "secret" not in diff


def test_outside_of_a_repository_nothing_is_said(tmp_path: Path) -> None:
    assert {} == source_of(tmp_path, tmp_path / "study")
