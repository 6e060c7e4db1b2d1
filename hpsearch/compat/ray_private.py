"""Private parts of Ray. Importing this module does not import Ray."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

# Arguments of `ray.init` that keep a local cluster off the network.
ONLY_HERE: Mapping[str, Any] = {"_node_ip_address": "127.0.0.1"}


def read_environment_again() -> None:
    """Make Ray read its settings and token again: it caches them at import."""
    import ray

    ray._raylet.Config.initialize("")
    ray._raylet.AuthenticationTokenLoader.instance().reset_cache()


def silence_worker_logs() -> None:
    """Keep Ray's messages about dead workers off stdout, which --json uses."""
    import ray

    ray._private.worker._worker_logs_enabled = False


def resolve_address(address: str) -> str:
    """Return HOST:PORT of a cluster's control service; `address` may be "auto".

    Raises:
        ConnectionError: If there is no cluster.
        ValueError: If the address is invalid.
    """
    from ray._private.services import canonicalize_bootstrap_address_or_die

    return str(canonicalize_bootstrap_address_or_die(address))


def open_channel(target: str) -> Any:
    """Open a gRPC channel as Ray does: with TLS if its environment variables say so."""
    import grpc

    if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
        from ray._private.tls_utils import load_certs_from_env

        chain, key, authority = load_certs_from_env()
        credentials = grpc.ssl_channel_credentials(authority, key, chain)
        return grpc.secure_channel(target, credentials)
    return grpc.insecure_channel(target)


def ask_client_server(channel: Any, timeout: float) -> None:
    """Send a minimal request without a token to Ray's client server.

    Raises:
        grpc.RpcError: As it answers.
    """
    from ray.core.generated import ray_client_pb2 as asked
    from ray.core.generated.ray_client_pb2_grpc import RayletDriverStub

    ping = asked.ClusterInfoRequest(type=asked.ClusterInfoType.PING)
    RayletDriverStub(channel).ClusterInfo(ping, timeout=timeout)


def ask_control_service(channel: Any, timeout: float) -> None:
    """Send a minimal request without a token to Ray's control service.

    Raises:
        grpc.RpcError: As it answers.
    """
    from ray.core.generated import gcs_service_pb2 as control
    from ray.core.generated.gcs_service_pb2_grpc import NodeInfoGcsServiceStub

    NodeInfoGcsServiceStub(channel).CheckAlive(control.CheckAliveRequest(), timeout=timeout)
