"""One promotes at a time, on a tracking server that has no lock."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from mlflow import MlflowClient
from promotion.conftest import Store

from hpsearch.errors import PromotionError
from hpsearch.promotion.registry_lock import LOCK_NAME, registry_lock


def test_of_several_clients_one_has_the_turn(over_http: Store) -> None:
    inside: list[int] = []
    seen: list[int] = []

    def wait_and_see(client: int) -> None:
        for _ in range(5):
            with registry_lock(MlflowClient(over_http.uri)):
                inside.append(client)
                seen.append(len(inside))
                over_http.client.search_registered_models()  # time enough for somebody to come in
                inside.remove(client)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(wait_and_see, range(4)))
    assert [1] * 20 == seen


def test_the_error_names_the_holder_of_the_registry_lock_and_how_to_remove_it(
    over_http: Store,
) -> None:
    over_http.client.create_registered_model(LOCK_NAME, description="ann on big-box, process 7")
    try:
        with (
            pytest.raises(PromotionError, match=r"ann on big-box, process 7 .* delete"),
            registry_lock(over_http.client, patience=0),
        ):
            pass
    finally:
        over_http.client.delete_registered_model(LOCK_NAME)


def test_the_turn_is_given_back_where_a_promotion_fails(over_http: Store) -> None:
    with pytest.raises(ZeroDivisionError), registry_lock(over_http.client):
        raise ZeroDivisionError
    with registry_lock(over_http.client, patience=0):
        pass
