"""`--address spark`: Ray on the executors of a Spark cluster of one machine."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hpsearch.errors import ClusterError
from hpsearch.execution import spark_cluster
from hpsearch.execution.ray_cluster import Resources

MARK = "HPSEARCH_TEST_OF_SPARK"  # inherited by every process of a test
STUDY = """\
study: sparkling
data: {source: "sklearn:wine"}
cross_validation: {folds: 2}
training: {epochs: 1, early_stopping: null}
search_space: {learning_rate: {type: float, low: 0.001, high: 0.1, log: true}}
budget: {trials: TRIALS}
selection: {finalists: 1}
execution: {executor: ray, address: spark}
"""
# In a session that exists already, whose executors have not inherited the token.
IN_A_SESSION = """
import json, logging, psutil
from pathlib import Path
from pyspark.sql import SparkSession

spark = SparkSession.builder.master("local-cluster[1,1,1024]").getOrCreate()

from hpsearch import tune

killed, tokens = [], []

def find_executors():
    mine = {p.pid for p in psutil.Process().children(recursive=True)}
    found = [p for p in psutil.process_iter(["cmdline"]) if p.pid in mine]  # None of a zombie
    return [p for p in found if any("ExecutorBackend" in a for a in p.info["cmdline"] or ())]

def kill_executor(record):
    if record.kind == "result" and not killed:
        tokens.extend(p.environ().get("RAY_AUTH_TOKEN") for p in find_executors())
        for executor in find_executors():
            executor.kill()
            killed.append(executor.pid)

result = tune("study.yaml", offline=True, listeners=[kill_executor])
handlers = [type(h).__name__ for h in logging.root.handlers]
print(json.dumps({
    "states": [t.state for t in result.trials], "killed": len(killed), "tokens": tokens,
    "rows": spark.range(5).count(), "handlers": handlers,
}))
spark.stop()
"""


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a process with Spark; every process that it has must be left by none."""
    pyspark = pytest.importorskip("pyspark", reason="PySpark is not installed: pip install pyspark")
    if shutil.which("java") is None:
        pytest.skip("Java is not here: apt-get install default-jre-headless")
    mark = uuid.uuid4().hex
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    path = [str(Path(pyspark.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    yield {
        **kept,
        MARK: mark,
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join(path),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    end = time.monotonic() + 120  # Ray's agents ask for a while before they give up
    while left := find_marked(mark):
        assert time.monotonic() < end, left
        time.sleep(0.5)


def find_marked(mark: str) -> list[psutil.Process]:
    marked = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                marked.append(process)
        except psutil.Error:  # it ended, or is a zombie
            continue
    return marked


@pytest.mark.long
def test_an_executor_that_is_killed_costs_no_trial_and_the_session_stays(environment, tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY.replace("TRIALS", "4"))
    done = subprocess.run(
        [sys.executable, "-c", IN_A_SESSION],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert 0 == done.returncode, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert {"COMPLETE"} == set(said["states"])
    assert 4 == len(said["states"])
    assert (1, [None], 5) == (said["killed"], said["tokens"], said["rows"])
    assert [] == said["handlers"]  # the caller's logging is as it was


@pytest.mark.long
def test_ctrl_c_stops_the_study_ray_and_the_session_of_the_environment(environment, tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY.replace("TRIALS", "100000"))
    said = tmp_path / "stderr"
    program = Path(sys.executable).with_name("hpsearch")
    command = [program, "tune", "study.yaml", "--offline", "--json"]
    with said.open("w") as errors:
        child = subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**environment, "MASTER": "local-cluster[1,1,1024]"},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored under nohup
        )
        end = time.monotonic() + 300
        while "COMPLETE" not in said.read_text():
            assert child.poll() is None, said.read_text()
            assert time.monotonic() < end, said.read_text()
            time.sleep(0.2)
        child.send_signal(signal.SIGINT)
        output = child.communicate(timeout=300)[0]
    assert 128 + signal.SIGINT == child.returncode, said.read_text()
    assert [] == [line for line in output.splitlines() if not is_json(line)]
    assert "Traceback" not in said.read_text()


def is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def test_without_pyspark_the_message_says_what_to_install(monkeypatch):
    for name in ("pyspark", "pyspark.errors", "pyspark.sql"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ClusterError, match="PySpark is not installed: pip install pyspark"):
        spark_cluster._open_session()


def test_without_java_the_message_says_so(monkeypatch, tmp_path):
    pytest.importorskip("pyspark", reason="PySpark is not installed: pip install pyspark")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(ClusterError, match="Spark needs Java"):
        spark_cluster._open_session()


@pytest.mark.long
def test_a_session_without_a_cluster_is_refused(environment, monkeypatch):
    monkeypatch.setenv("MASTER", "local[1]")
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    with pytest.raises(ClusterError, match=r"master of this Spark session is local\[1\]"):
        spark_cluster._open_session()


@pytest.mark.parametrize(
    ("resources", "size", "workers"),
    [
        (Resources(cpus=4), {"num_cpus_worker_node": 4, "num_gpus_worker_node": 0}, 1),
        (Resources(cpus=1.5), {"num_cpus_worker_node": 2, "num_gpus_worker_node": 0}, 1),
        (Resources(2, 0.5), {"num_cpus_worker_node": 4, "num_gpus_worker_node": 1}, 2),
        (Resources(1, 1 / 3), {"num_cpus_worker_node": 3, "num_gpus_worker_node": 1}, 3),
        (
            Resources(2, 0.5, 10),
            {"num_cpus_worker_node": 4, "num_gpus_worker_node": 1, "memory_worker_node": 20},
            2,
        ),
    ],
)
def test_a_node_holds_whole_workers(resources, size, workers):
    assert (size, workers) == spark_cluster.describe_nodes(resources)
    node = {"CPU": size["num_cpus_worker_node"], "GPU": size["num_gpus_worker_node"]}
    node["memory"] = size.get("memory_worker_node", 0)
    assert workers == resources.count_workers(node)
