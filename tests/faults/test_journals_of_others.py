"""Journals of other versions, or changed by other programs: read, repaired or refused."""

import codecs
import errno
import gzip
import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
import synthetic
from click.testing import CliRunner

from hpsearch.cli import main
from hpsearch.errors import DataError, JournalError, describe_os_error
from hpsearch.event_codec import encode_event, from_json
from hpsearch.events import (
    FORMAT,
    EpochFinished,
    SearchEnded,
    StudyCreated,
    StudyResumed,
    TrialFinished,
    UnknownEvent,
    WinnerEvaluated,
)
from hpsearch.history import load_history
from hpsearch.journal import Journal, read_page
from hpsearch.study.maintenance.repair import repair_journal
from hpsearch.study.start import move_study_aside, require_comparable, study_moved_aside
from hpsearch.tracking.garbage import find_garbage
from hpsearch.tracking.store import journal_path
from tests.faults.test_loop_killed import TRIALS, told, tune

EARLIER = Path(__file__).parents[1] / "journals"


@pytest.fixture
def path(tmp_path) -> Path:
    return synthetic.write(journal_path(tmp_path, "churn"), synthetic.study(6))


def crlf(data: bytes) -> bytes:
    """Git's autocrlf, or an editor on Windows."""
    return data.replace(b"\n", b"\r\n")


def marked(data: bytes) -> bytes:
    """An editor that begins files with a byte order mark."""
    return codecs.BOM_UTF8 + data


def utf16(data: bytes) -> bytes:
    """A redirection in PowerShell."""
    return crlf(data).decode().encode("utf-16")


@pytest.mark.parametrize("touch", [crlf, marked, utf16, lambda data: crlf(marked(data))])
def test_line_ends_and_encodings_that_a_program_changed_are_told_and_repaired(touch, path, figure):
    whole = path.read_bytes()
    path.write_bytes(touch(whole))
    with pytest.raises(JournalError, match=r"has changed its line ends .* --repair churn"):
        Journal(path)
    assert "kept all" in repair_journal(path).format_message()
    assert whole == path.read_bytes()
    figure(lines_lost=0)


def test_a_last_line_whose_end_an_editor_took_is_kept_by_a_repair(path):
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    repair_journal(path)
    assert whole == path.read_bytes()


def copy_earlier(name: str, root: Path) -> Path:
    """A journal of an earlier format as that of a study below `root`."""
    source = EARLIER / name
    data = source.read_bytes()
    data = gzip.decompress(data) if source.suffix == ".gz" else data
    path = journal_path(root, source.name.partition(".")[0])
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    return path


OLD_JOURNALS = [p.relative_to(EARLIER).as_posix() for p in sorted(EARLIER.glob("format-*/*"))]


@pytest.mark.parametrize("name", OLD_JOURNALS)
def test_a_journal_of_an_earlier_format_is_read(name, tmp_path, monkeypatch):
    path = copy_earlier(name, tmp_path)
    study, history = path.parent.name, load_history(path)
    lines = path.read_bytes().splitlines()
    assert len(lines) == len(read_page(path).events)
    assert not [e for e in read_page(path).events if isinstance(e, UnknownEvent)]
    results = sum(b'"event":"result"' in line for line in lines)
    assert results == len(history.ended) > 0
    monkeypatch.chdir(tmp_path)
    for command in (["top", study], ["show", study, "1"], ["export", study, "-o", "a.csv"]):
        done = CliRunner().invoke(main, command)
        assert 0 == done.exit_code, done.output


@pytest.mark.parametrize("name", OLD_JOURNALS)
def test_an_event_of_an_earlier_format_is_written_again_with_the_same_values(name, tmp_path):
    path = copy_earlier(name, tmp_path)
    for event, before in zip(read_page(path).events, synthetic.read_records(path), strict=True):
        again = json.loads(encode_event(event))
        read = from_json(again)
        assert event == read
        if isinstance(read, EpochFinished):
            again["metrics"] = read.metrics
            scores, metrics = before["scores"], before["metrics"]  # null: the scores, in format 3
            before["metrics"] = {k: scores if v is None else v for k, v in metrics.items()}
        if isinstance(read, WinnerEvaluated) and "baseline" in before:  # earlier there was one
            one = before.pop("baseline")
            before["baselines"] = [one] if one else []
        lost = {k: v for k, v in before.items() if v != {} and not holds(again[k], v)}
        assert {} == lost, event.kind


