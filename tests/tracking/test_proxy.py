"""nginx with its defaults in front of MLflow's server, below a prefix: bodies of a megabyte."""

import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import synthetic
from mlflow import MlflowClient
from mlflow_server import free_port, served

from hpsearch.tracking.sender import sync
from hpsearch.tracking.store import journal_path, without_login
from hpsearch.tracking.study_runs import find_study_run
from hpsearch.tracking.uploader import Uploader

CONFIG = """\
daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location /mlflow/ {{ proxy_pass {upstream}/; {more} }}
  }}
}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    where = ("--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db")
    where += ("--artifacts-destination", str(folder / "artifacts"))
    with served("server", *where, path="/health") as address:
        yield address


@contextmanager
def nginx(folder: Path, upstream: str, port: int, more: str = "") -> Iterator[str]:
    """The address of a proxy before `upstream`."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("nginx is not here: apt-get install nginx-light")
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    config = folder / "nginx.conf"
    user = "user root; " if os.geteuid() == 0 else ""  # its workers write below the test's folder
    config.write_text(user + CONFIG.format(folder=folder, port=port, upstream=upstream, more=more))
    process = subprocess.Popen([program, "-p", str(folder), "-c", str(config)])
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/mlflow/version").close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/mlflow"
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(30)


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
        (told,) = uploader.refused
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
        sync(journal, uri)
    with nginx(tmp_path / "high", server, port, "client_max_body_size 5m;") as uri:
        sync(journal, uri)
        run = find_study_run(MlflowClient(uri), "limit", journal=journal)
    sizes = {f.path: f.file_size for f in MlflowClient(server).list_artifacts(run.run_id, "plots")}
    assert 1_500_000 == sizes["plots/large.html"]


def test_the_address_for_a_browser_holds_no_login() -> None:
    assert "https://runs.example/mlflow" == without_login("https://a:b/c@runs.example/mlflow")
