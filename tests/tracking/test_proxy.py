"""MLflow's server behind nginx with its defaults, below a prefix."""

from pathlib import Path

import pytest
import synthetic
from mlflow import MlflowClient
from mlflow_server import TrackingServer, free_port
from server_parts import nginx

from hpsearch.tracking.store import journal_path, remove_login
from hpsearch.tracking.study_runs import find_study_run
from hpsearch.tracking.study_sync import sync_study
from hpsearch.tracking.uploader import Uploader


@pytest.fixture(scope="module")
def server(tracking_server: TrackingServer) -> str:
    return tracking_server.uri


def place(root: Path, name: str) -> Path:
    """The journal of a finished study with a file that is larger than a megabyte."""
    records = synthetic.study(3, folds=2, epochs=2)
    end = records[-1]
    records.append({"seq": end["seq"] + 1, "time": end["time"] + 1, "event": "plots", "failed": {}})
    records[0] |= {"key": f"key-of-{name}", "study": name}
    journal = synthetic.write(journal_path(root, name), records)
    for file, size in (("plots/a.png", 10), ("plots/large.html", 1_500_000), ("plots/z.png", 10)):
        path = journal.parent / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * size)
    return journal


def test_what_the_proxy_refuses_is_left_out_by_name_and_the_rest_arrives(
    server: str, tmp_path: Path
) -> None:
    journal = place(tmp_path, "behind-nginx")
    with nginx(tmp_path / "nginx", server, free_port()) as uri:
        with Uploader(journal, uri) as uploader:
            assert uploader.flush(60)
        (told,) = uploader.refusals
        assert "plots/large.html (1.5 MB)" in told
        assert "client_max_body_size" in told
        run = find_study_run(MlflowClient(uri), "behind-nginx", journal=journal)
    client = MlflowClient(server)
    assert "FINISHED" == client.get_run(run.run_id).info.status
    assert 4 == len(client.search_runs([run.experiment_id]))
    assert ["plots/a.png", "plots/z.png"] == [
        f.path for f in client.list_artifacts(run.run_id, "plots")
    ]
    files = {f.path for f in client.list_artifacts(run.run_id)}
    assert {"spec.yaml", "environment.json", "journal.jsonl", "plots"} == files


def test_sync_sends_what_was_refused_once_the_limit_is_higher(server: str, tmp_path: Path) -> None:
    journal = place(tmp_path, "limit")
    port = free_port()
    with nginx(tmp_path / "low", server, port) as uri:
        sync_study(journal, uri)
    with nginx(tmp_path / "high", server, port, "client_max_body_size 5m;") as uri:
        sync_study(journal, uri)
        run = find_study_run(MlflowClient(uri), "limit", journal=journal)
    sizes = {f.path: f.file_size for f in MlflowClient(server).list_artifacts(run.run_id, "plots")}
    assert 1_500_000 == sizes["plots/large.html"]


def points_of(client: MlflowClient, experiment: str) -> dict[str, list[tuple[str, int, float]]]:
    """Every point of an experiment's runs, by the run's name."""
    return {
        run.info.run_name: sorted(
            (metric, point.step, point.value)
            for metric in run.data.metrics
            for point in client.get_metric_history(run.info.run_id, metric)
        )
        for run in client.search_runs([experiment])
    }


@pytest.mark.long
def test_points_too_many_for_one_request_go_in_several(server: str, tmp_path: Path) -> None:
    name, port = "many-points", free_port()
    records = synthetic.study(3, folds=3, epochs=40)
    records[0] |= {"key": f"key-of-{name}", "study": name}
    asked = next(record for record in records if record["event"] == "asked")
    asked["params"] = {**asked["params"], "long": "x" * 5000}
    journal = synthetic.write(journal_path(tmp_path, name), records)
    records[0] |= {"key": "key-of-direct", "study": "direct"}
    whole = synthetic.write(journal_path(tmp_path, "direct"), records)
    client = MlflowClient(server)
    expected = points_of(client, sync_study(whole, server).experiment_id)
    with nginx(tmp_path / "low", server, port, "client_max_body_size 4k;") as uri:
        sent = sync_study(journal, uri)
    found = points_of(client, sent.experiment_id)
    assert {k.replace("direct", name): v for k, v in expected.items()} == found
    (told,) = [told for told in sent.problems if told.startswith("trial-")]
    assert "trial-000: param 'long': larger than its proxy lets through (413)" in told
    with nginx(tmp_path / "high", server, port) as uri:
        sent = sync_study(journal, uri)
    assert [] == sent.problems
    (run,) = client.search_runs([sent.experiment_id], "run_name = 'trial-000'")
    assert "x" * 5000 == run.data.params["long"]


def test_the_address_for_a_browser_holds_no_login() -> None:
    assert "https://runs.example/mlflow" == remove_login("https://a:b/c@runs.example/mlflow")
