"""`hpsearch gc`: deleted and kept data; the dry run changes nothing."""

import synthetic
from answer_check import read_answer
from click.testing import CliRunner
from mlflow import MlflowClient
from mlflow.entities import ViewType

from hpsearch.cli import main
from hpsearch.history import History, load_history
from hpsearch.journal import Journal
from hpsearch.study.winner.selection import trials_in_use
from hpsearch.tracking.garbage import find_garbage, find_unusable_checkpoints
from hpsearch.tracking.store import artifact_location


def leave_study(root, *more: dict, **selection) -> History:
    """An ended study of eight trials with a kilobyte of predictions each, and `more` records."""
    folder = root / "mlruns" / "studies" / "demo"
    (folder / "predictions").mkdir(parents=True)
    with Journal(folder / "journal.jsonl") as journal:
        for record in [*synthetic.study(8), *more]:
            fields = {k: v for k, v in record.items() if k not in ("event", "time", "seq")}
            if record["event"] == "study":
                fields["spec"] = fields["spec"] | {"selection": {"finalists": 0} | selection}
            if record["event"] == "result":
                name = f"predictions/{record['trial']:06d}.npy"
                (folder / name).write_bytes(bytes(1000))
                fields["predictions"] = name
            journal.append(synthetic.event(record["event"], **fields))
    return load_history(folder / "journal.jsonl")


def left(root) -> set[int]:
    return {int(f.stem) for f in (root / "mlruns/studies/demo/predictions").iterdir()}


def test_the_best_trials_and_the_members_of_the_model_keep_their_predictions(
    root, uri, monkeypatch
):
    monkeypatch.chdir(root)
    history = leave_study(root, kind="best")
    everything = left(root)
    needed = {t.number for t in history.ranked_trials()[:2]}
    needed.add(history.winner.trial)
    dry = CliRunner().invoke(main, ["gc", "--keep", "2", "--dry-run"], catch_exceptions=False)
    assert everything == left(root)
    n_gone = len(everything - needed)
    assert n_gone > 0
    assert f"churn: predictions of {n_gone} trials, {n_gone}.0 kB" in dry.output
    planned = CliRunner().invoke(main, ["gc", "--keep", "2", "--dry-run", "--json"])
    expected = [{"study": "churn", "what": f"predictions of {n_gone} trials"}]
    answer = read_answer("gc", planned.stdout)
    assert expected == [{k: g[k] for k in ("study", "what")} for g in answer["removed"]]
    assert (True, 1000 * n_gone) == (answer["is_dry_run"], answer["bytes"])
    done = CliRunner().invoke(main, ["gc", "--keep", "2"], catch_exceptions=False)
    assert f"{n_gone}.0 kB freed" in done.output
    assert needed & everything == left(root)


def test_predictions_among_which_the_winner_is_chosen_stay(root, uri, monkeypatch):
    monkeypatch.chdir(root)
    leave_study(root, kind="ensemble")
    everything = left(root)
    CliRunner().invoke(main, ["gc", "--keep", "1"], catch_exceptions=False)
    history = load_history(root / "mlruns/studies/demo/journal.jsonl")
    kept = {t.number for t in history.trials if t.state in ("COMPLETE", "PRUNED")}
    assert kept == left(root) & everything
    assert len(history.ranked_trials()) < len(kept) < len(everything)


def test_of_a_study_that_goes_on_nothing_is_removed_and_that_is_told(
    root, uri, monkeypatch, caplog
):
    monkeypatch.chdir(root)
    asked = next(r for r in synthetic.study(9) if r.get("trial") == 8)
    leave_study(root, {**asked, "event": "asked"})
    everything = left(root)
    CliRunner().invoke(main, ["gc", "--keep", "1"], catch_exceptions=False)
    assert everything == left(root)
    assert "nothing of study demo is removed: it can continue" in caplog.text


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
    [found] = find_garbage(root, client, keep=1, in_use=trials_in_use)
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
    found = [
        item for item in find_garbage(mine, client, keep=100, in_use=trials_in_use) if item.runs
    ]
    assert [(deleted,)] == [item.runs for item in found]
    everything = find_garbage(mine, client, keep=100, everybodys=True, in_use=trials_in_use)
    assert {deleted, *theirs[1:]} == {run for item in everything for run in item.runs}


def test_deleted_runs_of_other_programs_are_left_to_them(root, uri, monkeypatch):
    monkeypatch.chdir(root)
    client, _, runs = delete_runs(root, uri)
    dry = CliRunner().invoke(main, ["gc", "--dry-run"], catch_exceptions=False)
    assert "0 B would be freed" in dry.output
    [found] = find_garbage(root, client, keep=1, everybodys=True, in_use=trials_in_use)
    assert {*runs[1:]} == {*found.runs}


def test_checkpoints_that_no_trial_can_use_are_removed(root, uri, monkeypatch):
    monkeypatch.chdir(root)
    history = leave_study(root, kind="best")
    folder = root / "mlruns" / "studies" / "demo" / "checkpoints"
    folder.mkdir()
    for number in (*history.last, 99):  # the journal has no trial 99
        (folder / f"{number:06d}.ckpt").write_bytes(bytes(10))
    best = {t.number for t in history.ranked_trials()[:2]}
    CliRunner().invoke(main, ["gc", "--keep", "2"], catch_exceptions=False)
    assert best == {int(f.stem) for f in folder.iterdir()}


def test_a_study_that_can_continue_keeps_the_checkpoints_of_its_trials(root):
    history = leave_study(root, kind="best")
    study = root / "mlruns" / "studies" / "demo"
    (study / "checkpoints").mkdir()
    for number in (*history.last, 99):
        (study / "checkpoints" / f"{number:06d}.ckpt").write_bytes(bytes(10))
    history.asked_since_final = True
    gone = {int(f.stem) for f in find_unusable_checkpoints(study, history, keep=1)}
    assert {t.number for t in history.trials if t.state == "FAILED"} | {99} == gone
