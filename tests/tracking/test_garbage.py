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


def delete_runs(root, uri, **tags) -> tuple[MlflowClient, str, list[str]]:
    """An experiment of three runs with a file each, the last two deleted."""
    client = MlflowClient(uri)
    experiment = client.create_experiment("demo", artifact_location(uri, root))
    runs = [client.create_run(experiment, tags=tags).info.run_id for _ in range(3)]
    for run in runs:
        client.log_text(run, "x" * 500, "final/model/note.txt")
    for run in runs[1:]:
        client.delete_run(run)
    return client, experiment, runs


def left_runs(client, experiment) -> set[str]:
    runs = client.search_runs([experiment], run_view_type=ViewType.ALL)
    return {run.info.run_id for run in runs}


OURS = {"hpsearch.key": "c0ffee"}


def test_deleted_runs_go_for_good_with_their_artifacts_but_those_of_registered_models(
    root, uri, figure, monkeypatch
):
    monkeypatch.chdir(root)
    client, experiment, (kept, champion, deleted) = delete_runs(root, uri, **OURS)
    client.create_registered_model("churn")
    source = f"{client.get_run(champion).info.artifact_uri}/final/model"
    client.create_model_version("churn", source, champion)
    [found] = find_garbage(root, client, keep=1)
    assert ("demo", (deleted,), 500) == (found.study, found.runs, found.size)
    done = CliRunner().invoke(main, ["gc", "--tracking-uri", uri], catch_exceptions=False)
    assert 0 == done.exit_code, done.output
    assert "1 deleted runs; 1 more stay, since models of theirs are registered" in done.output
    assert {kept, champion} == left_runs(client, experiment)
    files = [f for f in (root / "mlruns" / "artifacts").rglob("*") if f.is_file()]
    assert {kept, champion} == {f.parts[-5] for f in files}
    figure(registered_models_lost=0)


def test_of_a_deleted_experiment_the_run_whose_model_is_in_use_stays_and_so_do_other_programs(
    root, uri, monkeypatch
):
    monkeypatch.chdir(root)
    client, experiment, (champion, *others) = delete_runs(root, uri, **OURS)
    client.create_registered_model("churn")
    source = f"{client.get_run(champion).info.artifact_uri}/final/model"
    client.create_model_version("churn", source, champion)
    foreign = client.create_experiment("foreign", artifact_location(uri, root))
    theirs = client.create_run(foreign).info.run_id
    for deleted in (experiment, foreign):
        client.delete_experiment(deleted)
    done = CliRunner().invoke(main, ["gc", "--tracking-uri", uri], catch_exceptions=False)
    assert 0 == done.exit_code, done.output
    assert "2 deleted runs; 1 more stay" in done.output
    for restored in (experiment, foreign):
        client.restore_experiment(restored)
    assert {champion} == left_runs(client, experiment)
    assert {theirs} == left_runs(client, foreign)
    assert client.list_artifacts(champion, "final/model")
    files = [str(f) for f in (root / "mlruns" / "artifacts").rglob("*") if f.is_file()]
    assert files
    assert not any(other in file for file in files for other in others)


def test_in_a_store_that_others_use_their_deleted_runs_are_left_to_them(root, uri, tmp_path):
    client, _, theirs = delete_runs(root, uri, **OURS)
    mine = tmp_path / "another folder"
    history = leave_study(mine)
    own = client.create_experiment("own", artifact_location(uri, root))
    tags = {"hpsearch.key": f"{history.key}/3/0"}
    deleted = client.create_run(own, tags=tags).info.run_id
    client.delete_run(deleted)
    found = [item for item in find_garbage(mine, client, keep=100) if item.runs]
    assert [(deleted,)] == [item.runs for item in found]
    everything = find_garbage(mine, client, keep=100, everybodys=True)
    assert {deleted, *theirs[1:]} == {run for item in everything for run in item.runs}


def test_deleted_runs_of_other_programs_are_left_to_them(root, uri, monkeypatch):
    monkeypatch.chdir(root)
    client, _, runs = delete_runs(root, uri)
    dry = CliRunner().invoke(main, ["gc", "--dry-run"], catch_exceptions=False)
    assert "0 B would be freed" in dry.output
    [found] = find_garbage(root, client, keep=1, everybodys=True)
    assert {*runs[1:]} == {*found.runs}
