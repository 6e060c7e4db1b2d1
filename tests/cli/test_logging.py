"""Logging: options, files, and redaction of secrets."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpsearch import log_file
from hpsearch.log_file import RedactingFilter, study_log

CANARY = "canary-4711-flies"

# A program that logs as hpsearch does; pytest's own handlers would decide in its process.
PROGRAM = """
import logging, sys
from hpsearch.cli import main

@main.command()
def decide():
    logger = logging.getLogger("hpsearch.search")
    logger.debug("asked with token=%s", "CANARY")
    logger.info("pruned, password: CANARY")
    logger.warning("MLflow is away")

main(sys.argv[1:])
"""


def run(folder: Path, *arguments: str) -> str:
    """What the program says on stderr."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("CANARY", CANARY), *arguments],
        cwd=folder,
        env={**os.environ, "DB_PASSWORD": "tweet-tweet-9"},
        capture_output=True,
        text=True,
    )
    assert 0 == done.returncode, done.stderr
    assert "" == done.stdout
    return done.stderr


def test_warnings_alone_are_told_by_default(tmp_path):
    assert "MLflow is away\n" == run(tmp_path, "decide")
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("-v", "decide"), ["pruned"]),
        (("decide", "--verbose"), ["pruned"]),
        (("-v", "decide", "-vv"), ["asked", "pruned"]),
    ],
    ids=str,
)
def test_verbose_says_what_is_decided_before_or_after_the_command(tmp_path, arguments, told):
    lines = run(tmp_path, *arguments).splitlines()
    assert [f"hpsearch.search: {word}" for word in told] == [
        " ".join(line.split()[:2]).rstrip(",") for line in lines[:-1]
    ]
    assert not any(CANARY in line for line in lines)


@pytest.mark.parametrize(
    "place", [("--log-file", "x.log", "decide"), ("decide", "--log-file=x.log")]
)
def test_a_log_file_gets_everything_without_secrets(tmp_path, place):
    assert "MLflow is away\n" == run(tmp_path, *place)
    text = (tmp_path / "x.log").read_text(encoding="utf-8")
    assert ["DEBUG", "INFO", "WARNING"] == [line.split()[1] for line in text.splitlines()]
    assert CANARY not in text
    run(tmp_path, *place)
    assert 6 == len((tmp_path / "x.log").read_text(encoding="utf-8").splitlines())


def test_a_log_file_that_cannot_be_written_is_a_mistake(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "decide", "--log-file", "none/x.log"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert 2 == done.returncode
    assert done.stderr.startswith("--log-file none/x.log: cannot be written: No such file")


def logged(folder: Path) -> str:
    return (folder / "study.log").read_text(encoding="utf-8")


@pytest.fixture
def logger(caplog: pytest.LogCaptureFixture) -> logging.Logger:
    caplog.set_level(logging.DEBUG, "hpsearch")
    return logging.getLogger("hpsearch.tests")


def test_secrets_are_hidden_in_messages_arguments_and_tracebacks(tmp_path, logger, monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", CANARY)
    with study_log(tmp_path):
        logger.info("plain %s", CANARY)
        logger.info("postgresql://ann:%s@db/x", CANARY)
        try:
            raise ValueError(f"no login with {CANARY}")
        except ValueError:
            logger.exception("api_key=%s", CANARY)
    text = logged(tmp_path)
    assert CANARY not in text
    assert "ValueError: no login with ***" in text
    assert 3 == text.count("hpsearch.tests")


def test_a_record_is_read_by_the_next_handler_without_secrets():
    record = logging.makeLogRecord({"msg": "password=%s", "args": (CANARY,)})
    assert RedactingFilter().filter(record)
    assert "password=***" == record.getMessage()


def test_the_log_of_a_study_is_bounded(tmp_path, logger, monkeypatch):
    monkeypatch.setattr(log_file, "MAX_BYTES", 2_000)
    with study_log(tmp_path):
        for i in range(200):
            logger.info("line %d", i)
    files = sorted(tmp_path.iterdir())
    assert ["study.log", "study.log.1", "study.log.2"] == [file.name for file in files]
    assert all(file.stat().st_size <= 2_000 for file in files)
    assert "line 199" in logged(tmp_path)


def test_the_log_of_a_study_without_worker_processes_has_its_folder(tmp_path, logger):
    with study_log(tmp_path / "study" / "logs"):
        logger.warning("asked for")
    assert "asked for" in (tmp_path / "study" / "logs" / "study.log").read_text()


def test_a_line_that_cannot_be_written_stops_nothing(tmp_path, logger, capfd):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with study_log(tmp_path / "file"):  # no folder
        logger.info("lost")
    assert "" == capfd.readouterr().err


def test_levels_are_as_before_once_a_study_has_ended(tmp_path):
    logger = logging.getLogger("hpsearch")
    before = logger.level, list(logger.handlers)
    with study_log(tmp_path):
        pass
    assert before == (logger.level, logger.handlers)
    assert [] == list(tmp_path.iterdir())
