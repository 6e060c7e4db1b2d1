"""Start Ray on the executors of a Spark cluster for one study, and stop it afterwards.

Spark keeps the cores of its executors reserved by one job for each of Ray's nodes; `ray_cluster.py`
connects to the cluster, and its executor trains there as on any other.
"""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..compat.ray_private import read_environment_again, silence_worker_logs
from ..compat.ray_spark import configure_ray_on_spark, end_started_heads
from ..errors import ClusterError
from .ray_cluster import (
    SPARK,
    Resources,
    connect,
    count_cluster_workers,
    first_line,
    import_ray,
    keep_handlers,
    prepare_environment,
)

NO_PYSPARK = (
    "PySpark is not installed: pip install pyspark, in the version of the Spark cluster; its "
    "executors need hpsearch[ray]"
)
NO_RAY = (
    "the Python of Spark's executors (PYSPARK_PYTHON) has no hpsearch or no Ray: install "
    "hpsearch[ray] there"
)
NO_JAVA = (
    "Spark needs Java, which is not here: install a runtime (Java 17 for Spark 4), or set JAVA_HOME"
)
NO_MASTER = (
    "the master of this Spark session is {master}, which is this machine alone. Name a cluster by "
    "spark.master in spark-defaults.conf, by MASTER, or in the session; to train on this machine, "
    "use --address local"
)


def connect_by_spark(resources: Resources, workers: int | None) -> Callable[[], None]:
    """Start Ray on the executors of a Spark cluster and connect to it.

    Args:
        resources: Resources of one worker.
        workers: Number of workers; None: as many as fit on the executors that exist now.

    Returns:
        A function that disconnects, stops Ray, and stops a session that was started here.

    Raises:
        ClusterError: If PySpark, Java, a cluster or room for a worker is missing.
    """
    if import_ray().is_initialized():
        return lambda: None
    prepare_environment(is_own=True)
    read_environment_again()
    silence_worker_logs()
    with keep_handlers():
        stop_session = _open_session()
    try:
        with keep_handlers():
            address = _start_ray(resources, workers)
        disconnect = connect(address, cpus=0)
        _require_room(resources, workers)
    except BaseException:
        _stop_ray()
        stop_session()
        raise

    def leave() -> None:
        disconnect()
        _stop_ray()
        stop_session()

    return leave


def describe_nodes(resources: Resources) -> tuple[dict[str, int], int]:
    """Return the size of a node of Ray, in whole cores and GPUs, and how many workers it holds."""
    gpus = math.ceil(resources.gpus)
    workers = int(gpus / resources.gpus + 1e-6) if resources.gpus else 1
    size = {"num_cpus_worker_node": math.ceil(resources.cpus * workers)}
    size["num_gpus_worker_node"] = gpus
    if resources.memory:
        size["memory_worker_node"] = resources.memory * workers
    return size, workers


def _open_session() -> Callable[[], None]:
    """Use the active session of Spark, or start one; returns what stops one started here."""
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ModuleNotFoundError:
        raise ClusterError(f"{SPARK}: {NO_PYSPARK}") from None
    session = SparkSession.getActiveSession()
    is_own = session is None
    if is_own and shutil.which("java") is None and not os.environ.get("JAVA_HOME"):
        raise ClusterError(f"{SPARK}: {NO_JAVA}")
    try:
        session = session or SparkSession.builder.appName("hpsearch").getOrCreate()
        master = session.sparkContext.master
    except (PySparkException, RuntimeError) as error:
        raise ClusterError(f"{SPARK}: {first_line(error)}") from error
    stop: Callable[[], None] = session.stop if is_own else lambda: None
    if master == "local" or master.startswith("local["):
        stop()
        raise ClusterError(f"{SPARK}: {NO_MASTER.format(master=master)}")
    return stop


def _start_ray(resources: Resources, workers: int | None) -> str:
    """Start Ray and return its address."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession
    from ray.util.spark import MAX_NUM_WORKER_NODES, setup_ray_cluster

    context = SparkSession.getActiveSession().sparkContext
    size, share = describe_nodes(resources)
    nodes = math.ceil(workers / share) if workers else MAX_NUM_WORKER_NODES
    head = {"include_dashboard": False}
    outside = os.environ.get("PATH", "")
    try:
        (path,) = context.parallelize([0], 1).map(find_path).collect()
        if path is None:
            raise ClusterError(f"{SPARK}: {NO_RAY}")
        configure_ray_on_spark({"PATH": path})
        os.environ["PATH"] = find_path() or outside  # on which the head looks for `ray`
        return str(setup_ray_cluster(max_worker_nodes=nodes, head_node_options=head, **size)[0])
    except (RuntimeError, ValueError, PySparkException, Py4JError) as error:
        if "ModuleNotFoundError" in str(error):
            raise ClusterError(f"{SPARK}: {NO_RAY}") from error
        raise ClusterError(f"{SPARK}: {first_line(error.__cause__ or error)}") from error
    finally:
        os.environ["PATH"] = outside


def find_path(_: int = 0) -> str | None:
    """Return the PATH here with the folder of Python, where `ray` is; None if it is not."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return path if shutil.which("ray", path=path) else None


def _require_room(resources: Resources, workers: int | None) -> None:
    """Refuse a cluster without room for a worker, unless a number of workers waits for it."""
    if workers is None and count_cluster_workers(resources) == 0:
        raise ClusterError(
            f"{SPARK}: no executor of Spark has {resources.cpus:g} free cores and "
            f"{resources.gpus:g} GPUs for a worker: lower --cpus or --gpus, or give --workers to "
            "wait for executors"
        )


def _stop_ray() -> None:
    """Stop Ray, also where Spark has ended already: a head that is left keeps this process."""
    from py4j.protocol import Py4JError
    from ray.util.spark import shutdown_ray_cluster

    try:
        with suppress(RuntimeError, OSError, Py4JError):  # none was started, or Spark has ended
            shutdown_ray_cluster()
    finally:
        end_started_heads()
