"""Each run and each point reaches the store exactly once, whatever fails."""

import os
import socket
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import synthetic
from study.conftest import with_store

from hpsearch.compat.mlflow import sqlite_store
from hpsearch.errors import JournalError, TrackingError
from hpsearch.journal import Journal, read_page
from hpsearch.tracking.sender import FilesAwayError, Sender
from hpsearch.tracking.store import default_uri, journal_path
from hpsearch.tracking.study_sync import sync_study
from hpsearch.tracking.uploader import Uploader

Stored = Callable[[str], dict[str, Any]]
TABLES = (
    *("runs", "tags", "params", "metrics", "latest_metrics"),
    *("inputs", "input_tags", "datasets"),
)


def named(records: list[synthetic.Record], name: str) -> list[synthetic.Record]:
    """The same study under another name and key, so that one store can hold both."""
    first = {**records[0], "study": name, "key": f"key-of-{name}"}
    return [first, *records[1:]]


def place(root: Path, name: str, records: list[synthetic.Record]) -> Path:
    return synthetic.write(journal_path(root, name), named(records, name))


class Unreliable:
    """A real client whose n-th request fails once: not sent, or sent and its answer lost."""

    def __init__(self, client: Any, *, fails: int = -1, lost: bool = False) -> None:
        self._client = client
        self._fails = fails
        self._lost = lost
        self.requests: Counter[str] = Counter()
        self.names: list[str] = []

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._client, name)
        if not callable(function):  # `tracking_uri`: no request
            return function

        def call(*args: Any, **kwargs: Any) -> Any:
            number = self.requests.total()
            self.requests[name] += 1
            self.names.append(name)
            if number != self._fails:
                return function(*args, **kwargs)
            if self._lost:
                function(*args, **kwargs)
            raise ConnectionError(f"{name}, request {number}")

        return call


def sent_through(client: Unreliable, journal: Path, uri: str, artifacts: str | None) -> None:
    """Send all there is in one process, trying again after a failed request."""
    sender = Sender(journal, uri, artifacts)
    sender._client = client  # type: ignore[assignment]
    for attempt in range(3):
        try:
            if sender.projection is None:
                sender.open_study()
            sender.send()
            sender.park_runs()
            break
        except (ConnectionError, FilesAwayError):
            assert attempt == 0
    sender.close()


@pytest.fixture
def client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(uri)


def test_a_study_becomes_a_run_with_a_run_for_each_attempt(
    root: Path, uri: str, artifacts: str | None, stored: Stored
) -> None:
    journal = place(root, "whole", synthetic.study(6, folds=3, epochs=4))
    projection = sync_study(journal, uri, artifacts)
    runs = stored("whole")
    names = ["trial-000", "trial-001", "trial-002", "trial-003", "trial-004", "trial-004-retry-1"]
    assert {*names, "trial-005", "whole"} == set(runs)
    assert {
        "whole": "FINISHED",
        "trial-001": "FINISHED",
        "trial-002": "FINISHED",
        "trial-003": "FAILED",
        "trial-004": "KILLED",
    } == {name: runs[name]["status"] for name in ("whole", *names[1:5])}
    assert "PRUNED" == runs["trial-002"]["tags"]["state"]
    assert "LOST" == runs["trial-004"]["tags"]["state"]
    assert "true" == runs[f"trial-{projection.history.winner.trial:03d}"]["tags"]["winner"]


def test_curves_carry_the_journals_values_steps_and_times(
    root: Path, uri: str, artifacts: str | None, stored: Stored
) -> None:
    records = synthetic.study(2, folds=3, epochs=4)
    sync_study(place(root, "curves", records), uri, artifacts)
    points = stored("curves")["trial-000"]["points"]
    epochs = [r for r in records if r["event"] == "epoch" and r["trial"] == 0]
    for name, fold in (("fold_0/val_loss", 0), ("fold_2/val_loss", 2)):
        expected = [
            (name, r["epoch"], r["time"], r["metrics"]["val/loss"][fold], 0) for r in epochs
        ]
        assert expected == [p for p in points if p[0] == name]
    mean = [(r["epoch"], sum(r["scores"]) / 3) for r in epochs]
    assert [s for s, _ in mean] == [p[1] for p in points if p[0] == "val/roc_auc"]
    assert [m for _, m in mean] == pytest.approx([p[3] for p in points if p[0] == "val/roc_auc"])
    # 4 mean curves and 2 curves a fold over 4 epochs, and five values of the result
    assert (4 + 2 * 3) * 4 + 5 == len(points)


