"""Division of a machine among workers; needs no GPU."""

import os
import subprocess
import sys

import pytest

from hpsearch.execution import devices
from hpsearch.execution.devices import (
    Machine,
    assign_gpu,
    default_workers,
    detect_machine,
    gpu_memory_settings,
    threads_per_worker,
    worker_environment,
)
from hpsearch.training.trainer_factory import KERAS_BACKENDS

TWO = Machine(16, ("0", "1"))


@pytest.mark.parametrize(
    ("expected", "machine", "trainer", "gpus"),
    [
        (1, Machine(2), "vectorized", None),
        (1, Machine(8), "vectorized", None),
        (4, Machine(32), "vectorized", None),
        (8, Machine(32), "keras_fit", None),
        (2, TWO, "vectorized", None),
        (4, TWO, "vectorized", 0.5),
        (6, TWO, "vectorized", 1 / 3),
        (1, TWO, "keras_fit", 2.0),
    ],
)
def test_workers_by_device_and_trainer(expected, machine, trainer, gpus):
    assert expected == default_workers(machine, trainer=trainer, gpus=gpus)


def test_workers_go_round_the_gpus_and_divide_their_memory():
    assert [
        {"CUDA_VISIBLE_DEVICES": "0", **gpu_memory_settings(1 / 2)},
        {"CUDA_VISIBLE_DEVICES": "1", **gpu_memory_settings(1)},
        {"CUDA_VISIBLE_DEVICES": "0", **gpu_memory_settings(1 / 2)},
    ] == [assign_gpu(place, 3, TWO) for place in range(3)]
    assert [
        {"CUDA_VISIBLE_DEVICES": "0", **gpu_memory_settings(0.5)},
        {"CUDA_VISIBLE_DEVICES": "0,1", **gpu_memory_settings(1)},
        {"CUDA_VISIBLE_DEVICES": ""},
    ] == [assign_gpu(0, 1, TWO, gpus=gpus) for gpus in (0.5, 2, 0)]
    assert "0.450" == gpu_memory_settings(0.5)["XLA_PYTHON_CLIENT_MEM_FRACTION"]
    assert {} == assign_gpu(0, 1, Machine(4))


def test_threads_are_divided_and_never_fewer_than_one():
    assert (16, 5, 1, 3) == (
        threads_per_worker(TWO, 1),
        threads_per_worker(TWO, 3),
        threads_per_worker(TWO, 99),
        threads_per_worker(TWO, 1, cpus=3.5),
    )


def test_a_worker_finds_its_backend_and_its_threads_in_the_environment():
    found = worker_environment("keras_fit", threads=3, gpu={"CUDA_VISIBLE_DEVICES": "1"})
    assert ("tensorflow", "3", "3", "1") == (
        found["KERAS_BACKEND"],
        found["HPSEARCH_THREADS"],
        found["OMP_NUM_THREADS"],
        found["CUDA_VISIBLE_DEVICES"],
    )


@pytest.mark.parametrize(
    ("expected", "visible"),
    [(("3", "5"), "3, 5"), (("GPU-8f2",), "GPU-8f2"), (("0",), "0,-1,1"), ((), "-1"), ((), "")],
)
@pytest.mark.parametrize("trainer", ["vectorized", "keras_fit"])
def test_gpus_are_those_that_cuda_shows(monkeypatch, trainer, expected, visible):
    monkeypatch.setattr(devices, "has_accelerator", lambda: True)
    monkeypatch.setattr(devices, "_has_cuda", lambda: True)
    assert expected == detect_machine(trainer, {"CUDA_VISIBLE_DEVICES": visible}).gpus


def test_a_gpu_counts_for_the_framework_that_finds_it(monkeypatch):
    monkeypatch.setattr(devices, "has_accelerator", lambda: False)
    monkeypatch.setattr(devices, "_has_cuda", lambda: True)
    found = [
        detect_machine(trainer, {"CUDA_VISIBLE_DEVICES": "0"}).gpus for trainer in KERAS_BACKENDS
    ]
    assert {"vectorized": (), "keras_fit": ("0",)} == dict(zip(KERAS_BACKENDS, found, strict=True))


def test_tensorflow_is_held_to_its_share_of_a_gpu():
    code = """
from hpsearch.training.keras_import import import_keras
import_keras()
from tensorflow.python.eager import context
import tensorflow as tf
tf.constant(1) + 1
print(context.context().config.gpu_options.per_process_gpu_memory_fraction)
"""
    own = worker_environment("keras_fit", gpu=gpu_memory_settings(0.5))
    worker = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **own}, stdout=subprocess.PIPE, check=True
    )
    assert 0.45 == float(worker.stdout)
