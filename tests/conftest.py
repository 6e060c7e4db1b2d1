"""Configuration of all tests: the Keras backend, and the folder of real data sets."""

import fcntl
import gc
import json
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import find_browser, start_browser
from hypothesis import HealthCheck, settings
from mlflow_server import TrackingServer, tracking_server_in

os.environ["KERAS_BACKEND"] = "jax"  # a process has one; TensorFlow's tests run in a child
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# What is compiled in a test runs a few times: to optimize it costs more than it gains, and XLA's
# fusion emitters take half of the time of compiling.
# Tests of equal bits ask for `optimized_programs`, which are those of a user.
FUSION_EMITTERS = "xla_cpu_use_fusion_emitters"
os.environ.setdefault("XLA_FLAGS", f"--xla_backend_optimization_level=0 --{FUSION_EMITTERS}=false")
# Two workers and their children share the cores, and a thread of OpenMP that waits keeps its core
# busy: the baselines of a small table need no second one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Compiled programs are kept beside pytest's own cache, not in the user's.
os.environ["HPSEARCH_CACHE"] = str(Path(__file__).parents[1] / ".pytest_cache" / "programs")
# The libraries' objects live to the end; by default they are all looked at far more often.
gc.set_threshold(50_000, 20, 20)
# How long Hypothesis takes for an example is up to the load of the machine, and no fault. Its
# examples are the same in every run, so that a change fails by its own faults only.
settings.register_profile(
    "loaded",
    settings(),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("loaded")

FIGURES = Path(
    os.environ.get("HPSEARCH_FIGURES", Path(__file__).parents[1] / ".pytest_cache" / "faults.json")
)


# Files that share what is slow to start (a Ray cluster, a finished study, servers) and so a worker.
SHARING = {
    "ray": (
        "execution/test_executors.py",
        "execution/test_ray_cluster.py",
        "compat/test_private_ray.py",
    ),
    "finished": (
        "study/test_stopping.py",
        "study/test_finished.py",
        "study/test_steering.py",
        "study/test_study_reader.py",
        "study/test_browser.py",
        "study/test_end_to_end.py",
        "study/test_in_use_python.py",
        "study/test_moved.py",
    ),
    "over_http": ("promotion/test_registry.py", "promotion/test_turn.py"),
    "tracking_server": (
        "tracking/test_server.py",
        "tracking/test_proxy.py",
        "tracking/test_study_runs.py",
        "study/test_in_use.py",
    ),
}
GROUPS = {f"tests/{name}": group for group, names in SHARING.items() for name in names}
# The files that take longest. They begin first, so that both workers end at about the same time.
SLOW_FILES = (
    *SHARING["finished"],
    "execution/test_executors.py",
    "execution/test_ray_cluster.py",
    "training/test_vectorized.py",
    "study/test_library.py",
    "training/test_vectorized_is_fit.py",
    "training/test_shared_programs.py",
    "models/test_array_families.py",
    "tracking/test_server.py",
    "study/test_in_use.py",
    "faults/test_workers.py",
    "promotion/test_registry.py",
    "promotion/test_export.py",
    "study/test_models_of_others.py",
    "tracking/test_store_faults.py",
    "search/test_samplers.py",
    "training/test_keras_fit.py",
    "training/test_batch_engine.py",
    "training/test_arrays_are_fit.py",
    "training/test_realmlp_is_fit.py",
    "training/test_several_outputs.py",
    "tracking/test_uploader.py",
    "platforms/test_shims.py",
    "faults/test_secrets.py",
    "faults/test_interrupts.py",
    "study/test_declaration.py",
    "study/test_finalize.py",
    "training/test_batch_resumed.py",
    "promotion/test_same_answers.py",
    "promotion/test_scoring.py",
    "tracking/test_database.py",
    "faults/test_crashes.py",
    "gallery/test_gallery.py",
    "study/test_selection.py",
    "study/test_pruned_studies.py",
    "study/test_nested.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow files."""
    folder = Path(__file__).parent
    turns = {folder / name: turn for turn, name in enumerate(SLOW_FILES)}
    items.sort(key=lambda item: turns.get(item.path, len(turns)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give the tests of a file to one worker, and files that share something to the same.

    xdist 3.8 writes a group's name where pytest 9.2 no longer looks, so `loadgroup` groups nothing.
    """
    from xdist.scheduler import LoadFileScheduling

    class SharingScheduling(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return GROUPS.get(file, file)

    return SharingScheduling(config, log)


@pytest.fixture(autouse=True)
def no_store_is_left_behind() -> Iterator[None]:
    """`mlflow.set_tracking_uri` exports its URI, and later tests' commands would follow it."""
    yield
    os.environ.pop("MLFLOW_TRACKING_URI", None)


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Keep what a test of docs/reliability.md measured, under its name.

    `tests/faults/table.py --write` makes the page's column of what the last run kept.
    """

    def keep(**values: object) -> None:
        FIGURES.parent.mkdir(exist_ok=True)
        name = request.node.originalname
        with FIGURES.open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # the suite runs in two workers
            file.seek(0)
            held = json.loads(file.read() or "{}")
            told = {k.replace("_", " "): v for k, v in values.items()}
            held[name] = {**held.get(name, {}), **told}
            file.truncate(0)
            file.write(json.dumps(held, indent=1, sort_keys=True) + "\n")

    return keep


@pytest.fixture
def optimized_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vectorised trainer compiles as it does for a user, here and in child processes."""
    from jax.stages import Lowered

    compile_plainly = Lowered.compile

    def compile_as_for_a_user(self: Lowered, compiler_options: dict[str, Any]) -> Any:
        return compile_plainly(self, {FUSION_EMITTERS: True, **compiler_options})

    monkeypatch.setattr(Lowered, "compile", compile_as_for_a_user)
    monkeypatch.delenv("XLA_FLAGS")


@pytest.fixture
def inline_workers() -> Iterator[None]:
    """Studies of this test train in this process, as a worker's start takes five seconds.

    They draw no plots.
    """
    from inline_worker_pool import training_inline

    with training_inline():
        yield


@pytest.fixture
def inline_workers_with_plots() -> Iterator[None]:
    """As `inline_workers`, for a test that looks at plots or at the report."""
    from inline_worker_pool import training_inline

    with training_inline(with_plots=True):
        yield


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an empty SQLite store, to be copied; making one takes two seconds."""
    from hpsearch.tracking.store import open_store

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    open_store(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def tracking_server(
    empty_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TrackingServer]:
    """MLflow's server, to which each test gives experiments of names of its own."""
    with tracking_server_in(tmp_path_factory.mktemp("server"), empty_store) as server:
        yield server


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets."""
    folder = os.environ.get("HPSEARCH_DATA")
    if not folder:
        pytest.skip("HPSEARCH_DATA is not set: the real data sets are not here")
    return Path(folder)


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[object]:
    """A real cluster of one node with two cores, which this process uses.

    Ray's own `Cluster`: nodes can be added and removed. It asks for a token that no file holds.
    """
    os.environ["RAY_AUTH_MODE"] = "token"  # before Ray is imported
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    import ray
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 2, "object_store_memory": 100 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=small)
    ray.init(cluster.address, log_to_driver=False, configure_logging=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Debian's chromium, headless."""
    if not (found := find_browser()):
        pytest.skip("chromium and chromedriver are not installed: no browser to test with")
    opened = start_browser(found, tmp_path_factory.mktemp("browser"))
    yield opened
    opened.quit()
