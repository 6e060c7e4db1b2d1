"""The private parts of Ray that hpsearch uses work in the installed version."""

import grpc
import pytest

from hpsearch.compat import ray_private as compat


def test_a_cluster_refuses_a_request_without_a_token(ray_cluster):
    address = compat.resolve_address(ray_cluster.address)
    with compat.open_channel(address) as channel, pytest.raises(grpc.RpcError) as raised:
        compat.ask_control_service(channel, 20)
    assert grpc.StatusCode.UNAUTHENTICATED == raised.value.code()


def test_an_address_of_no_cluster_is_refused(ray_cluster):
    with pytest.raises((ConnectionError, ValueError)):
        compat.resolve_address("auto-matic")


def test_a_server_that_is_not_there_is_an_error_of_grpc(ray_cluster):
    with compat.open_channel("127.0.0.1:1") as channel, pytest.raises(grpc.RpcError):
        compat.ask_client_server(channel, 5)


def test_settings_and_logs_can_be_set(ray_cluster):
    import ray

    compat.silence_worker_logs()
    assert ray._private.worker._worker_logs_enabled is False
