"""Ray clusters: nodes that come and go under a study, clusters that are refused, none left behind.

The nodes are Ray's own, on this machine; they are killed as a machine would go.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import synthetic
from small_problem import problem, trial, until_result

from hpsearch import tune
from hpsearch.errors import ClusterError, SpecError
from hpsearch.execution import ray_executor as on_ray
from hpsearch.execution.inline_executor import InlineExecutor
from hpsearch.execution.messages import Failure
from hpsearch.execution.ray_cluster import Resources, count_cluster_workers
from hpsearch.execution.ray_executor import RayExecutor
from hpsearch.execution.resource_limits import WorkerLimits
from hpsearch.search.event_writer import EventWriter
from hpsearch.search.loop import Search, StoppingCriteria
from hpsearch.study.tune import read_spec
from hpsearch.tracking.store import journal_path
from hpsearch.training.final_model import LockedPredictionResult
from hpsearch.training.trainer_factory import make_trainer
from tests.execution import fragile_models
from tests.faults.test_deterministic import SPEC, told

LARGE = Resources(cpus=8)  # no room for it on the session's node of two cores
TESTS = Path(__file__).parents[1]


class ByNumber:
    """A sampler whose points depend on the trial's number alone."""

    def ask(self, number):
        rng = np.random.default_rng(number)
        rate = float(10 ** rng.uniform(-3, -1))
        return {"units": 8, "layers": 1, "batch_size": 16, "learning_rate": rate}

    def tell(self, trial):
        pass

    def epochs(self, number):
        return None


@pytest.mark.long
def test_a_node_that_comes_is_used_and_one_that_is_killed_costs_no_trial(
    ray_cluster, tmp_path, monkeypatch
):
    monkeypatch.setattr(on_ray, "CHECK_SECONDS", 0.2)
    nodes = [ray_cluster.add_node(num_cpus=8)]
    executor = RayExecutor(trainer="vectorized", resources=LARGE)
    executor.set_up(problem())
    capacities, killed, again = [executor.capacity], [], []

    def come_and_go(record):
        capacities.append(executor.capacity)
        if record.kind == "result" and record.attempt:
            again.append(record.trial)
        if record.kind != "epoch":
            return
        if len(nodes) == 1:
            nodes.append(ray_cluster.add_node(num_cpus=8))
        elif (
            not killed
            and len(executor._ready_actors) == 2
            and all(a.populations for a in executor._actors)
        ):
            killed.append(nodes[0])
            ray_cluster.remove_node(nodes[0], allow_graceful=False)

    with EventWriter(tmp_path / "journal.jsonl") as writer:
        writer.write(
            synthetic.event("study", objective={"metric": "roc_auc", "direction": "maximize"})
        )
        writer.listen(come_and_go)
        try:
            history = Search(
                writer=writer,
                make_sampler=ByNumber,
                executor=executor,
                limits=StoppingCriteria(10_000),
                seed=0,
                epochs=50,
                fixed={},
                stop_requested=lambda: bool(again),  # what the killed node trained has its result
            ).run()
        finally:
            executor.close()
            for node in nodes[len(killed) :]:
                ray_cluster.remove_node(node)
            ray_cluster.wait_for_nodes()  # until those that went are gone for everybody
    assert {2, 4} == set(capacities)
    ended = [t for t in history.trials if t.is_finished]
    assert {"COMPLETE"} == {t.state for t in history.trials if t.state != "WAITING"}
    alone = InlineExecutor(lambda p: make_trainer("vectorized", p), problem())
    for ended_trial in (*ended[:3], history.best, *(history.last[n] for n in again)):
        alone.submit(ended_trial.spec)
        assert list(ended_trial.fold_scores) == until_result(alone)[-1].fold_scores.tolist()


@pytest.mark.long
def test_a_deterministic_study_has_the_same_bits_on_ray_as_in_processes(ray_cluster, tmp_path):
    def run(name, **execution):
        spec = {**SPEC, "execution": {"workers": 2, "cpus": 1, **execution}}
        tune(spec, offline=True, root=tmp_path / name)
        return told(journal_path(tmp_path / name, "twice"))

    expected = run("processes")
    assert 6 == len(expected)
    assert expected == run("ray", executor="ray", address=ray_cluster.address)


def test_a_deterministic_study_on_a_cluster_needs_a_number_of_workers():
    spec = {**SPEC, "execution": {"executor": "ray", "address": "auto"}}
    with pytest.raises(
        SpecError, match=r"execution\.workers: is required of a deterministic study"
    ):
        read_spec(spec)


def test_the_rows_are_in_the_object_store_once_and_no_worker_can_write_to_them(ray_cluster):
    import ray

    executor = RayExecutor(trainer="vectorized", workers=1, resources=Resources(cpus=1))
    try:
        executor.set_up(problem())
        seen = ray.remote(num_cpus=0)(lambda setup: setup.problem.features.flags.writeable)
        assert not ray.get(seen.remote(executor._setup))
    finally:
        executor.close()


