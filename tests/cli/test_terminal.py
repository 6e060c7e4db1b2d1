"""Terminal output: any text, any encoding, and closed streams."""

import ast
import io
import logging
import os
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import pytest
import synthetic
from click.testing import CliRunner

import hpsearch.cli
from hpsearch.cli import main
from hpsearch.cli.results import summarize_notes
from hpsearch.cli.terminal import ResilientStream, prepare_streams, print_line
from hpsearch.events import SearchEnded, StudyCreated
from hpsearch.reporting.progress import guard_listener

HOSTILE = ("[/red]", "[bold]x", ":smile:", "\x1b[31mred", "a\rb", "\x07", "\u202egpj", "$$", "値")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study whose names, choices and errors mean something to a terminal or to Rich."""
    records = synthetic.study(8)
    for record in records:
        if record["event"] == "asked":
            record["params"] |= {f"{name}p": name for name in HOSTILE}
        if record.get("error"):
            record["error"] = record["traceback"] = "".join(HOSTILE)
    records[0]["objective"]["metric"] = "[/b]\x1b[2Jmetric"
    synthetic.write(tmp_path / "mlruns" / "studies" / "churn" / "journal.jsonl", records)
    return tmp_path


def invoke(folder: Path, *arguments: str, charset: str = "utf-8") -> str:
    with chdir(folder):
        done = CliRunner(charset=charset).invoke(main, arguments)
    assert 0 == done.exit_code, done.output
    return done.stdout


COMMANDS = [("top", "churn"), ("show", "churn", "3"), ("compare", "churn", "0", "1")]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c[0])
def test_tables_show_hostile_texts_as_they_are(folder, command):
    shown = invoke(folder, *command)
    assert set() == {c for c in shown if c != "\n" and not c.isprintable()}
    if command[0] != "show":
        assert r"\x1b[2Jmetric" in shown
    for text in ("[/red]", "[bold]x", ":smile:", r"\x1b[31mred", r"\u202egpj", "値"):
        assert text in shown


@pytest.mark.parametrize("charset", ["ascii", "latin-1"])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c[0])
def test_a_terminal_that_is_not_utf_8_gets_the_same_table(folder, command, charset):
    done = invoke(folder, *command, charset=charset)
    assert "[/red]" in done
    assert r"\u5024" in done  # 値


def test_a_mistake_with_control_characters_in_it_is_told_in_plain_text(tmp_path):
    with chdir(tmp_path):
        done = CliRunner().invoke(main, ["top", "x\x1b[31m"])
    assert 2 == done.exit_code
    assert "\x1b" not in done.stderr


def test_a_reader_who_has_gone_ends_a_command_quietly(folder):
    read, write = os.pipe()
    os.close(read)
    code = "from hpsearch.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "top", "churn"],
        cwd=folder,
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)
    assert (141, b"") == (done.returncode, done.stderr)


def test_stderr_without_a_reader_takes_every_word(capfd):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as pipe:
        stream = ResilientStream(pipe)
        for _ in range(3):
            assert 4 == stream.write("word")
            stream.flush()


def test_the_symbols_of_ours_have_plain_stand_ins(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii"))
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    prepare_streams()
    print_line("0.9 ± 0.1 · é")
    assert b"0.9 +- 0.1 - \\xe9\n" == raw.getvalue()


def test_a_listener_that_fails_is_told_once_and_heard_no_more(caplog):
    heard = []

    def listen(record):
        heard.append(record)
        raise ValueError("no more ink")

    listener = guard_listener("the display", listen, skips_past_curves=True)
    with caplog.at_level(logging.WARNING):
        listener(StudyCreated())
        listener(SearchEnded(reason=""))
    assert 1 == len(heard)
    assert ["the display failed and stops, the study continues: no more ink"] == caplog.messages


def test_commands_print_through_the_door_alone():
    """`click.echo` and `print` would let control characters through."""
    for path in Path(hpsearch.cli.__file__).parent.glob("*.py"):
        if path.name == "terminal.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("click.echo", "print", "Console", "click.secho"), path


def test_of_what_is_noted_of_many_columns_the_first_are_shown() -> None:
    names = [f"c{i}" for i in range(5000)]
    notes = [f"{n}: '{n[1:]}' is a code; data.columns.{n}.format says so" for n in names]
    few = [f"{n}: grouped" for n in names[:5]]
    shown = summarize_notes([*notes[:2000], "task: binary", *few, *notes[2000:]], set(names))
    assert [*notes[:3], "… and the same of 4,997 more columns, the last of them c4999"] == shown[:4]
    assert ["task: binary", *few] == shown[4:]
