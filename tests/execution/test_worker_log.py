"""The log of a worker: bounded, redacted, and never blocking."""

import subprocess
import sys
import time
from pathlib import Path

from hpsearch.execution.worker_log import FILE_BYTES, LAST_BYTES, SECOND_BYTES, WorkerLog


def run(log: WorkerLog, code: str) -> float:
    """Seconds that a process takes whose standard error is the log's to read."""
    began = time.monotonic()
    child = subprocess.Popen([sys.executable, "-S", "-c", code], stderr=subprocess.PIPE)
    reader = log.read_from(child.stderr)
    child.wait()
    seconds = time.monotonic() - began
    reader.join(20)
    return seconds


def test_what_any_code_prints_is_in_the_log_without_its_secrets(tmp_path: Path) -> None:
    log = WorkerLog(tmp_path / "logs" / "worker-0.log")
    run(log, "import os; os.write(2, b'password: canary-7f3a9\\nnative \\xff line\\nno end')")
    assert b"password: ***\nnative \xff line\nno end" == log.path.read_bytes()


def test_a_flood_slows_no_worker_and_its_end_is_kept(tmp_path: Path, figure) -> None:
    log = WorkerLog(tmp_path / "worker-0.log")
    seconds = run(log, "import os\nfor i in range(2000): os.write(2, b'x' * 49999 + b'\\n')\n")
    run(log, "import os; os.write(2, b'the last word\\n')")
    content = log.path.read_bytes()
    assert len(content) < SECOND_BYTES * (seconds + 3)
    assert b"bytes left out" in content
    assert log.read_tail().endswith("the last word")
    figure(megabytes=100, kept_megabytes=round(len(content) / 1e6, 1), seconds=round(seconds, 1))


def test_the_end_of_a_flood_is_quoted_though_its_middle_is_left_out(tmp_path: Path) -> None:
    log = WorkerLog(tmp_path / "worker-0.log")
    run(log, "import os; os.write(2, b'line\\n' * 1_000_000 + b'why it died\\n')")
    assert log.read_tail().endswith("why it died")


def test_two_files_of_bounded_size_are_kept(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("hpsearch.execution.worker_log.SECOND_BYTES", 1 << 30)
    log = WorkerLog(tmp_path / "worker-0.log")
    for number in range(200):
        log.write(b"%04d " % number + b"x" * 50_000 + b"\n")
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert {"worker-0.log", "worker-0.log.1"} == sizes.keys()
    assert all(size <= FILE_BYTES for size in sizes.values())
    assert log.path.read_bytes()[-50_006:].startswith(b"0199")
    assert len(log.read_tail()) <= LAST_BYTES


def test_a_log_that_cannot_be_written_holds_no_worker_up(tmp_path: Path) -> None:
    log = WorkerLog(tmp_path / "worker-0.log")
    log.path.unlink()
    log.path.mkdir()  # as bad as a full disk
    assert run(log, "import os; os.write(2, b'line\\n' * 200_000)") < 20
    assert "" == log.read_tail()
    (tmp_path / "logs").write_text("a file, where a folder belongs")
    elsewhere = WorkerLog(tmp_path / "logs" / "worker-0.log")
    elsewhere.write(b"line\n")
    assert "" == elsewhere.read_tail()
