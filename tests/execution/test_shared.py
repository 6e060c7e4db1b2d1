"""Arrays shared by workers: written once, mapped read-only, removed with the last worker."""

import os
import pickle
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_problem import problem

from hpsearch.execution.messages import Setup
from hpsearch.execution.shared_arrays import MIN_BYTES, SharedArrays


@pytest.fixture
def shared():
    arrays = SharedArrays()
    yield arrays
    arrays.close()


@pytest.fixture
def large():
    rows = np.random.default_rng(0).normal(size=(MIN_BYTES, 4)).astype(np.float32)
    return replace(problem(), features=rows, target=rows[::2, :1])


def test_what_is_read_equals_what_was_sent_bit_for_bit(shared, large):
    read = pickle.loads(shared.dumps(Setup(large, "vectorized")))
    assert "vectorized" == read.trainer
    assert large.features.tobytes() == read.problem.features.tobytes()
    assert large.target.tobytes() == read.problem.target.tobytes()
    assert (large.features.dtype, large.target.shape) == (
        read.problem.features.dtype,
        read.problem.target.shape,
    )
    assert type(read.problem.features) is np.ndarray


def test_an_array_is_written_once_however_often_it_is_sent(shared, large):
    shared.dumps(Setup(large, "vectorized"))
    size = shared.path.stat().st_size
    message = shared.dumps(Setup(replace(large, folds=large.folds[:1]), "keras_fit"))
    assert size == shared.path.stat().st_size
    assert len(message) < large.features.nbytes / 10


def test_shared_arrays_are_read_only(shared, large):
    read = pickle.loads(shared.dumps(large))
    with pytest.raises(ValueError, match="read-only"):
        read.features[0, 0] = 1.0


def test_another_process_reads_the_same_rows_and_inherits_no_descriptor(shared, large):
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).features.sum(dtype='f8'))"
    printed = subprocess.run(
        [sys.executable, "-c", code],
        input=shared.dumps(large),
        capture_output=True,
        check=True,
    ).stdout
    assert large.features.sum(dtype="f8") == float(printed)


def test_the_file_is_removed_at_the_end_and_what_is_mapped_stays_readable(large):
    arrays = SharedArrays()
    read = pickle.loads(arrays.dumps(large))
    arrays.close()
    assert not arrays.path.exists()
    assert large.features.tobytes() == read.features.tobytes()


def test_the_next_owner_removes_leftovers_and_leaves_files_in_use(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = (
        "from hpsearch.execution.shared_arrays import SharedArrays; import os; "
        "print(SharedArrays().path, flush=True); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    leftover = Path(killed.stdout.strip())
    assert leftover.exists()
    first, second = SharedArrays(), SharedArrays()
    assert not leftover.exists()
    assert first.path.exists()
    assert second.path.exists()
    first.close()
    second.close()


def test_a_mapped_file_is_mapped_by_the_receiver_and_not_copied(tmp_path):
    path = tmp_path / "rows.npy"
    written = np.lib.format.open_memmap(path, "w+", np.float32, (500, 70), fortran_order=True)
    written[:] = np.arange(35_000).reshape(500, 70)
    written.flush()
    arrays = SharedArrays()
    try:
        message = arrays.dumps(np.load(path, mmap_mode="r"))
        size = arrays.path.stat().st_size
    finally:
        arrays.close()
    received = pickle.loads(message)
    assert (0, True) == (size, len(message) < MIN_BYTES)
    assert isinstance(received, np.memmap)
    assert received.flags.f_contiguous
    np.testing.assert_array_equal(written, received)
