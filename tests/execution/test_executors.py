"""All executors pass one suite, with real processes and Ray actors that are killed."""

import gc
import os
import signal
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import synthetic
from mlflow import MlflowClient
from small_problem import problem, trial, until_result

from hpsearch.errors import TrainingError
from hpsearch.execution.executor import Lost, Started
from hpsearch.execution.inline_executor import InlineExecutor
from hpsearch.execution.messages import InspectionRequest
from hpsearch.execution.process_executor import ProcessExecutor
from hpsearch.execution.ray_executor import RayExecutor
from hpsearch.execution.resource_limits import WorkerLimits
from hpsearch.platforms.shared_file import PREFIX
from hpsearch.search.event_writer import EventWriter
from hpsearch.search.loop import Search
from hpsearch.search.samplers import make_sampler
from hpsearch.search.stopping_criteria import StoppingCriteria
from hpsearch.spec.search_space import Float, SearchSpace
from hpsearch.testing import ExecutorContract
from hpsearch.tracking.uploader import Uploader
from hpsearch.training.problem import sample_problem
from hpsearch.training.trainer_factory import make_trainer
from hpsearch.trial import EpochReport, TrialResult
from tests.faults import hostile_models

MODELS = Path(__file__).with_name("fragile_models.py")
HOSTILE = Path(hostile_models.__file__)
SPACE = SearchSpace((Float("learning_rate", 1e-3, 1e-1, log=True),))


def processes(folder: Path, model: str = "mlp", **settings) -> ProcessExecutor:
    executor = ProcessExecutor(trainer="vectorized", logs=folder, **settings)
    executor.set_up(problem(model))
    return executor


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """One worker for the tests that leave it alive."""
    executor = processes(tmp_path_factory.mktemp("logs"))
    yield executor
    executor.close()


@pytest.fixture(scope="module")
def inline():
    return InlineExecutor(lambda p: make_trainer("vectorized", p), problem())


@pytest.fixture(scope="module")
def on_ray(ray_cluster):
    """One worker on a node of the session's cluster."""
    executor = RayExecutor(trainer="vectorized", workers=1)
    executor.set_up(problem())
    yield executor
    executor.close()


@pytest.fixture(params=["inline", "real", "on_ray"])
def executor(request):
    return request.getfixturevalue(request.param)


# tests/faults/test_workers.py has workers that are killed, hang, grow and eat memory.
PROCESSES, RAY = (pytest.param(kind, marks=pytest.mark.long) for kind in ("processes", "ray"))
RAY_IN_SHORT = pytest.mark.parametrize("start", [PROCESSES, "ray"], indirect=True)


@pytest.fixture(params=["processes", "ray"])
def start(request, tmp_path):
    """What starts an executor with a worker of its own."""
    started = []

    def on_processes(model="mlp", **settings):
        return processes(tmp_path, model, **settings)

    def on_ray(model="mlp", **settings):
        request.getfixturevalue("ray_cluster")
        executor = RayExecutor(trainer="vectorized", workers=1, **settings)
        executor.set_up(problem(model))
        return executor

    def start(*given, **settings):
        kinds = {"processes": on_processes, "ray": on_ray}
        started.append(kinds[request.param](*given, **settings))
        return started[-1]

    yield start
    for executor in started:
        executor.close()


class TestEveryExecutor(ExecutorContract):
    """The suite that executors of other packages are tested by, too."""


def inspect(executor: ProcessExecutor, model: str, *units: int):
    sample = sample_problem(problem(f"{MODELS}:{model}"))
    points = tuple({"units": n, "batch_size": 16} for n in units)
    return executor.inspect(InspectionRequest(sample, points, ()))


def test_a_worker_inspects_a_model_and_trains_on(real):
    found = inspect(real, "raises_for_nine", 8, 9)
    assert (("units",), False, (1,)) == (found.read, found.compiled, found.outputs)
    assert "fails at 1 of 2 points" in found.notes[0]
    with pytest.raises(TrainingError, match=r"fragile_models\.py:\d+: ValueError: nine is not"):
        inspect(real, "raises_for_nine", 9)
    real.submit(trial(6))
    assert "COMPLETE" == until_result(real)[-1].state


