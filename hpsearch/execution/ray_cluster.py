"""Connect to a Ray cluster, require a token, and count the workers that it can hold.

Anyone who reaches a cluster without a token can run code on it. So an external cluster is first
contacted without a token, and must refuse.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..compat.ray_private import (
    ONLY_HERE,
    ask_client_server,
    ask_control_service,
    open_channel,
    read_environment_again,
    resolve_address,
    silence_worker_logs,
)
from ..errors import ClusterError

LOCAL = "local"  # a cluster on this machine that ends with this process
SPARK = "spark"  # a cluster on Spark's executors that ends with this process
CONNECT_SECONDS = 20
TOKEN_REMEDY = (
    "Set RAY_AUTH_MODE=token and the same RAY_AUTH_TOKEN on every node and here; see "
    "docs/cluster.md."
)


@dataclass(frozen=True, slots=True)
class Resources:
    """The resources of one worker on a node."""

    cpus: float = 1.0
    gpus: float = 0.0  # 0.5: two workers share a GPU
    memory: int = 0  # reserved memory in bytes

    def count_workers(self, node: Mapping[str, float]) -> int:
        """Count the workers that fit on a node with these resources."""
        asked = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory}
        shares = [node.get(name, 0.0) / amount for name, amount in asked.items() if amount]
        return int(min(shares) + 1e-6)  # 1 / (1 / 3) is slightly below 3


def connect(address: str, *, cpus: float) -> Callable[[], None]:
    """Connect to the cluster at `address`, or start a local one.

    Args:
        address: "local", "auto" (started on this machine by `ray start`), "HOST:PORT" or
            "ray://HOST:PORT". If this process is already connected to Ray, that connection is
            used.
        cpus: Number of cores of a local cluster.

    Returns:
        A function that disconnects, and stops a cluster that was started here.

    Raises:
        ClusterError: If Ray is not installed, the cluster does not answer, or needs no token.
    """
    prepare_environment(is_own=address == LOCAL)
    ray = import_ray()
    if ray.is_initialized():
        return lambda: None
    if address == LOCAL:  # Ray may have read the environment at an earlier import
        read_environment_again()
    silence_worker_logs()
    quiet = {"log_to_driver": False, "configure_logging": False, "logging_level": "ERROR"}
    with keep_handlers():
        if address == LOCAL:
            here = {"num_cpus": cpus, "include_dashboard": False, **ONLY_HERE}
            ray.init(LOCAL, **quiet, **here)  # otherwise Ray would join a running local cluster
        else:
            _refuse_unguarded(address)
            try:
                ray.init(address, **quiet)
            except (ray.exceptions.RayError, ConnectionError, RuntimeError) as error:
                raise ClusterError(f"{address}: {first_line(error)}") from error
    leave: Callable[[], None] = ray.shutdown
    return leave


def prepare_environment(*, is_own: bool) -> None:
    """Set what Ray reads at its start; a cluster of our own gets a token for its lifetime."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if is_own:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def import_ray() -> Any:
    """Import Ray, or say how to install it."""
    try:
        import ray
    except ModuleNotFoundError:
        raise ClusterError("Ray is not installed: pip install 'hpsearch[ray]'") from None
    return ray


def count_cluster_workers(resources: Resources) -> int:
    """Count the workers that fit on all living nodes."""
    import ray

    return sum(resources.count_workers(node["Resources"]) for node in ray.nodes() if node["Alive"])


def _refuse_unguarded(address: str) -> None:
    """Refuse a cluster that answers a request without a token.

    Raises:
        ClusterError: If it answers, or cannot be reached.
    """
    import grpc

    try:
        _probe(address)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNAUTHENTICATED:
            return
        raise ClusterError(f"{address}: no Ray cluster answers there: {error.details()}") from None
    raise ClusterError(
        f"{address}: this cluster requires no token, so anyone can use it. {TOKEN_REMEDY}"
    )


def _probe(address: str) -> None:
    """Send a minimal request to Ray's client server or control service."""
    if address.startswith("ray://"):
        with open_channel(address.removeprefix("ray://")) as channel:
            ask_client_server(channel, CONNECT_SECONDS)
        return
    with open_channel(_resolve_address(address)) as channel:
        ask_control_service(channel, CONNECT_SECONDS)


def _resolve_address(address: str) -> str:
    """Return HOST:PORT of the control service."""
    try:
        return resolve_address(address)
    except (ConnectionError, ValueError) as error:
        raise ClusterError(f"{address}: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


@contextmanager
def keep_handlers() -> Iterator[None]:
    """Restore the handlers of signals and of the root logger, which Ray and PySpark change."""
    logs = list(logging.root.handlers)
    is_main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGTERM, signal.SIGINT) if is_main else ()
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        logging.root.handlers[:] = logs
        for number, handler in before.items():
            signal.signal(number, handler)
