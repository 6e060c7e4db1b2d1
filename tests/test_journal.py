"""The journal: complete lines, one writer, exact values."""

import math
import os
import shutil
import subprocess
import sys

import pytest

from hpsearch.errors import JournalError
from hpsearch.events import SearchEnded, StudyCreated, TrialFinished
from hpsearch.journal import Journal, read_page, stream_records


@pytest.fixture
def path(tmp_path):
    return tmp_path / "study" / "journal.jsonl"


def write(path, n: int) -> None:
    with Journal(path) as journal:
        for i in range(n):
            journal.append(SearchEnded(reason=str(i)))


def test_what_was_appended_is_read_back_bit_for_bit(path):
    values = [0.1 + 0.2, -0.0, 5e-324, math.inf, -math.inf, 1e22]
    with Journal(path) as journal:
        told = {"trial": 0, "attempt": 0, "state": "FAILED"}
        written = journal.append(TrialFinished(**told, fold_scores=values, error="ü\n\u2028"))
        journal.append(TrialFinished(**told, score=math.nan))
    first, second = read_page(path).events
    assert first == written
    assert [v.hex() for v in values] == [v.hex() for v in first.fold_scores]
    assert "ü\n\u2028" == first.error
    assert math.isnan(second.score)
    assert [0, 1] == [first.seq, second.seq]


def test_reading_goes_on_where_it_ended(path):
    write(path, 2)
    end = read_page(path).end
    write(path, 3)
    assert ["0", "1", "2"] == [e.reason for e in read_page(path, end).events]


@pytest.mark.parametrize("cut", range(1, 30, 7))
def test_a_torn_last_line_is_dropped_and_the_next_takes_its_place(path, cut):
    write(path, 3)
    os.truncate(path, path.stat().st_size - cut)
    with Journal(path) as journal:
        assert ["0", "1"] == [e.reason for e in stream_records(path)]
        journal.append(SearchEnded(reason="9"))
    assert [(0, "0"), (1, "1"), (2, "9")] == [(e.seq, e.reason) for e in read_page(path).events]


@pytest.mark.parametrize("place", [0, 40, 100])
def test_a_changed_byte_before_the_last_line_is_refused_with_its_place(path, place):
    write(path, 4)
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(JournalError, match=r"line \d from byte 0 is damaged"):
        Journal(path)
    assert bytes(data) == path.read_bytes()


@pytest.mark.parametrize("content", [b"\0" * 100, b"\n\n", b""])
def test_an_emptied_journal_is_no_new_study(path, content):
    write(path, 1)
    path.write_bytes(content)
    with pytest.raises(JournalError, match="the journal is empty"):
        Journal(path)


def test_a_second_writer_is_refused_and_told_who_the_first_is(path):
    with Journal(path):
        code = (
            "import sys; from pathlib import Path\n"
            "from hpsearch.journal import Journal\nJournal(Path(sys.argv[1]))"
        )
        child = subprocess.run(
            [sys.executable, "-c", code, path], capture_output=True, text=True, check=False
        )
    assert f"is being run by process {os.getpid()}" in child.stderr


def test_the_lock_ends_with_the_process_that_held_it(path):
    code = (
        "import os, sys; from pathlib import Path\n"
        "from hpsearch.journal import Journal\n"
        "from hpsearch.events import StudyCreated\n"
        "Journal(Path(sys.argv[1])).append(StudyCreated()); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, path], check=False)
    with Journal(path) as journal:
        assert journal.first is not None
        assert isinstance(journal.first, StudyCreated)


def test_a_journal_that_is_not_there_says_so(path):
    with pytest.raises(JournalError, match="there is no journal"):
        read_page(path)


def test_after_a_run_nothing_but_the_journal_is_left(path):
    write(path, 1)
    assert ["journal.jsonl"] == os.listdir(path.parent)


def test_a_second_writer_is_refused_by_name_though_the_locks_file_was_removed(path, monkeypatch):
    monkeypatch.setattr("hpsearch.platforms.locks.RENEW_SECONDS", 0.1)
    write(path, 1)
    with Journal(path) as journal:
        path.with_suffix(".lock").unlink()
        with pytest.raises(JournalError, match=rf"being run by process {os.getpid()} on .* since"):
            Journal(path)
        journal.append(SearchEnded(reason="1"))
    assert ["0", "1"] == [e.reason for e in read_page(path).events]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), "was changed: "),
        (lambda path: os.truncate(path, 9), "was changed: 9 bytes, not"),
        (lambda path: path.unlink(), "was removed, moved or replaced"),
        (lambda path: path.rename(path.with_name("other")), "was removed, moved or replaced"),
        (lambda path: shutil.copy(path, path.with_name("b")).replace(path), "was removed, moved"),
    ],
)
def test_nothing_is_written_behind_what_another_hand_has_made_of_the_journal(path, change, told):
    with Journal(path) as journal:
        journal.append(SearchEnded(reason="0"))
        change(path)
        before = path.read_bytes() if path.exists() else None
        with pytest.raises(JournalError, match=told):
            journal.append(SearchEnded(reason="1"))
    assert before == (path.read_bytes() if path.exists() else None)