def test_every_run_names_the_data_by_our_fingerprint(
    root: Path, uri: str, artifacts: str | None, client: Any
) -> None:
    projection = sync_study(place(root, "data", synthetic.study(2)), uri, artifacts)
    runs = client.search_runs([projection.experiment_id])
    assert 3 == len(runs)
    for run in runs:
        (given,) = run.inputs.dataset_inputs
        assert ("churn.csv", ("0123456789abcdef" * 4)[:36]) == (
            given.dataset.name,
            given.dataset.digest,
        )


def test_the_studys_run_holds_spec_environment_plots_and_journal(
    root: Path, uri: str, artifacts: str | None, client: Any
) -> None:
    journal = place(root, "files", synthetic.study(4))
    (journal.parent / "final").mkdir()
    (journal.parent / "final" / "schema.json").write_text("{}")
    (journal.parent / "plots").mkdir()
    (journal.parent / "plots" / "history.png").write_bytes(b"PNG")
    projection = sync_study(journal, uri, artifacts)
    files = {file.path for file in client.list_artifacts(projection.parent)}
    assert {"environment.json", "final", "journal.jsonl", "plots", "spec.yaml"} == files
    folder = Path(client.get_run(projection.parent).info.artifact_uri)
    assert journal.read_bytes() == (folder / "journal.jsonl").read_bytes()
    assert "search_space:" in (folder / "spec.yaml").read_text()
    failed = client.get_run(projection.run_id(3))
    assert "ValueError: NaN" in (Path(failed.info.artifact_uri) / "traceback.txt").read_text()


def test_values_that_are_not_finite_are_stored_once_too(
    root: Path, uri: str, artifacts: str | None, stored: Stored
) -> None:
    records = synthetic.study(1, folds=2, epochs=1, finished=False)
    epoch = next(r for r in records if r["event"] == "epoch")
    epoch["metrics"]["val/loss"] = [float("nan"), float("inf")]
    journal = place(root, "nan", records)
    sync_study(journal, uri, artifacts)
    for cursor in journal.parent.glob("uploaded-*.json"):
        cursor.unlink()
    sync_study(journal, uri, artifacts)
    points = [p for p in stored("nan")["trial-000"]["points"] if p[0].endswith("val_loss")]
    assert [("fold_0/val_loss", 0.0, 1), ("fold_1/val_loss", 1.7976931348623157e308, 0)] == [
        (p[0], p[3], p[4]) for p in points
    ]


def test_replayed_from_every_event_the_store_holds_everything_once(
    root: Path, uri: str, artifacts: str | None, stored: Stored
) -> None:
    """Killed behind every event, with the cursor left where it was before."""
    records = synthetic.study(5, folds=2, epochs=2)
    sync_study(place(root, "once", records), uri, artifacts)
    for count in range(1, len(records) + 1):
        journal = place(root, "replayed", records[:count])
        cursors = {p: p.read_bytes() for p in journal.parent.glob("uploaded-*.json")}
        sender = Sender(journal, uri, artifacts)
        sender.open_study()
        sender.send()
        sender.close()
        if count % 3:  # killed before the cursor moved
            for path in journal.parent.glob("uploaded-*.json"):
                path.write_bytes(cursors[path]) if path in cursors else path.unlink()
    sync_study(journal, uri, artifacts)
    once, replayed = stored("once"), stored("replayed")
    replayed["once"] = replayed.pop("replayed")
    for runs in (once, replayed):
        runs["once"].pop("params"), runs["once"]["tags"].clear()
    assert once == replayed


@pytest.mark.parametrize(
    ("lost", "of_each_kind"),
    [
        pytest.param(True, 2, id="answer lost"),
        pytest.param(True, 99, id="every answer lost", marks=pytest.mark.long),
        pytest.param(False, 99, id="not sent", marks=pytest.mark.long),
    ],
)
def test_any_request_may_fail_and_the_store_holds_everything_once(
    root: Path,
    uri: str,
    artifacts: str | None,
    stored: Stored,
    client: Any,
    lost: bool,
    of_each_kind: int,
) -> None:
    """Of each kind the last ones fail, when the study has runs already."""
    records = synthetic.study(1, folds=2, epochs=2)
    counting = Unreliable(client)
    sent_through(counting, place(root, "study", records), uri, artifacts)
    expected = stored("study")
    for number, kind in enumerate(counting.names):
        if counting.names[number:].count(kind) > of_each_kind:
            continue
        name = f"study-{number}"
        sent_through(
            Unreliable(client, fails=number, lost=lost), place(root, name, records), uri, artifacts
        )
        runs = stored(name)
        assert set(runs) == {name, "trial-000"}
        assert expected["trial-000"] == runs["trial-000"]
        assert expected["study"]["points"] == runs[name]["points"]
        assert "FINISHED" == runs[name]["status"]


