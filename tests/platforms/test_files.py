"""Durable files: whole, or as before."""

import os
import tempfile
from pathlib import Path

import pytest

from hpsearch.platforms import files


def test_a_written_file_has_its_content_and_leaves_no_draft(tmp_path):
    files.write_text(tmp_path / "a.json", "é\n")
    assert "é\n".encode() == (tmp_path / "a.json").read_bytes()
    assert ["a.json"] == os.listdir(tmp_path)


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"before")

    def write_half():
        with files.atomic_write(path) as file:
            file.write(b"half")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        write_half()
    assert b"before" == path.read_bytes()
    assert ["a.bin"] == os.listdir(tmp_path)


def test_a_published_folder_takes_the_place_of_the_old_one(tmp_path):
    old, draft = tmp_path / "final", tmp_path / "draft"
    for folder, text in ((old, "old"), (draft, "new")):
        folder.mkdir()
        (folder / "model").write_text(text)
    files.publish_folder(draft, old)
    assert "new" == (old / "model").read_text()
    assert ["final"] == os.listdir(tmp_path)


def test_content_is_synced_before_the_name_and_the_name_after(tmp_path, monkeypatch):
    steps = []
    for name in ("sync_file", "replace", "sync_folder"):
        real = getattr(files, name)

        def record(*arguments, name=name, real=real):
            steps.append(name)
            return real(*arguments)

        monkeypatch.setattr(files, name, record)
    files.write_text(tmp_path / "a", "x")
    assert ["sync_file", "replace", "sync_folder"] == steps


@pytest.mark.skipif(
    not hasattr(os, "fork"), reason="a user without rights, in a process of its own"
)
def test_a_read_only_file_is_synced_by_a_user_who_may_not_write_it():
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        os.chmod(name, 0o755)
        path = Path(name) / "file"
        path.write_text("content")
        path.chmod(0o444)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                if os.geteuid() == 0:
                    os.setuid(65534)
                with pytest.raises(PermissionError):
                    path.open("rb+")
                files.sync_path(path)
                files.sync_tree(Path(name))
                code = 0
            finally:
                os._exit(code)
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert "content" == path.read_text()