def holds(now, then) -> bool:
    """Whether a value still has all that it had; what was not said before may be null."""
    if isinstance(then, dict):
        return all(holds(now[key], value) for key, value in then.items())
    if isinstance(then, list):
        return len(now) == len(then) and all(map(holds, now, then))
    return repr(then) == repr(now)  # NaN, too


@pytest.mark.parametrize("name", ["format-1/cheap.jsonl", "format-2/cheap.jsonl.gz"])
def test_a_study_of_an_earlier_format_goes_on_as_one_never_stopped(name, tmp_path):
    whole, begun = tmp_path / "whole", tmp_path / "begun"
    copy_earlier(name, begun)
    tune(whole)
    tune(begun)
    assert TRIALS == len(told(begun))
    assert told(whole) == told(begun)


def test_a_new_journal_names_its_format_at_the_start_of_every_run(tmp_path):
    path = tmp_path / "journal.jsonl"
    for event in (StudyCreated(), StudyResumed()):
        with Journal(path) as journal:
            journal.append(event)
            journal.append(SearchEnded(reason=""))
    assert [FORMAT, None, FORMAT, None] == [r.get("format") for r in synthetic.read_records(path)]


def test_a_journal_of_a_later_format_is_refused_with_the_version_that_reads_it(path):
    later = {"seq": 0, "time": 1, "event": "study", "format": FORMAT + 1, "written_by": "9.1"}
    path.write_bytes(synthetic.line(later))
    for use in (Journal, read_page, load_history, repair_journal):
        with pytest.raises(JournalError, match=r"written by hpsearch 9\.1 in format"):
            use(path)


@pytest.mark.parametrize("field", ["params", "trial", "time"])
def test_a_record_that_lacks_a_field_is_told_and_no_traceback(field, path, monkeypatch):
    records = synthetic.study(3)
    index = next(i for i, r in enumerate(records) if r["event"] == "asked")
    del records[index][field]
    synthetic.write(path, records)
    monkeypatch.chdir(path.parents[3])
    done = CliRunner().invoke(main, ["top", "churn"])
    assert 2 == done.exit_code
    assert f"record {index} (asked) of its journal has no '{field}'" in done.output


WRONG = (None, "x", -1, 10**30, 10**400, [], {}, [None], {"a": None}, True)


def wrong_records():
    """Each field of each event with values of another kind; then what is no record at all."""
    seen = set()
    for index, record in enumerate(synthetic.study(3)):
        for name in set(record) - {"event"}:
            if (record["event"], name) not in seen:
                seen.add((record["event"], name))
                yield from ((index, {**record, name: value}) for value in WRONG)
    yield from ((3, value) for value in (None, 3, [], "x", {}, {"event": []}))


def test_wrong_fields_of_the_right_checksum_are_told_and_no_traceback(path, monkeypatch, figure):
    monkeypatch.chdir(path.parents[3])
    whole = [synthetic.line(record) for record in synthetic.study(3)]
    refused = 0
    for index, wrong in wrong_records():
        path.write_bytes(b"".join([*whole[:index], synthetic.line(wrong), *whole[index + 1 :]]))
        for command in (["top", "churn"], ["compare", "churn", "0", "1"]):
            done = CliRunner().invoke(main, command)
            assert done.exit_code in (0, 2), (wrong, done.exc_info)
        refused += "was not written by hpsearch" in done.output
    assert refused > 300
    figure(tracebacks=0)


def test_a_record_of_another_program_is_left_out_by_a_repair(path):
    lines = path.read_bytes().splitlines(keepends=True)
    index = next(i for i, line in enumerate(lines) if b'"event":"result"' in line)
    foreign = {**synthetic.read_records(path)[index], "predictions": "../../../important.npy"}
    path.write_bytes(b"".join([*lines[:index], synthetic.line(foreign), *lines[index + 1 :]]))
    with pytest.raises(JournalError, match=r"predictions of 'result' must be a file of predict"):
        load_history(path)
    assert "lost 1 damaged ones" in repair_journal(path).format_message()
    assert len(lines) - 1 == len(synthetic.read_records(path))


