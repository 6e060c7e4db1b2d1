"""Arrays that workers share: written once, mapped by who reads, gone with the last of them."""

import os
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from small_problem import problem

from hpsearch.execution.messages import Setup
from hpsearch.execution.shared import LEAST, SharedArrays


@pytest.fixture
def shared():
    arrays = SharedArrays()
    yield arrays
    arrays.close()


@pytest.fixture
def large():
    rows = np.random.default_rng(0).normal(size=(LEAST, 4)).astype(np.float32)
    return replace(problem(), features=rows, target=rows[::2, :1])


def test_what_is_read_equals_what_was_sent_bit_for_bit(shared, large):
    read = pickle.loads(shared.pickled(Setup(large, "vectorized")))
    assert "vectorized" == read.trainer
    assert large.features.tobytes() == read.problem.features.tobytes()
    assert large.target.tobytes() == read.problem.target.tobytes()
    assert (large.features.dtype, large.target.shape) == (
        read.problem.features.dtype,
        read.problem.target.shape,
    )
    assert type(read.problem.features) is np.ndarray


def test_an_array_is_written_once_however_often_it_is_sent(shared, large):
    shared.pickled(Setup(large, "vectorized"))
    size = os.fstat(shared.descriptor).st_size
    message = shared.pickled(Setup(replace(large, folds=large.folds[:1]), "keras_fit"))
    assert size == os.fstat(shared.descriptor).st_size
    assert len(message) < large.features.nbytes / 10


def test_nobody_can_write_to_what_all_read(shared, large):
    read = pickle.loads(shared.pickled(large))
    with pytest.raises(ValueError, match="read-only"):
        read.features[0, 0] = 1.0


def test_another_process_reads_the_same_rows_and_the_file_has_no_name(shared, large):
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).features.sum(dtype='f8'))"
    printed = subprocess.run(
        [sys.executable, "-c", code],
        input=shared.pickled(large),
        pass_fds=[shared.descriptor],
        capture_output=True,
        check=True,
    ).stdout
    assert large.features.sum(dtype="f8") == float(printed)
    assert 0 == os.fstat(shared.descriptor).st_nlink
