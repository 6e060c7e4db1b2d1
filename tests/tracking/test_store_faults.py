"""A store that is damaged, restored or edited: no data lost or doubled."""

import logging
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import synthetic
from click.testing import CliRunner
from long_cases import long_unless
from mlflow import MlflowClient

from hpsearch.cli import main
from hpsearch.errors import TrackingError
from hpsearch.study.maintenance.doctor import diagnose
from hpsearch.tracking import mlflow_layout
from hpsearch.tracking.cursor import read_upload_states
from hpsearch.tracking.projection import Projection
from hpsearch.tracking.sender import Sender
from hpsearch.tracking.store import journal_path
from hpsearch.tracking.study_runs import find_study_run
from hpsearch.tracking.study_sync import sync_study, verify_study
from hpsearch.tracking.uploader import Uploader
from hpsearch.tracking.verification import compare_runs

Stored = Callable[[str], dict[str, Any]]
Figure = Callable[..., None]
RECORDS = synthetic.study(4, folds=2, epochs=3)
HALF = len(RECORDS) // 2


@pytest.fixture
def client(uri: str) -> MlflowClient:
    return MlflowClient(uri)


@pytest.fixture
def database(root: Path) -> Path:
    return root / "mlruns" / "mlflow.db"


def place(root: Path, name: str, count: int | None = None) -> Path:
    """The journal of a study under a name and key of its own, its first `count` lines."""
    first = {**RECORDS[0], "study": name, "key": f"key-of-{name}"}
    return synthetic.write(journal_path(root, name), [first, *RECORDS[1:count]])


def compare(stored: Stored, name: str, figure: Figure | None = None) -> None:
    """The study is in the store as one that met no fault is, "whole"."""
    expected, received = stored("whole"), stored(name)
    expected[name] = expected.pop("whole")
    for runs in (expected, received):
        for changed in ("params", "tags"):  # which hold the study's name
            runs[name].pop(changed)
        for run in runs.values():
            run["points"] = [p for p in run["points"] if not p[0].startswith("system")]
    assert expected == received
    if figure:
        figure(runs_lost=0, points_lost=0, points_doubled=0)


@pytest.fixture
def whole(root: Path, uri: str, artifacts: str | None) -> None:
    """The same study, sent without a fault."""
    sync_study(place(root, "whole"), uri, artifacts)


CURSORS = {
    "empty": b"",
    "null": b"null",
    "a list": b"[1]",
    "binary": b"\xff\xfe\0",
    "an older version's": b'{"key": "key-of-study", "offset": 100, "store": "sqlite:///x"}',
    "beyond the journal": b'{"key": "key-of-study", "position": "99999999:00000000", "run": ""}',
    "within a line": b'{"key": "key-of-study", "position": "100:00000000", "run": "gone"}',
    "of other types": b'{"key": "key-of-study", "position": 7, "run": null, "refused": 1}',
}


