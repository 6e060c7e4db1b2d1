"""A damaged journal is refused with the remedy, and repaired only on request."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import synthetic
from click.testing import CliRunner

from hpsearch.cli import main
from hpsearch.errors import JournalError
from hpsearch.event_codec import renumber
from hpsearch.events import SearchEnded, StudyCreated
from hpsearch.history import load_history
from hpsearch.journal import Journal, encode_line, read_page
from hpsearch.study.maintenance.doctor import diagnose
from hpsearch.study.maintenance.repair import repair_journal
from hpsearch.tracking.cursor import Cursor, Position, UploadState
from hpsearch.tracking.store import journal_path
from tests.faults.table import ROOT
from tests.faults.test_loop_killed import TRIALS, told, tune


@pytest.fixture
def path(tmp_path) -> Path:
    return synthetic.write(journal_path(tmp_path, "churn"), synthetic.study(6))


def cut(data: bytes) -> bytes:
    """Some bytes in the middle are gone."""
    return data[: len(data) // 2] + data[len(data) // 2 + 30 :]


def zeroed(data: bytes) -> bytes:
    """A block of the disk was never written."""
    return data[:2000] + bytes(500) + data[2500:]


def line_gone(data: bytes) -> bytes:
    """A whole line is gone, so that no checksum tells."""
    lines = data.splitlines(keepends=True)
    return b"".join([*lines[:9], *lines[10:]])


@pytest.mark.parametrize("damage", [cut, zeroed, line_gone, lambda data: b""])
def test_a_damaged_journal_is_refused_and_named_with_its_remedy(damage, path, figure):
    path.write_bytes(damage(path.read_bytes()))
    before = path.read_bytes()
    with pytest.raises(JournalError, match=r"journal\.jsonl: .*doctor --repair churn"):
        Journal(path)
    assert before == path.read_bytes()
    figure(silent_restarts=0)


@pytest.mark.parametrize("damage", [cut, zeroed, line_gone])
def test_a_repair_keeps_every_sound_line_and_the_damaged_file(damage, path):
    whole = {json.dumps(r["event"]) + str(r["time"]) for r in synthetic.read_records(path)}
    path.write_bytes(damage(path.read_bytes()))
    before = path.read_bytes()
    done = repair_journal(path)
    records = synthetic.read_records(path)
    assert [*range(len(records))] == [r["seq"] for r in records]
    assert {json.dumps(r["event"]) + str(r["time"]) for r in records} <= whole
    assert before == done.aside.read_bytes()
    assert len(records) == done.kept
    with Journal(path):
        load_history(path)
    assert "nothing was changed" in repair_journal(path).format_message()


def test_a_journal_without_its_first_line_cannot_be_repaired_and_is_left_alone(path):
    path.write_bytes(b"\0" * 100 + path.read_bytes()[100:])
    before = path.read_bytes()
    with pytest.raises(JournalError, match=r"the first line, .*, is lost"):
        repair_journal(path)
    assert before == path.read_bytes()


def test_a_running_study_is_not_repaired(path):
    with Journal(path), pytest.raises(JournalError, match="is being run by"):
        repair_journal(path)


def test_a_repaired_study_goes_on_and_has_the_scores_it_had(tmp_path, figure):
    tune(tmp_path)
    whole = {number: scores for number, _, scores, _ in told(tmp_path)}
    path = journal_path(tmp_path, "cheap")
    lines = path.read_bytes().splitlines(keepends=True)
    kept = synthetic.read_records(path)
    gone = next(i for i, r in enumerate(kept) if (r["event"], r.get("trial")) == ("asked", 2))
    hurt = next(i for i, r in enumerate(kept) if (r["event"], r.get("trial")) == ("result", 4))
    for i in (gone, hurt):
        lines[i] = lines[i].replace(b'"trial"', b'"tr1al"')
    path.write_bytes(b"".join(lines))
    done = repair_journal(path)
    assert ((2,), (4,)) == (done.n_vanished, done.n_retrained)
    assert "nothing is left of trial 2" in done.format_message()
    tune(tmp_path)
    again = {number: scores for number, _, scores, _ in told(tmp_path)}
    assert TRIALS == len(again)
    assert {0, 1, 3, 4, 5, 6} == again.keys()  # 6 takes the place of 2
    assert [] == [n for n in again.keys() & whole.keys() if again[n] != whole[n]]
    figure(trials_kept="5 of 6, 1 trained again")


def test_doctor_tells_of_a_damaged_journal_and_changes_nothing(path, monkeypatch):
    monkeypatch.setattr("hpsearch.study.maintenance.doctor.PROBES", {})
    root = path.parents[3]
    path.write_bytes(cut(path.read_bytes()))
    before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    found = {f.subject: f for f in diagnose(root)}
    assert "bad" == found["study churn"].state
    assert "--repair churn" in found["study churn"].message
    assert before == {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_doctor_repairs_what_it_is_told_to(path, monkeypatch):
    monkeypatch.chdir(path.parents[3])
    path.write_bytes(cut(path.read_bytes()))
    done = CliRunner().invoke(main, ["doctor", "--repair", "churn"])
    assert 0 == done.exit_code
    assert "the damaged file is" in done.output
    assert "no study" in CliRunner().invoke(main, ["doctor", "--repair", "../churn"]).output


def test_a_full_disk_leaves_a_whole_journal_that_goes_on(tmp_path, figure):
    path = tmp_path / "s" / "journal.jsonl"
    code = (
        "import sys; from pathlib import Path; from hpsearch.journal import Journal\n"
        "from hpsearch.errors import JournalError; from hpsearch.events import SearchEnded\n"
        "with Journal(Path(sys.argv[1])) as journal:\n"
        "    try:\n"
        "        for i in range(99): journal.append(SearchEnded(reason=str(i)))\n"
        "    except JournalError as error: print(error)\n"
    )
    full = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # noqa: E731
    done = subprocess.run(
        [sys.executable, "-c", code, path],
        cwd=ROOT,
        preexec_fn=full,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "journal.jsonl: file too large. Nothing is lost: make room" in done.stdout
    held = read_page(path)
    assert path.stat().st_size == held.end  # no torn line
    with Journal(path) as journal:
        journal.append(SearchEnded(reason="100"))
    assert [*range(len(held.events)), 100] == [int(e.reason) for e in read_page(path).events]
    figure(torn_lines=0)


def test_a_trial_keeps_its_score_where_the_disk_is_full_under_its_predictions(tmp_path, figure):
    tune(tmp_path, fault="writing_artifact:2=disk_full")
    trials = load_history(journal_path(tmp_path, "cheap")).trials
    assert [1] == [t.number for t in trials if t.predictions is None]
    assert ["COMPLETE"] * TRIALS == [t.state for t in trials]
    held = sorted((tmp_path / "mlruns/studies/cheap/predictions").iterdir())
    assert [f"{n:06d}.npy" for n in (0, 2, 3, 4, 5)] == [p.name for p in held]
    figure(truncated_artifacts=0, scores_lost=0)


def test_a_clock_that_jumps_moves_no_time_within_a_run(tmp_path, monkeypatch, figure):
    with Journal(tmp_path / "j.jsonl") as journal:
        first = journal.append(StudyCreated()).time
        monkeypatch.setattr("time.time_ns", lambda: 0)
        monkeypatch.setattr("time.time", lambda: 0.0)
        second = journal.append(SearchEnded(reason="")).time
    assert 0 <= second - first < 60_000
    figure(false_kills=0)


def test_what_is_pending_in_mlflow_and_who_runs_a_study_is_told(path, monkeypatch):
    monkeypatch.setattr("hpsearch.study.maintenance.doctor.PROBES", {})
    root = path.parents[3]
    says = lambda: {f.subject: f.message for f in diagnose(root)}["study churn"]  # noqa: E731
    assert "nothing of it is in MLflow: hpsearch sync churn" in says()
    last = len(path.read_bytes().splitlines(keepends=True)[-1])
    cursor = Cursor(path, "sqlite:///x")
    cursor.save("k", UploadState(Position.at_offset(path, path.stat().st_size - last)))
    cursor.close()
    assert f"{last} bytes of it are not in sqlite:///x yet" in says()
    with Journal(path):
        assert f"is being run by process {os.getpid()}" in says()


def test_encoding_is_what_the_repair_writes(path):
    lines = path.read_bytes().splitlines(keepends=True)
    assert lines == [
        encode_line(renumber(line.rstrip().partition(b" ")[2], n)) for n, line in enumerate(lines)
    ]