@pytest.mark.long
def test_a_model_that_ends_the_worker_that_inspects_it_is_an_error(tmp_path):
    executor = ProcessExecutor(trainer="vectorized", logs=tmp_path)
    try:
        with pytest.raises(TrainingError, match=r"(?s)exit code 3.*said before its end"):
            inspect(executor, "ends_its_process", 8)
    finally:
        executor.close()


def test_all_executors_give_the_same_scores_bit_for_bit(inline, real, on_ray):
    results = []
    for executor in (inline, real, on_ray):
        executor.submit(trial(5, dropout=0.2))
        results.append(until_result(executor)[-1])
    assert 1 == len({result.fold_scores.tobytes() for result in results})
    assert 1 == len({result.predictions.tobytes() for result in results})


# Workers of both kinds run the same code, which sends the failure.
@pytest.mark.parametrize("start", ["processes", RAY], indirect=True)
def test_a_raising_model_is_a_failed_trial_and_the_worker_lives_on(start):
    executor = start(f"{MODELS}:raises_for_nine")
    executor.submit(trial(0, units=9))
    executor.submit(trial(1, units=8))
    states = {r.number: r for r in (until_result(executor)[-1], until_result(executor)[-1])}
    assert ("FAILED", "COMPLETE") == (states[0].state, states[1].state)
    assert "ValueError: nine is not to be had" == states[0].error
    assert "fragile_models.py" in states[0].traceback


@RAY_IN_SHORT
def test_a_killed_worker_is_replaced_and_what_it_had_not_begun_is_trained(start):
    executor = start()
    executor.submit(trial(0, epochs=5000))
    executor.submit(trial(1))
    while not isinstance(executor.wait(60), EpochReport):
        pass
    os.kill(pids(executor)[0], signal.SIGKILL)
    lost = until_result(executor)[-1]
    assert isinstance(lost, Lost)
    assert 0 == lost.trial
    assert 1 == until_result(executor)[-1].number
    executor.submit(trial(0, attempt=1))
    again = until_result(executor)[-1]
    assert ("COMPLETE", 1) == (again.state, again.attempt)


@RAY_IN_SHORT
def test_a_trial_beyond_its_deadline_has_failed_and_another_worker_goes_on(start):
    executor = start(limits=WorkerLimits(trial_seconds=1.0))
    executor.submit(trial(0, epochs=1_000_000))
    executor.submit(trial(1))
    failed = until_result(executor)[-1]
    assert (0, "FAILED") == (failed.number, failed.state)
    assert "ran longer than its deadline of 1 s" == failed.error
    while (report := executor.wait(60)) != Started(1):
        assert report is None or not isinstance(report, Lost)


@pytest.mark.parametrize("start", ["processes", RAY], indirect=True)
def test_a_trial_keeps_its_populations_deadline_when_the_others_have_ended(start):
    executor = start(limits=WorkerLimits(trial_seconds=2.0), population=3)
    trials = [replace(trial(n, epochs=400), rungs=(2,)) for n in (0, 1)]
    executor.submit(*trials, trial(2, epochs=100_000))
    ended, waiting = {}, {0, 1}
    while len(ended) < 3:
        report = executor.wait(60)
        if isinstance(report, EpochReport) and report.trial in waiting and report.epoch == 1:
            waiting.discard(report.trial)
            executor.prune(report.trial)
        if isinstance(report, TrialResult):
            ended[report.number] = report
    assert ["PRUNED", "PRUNED", "FAILED"] == [ended[n].state for n in (0, 1, 2)]
    assert "ran longer than its deadline of 6 s" == ended[2].error


@pytest.mark.long
def test_a_worker_that_grows_is_replaced_and_no_trial_notices(start):
    executor = start(limits=WorkerLimits(growth=0))
    seen = set()
    for number in range(4):
        executor.submit(trial(number, units=8 + number, epochs=2))
        assert "COMPLETE" == until_result(executor)[-1].state
        seen.update(pids(executor))
    assert len(seen - {0}) > 1


