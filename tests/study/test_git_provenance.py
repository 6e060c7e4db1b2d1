"""The git state of the user's files, in a real repository."""

import subprocess
from pathlib import Path

import pytest

from hpsearch.events import SourceVersion
from hpsearch.study.git_provenance import record_git_state


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
    expected = SourceVersion(git(repository, "rev-parse", "HEAD"), branch="trunk", changed="no")
    assert expected == record_git_state(repository, tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_what_is_not_committed_is_kept_as_a_diff_without_passwords(
    repository: Path, tmp_path: Path
) -> None:
    (repository / "model.py").write_text("store = 'postgresql://ann:hunter2@db/runs'\n")
    (repository / "untracked.txt").write_text("secret\n")
    assert "yes" == record_git_state(repository, tmp_path / "study").changed
    diff = (tmp_path / "study" / "source.diff").read_text()
    assert "-units = 8" in diff
    assert "+store = 'postgresql://***@db/runs'" in diff
    assert "secret" not in diff


def test_outside_of_a_repository_nothing_is_said(tmp_path: Path) -> None:
    assert SourceVersion() == record_git_state(tmp_path, tmp_path / "study")


def test_secrets_of_any_kind_of_file_are_hidden_and_files_of_secrets_are_only_named(
    repository: Path, tmp_path: Path, figure
) -> None:
    names = ("secrets.yaml", ".env", "deploy.pem", "settings.py", "app.ini")
    for name in names:
        (repository / name).write_text("empty\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "more")
    (repository / "secrets.yaml").write_text(
        "password: FAKE-1 two words\napi_key: FAKE-2\nAuthorization: Bearer FAKE-3\n"
        "token: |\n  FAKE-4\nunits: 8\n"
    )
    (repository / ".env").write_text("ANYTHING=FAKE-5\n")
    (repository / "deploy.pem").write_text("FAKE-6\n")
    (repository / "settings.py").write_text('KEY = "FAKE-7"\ntoken = "FAKE-8"\nmonkey = 3\n')
    (repository / "app.ini").write_text("password = FAKE-9 FAKE-10\n")
    assert "yes" == record_git_state(repository, tmp_path / "study").changed
    diff = (tmp_path / "study" / "source.diff").read_text()
    found = diff.count("FAKE") + diff.count("two words")
    assert 0 == found, diff
    assert "+units: 8" in diff
    assert "+monkey = 3" in diff
    assert "# changed, not shown: .env" in diff
    assert "# changed, not shown: deploy.pem" in diff
    figure(secrets_found=found)