def test_a_trial_costs_four_requests(
    root: Path, uri: str, artifacts: str | None, client: Any
) -> None:
    requests = []
    for trials in (1, 3):
        counting = Unreliable(client)
        records = synthetic.study(trials, epochs=3)
        sent_through(counting, place(root, f"cost-{trials}", records), uri, artifacts)
        requests.append(counting.requests)
    more = requests[1] - requests[0]
    assert {"create_run": 2, "log_batch": 2, "log_inputs": 2, "set_terminated": 2} == more


def test_points_in_bulk_are_those_that_mlflow_would_write(
    root: Path, uri: str, artifacts: str | None, stored: Stored, client: Any
) -> None:
    records = synthetic.study(3, folds=2, epochs=3)
    records[5]["metrics"]["val/loss"] = [float("nan"), float("-inf")]
    slow = Sender(place(root, "slow", records), uri, artifacts)
    slow.open_study()
    slow.projection._writer._bulk = None
    slow.send()
    slow.close()
    fast = sync_study(place(root, "fast", records), uri, artifacts)
    assert fast._writer._bulk is not None
    expected, received = stored("slow"), stored("fast")
    for name, other in (("trial-000", "trial-000"), ("trial-002", "trial-002"), ("slow", "fast")):
        assert expected[name]["points"] == received[other]["points"]
    for number in range(3):
        runs = [client.get_run(p.run_id(number)) for p in (slow.projection, fast)]
        one, two = (repr(sorted(run.data.metrics.items())) for run in runs)
        assert one == two


def rows_of(uri: str, experiment: str) -> dict[str, list[tuple[str, ...]]]:
    """All that an SQLite store has of an experiment, its random ids replaced by names."""
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as database:
        named = database.execute(
            "select run_uuid, name from runs where experiment_id = ?", (experiment,)
        ).fetchall()
        names = dict(named)
        for table in ("inputs", "datasets"):
            column = {"inputs": "input_uuid", "datasets": "dataset_uuid"}[table]
            names |= dict.fromkeys(
                (key for (key,) in database.execute(f"select {column} from {table}")), table
            )
        kept: dict[str, list[tuple[str, ...]]] = {}
        for table in TABLES:
            found = []
            for row in database.execute(f"select * from {table}"):
                texts = [str(value) for value in row]
                if not names.keys().isdisjoint(texts):
                    for key, name in names.items():
                        texts = [text.replace(key, name) for text in texts]
                    found.append(tuple(texts))
            kept[table] = sorted(found)
    return kept


def test_a_page_in_one_transaction_leaves_the_rows_of_mlflows_own_calls(
    tmp_path: Path, empty_store: Path
) -> None:
    rows = []
    for way in ("together", "one by one"):
        uri = default_uri(with_store(tmp_path / way, empty_store))
        records = synthetic.study(5, folds=2, epochs=3)
        sender = Sender(place(tmp_path / way, "study", records), uri, "file:///artifacts")
        sender.open_study()
        if way == "one by one":
            sender._transactions, sender.projection._writer._bulk = False, None
        sender.send()
        rows.append(rows_of(uri, sender.projection.experiment_id))
        sender.close()
    assert all(rows[0].values())
    assert rows[0] == rows[1]


def test_a_page_of_many_trials_is_committed_as_often_as_one_of_few(
    tmp_path: Path, empty_store: Path
) -> None:
    from sqlalchemy import event

    counts = []
    for trials in (5, 12):  # one of them fails, and has a file
        uri = default_uri(with_store(tmp_path / str(trials), empty_store))
        records = synthetic.study(trials, folds=2, epochs=2)
        sender = Sender(place(tmp_path / str(trials), "study", records), uri, "file:///artifacts")
        sender.open_study()
        commits: list[object] = []
        engine = sqlite_store(sender.projection.client).engine
        event.listen(engine, "commit", commits.append)
        sender.send()
        counts.append(len(commits))
        sender.close()
    assert counts[0] == counts[1]


