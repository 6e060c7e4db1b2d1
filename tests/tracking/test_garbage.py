"""`hpsearch gc`: what goes, what stays, and that the dry run touches nothing."""

import synthetic
from click.testing import CliRunner
from mlflow import MlflowClient
from mlflow.entities import ViewType

from hpsearch.cli import main
from hpsearch.history import History, load
from hpsearch.journal import Journal
from hpsearch.tracking.garbage import find_garbage
from hpsearch.tracking.store import artifact_location


def leave_study(root) -> History:
    """An ended study of eight trials with a kilobyte of predictions each."""
    folder = root / "mlruns" / "studies" / "demo"
    (folder / "predictions").mkdir(parents=True)
    with Journal(folder / "journal.jsonl") as journal:
        for record in synthetic.study(8):
            fields = {k: v for k, v in record.items() if k not in ("event", "time", "seq")}
            if record["event"] == "result":
                name = f"predictions/{record['trial']:06d}.npy"
                (folder / name).write_bytes(bytes(1000))
                fields["predictions"] = name
            journal.append(record["event"], **fields)
    return load(folder / "journal.jsonl")


def left(root) -> set[int]:
    return {int(f.stem) for f in (root / "mlruns/studies/demo/predictions").iterdir()}


def test_the_best_trials_and_the_members_of_the_model_keep_their_predictions(
    root, uri, monkeypatch
):
    monkeypatch.chdir(root)
    history = leave_study(root)
    everything = left(root)
    needed = {t.number for t in history.ranked()[:2]}
    needed |= {m["trial"] for m in history.final.get("members", ())}
    dry = CliRunner().invoke(main, ["gc", "--keep", "2", "--dry-run"], catch_exceptions=False)
    assert everything == left(root)
    n_gone = len(everything - needed)
    assert n_gone > 0
    assert f"churn: predictions of {n_gone} trials, {n_gone}.0 kB" in dry.output
    done = CliRunner().invoke(main, ["gc", "--keep", "2"], catch_exceptions=False)
    assert f"{n_gone}.0 kB freed" in done.output
    assert needed & everything == left(root)


def test_deleted_runs_go_for_good_with_their_artifacts(root, uri):
    client = MlflowClient(uri)
    experiment = client.create_experiment("demo", artifact_location(uri, root))
    kept, deleted = (client.create_run(experiment).info.run_id for _ in range(2))
    for run in (kept, deleted):
        client.log_text(run, "x" * 500, "note.txt")
    client.delete_run(deleted)
    [found] = find_garbage(root, client, keep=1)
    assert ("demo", (deleted,), 500) == (found.study, found.runs, found.size)
    done = CliRunner().invoke(main, ["gc", "--tracking-uri", uri], catch_exceptions=False)
    assert 0 == done.exit_code, done.output
    runs = client.search_runs([experiment], run_view_type=ViewType.ALL)
    assert [kept] == [run.info.run_id for run in runs]
    files = [f for f in (root / "mlruns" / "artifacts").rglob("*") if f.is_file()]
    assert [kept] == [f.parts[-3] for f in files]