@pytest.mark.long
def test_a_trial_that_eats_its_memory_has_failed_and_another_worker_goes_on(start):
    executor = start(f"{HOSTILE}:build", limits=WorkerLimits(memory=3 << 29))
    executor.submit(trial(0, units=hostile_models.EATS))
    failed = until_result(executor)[-1]
    assert (0, "FAILED") == (failed.number, failed.state)
    assert failed.error.startswith("out of memory: the worker used ")
    executor.submit(trial(1))
    sibling = until_result(executor)[-1]
    assert (1, "COMPLETE") == (sibling.number, sibling.state)


class BrokenOffError(Exception):
    """What ends a study in the middle of a trial."""


@pytest.mark.parametrize("kind", [pytest.param("inline", marks=pytest.mark.long), "processes", RAY])
def test_a_study_that_breaks_off_leaves_no_process_no_shared_memory_and_no_open_run(
    kind, tmp_path, request
):
    if kind == "ray":
        request.getfixturevalue("ray_cluster")
    rows_before = shared_files(tmp_path) | objects_of(kind)
    uri, workers, open_runs = f"sqlite:///{tmp_path}/mlflow.db", [], []
    wide = problem(columns=400)  # so many bytes that the workers share them

    def break_off(record):
        uploader.wake()
        if record.kind == "epoch" and record.epoch == 2:
            assert uploader.flush(60)
            open_runs.extend(names_of_runs(uri, "RUNNING"))
            workers.extend(psutil.Process(pid) for pid in pids(executor))
            if kind != "inline":
                assert rows_before < shared_files(tmp_path) | objects_of(kind)
            raise BrokenOffError

    with ExitStack() as stack:
        executor = executor_of(kind, wide, tmp_path / "logs")
        stack.callback(executor.close)
        writer = stack.enter_context(EventWriter(tmp_path / "journal.jsonl"))
        goal = {"metric": "roc_auc", "direction": "maximize"}
        writer.write(synthetic.event("study", study="s", key="k", objective=goal))
        writer.listen(break_off)
        uploader = stack.enter_context(Uploader(writer.journal.path, uri))
        search = Search(
            writer=writer,
            make_sampler=lambda: make_sampler("random", SPACE, direction="maximize", seed=0),
            executor=executor,
            limits=StoppingCriteria(3),
            seed=0,
            epochs=100_000,
            fixed={"units": 8, "layers": 1, "batch_size": 16},
        )
        with pytest.raises(BrokenOffError):
            search.run()
    assert {"s"} < set(open_runs)
    assert [] == names_of_runs(uri, "RUNNING")
    assert [] == psutil.wait_procs(workers, timeout=120)[1]
    assert rows_before == shared_files(tmp_path) | objects_of(kind)


def executor_of(kind: str, wide, logs: Path):
    if kind == "inline":
        return InlineExecutor(lambda p: make_trainer("vectorized", p), wide)
    started = (
        RayExecutor(trainer="vectorized", workers=1)
        if kind == "ray"
        else ProcessExecutor(trainer="vectorized", workers=1, logs=logs)
    )
    started.set_up(wide)
    return started


def pids(executor) -> list[int]:
    """The processes of its workers."""
    if isinstance(executor, InlineExecutor):
        return []
    if isinstance(executor, RayExecutor):
        return [actor.pid for actor in executor._actors if actor.pid]
    return [process.popen.pid for process in executor._processes]


def names_of_runs(uri: str, status: str) -> list[str]:
    client = MlflowClient(uri)
    experiments = [e.experiment_id for e in client.search_experiments()]
    runs = client.search_runs(experiments, f"attributes.status = '{status}'")
    return sorted(run.info.run_name for run in runs)


def shared_files(own: Path) -> set[str]:
    """Shared memory that this process holds: in `/dev/shm`, files without a name, or the rows'.

    The test's `own` files do not count, wherever they lie.
    """
    held = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            name, inode = os.readlink(descriptor), descriptor.stat().st_ino
            shared = name.startswith("/dev/shm/") or name.endswith("(deleted)") or PREFIX in name
            if shared and not name.startswith(str(own)):
                held.add(f"{name} {inode}")
    return held


def objects_of(kind: str) -> set[str]:
    """What this process holds in the store of Ray's cluster; the store frees the rest."""
    if kind != "ray":
        return set()
    import ray

    gc.collect()
    return {
        key.hex()
        for key in ray._private.worker.global_worker.core_worker.get_all_reference_counts()
    }
