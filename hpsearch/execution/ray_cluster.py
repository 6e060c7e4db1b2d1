"""A Ray cluster: coming to it, whether it asks for a token, how many workers it has room for.

Whoever reaches an unguarded cluster can run any code on it, so one that is not our own is asked
first, without our token: it must refuse.
"""

from __future__ import annotations

import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

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

LOCAL = "local"  # the address of a cluster of our own, on this machine, that ends with us
CONNECT_SECONDS = 20
TOKEN_REMEDY = (
    "Set RAY_AUTH_MODE=token and the same RAY_AUTH_TOKEN on every node and here; see "
    "docs/cluster.md."
)


@dataclass(frozen=True, slots=True)
class Resources:
    """What one worker takes of a node."""

    cpus: float = 1.0
    gpus: float = 0.0  # 0.5: two workers share one
    memory: int = 0  # bytes that are kept free for it

    def count_workers(self, node: Mapping[str, float]) -> int:
        """How many workers a node of these resources holds."""
        asked = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory}
        shares = [node.get(name, 0.0) / amount for name, amount in asked.items() if amount]
        return int(min(shares) + 1e-6)  # 1 / (1 / 3) is a little less than 3


def connect(address: str, *, cpus: float) -> Callable[[], None]:
    """Come to the cluster at `address`, or start one here.

    Args:
        address: "local", "auto" (the one that `ray start` left on this machine), "HOST:PORT" or
            "ray://HOST:PORT". Where Ray is in use in this process, it is used as it is.
        cpus: Cores that a local cluster says it has.

    Returns:
        A function that disconnects, and stops a cluster that was started here.

    Raises:
        ClusterError: If Ray is not installed, the address does not answer, or it asks for no token.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # as it will be
    if address == LOCAL:  # a token of its own, for as long as it lives
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        import ray
    except ModuleNotFoundError:
        raise ClusterError("Ray is not installed: pip install 'hpsearch[ray]'") from None
    if ray.is_initialized():
        return lambda: None
    if address == LOCAL:  # Ray may have been imported before and read another environment
        read_environment_again()
    silence_worker_logs()
    quiet = {"log_to_driver": False, "configure_logging": False, "logging_level": "ERROR"}
    with _keep_signal_handlers():
        if address == LOCAL:
            here = {"num_cpus": cpus, "include_dashboard": False, **ONLY_HERE}
            ray.init(LOCAL, **quiet, **here)  # without it, one that runs here would be joined
        else:
            _refuse_unguarded(address)
            try:
                ray.init(address, **quiet)
            except (ray.exceptions.RayError, ConnectionError, RuntimeError) as error:
                raise ClusterError(f"{address}: {_first_line(error)}") from error
    leave: Callable[[], None] = ray.shutdown
    return leave


def count_cluster_workers(resources: Resources) -> int:
    """How many workers the living nodes hold in all."""
    import ray

    return sum(resources.count_workers(node["Resources"]) for node in ray.nodes() if node["Alive"])


def _refuse_unguarded(address: str) -> None:
    """Ask a cluster for something without a token.

    Raises:
        ClusterError: If it answers, or there is none.
    """
    import grpc

    try:
        _probe(address)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNAUTHENTICATED:
            return
        raise ClusterError(f"{address}: no Ray cluster answers there: {error.details()}") from None
    raise ClusterError(
        f"{address}: this cluster asks for no token, so anyone can use it. {TOKEN_REMEDY}"
    )


def _probe(address: str) -> None:
    """The smallest of requests, to Ray's client server or to its control service."""
    if address.startswith("ray://"):
        with open_channel(address.removeprefix("ray://")) as channel:
            ask_client_server(channel, CONNECT_SECONDS)
        return
    with open_channel(_resolve_address(address)) as channel:
        ask_control_service(channel, CONNECT_SECONDS)


def _resolve_address(address: str) -> str:
    """HOST:PORT of the control service."""
    try:
        return resolve_address(address)
    except (ConnectionError, ValueError) as error:
        raise ClusterError(f"{address}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    """What an error says, in a line."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


@contextmanager
def _keep_signal_handlers() -> Iterator[None]:
    """Keep this process's handler of SIGTERM: `ray.init` puts one of its own there."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
