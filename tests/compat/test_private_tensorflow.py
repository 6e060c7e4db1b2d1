"""The devices that `hpsearch doctor` lists without importing all of TensorFlow."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

from hpsearch.compat.tensorflow import LIST_DEVICES

# Not imported here, which takes three seconds of each worker.
pytestmark = pytest.mark.skipif(find_spec("tensorflow") is None, reason="not installed")
WHOLE = (
    "import tensorflow as tf; "
    "print(*(d.device_type for d in tf.config.list_physical_devices()), sep=', ')"
)


def printed(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_the_runtime_alone_lists_devices_and_imports_little_of_the_api() -> None:
    counted = f"{LIST_DEVICES}\nprint('tensorflow.keras' in sys.modules, len(sys.modules) < 1500)"
    devices, told = printed(counted)
    assert "CPU" in devices.split(", ")
    assert "False True" == told


@pytest.mark.long
def test_they_are_those_of_the_whole_package() -> None:
    assert printed(WHOLE) == printed(LIST_DEVICES)