@pytest.mark.parametrize(
    ("expected", "cpus", "gpus", "node"),
    [
        (4, 2, 0, {"CPU": 9.0}),
        (3, 1, 1 / 3, {"CPU": 16.0, "GPU": 1.0}),
        (2, 8, 0.5, {"CPU": 16.0, "GPU": 4.0}),
        (0, 1, 1, {"CPU": 16.0}),
    ],
)
def test_workers_that_a_node_holds(expected, cpus, gpus, node):
    assert expected == Resources(cpus, gpus).count_workers(node)


def children_of_models() -> set[int]:
    return {
        process.pid
        for process in psutil.process_iter(["cmdline", "status"])
        if fragile_models.SLEEP in (process.info["cmdline"] or ())
        and process.info["status"] != psutil.STATUS_ZOMBIE
    }


@pytest.mark.long
@pytest.mark.parametrize("is_killed", [False, True])
def test_what_a_model_prints_in_a_ray_worker_tells_no_secret_and_its_children_end_with_it(
    is_killed, ray_cluster, figure
):
    others = children_of_models()
    model = f"{fragile_models.__file__}:prints_secrets_and_starts_children"
    executor = RayExecutor(trainer="vectorized", workers=1)
    try:
        executor.set_up(problem(model))
        executor.submit(trial(units=4, epochs=1))
        assert "COMPLETE" == until_result(executor)[-1].state
        assert len(children_of_models() - others) >= 2
        if is_killed:
            os.kill(executor._actors[0].pid, signal.SIGKILL)
    finally:
        executor.close()
    end = time.monotonic() + 60
    while left := children_of_models() - others:
        assert time.monotonic() < end
        time.sleep(0.2)
    logs = Path(ray_cluster.head_node.get_logs_dir_path())
    printed = b"".join(log.read_bytes() for log in logs.rglob("*") if log.is_file())
    assert b"printed password: ***" in printed
    assert b"child token=***" in printed
    assert b"Canary7f3a9" not in printed
    figure(canary_found=0, orphans=len(left))


def test_nodes_that_are_too_small_are_no_room(ray_cluster):
    assert (2, 0) == (count_cluster_workers(Resources(cpus=1)), count_cluster_workers(LARGE))


UNGUARDED = """
import sys
sys.path.insert(0, {tests!r})
from ray.cluster_utils import Cluster
from hpsearch.errors import ClusterError
from hpsearch.execution.ray_cluster import connect

small = {{"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}}
cluster = Cluster(initialize_head=True, head_node_args=small)
for address in (cluster.address, "127.0.0.1:9"):
    try:
        connect(address, cpus=1)
    except ClusterError as error:
        print(error)
cluster.shutdown()
"""


def test_a_cluster_that_asks_for_no_token_is_refused_and_one_that_is_not_there_is_told():
    code = UNGUARDED.format(tests=str(TESTS))
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300
    )
    refused, missing = done.stdout.splitlines()
    assert (
        "this cluster requires no token, so anyone can use it. Set RAY_AUTH_MODE=token" in refused
    )
    assert "127.0.0.1:9: no Ray cluster answers there" in missing


LOCAL = """
import ray
from hpsearch.execution.ray_cluster import connect

leave = connect("local", cpus=1)
import psutil
print(*(p.pid for p in psutil.Process().children(recursive=True)), flush=True)
input()
leave()
print("left", flush=True)
"""


def is_agent(daemon: psutil.Process) -> bool:
    """Whether it is an agent of a node; older versions of Ray name it `python`."""
    scripts = ("dashboard/agent.py", "runtime_env/agent/main.py")
    return daemon.name().endswith("Agent") or any(a.endswith(scripts) for a in daemon.cmdline())


@pytest.mark.parametrize("ending", ["leaves", "is killed"])
def test_a_local_cluster_ends_with_its_coordinator_and_writes_no_token_down(ending, tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    said = tmp_path / "stderr"
    with (
        said.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-c", LOCAL],
            env={**environment, "HOME": str(tmp_path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as child,
    ):
        daemons = [psutil.Process(int(pid)) for pid in child.stdout.readline().split()]
        # Without its raylet, an agent of Ray's asks for two minutes more before it gives up.
        daemons = [daemon for daemon in daemons if not is_agent(daemon)]
        assert len(daemons) > 1, said.read_text()
        if ending == "leaves":
            child.communicate("\n", timeout=300)
        else:
            child.kill()
    assert [] == psutil.wait_procs(daemons, timeout=120)[1]
    assert [] == list(tmp_path.rglob("auth_token"))


@pytest.mark.parametrize("report", [LockedPredictionResult(np.zeros((1, 1))), Failure("no", "bug")])
def test_a_model_that_was_asked_leaves_no_folder_on_its_node(report):
    from hpsearch.execution.ray_worker import QueueConnection

    line = QueueConnection(WorkerLimits())
    folder = line.make_scratch()
    assert folder.is_dir()
    line.send(report)
    assert not folder.exists()


def test_without_ray_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"pip install 'hpsearch\[ray\]'"):
        RayExecutor(trainer="vectorized")
