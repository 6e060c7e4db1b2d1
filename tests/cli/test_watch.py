"""`hpsearch watch`, started and interrupted by a user."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import chdir
from pathlib import Path

import click
import pytest
import synthetic
from click.testing import CliRunner, Result

from hpsearch.cli import main
from hpsearch.cli.ui import choose_port


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a finished study."""
    journal = tmp_path / "mlruns" / "studies" / "churn" / "journal.jsonl"
    synthetic.write(journal, synthetic.study(6))
    return tmp_path


def invoke(root: Path, *arguments: str) -> Result:
    with chdir(root):
        return CliRunner().invoke(main, arguments)


def test_watch_of_a_finished_study_shows_it_and_ends(root: Path) -> None:
    done = invoke(root, "watch")
    assert 0 == done.exit_code, done.output
    assert "churn  finished" in done.output
    assert "is the winner" in done.output


def test_a_port_without_a_page_is_refused(root: Path) -> None:
    done = invoke(root, "watch", "churn", "--port", "5105")
    assert 2 == done.exit_code
    assert "--port is the port of --page" in done.output


@pytest.mark.skipif(os.name != "posix", reason="SIGINT is sent to a process of its own")
def test_the_page_is_served_until_ctrl_c_which_ends_it_quietly(root: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "from hpsearch.cli import main; main()", "watch", "--page"],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        address = child.stdout.readline().strip()
        with urllib.request.urlopen(address, timeout=60) as answer:
            assert b"is the winner" in answer.read()
    finally:
        child.send_signal(signal.SIGINT)
        said = child.communicate(timeout=60)
    assert 128 + signal.SIGINT == child.returncode
    assert "Traceback" not in said[1]


def test_report_writes_the_page_into_the_folder_of_the_study(root: Path) -> None:
    done = invoke(root, "report")
    assert 0 == done.exit_code, done.output
    page = root / "mlruns" / "studies" / "churn" / "report.html"
    assert str(page) == done.output.strip()
    assert "is the winner" in page.read_text()


def test_a_port_in_use_is_named_before_anything_starts_and_another_is_offered(capsys) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(click.UsageError, match=r"in use by another program. Try --port \d+"):
            choose_port(taken, first=1)
        assert choose_port(None, first=taken) > taken
    assert f"port {taken} is in use by another program: taking" in capsys.readouterr().err