def test_a_page_whose_transaction_fails_is_sent_again_once(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = default_uri(with_store(tmp_path, empty_store))
    sender = Sender(place(tmp_path, "study", synthetic.study(4)), uri, "file:///artifacts")
    sender.open_study()
    ended: list[object] = []

    def fail_once(self: Any, *args: Any) -> None:
        ended.append(args)
        if len(ended) == 3:
            raise RuntimeError("the database went away")
        type(self).set_terminated_before(self, *args)

    kind = type(sender.projection.client)
    monkeypatch.setattr(kind, "set_terminated_before", kind.set_terminated, raising=False)
    monkeypatch.setattr(kind, "set_terminated", fail_once)
    sender.send()
    sender.close()
    names = [row[1] for row in rows_of(uri, sender.projection.experiment_id)["runs"]]
    assert len(ended) > 4
    assert sorted(set(names)) == sorted(names)


def test_a_refused_request_is_told_and_the_rest_gets_through(
    root: Path, uri: str, artifacts: str | None, stored: Stored, client: Any
) -> None:
    records = synthetic.study(2, epochs=2)
    journal = place(root, "refused", records[:3])
    sender = Sender(journal, uri, artifacts)
    sender.open_study()
    sender.send()
    key = f"{sender.projection.history.key}/0/0"
    client.delete_run(sender.projection.runs.ids[key])
    place(root, "refused", records)
    sender.send()
    sender.close()
    assert 1 == len(sender.problems)
    assert "trial-001" in stored("refused")


def test_a_new_life_of_a_study_gets_a_run_of_its_own(
    root: Path, uri: str, artifacts: str | None, client: Any
) -> None:
    records = synthetic.study(1)
    first = sync_study(place(root, "again", records), uri, artifacts)
    records[0]["key"] = "another"
    journal = journal_path(root, "again")
    synthetic.write(journal, [{**records[0], "study": "again"}, *records[1:]])
    second = sync_study(journal, uri, artifacts)
    assert first.experiment_id == second.experiment_id
    assert first.parent != second.parent
    assert 4 == len(client.search_runs([first.experiment_id]))


def test_a_deleted_experiment_is_named_with_its_remedy(
    root: Path, uri: str, artifacts: str | None, client: Any
) -> None:
    journal = place(root, "deleted", synthetic.study(1))
    client.delete_experiment(sync_study(journal, uri, artifacts).experiment_id)
    with pytest.raises(TrackingError, match="mlflow experiments restore"):
        sync_study(journal, uri, artifacts)


def test_a_live_study_is_followed_and_stopped_without_a_running_run(
    root: Path, uri: str, artifacts: str | None, stored: Stored
) -> None:
    records = named(synthetic.study(2, epochs=3, finished=False), "live")[:-3]
    path = journal_path(root, "live")
    with Journal(path) as journal, Uploader(path, uri, artifacts=artifacts) as uploader:
        for record in records:
            fields = {k: v for k, v in record.items() if k not in ("seq", "time", "event")}
            journal.append(synthetic.event(record["event"], **fields))
            uploader.wake()
        assert uploader.wait_open(60)
        assert uploader.flush(60)
        assert "RUNNING" == stored("live")["trial-001"]["status"]
        parent, trial = uploader.parent_run_id, uploader.run_id(0)
    runs = stored("live")
    assert {"live": "KILLED", "trial-000": "FINISHED", "trial-001": "KILLED"} == {
        name: run["status"] for name, run in runs.items()
    }
    assert 0 == uploader.pending
    assert None not in (parent, trial)
    with Uploader(path, uri, artifacts=artifacts) as resumed:
        assert resumed.flush(60)
        assert resumed.wait_open(60)
        assert "RUNNING" == stored("live")["live"]["status"]
        assert (parent, trial) == (resumed.parent_run_id, resumed.run_id(0))


def test_two_processes_cannot_send_one_journal(root: Path, uri: str) -> None:
    journal = place(root, "locked", synthetic.study(1))
    sender = Sender(journal, uri)
    with pytest.raises(TrackingError, match="is sending this study"):
        Uploader(journal, uri)
    sender.close()
    Uploader(journal, uri).close()


def test_a_server_that_is_away_is_told_at_once_without_its_password(root: Path) -> None:
    journal = place(root, "away", synthetic.study(1))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    before = dict(os.environ)
    uploader = Uploader(journal, f"http://ann:secret@127.0.0.1:{port}").start()
    with pytest.raises(TrackingError, match=rf"http://\*\*\*@127.0.0.1:{port}") as told:
        uploader.wait_open(60)
    assert "secret" not in str(told.value)
    assert not uploader.close(0)
    uploader._thread.join(60)
    assert read_page(journal).end == uploader.pending
    before.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    assert before == dict(os.environ)


def test_a_missing_journal_is_named(root: Path, uri: str) -> None:
    folder = root / "mlruns" / "studies" / "none"
    folder.mkdir(parents=True)
    with pytest.raises(JournalError, match="there is no journal"):
        sync_study(folder / "journal.jsonl", uri)


def test_a_live_study_says_how_busy_its_machine_is(
    root: Path, uri: str, artifacts: str | None, stored: Callable[[str], dict[str, Any]]
) -> None:
    with Uploader(place(root, "busy", synthetic.study(2)), uri, artifacts=artifacts) as uploader:
        assert uploader.flush(30)
    measured = [point for point in stored("busy")["busy"]["points"] if point[0].startswith("sys")]
    names = {name for name, *_ in measured}
    assert {"system/cpu_utilization_percentage", "system/disk_usage_percentage"} <= names
    assert all(0 <= value <= 100 for name, *_, value, _ in measured if name.endswith("percentage"))
    assert all(step >= 0 for _, step, *_ in measured)