@pytest.mark.parametrize(
    "kind", long_unless(("empty", "an older version's", "within a line").__contains__, CURSORS)
)
def test_a_damaged_cursor_is_not_believed(
    kind: str, root: Path, uri: str, artifacts: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpsearch.study.maintenance.doctor.PROBES", {})
    journal = place(root, "study")
    sync_study(journal, uri, artifacts)
    [cursor] = journal.parent.glob("uploaded-*.json")
    cursor.write_bytes(CURSORS[kind])
    assert [0] == [held.position.offset for held in read_upload_states(journal)]
    assert any("are not in" in finding.message for finding in diagnose(root, uri))
    sync_study(journal, uri, artifacts)
    assert [journal.stat().st_size] == [
        held.position.offset for held in read_upload_states(journal)
    ]


def test_a_journal_that_lost_its_end_is_sent_on_from_where_it_ends(
    root: Path, uri: str, artifacts: str | None, stored: Stored, whole: None, figure: Figure
) -> None:
    journal = place(root, "study", HALF + 3)
    sync_study(journal, uri, artifacts)
    place(root, "study", HALF)  # the disk never got the last lines
    sync_study(journal, uri, artifacts)
    place(root, "study")
    sync_study(journal, uri, artifacts)
    compare(stored, "study", figure)


def test_the_store_gets_no_line_before_the_disk_has_it(
    root: Path, uri: str, artifacts: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = place(root, "study", HALF)
    synced: list[int] = []
    monkeypatch.setattr(
        "hpsearch.tracking.sender.sync_data", lambda fd: synced.append(os.stat(fd).st_size)
    )
    sender = Sender(journal, uri, artifacts)
    sender.open_study()
    place(root, "study")

    def work_off(sender: Sender) -> None:
        synced.append(-sender._read)
        sender._steps.clear()

    monkeypatch.setattr(Sender, "_perform_page", work_off)
    sender.send()
    sender.close()
    assert [journal.stat().st_size, -journal.stat().st_size] == synced[:2]


def test_what_was_sent_before_a_sender_is_stopped_is_not_sent_again(
    root: Path,
    uri: str,
    artifacts: str | None,
    stored: Stored,
    whole: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hpsearch.tracking.sender.PAGE", 500)
    journal = place(root, "study")
    reached: list[int] = []

    def work_off(sender: Sender) -> None:
        if sender._read > journal.stat().st_size / 2:
            raise KeyboardInterrupt
        send_page(sender)
        reached.append(sender._read)

    send_page = Sender._perform_page
    monkeypatch.setattr(Sender, "_perform_page", work_off)
    with pytest.raises(KeyboardInterrupt):
        sync_study(journal, uri, artifacts)
    assert len(reached) > 2
    monkeypatch.setattr(Sender, "_perform_page", send_page)
    sender = Sender(journal, uri, artifacts)
    sender.open_study()
    assert reached[-1] == sender.acknowledged_bytes
    sender.close()
    sync_study(journal, uri, artifacts)
    compare(stored, "study")


def copy_over(backup: Path, database: Path) -> None:
    database.write_bytes(backup.read_bytes())


def rename_over(backup: Path, database: Path) -> None:
    shutil.copy(backup, backup.with_suffix(".new"))
    os.replace(backup.with_suffix(".new"), database)


@pytest.mark.parametrize(
    ("restore", "while_it_runs"),
    long_unless(
        ((copy_over, True), (rename_over, False)).__contains__,
        [(restore, runs) for restore in (copy_over, rename_over) for runs in (True, False)],
    ),
)
def test_an_older_backup_of_the_database_gets_what_it_lacks(
    restore: Callable[[Path, Path], None],
    while_it_runs: bool,
    root: Path,
    uri: str,
    artifacts: str | None,
    stored: Stored,
    whole: None,
    database: Path,
    figure: Figure,
) -> None:
    backup = root / "backup.db"
    journal = place(root, "study", HALF - 9)
    sync_study(journal, uri, artifacts)
    shutil.copy(database, backup)
    place(root, "study", HALF)
    sender = Sender(journal, uri, artifacts)
    sender.open_study()
    sender.send()
    if not while_it_runs:
        sender.close()
    restore(backup, database)
    if while_it_runs:
        place(root, "study")
        sender.send()
        sender.park_runs()
        sender.close()
    place(root, "study")
    sync_study(journal, uri, artifacts)
    compare(stored, "study", figure)


def test_a_database_that_answers_garbage_for_a_while_acknowledges_nothing(
    root: Path,
    uri: str,
    artifacts: str | None,
    stored: Stored,
    whole: None,
    database: Path,
    figure: Figure,
) -> None:
    journal = place(root, "study", HALF)
    sender = Sender(journal, uri, artifacts)
    sender.open_study()
    sender.send()
    before, good = sender.acknowledged_bytes, database.read_bytes()
    database.write_bytes(os.urandom(200_000))
    place(root, "study")
    for _ in range(3):
        with pytest.raises(Exception, match="database"):
            sender.send()
    assert before == sender.acknowledged_bytes
    assert [before] == [held.position.offset for held in read_upload_states(journal)]
    database.write_bytes(good)
    sender.send()
    sender.park_runs()
    sender.close()
    assert [] == sender.problems
    compare(stored, "study", figure)


def test_an_experiment_that_is_deleted_and_restored_gets_what_it_missed(
    root: Path,
    uri: str,
    artifacts: str | None,
    stored: Stored,
    whole: None,
    client: MlflowClient,
    figure: Figure,
) -> None:
    journal = place(root, "study", HALF)
    sender = Sender(journal, uri, artifacts)
    sender.open_study()
    sender.send()
    before, experiment = sender.acknowledged_bytes, sender.projection.experiment_id
    client.delete_experiment(experiment)
    place(root, "study")
    remedy = f"MLFLOW_TRACKING_URI={uri} mlflow experiments restore -x {experiment}"
    with pytest.raises(TrackingError, match=remedy):
        sender.send()
    assert before == sender.acknowledged_bytes
    client.restore_experiment(experiment)
    sender.send()
    sender.park_runs()
    sender.close()
    compare(stored, "study", figure)


@pytest.mark.parametrize("while_it_runs", [False, True])
def test_a_studys_run_that_was_deleted_comes_back_and_nothing_is_doubled(
    while_it_runs: bool,
    root: Path,
    uri: str,
    artifacts: str | None,
    stored: Stored,
    whole: None,
    client: MlflowClient,
    figure: Figure,
) -> None:
    journal = place(root, "study", HALF)
    sender = Sender(journal, uri, artifacts)
    sender.open_study()
    sender.send()
    parent = sender.projection.parent
    if while_it_runs:
        client.delete_run(parent)
        place(root, "study")
        sender.send()
        sender.park_runs()
        sender.close()
    else:
        sender.close()
        client.delete_run(parent)
        place(root, "study")
        assert parent == sync_study(journal, uri, artifacts).parent
    compare(stored, "study", figure)


def test_a_studys_run_that_is_gone_for_good_is_made_anew_above_the_same_trials(
    root: Path,
    uri: str,
    artifacts: str | None,
    stored: Stored,
    whole: None,
    client: MlflowClient,
    figure: Figure,
) -> None:
    journal = place(root, "study")
    first = sync_study(journal, uri, artifacts)
    client.delete_run(first.parent)
    client._tracking_client.store._hard_delete_run(first.parent)  # what `mlflow gc` does
    second = sync_study(journal, uri, artifacts)
    assert first.parent != second.parent
    compare(stored, "study", figure)
    runs = client.search_runs([second.experiment_id], "tags.`hpsearch.kind` = 'trial'")
    assert {second.parent} == {run.data.tags["mlflow.parentRunId"] for run in runs}


def test_a_trials_run_that_was_deleted_stays_so_and_is_named(
    root: Path, uri: str, artifacts: str | None, stored: Stored, client: MlflowClient
) -> None:
    journal = place(root, "study", 6)
    sender = Sender(journal, uri, artifacts)
    sender.open_study()
    sender.send()
    client.delete_run(sender.projection.runs.ids["key-of-study/0/0"])
    place(root, "study")
    sender.send()
    sender.close()
    assert ["trial-000: was deleted in MLflow and stays so"] == sender.problems
    for send in (sync_study, verify_study):
        again = send(journal, uri, artifacts)
        assert ["trial-000: was deleted in MLflow and stays so"] == again.problems
        assert 4 == len(stored("study"))
        assert 4 == len(client.search_runs([again.experiment_id]))


def test_a_run_whose_beginning_the_journal_lost_is_not_left_running(
    root: Path, uri: str, artifacts: str | None, client: MlflowClient
) -> None:
    began = next(i for i, record in enumerate(RECORDS) if record["event"] == "started")
    sent = sync_study(place(root, "study", began + 2), uri, artifacts)
    client.update_run(sent.runs.ids["key-of-study/0/0"], status="RUNNING")  # killed, not parked
    again = {**RECORDS[1], "attempt": 1}
    records = [
        *RECORDS[:began],
        again,
        *({**r, "attempt": 1} if r.get("trial") == 0 else r for r in RECORDS[began:]),
    ]
    first = {**records[0], "study": "study", "key": "key-of-study"}
    numbered = [{**r, "seq": seq} for seq, r in enumerate([first, *records[1:]])]
    synthetic.write(journal_path(root, "study"), numbered)
    sync_study(journal_path(root, "study"), uri, artifacts)
    states = {run.info.status for run in client.search_runs([sent.experiment_id])}
    assert "RUNNING" not in states


@pytest.mark.parametrize(
    ("another_has_its_name", "knows_it"),
    long_unless(lambda case: case[0] != case[1], list(product((True, False), repeat=2))),
)
def test_a_renamed_experiment_is_found_again(
    another_has_its_name: bool,
    knows_it: bool,
    root: Path,
    uri: str,
    artifacts: str | None,
    client: MlflowClient,
) -> None:
    journal = place(root, "study", HALF)
    first = sync_study(journal, uri, artifacts)
    client.rename_experiment(first.experiment_id, "quarterly")
    if another_has_its_name:
        client.create_experiment("study")
    if not knows_it:  # a copy of the study's folder on another machine
        for cursor in journal.parent.glob("uploaded-*.json"):
            cursor.unlink()
    place(root, "study")
    second = sync_study(journal, uri, artifacts)
    assert (first.experiment_id, first.parent) == (second.experiment_id, second.parent)
    assert first.parent == find_study_run(client, "study", journal=journal).run_id
    assert another_has_its_name == (client.get_experiment_by_name("study") is not None)


def test_what_a_store_refuses_is_named_and_all_the_rest_gets_through(
    root: Path,
    uri: str,
    artifacts: str | None,
    stored: Stored,
    monkeypatch: pytest.MonkeyPatch,
    figure: Figure,
) -> None:
    monkeypatch.setattr(mlflow_layout, "metric_name", str)
    records = [dict(record) for record in RECORDS]
    asked = next(record for record in records if record["event"] == "asked")
    asked["params"] = {**asked["params"], "what?": 7}
    journal = synthetic.write(journal_path(root, "churn"), records)
    for _ in range(2):  # it is told again by whoever asks later
        problems = sync_study(journal, uri, artifacts).problems
        [told] = problems
        assert told.startswith("trial-000: param 'what?': ")
    trial = stored("churn")["trial-000"]
    assert {*asked["params"]} - {"what?"} == {*trial["params"]}
    assert "score" in {point[0] for point in trial["points"]}
    figure(requests_given_up=len(problems))


def test_a_cursor_that_cannot_be_saved_is_told_once_and_holds_nothing_up(
    root: Path,
    uri: str,
    artifacts: str | None,
    stored: Stored,
    whole: None,
    caplog: pytest.LogCaptureFixture,
    figure: Figure,
) -> None:
    journal = place(root, "study", HALF)
    sync_study(journal, uri, artifacts)
    [cursor] = journal.parent.glob("uploaded-*.json")
    cursor.unlink()
    cursor.mkdir()  # nothing can be renamed to it
    place(root, "study")
    with caplog.at_level(logging.WARNING), Uploader(journal, uri, first_pause=0.01) as uploader:
        assert uploader.flush(60)
    assert 1 == len([r for r in caplog.records if "cannot be written" in r.message])
    compare(stored, "study")
    with sqlite3.connect(root / "mlruns" / "mlflow.db") as store:
        [[measured]] = store.execute("select count(*) from metrics where key like 'system/%'")
    assert measured < 200
    figure(points_measured=measured)


SPEC = """\
study: away
data: {source: "sklearn:wine"}
cross_validation: {folds: 2}
training: {epochs: 3}
search_space: {units: {type: int, low: 4, high: 9}, learning_rate: 0.01}
sampler: {kind: random}
budget: {trials: 2}
selection: {finalists: 0}
"""


@pytest.mark.usefixtures("inline_workers")
def test_a_study_that_ends_while_its_store_is_damaged_says_so_last_and_is_sent_later(
    root: Path, database: Path, monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    monkeypatch.chdir(root)
    (root / "away.yaml").write_text(SPEC, encoding="utf-8")
    good = database.read_bytes()
    journal = journal_path(root, "away")

    def damage() -> None:
        while not (journal.exists() and b'"asked"' in journal.read_bytes()):
            time.sleep(0.01)
        database.write_bytes(b"garbage" * 10_000)

    thread = Thread(target=damage)
    thread.start()
    done = CliRunner().invoke(main, ["tune", "away.yaml", "--quiet"])
    thread.join()
    assert 4 == done.exit_code, done.output
    last = done.output.splitlines()[-1]
    assert "of away, which is whole on this disk. Later: hpsearch sync away" in last
    database.write_bytes(good)
    sent = verify_study(journal, f"sqlite:///{database}", str(root / "mlruns" / "artifacts"))
    assert [] == sent.problems
    runs = sent.client.search_runs([sent.experiment_id])
    assert {"away", "trial-000", "trial-001"} == {run.info.run_name for run in runs}
    figure(lost=0)


def remove_run(database: sqlite3.Connection) -> str:
    [[run]] = database.execute("select run_uuid from runs where name = 'trial-001'")
    for table in ("metrics", "latest_metrics", "params", "tags", "runs"):
        database.execute(f"delete from {table} where run_uuid = ?", [run])
    return "trial-001: its run"


def remove_param(database: sqlite3.Connection) -> str:
    database.execute(
        "delete from params where key = 'units' and run_uuid = "
        "(select run_uuid from runs where name = 'trial-002')"
    )
    return "trial-002: parameter 'units'"


def change_state(database: sqlite3.Connection) -> str:
    database.execute("update runs set status = 'RUNNING' where name = 'trial-000'")
    return "trial-000: its state (RUNNING, not FINISHED)"


def remove_points(database: sqlite3.Connection) -> str:
    database.execute(
        "delete from metrics where key = 'val/loss' and step > 0 and run_uuid = "
        "(select run_uuid from runs where name = 'trial-000')"
    )
    return "trial-000: 2 points"


def remove_best_scores(database: sqlite3.Connection) -> str:
    database.execute("delete from metrics where key = 'best_score'")
    return "study: 2 points"


LOSSES = (remove_run, remove_param, change_state, remove_points, remove_best_scores)


@pytest.mark.parametrize("lose", long_unless((remove_run, remove_points).__contains__, LOSSES))
def test_what_a_store_lost_is_found_by_comparing_it_with_the_journal_and_sent_again(
    lose: Callable[[sqlite3.Connection], str],
    root: Path,
    uri: str,
    artifacts: str | None,
    stored: Stored,
    database: Path,
    figure: Figure,
) -> None:
    journal = place(root, "study")
    sync_study(journal, uri, artifacts)
    before = stored("study")
    with sqlite3.connect(database) as connection:
        told = lose(connection)
    assert before != stored("study")
    for lacked in ([told], []):
        assert lacked == verify_study(journal, uri, artifacts).lacked
        assert before == stored("study")
    figure(losses_left=0)


def go_on(count: int, name: str) -> list[dict[str, Any]]:
    """A study's journal that went on an hour later from its first `count` lines."""
    first = {**RECORDS[0], "study": name, "key": f"key-of-{name}"}
    later = [{**record, "time": record["time"] + 3_600_000} for record in RECORDS[count:]]
    return [first, *RECORDS[1:count], *later]


TRIAL_0_ENDS = next(i for i, record in enumerate(RECORDS) if record["event"] == "result")
AT_THE_END = None


@pytest.mark.parametrize(
    ("count", "send"),
    [(TRIAL_0_ENDS - 1, sync_study), (TRIAL_0_ENDS + 1, verify_study), (1, AT_THE_END)],
)
def test_a_journal_replaced_by_an_older_copy_that_went_on_doubles_no_point(
    count: int,
    send: Callable[..., Projection] | None,
    root: Path,
    uri: str,
    artifacts: str | None,
    stored: Stored,
    client: MlflowClient,
    figure: Figure,
) -> None:
    whole = go_on(count, "whole")
    sync_study(synthetic.write(journal_path(root, "whole"), whole), uri, artifacts)
    journal = place(root, "study")
    sent = sync_study(journal, uri, artifacts)
    for run in (sent.run_id(0), sent.parent):
        client.log_metric(run, "system/of-the-user", 1.0)  # which is nothing of ours
    synthetic.write(journal, go_on(count, "study"))
    if send is AT_THE_END:
        uploader = Uploader(journal, uri, artifacts=artifacts)
        with uploader:
            pass
        projection = uploader._sender.projection
    else:
        projection = send(journal, uri, artifacts)
    replaced = {told.split()[0] for told in projection.runs.replaced}
    kept = {"trial-000"} if count > TRIAL_0_ENDS else set()
    assert {"study", "trial-000", "trial-001", "trial-002", "trial-003"} - kept <= replaced
    compare(stored, "study", figure)
    again = verify_study(journal, uri, artifacts)
    assert ([], [], []) == (again.runs.replaced, again.lacked, again.problems)


def test_an_older_copy_of_a_journal_keeps_no_trial_that_it_does_not_have(
    root: Path, uri: str, artifacts: str | None, stored: Stored
) -> None:
    sync_study(place(root, "whole", TRIAL_0_ENDS + 1), uri, artifacts)
    journal = place(root, "study")
    sync_study(journal, uri, artifacts)
    place(root, "study", TRIAL_0_ENDS + 1)
    assert 4 == len(verify_study(journal, uri, artifacts).runs.replaced)  # three trials, the study
    compare(stored, "study")


def add_second_run(client: MlflowClient, run_id: str) -> str:
    run = client.get_run(run_id)
    tags = {"hpsearch.key": run.data.tags["hpsearch.key"]}
    client.create_run(run.info.experiment_id, run.info.start_time, tags, "trial-000")
    return "it is there twice"


def add_points(client: MlflowClient, run_id: str) -> str:
    client.log_metric(run_id, "val/loss", 0.5, 1, 1)
    return "1 of its points are not in the journal"


@pytest.mark.parametrize("add", [add_second_run, add_points])
def test_what_a_store_has_too_much_is_found_and_replaced(
    add: Callable[[MlflowClient, str], str],
    root: Path,
    uri: str,
    artifacts: str | None,
    stored: Stored,
    client: MlflowClient,
) -> None:
    journal = place(root, "study")
    sent = sync_study(journal, uri, artifacts)
    before = stored("study")
    told = add(client, str(sent.run_id(0)))
    [replaced] = verify_study(journal, uri, artifacts).runs.replaced
    assert replaced.startswith("trial-000 ")
    assert replaced.endswith(told)
    assert before == stored("study")
    assert [] == verify_study(journal, uri, artifacts).runs.replaced


def test_files_that_a_store_lost_are_sent_again(
    root: Path, uri: str, artifacts: str | None, client: MlflowClient
) -> None:
    journal = place(root, "study")
    sent = sync_study(journal, uri, artifacts)
    runs = [sent.parent, sent.run_id(3)]
    for run, name in zip(runs, ("spec.yaml", "traceback.txt"), strict=True):
        (Path(client.get_run(run).info.artifact_uri) / name).unlink()
    lacked = verify_study(journal, uri, artifacts).lacked
    assert ["study: spec.yaml", "trial-003: traceback.txt"] == lacked
    for run, name in zip(runs, ("spec.yaml", "traceback.txt"), strict=True):
        assert name in {file.path for file in client.list_artifacts(run)}


def test_the_end_of_a_study_finds_a_run_that_is_missing_and_takes_no_second_for_it(
    root: Path,
    uri: str,
    artifacts: str | None,
    stored: Stored,
    database: Path,
    figure: Figure,
) -> None:
    records = synthetic.study(30, folds=2, epochs=3)
    records[0] |= {"study": "long", "key": "key-of-long"}
    journal = synthetic.write(journal_path(root, "long"), records[:-4])
    uploader = Uploader(journal, uri, artifacts=artifacts)
    sender = uploader._sender
    with uploader:
        assert uploader.flush(60)
        before = stored("long")
        with sqlite3.connect(database) as connection:
            remove_run(connection)
        synthetic.write(journal, records)
        uploader.wake()
    assert {*before} == {*stored("long")}
    assert ["trial-001: its run"] == sender.projection.lacked
    began = time.process_time()
    found = compare_runs(
        sender.projection.client, sender.projection.experiment_id, sender.projection.history
    )
    seconds = time.process_time() - began
    assert ({}, {}) == (found.lacking, found.surplus)
    assert seconds < 1  # demanded
    figure(looking_at_30_trials_s=round(seconds, 2))


def test_a_folder_where_a_file_belongs_is_left_out_and_the_rest_arrives(
    root: Path, uri: str, artifacts: str | None, stored: Stored, whole: None
) -> None:
    folder = place(root, "wrong").parent
    (folder / "plots" / "00_history.png" / "inside").mkdir(parents=True)
    (folder / "plots" / "00_history.png" / "x").write_text("not ours")
    (folder / "plots" / "01_importance.png").write_text("a picture")
    (folder / "source.diff").mkdir()
    sent = verify_study(folder / "journal.jsonl", uri, artifacts)
    compare(stored, "wrong")
    assert [] == sent.problems
    files = Path(root / "mlruns" / "artifacts" / sent.parent / "artifacts" / "plots")
    assert ["01_importance.png"] == [p.name for p in files.iterdir()]


@pytest.mark.skipif(sys.platform != "linux", reason="a file that nobody can read, not even root")
def test_a_file_that_cannot_be_read_is_named_and_the_rest_arrives(
    root: Path, uri: str, artifacts: str | None, stored: Stored, whole: None
) -> None:
    plots = place(root, "unreadable").parent / "plots"
    plots.mkdir()
    (plots / "00_history.png").symlink_to("/proc/self/clear_refs")
    (plots / "01_importance.png").write_text("a picture")
    sent = sync_study(plots.parent / "journal.jsonl", uri, artifacts)
    assert [f"{plots}/00_history.png: cannot be read: Invalid argument"] == sent.problems
    compare(stored, "unreadable")
    files = Path(root / "mlruns" / "artifacts" / sent.parent / "artifacts" / "plots")
    assert ["01_importance.png"] == [p.name for p in files.iterdir()]
