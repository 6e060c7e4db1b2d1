"""`-o FILE`: allowed paths, and the files left after a failure."""

import os
import signal
from pathlib import Path

import pytest

from hpsearch.cli.output import new_file
from hpsearch.errors import HpsearchError


def write(path: Path, text: str = "new", **options) -> None:
    with new_file(path, **options) as draft:
        draft.write_text(text)


def test_a_file_has_its_name_once_it_is_complete(tmp_path: Path) -> None:
    with new_file(tmp_path / "out.csv") as draft:
        draft.write_text("new")
        assert [draft] == list(tmp_path.iterdir())
        assert ".csv" == draft.suffix
    assert ["out.csv"] == [path.name for path in tmp_path.iterdir()]
    assert "new" == (tmp_path / "out.csv").read_text()


def test_an_existing_file_is_replaced_only_if_told_to(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")
    with pytest.raises(HpsearchError, match="exists: name another file, or replace it with --over"):
        write(path)
    assert "old" == path.read_text()
    write(path, overwrite=True)
    assert "new" == path.read_text()


def test_a_file_that_appeared_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"

    def write_slowly() -> None:
        with new_file(path) as draft:
            draft.write_text("new")
            path.write_text("of another process")

    with pytest.raises(HpsearchError, match="exists"):
        write_slowly()
    assert "of another process" == path.read_text()
    assert [path] == list(tmp_path.iterdir())


def test_the_file_behind_a_link_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    target.write_text("old")
    link.symlink_to(target)
    write(link, overwrite=True)
    assert link.is_symlink()
    assert "new" == target.read_text()


@pytest.mark.parametrize("how", ["itself", "dotted", "symbolic", "hard"])
def test_an_input_is_never_written_by_whatever_name(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "in.csv"
    source.write_text("rows")
    output = {"itself": Path("in.csv"), "dotted": Path("../", tmp_path.name, "in.csv")}.get(how)
    if output is None:
        output = tmp_path / "other.csv"
        output.symlink_to(source) if how == "symbolic" else os.link(source, output)
    with pytest.raises(HpsearchError, match="is an input of the command"):
        write(output, overwrite=True, inputs=[source])
    assert "rows" == source.read_text()


def test_no_file_is_added_to_a_folder_that_is_read(tmp_path: Path) -> None:
    with pytest.raises(HpsearchError, match="an input of the command"):
        write(tmp_path / "out.csv", inputs=[tmp_path])


@pytest.mark.parametrize(
    "place", ["studies/s/new.csv", "studies/s/journal.jsonl", "artifacts/x", "x"]
)
def test_nothing_is_written_into_a_store(tmp_path: Path, place: str) -> None:
    study = tmp_path / "mlruns" / "studies" / "s"
    study.mkdir(parents=True)
    (tmp_path / "mlruns" / "artifacts").mkdir()
    (study / "journal.jsonl").write_text("line")
    with pytest.raises(HpsearchError, match="belongs to hpsearch and MLflow"):
        write(tmp_path / "mlruns" / place, overwrite=True)
    assert "line" == (study / "journal.jsonl").read_text()


def test_a_study_that_was_moved_elsewhere_is_no_less_safe(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text("line")
    with pytest.raises(HpsearchError, match="belongs to hpsearch and MLflow"):
        write(tmp_path / "journal.jsonl", overwrite=True)


def test_a_folder_that_is_missing_or_a_folder_itself_is_told(tmp_path: Path) -> None:
    with pytest.raises(HpsearchError, match=r"there is no folder .*nodir: create it first"):
        write(tmp_path / "nodir" / "out.csv")
    with pytest.raises(HpsearchError, match="is a folder: name a file"):
        write(tmp_path)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError])
def test_nothing_is_left_of_what_was_stopped(tmp_path: Path, stop: type[BaseException]) -> None:
    def write_half() -> None:
        with new_file(tmp_path / "out.csv") as draft:
            draft.write_text("half")
            raise stop

    with pytest.raises(stop):
        write_half()
    assert [] == list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without a signal")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_the_command_leaves_no_draft(tmp_path: Path, number: int) -> None:
    def write_half() -> None:
        with new_file(tmp_path / "out.csv") as draft:
            draft.write_text("half")
            os.kill(os.getpid(), number)
            draft.write_text("more")

    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as stopped:
        write_half()
    assert 128 + number == stopped.value.code
    assert [] == list(tmp_path.iterdir())
    assert before == signal.getsignal(number)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(HpsearchError, match=r"out.csv: cannot be written: Permission denied"):
        write(tmp_path / "out.csv")


def test_a_full_disk_is_told_with_the_name_that_was_given() -> None:
    with pytest.raises(HpsearchError, match="/dev/full: cannot be written: No space left"):
        write(Path("/dev/full"))


def test_a_name_that_is_too_long_is_told(tmp_path: Path) -> None:
    with pytest.raises(HpsearchError, match="cannot be written: File name too long"):
        write(tmp_path / ("x" * 300))


def test_a_device_is_written_as_it_is() -> None:
    write(Path("/dev/null"))


def test_what_cannot_be_read_is_not_said_to_be_unwritable(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError, match=r"in\.csv"),
        new_file(tmp_path / "out.csv"),
    ):
        (tmp_path / "in.csv").read_text()
