"""A study as a job of Ray: its command, as docs/cluster.md prints it, sent to a real cluster."""

import os
import re
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from mlflow_server import free_port

from hpsearch.tracking.store import journal_path

PAGE = Path(__file__).parents[2] / "docs" / "cluster.md"
STUDY = """\
study: churn
data: {source: "sklearn:wine"}
cross_validation: {folds: 2}
training: {epochs: 1, early_stopping: null}
search_space: {units: [4, 8]}
budget: {trials: 2}
selection: {finalists: 1}
execution: {workers: 1}
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[dict[str, str], str]]:
    """The environment of a shell on a node of a cluster with a job server, and its address."""
    pytest.importorskip(
        "ray.dashboard.optional_deps",
        reason="Ray's job server is not installed: pip install 'ray[default]'",
        exc_type=ImportError,
    )
    programs = Path(sys.executable).parent
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment = {
        **kept,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    ports = [f"--port={free_port()}", f"--dashboard-port={(server := free_port())}"]
    ports.append(f"--ray-client-server-port={free_port()}")
    small = ["--num-cpus=2", "--object-store-memory=100000000", "--include-dashboard=true"]
    start = [programs / "ray", "start", "--head", "--node-ip-address=127.0.0.1", "--block"]
    said = tmp_path / "ray.log"
    with said.open("w") as log:
        head = subprocess.Popen([*start, *small, *ports], env=environment, stdout=log, stderr=log)
    try:
        yield environment, f"http://127.0.0.1:{server}"
    finally:
        started = psutil.Process(head.pid).children(recursive=True)
        head.send_signal(signal.SIGTERM)
        head.wait(60)
        for process in psutil.wait_procs(started, timeout=30)[1]:
            process.kill()


@pytest.mark.long
def test_a_study_is_a_job_of_ray(cluster: tuple[dict[str, str], str], tmp_path: Path) -> None:
    environment, server = cluster
    (line,) = re.findall(r"^ {4}(ray job submit .*)$", PAGE.read_text(encoding="utf-8"), re.M)
    command = shlex.split(
        line.replace("http://10.0.0.1:8265", server).replace("/shared/churn", str(tmp_path))
    )
    command[-1] += " --offline"
    (tmp_path / "study.yaml").write_text(STUDY, encoding="utf-8")
    end = time.monotonic() + 120
    while True:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
        if done.returncode == 0 or journal_path(tmp_path, "churn").exists():
            break
        assert time.monotonic() < end, done.stdout + done.stderr  # the server has not started yet
        time.sleep(2)
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "search finished: 2 of 2 trials" in done.stdout
    assert journal_path(tmp_path, "churn").exists()