@pytest.mark.parametrize("name", ["fingerprint", "spec", "objective"])
def test_a_study_that_does_not_say_what_it_was_made_of_is_not_gone_on_with(name, path):
    first = {"study": "churn", "spec": {"seed": 1}, "fingerprint": "f"}
    first["objective"] = {"metric": "auc", "direction": "maximize"}
    require_comparable(synthetic.event("study", **first), path)
    less = synthetic.event("study", **{k: v for k, v in first.items() if k != name})
    with pytest.raises(JournalError, match=f"has no {name}"):
        require_comparable(less, path)
    no_metric = synthetic.event("study", **first | {"objective": {"direction": "maximize"}})
    with pytest.raises(JournalError, match=r"has no objective\.metric"):
        require_comparable(no_metric, path)
    with pytest.raises(JournalError, match="the first record has no study, spec"):
        require_comparable(SearchEnded(reason=""), path)


def test_text_that_is_not_utf8_is_escaped_and_the_study_goes_on(tmp_path, figure):
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.append(StudyCreated(folder=os.fsdecode(b"caf\xe9")))
        ids = {"trial": 0, "attempt": 0, "state": "FAILED"}
        values = {"error": "\udcff", "traceback": "\ud800 and \udcfe", "score": 0.1}
        written = journal.append(TrialFinished(**ids, **values))
    with Journal(path) as journal:
        journal.append(StudyResumed())
    _, result, _ = read_page(path).events
    assert written == result
    told = (result.error, result.traceback, result.score)
    assert (r"\udcff", r"\ud800 and \udcfe", 0.1) == told
    result.traceback.encode()
    figure(tracebacks=0)


def test_fresh_sets_a_damaged_journal_aside_and_gc_passes_it_by(path, tmp_path, caplog):
    path.write_bytes(b"x\ny\n")
    other = synthetic.write(journal_path(tmp_path, "other"), synthetic.study(6))
    kept = other.parent / "predictions" / "000001.npy"
    kept.parent.mkdir()
    kept.touch()

    class Server:
        tracking_uri = "http://127.0.0.1"

    find_garbage(tmp_path, Server(), keep=1, in_use=lambda history: ())
    assert "nothing of study churn is removed" in caplog.text
    move_study_aside(path.parent)
    aside = path.parent.with_name("churn.1")
    assert b"x\ny\n" == (aside / path.name).read_bytes()
    assert [path.name] == os.listdir(aside)
    assert not path.parent.exists()


def test_a_fresh_study_that_does_not_begin_leaves_the_earlier_one_in_place(path):
    path.write_bytes(b"x\n")
    with suppress(DataError), study_moved_aside(path.parent):
        (path.parent / "logs").mkdir(parents=True)
        raise DataError("there is no such file")
    assert [path.name] == os.listdir(path.parent)
    with study_moved_aside(path.parent):
        synthetic.write(path, synthetic.study(1))
    assert b"x\n" == (path.parent.with_name("churn.1") / path.name).read_bytes()
    assert b"x\n" != path.read_bytes()


def test_fresh_is_refused_while_the_study_runs(path):
    with Journal(path), pytest.raises(JournalError, match="is being run by"):
        move_study_aside(path.parent)
    assert path.exists()


@pytest.mark.parametrize(
    ("number", "helps"),
    [
        (errno.ENOSPC, "make room"),
        (errno.EACCES, "allow it to this user"),
        (errno.EROFS, "mount it so that it can be written to"),
        (errno.EIO, "check the disk"),
        (errno.EMFILE, "raise the limit of open files"),
        (errno.ENOTDIR, "move away what has its name"),
        (errno.EBADF, "mend that"),
    ],
)
def test_an_error_of_the_system_names_the_file_and_what_helps(number, helps):
    told = describe_os_error(OSError(number, os.strerror(number), "a.csv"))
    assert told.startswith(f"a.csv: {os.strerror(number).lower()}. Nothing is lost: {helps}")


def test_what_the_system_refuses_is_one_line_and_no_traceback(path, monkeypatch, figure):
    monkeypatch.chdir(path.parents[3])
    path.with_suffix(".lock").mkdir()  # a folder where a file should be
    done = CliRunner().invoke(main, ["doctor", "--repair", "churn"])
    assert 2 == done.exit_code
    [line] = done.output.splitlines()
    assert f"{path.with_suffix('.lock')}: is a directory. Nothing is lost: move away" in line
    path.unlink()
    path.mkdir()
    done = CliRunner().invoke(main, ["top", "churn"])
    assert "journal.jsonl: is a directory" in done.output
    figure(tracebacks=0)
