"""Shell completion of commands, options and names."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from hpsearch.cli import main
from hpsearch.search.event_writer import save_predictions


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with two studies; the later one has kept predictions of two trials."""
    for age, name in enumerate(("wine", "cancer")):
        study = tmp_path / "mlruns" / "studies" / name
        study.mkdir(parents=True)
        (study / "journal.jsonl").touch()
        os.utime(study / "journal.jsonl", (1_000 + age, 1_000 + age))
    for number in (12, 3):
        save_predictions(study, number, np.zeros((1, 1)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def complete(*words: str) -> list[str]:
    """What is offered for the last word of a line, by the protocol of the script for bash."""
    environment = {
        "_HPSEARCH_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["hpsearch", *words]),
        "COMP_CWORD": str(len(words)),
    }
    done = CliRunner().invoke(main, [], prog_name="hpsearch", env=environment)
    assert "" == done.stderr
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_commands_and_options_are_offered(folder):
    assert {"tune", "top", "promote"} <= set(complete(""))
    assert ["top"] == complete("to")
    assert ["--overwrite"] == complete("schema", "--over")
    assert ["bash", "zsh", "fish"] == complete("completion", "")


@pytest.mark.parametrize("command", ["top", "export", "report", "ui", "sync", "rerun", "promote"])
def test_a_study_is_offered_by_its_folder(folder, command):
    assert ["cancer", "wine"] == complete(command, "")
    assert ["wine"] == complete(command, "w")


def test_trials_are_those_of_the_study_that_was_written_or_of_the_newest(folder):
    assert ["best", "3", "12", "cancer", "wine"] == complete("show", "")
    assert ["best", "3", "12"] == complete("compare", "cancer", "best", "")
    assert ["best"] == complete("show", "wine", "")
    assert ["12"] == complete("show", "1")
    assert ["3", "12"] == complete("rerun", "cancer", "")
    assert [] == complete("rerun", "wine", "")


def test_where_there_is_nothing_nothing_is_offered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [] == complete("top", "")
    assert ["best"] == complete("show", "")
    assert [] == complete("predict", "")
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [("tune", "a"), ("init", "a"), ("check", "a")])
def test_files_are_left_to_the_shell(folder, words):
    assert ["a"] == complete(*words)


def test_a_store_that_is_damaged_or_elsewhere_offers_nothing(folder):
    (folder / "mlruns" / "mlflow.db").write_bytes(b"no database")
    assert [] == complete("predict", "")
    assert [] == complete("predict", "--tracking-uri", "http://127.0.0.1:9", "")


def test_completing_a_line_makes_no_log_file(folder):
    assert "top" in complete("--log-file", "a.log", "-v", "to")
    assert ["wine"] == complete("top", "--log-file", "a.log", "w")
    assert not (folder / "a.log").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_asks_hpsearch(shell):
    script = CliRunner().invoke(main, ["completion", shell]).stdout
    assert f"_HPSEARCH_COMPLETE={shell}_complete" in script


LINES = {  # shell -> a line that prints what is offered after `hpsearch top `
    "bash": (
        'eval "$(hpsearch completion bash)" && COMP_WORDS=(hpsearch top "") COMP_CWORD=2 && '
        "_hpsearch_completion hpsearch && printf '%s\\n' \"${COMPREPLY[@]}\""
    ),
    # Without a line editor: the function is called as it would be, and prints what it would add.
    "zsh": (
        'compdef() {}; eval "$(hpsearch completion zsh)"; words=(hpsearch top ""); CURRENT=3; '
        "compadd() { print -l -- $completions }; _hpsearch_completion"
    ),
    "fish": 'hpsearch completion fish | source; complete -C "hpsearch top "',
}


@pytest.mark.parametrize("shell", LINES)
def test_a_shell_completes_with_its_script(shell, folder):
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell}")
    commands = Path(sys.executable).parent
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [shell, "-c", LINES[shell]],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, ["cancer", "wine"]) == (done.returncode, done.stdout.split()), done.stderr
