"""What every test shares: the backend, and where the real data sets are."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ["KERAS_BACKEND"] = "jax"  # a process has one; TensorFlow's tests run in a child
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Compiled programs are kept beside pytest's own cache, not in the user's.
os.environ["HPSEARCH_CACHE"] = str(Path(__file__).parents[1] / ".pytest_cache" / "programs")


@pytest.fixture(autouse=True)
def no_store_is_left_behind() -> Iterator[None]:
    """`mlflow.set_tracking_uri` exports its URI, and later tests' commands would follow it."""
    yield
    os.environ.pop("MLFLOW_TRACKING_URI", None)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets."""
    folder = os.environ.get("HPSEARCH_DATA")
    if not folder:
        pytest.skip("HPSEARCH_DATA is not set: the real data sets are not here")
    return Path(folder)
