"""That the suite's workers share what is slow to start."""

import os

import pytest


def test_the_tests_of_a_file_are_given_to_one_worker(request: pytest.FixtureRequest) -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        pytest.skip("there is one process: `make test` has two")
    assert request.node.nodeid.endswith(f"@{request.path}")
