"""Ctrl-C and SIGTERM at a known step, sent by the study to itself; the second Ctrl-C by us."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import synthetic

from hpsearch.journal import Journal
from hpsearch.tracking.store import journal_path
from tests.study.conftest import SPEC, command

ENDLESS = ("--sampler", "random", "--set", "training.epochs=100000", "--set", "pruner.kind=none")


@contextmanager
def stopping(root: Path, fault: str, *options: str) -> Iterator[subprocess.Popen]:
    """A study whose first trial never ends, once it has said that it is stopping."""
    spec = root / "cancer.yaml"
    spec.write_text(SPEC)
    child = subprocess.Popen(
        command("tune", spec, "--offline", *ENDLESS, *options),
        cwd=root,
        env={**os.environ, "HPSEARCH_FAULT": fault},
        stderr=subprocess.PIPE,
        text=True,
    )
    with child:
        said = [child.stderr.readline()]
        while "stopping" not in said[-1]:
            assert said[-1], "".join(said)
            said.append(child.stderr.readline())
        yield child
        child.kill()


@pytest.mark.parametrize(
    ("action", "code"), [pytest.param("int", 130, marks=pytest.mark.long), ("term", 143)]
)
def test_once_what_trains_gets_its_grace_and_no_more(action, code, tmp_path, figure):
    with stopping(tmp_path, f"after_dispatch:1={action}", "--grace", "1") as child:
        began = time.monotonic()
        said = child.stderr.readlines()
        assert code == child.wait(60), said
        seconds = time.monotonic() - began
    assert "To continue: hpsearch tune" in said[-1]
    figure(exit_after_a_grace_of_1_s=round(seconds, 1))


@pytest.mark.parametrize("worker", ["imports", "trains"])
def test_twice_it_stops_at_once_and_can_go_on(worker, tmp_path, figure):
    moments = {
        "imports": ("after_dispatch:1=int",),
        "trains": ("before_result:1=int", "--set", "training.epochs=300"),  # the second trial
    }
    with stopping(tmp_path, *moments[worker]) as child:
        workers = psutil.Process(child.pid).children(recursive=True)
        assert workers
        began = time.monotonic()
        child.send_signal(signal.SIGINT)
        assert 130 == child.wait(60)
        seconds = time.monotonic() - began
        said = child.stderr.read()
    assert seconds < 2  # demanded
    assert [] == psutil.wait_procs(workers, timeout=10)[1]
    assert (
        "stopped immediately; nothing is lost. To continue: hpsearch tune" in said.splitlines()[-1]
    )
    path = journal_path(tmp_path, "cancer")
    assert ["study", "asked"] == [r["event"] for r in synthetic.read_records(path)][:2]
    with Journal(path):
        pass  # nobody holds it
    figure(**{f"while_it_{worker}_s": round(seconds, 2)})
