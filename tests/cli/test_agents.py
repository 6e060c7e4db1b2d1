"""`hpsearch mcp` with the SDK's own client, over the streams of a real process."""

import json
import os
import re
import sys
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import synthetic
from answer_check import validator
from click.testing import CliRunner

from hpsearch.cli import main
from hpsearch.history import load_history

mcp = pytest.importorskip("mcp", reason="needs the extra: pip install 'hpsearch[mcp]'")

TOOLS = {"check", "plan", "tune", "studies", "status", "top", "show", "compare"}
TOOLS |= {"enqueue", "extend", "pause", "unpause", "stop", "promote"}
SPEC = """\
study: tiny
data: {source: rows.csv, target: y}
cross_validation: {folds: 2}
training: {epochs: 2, early_stopping: null}
search_space: {units: [4, 5, 6, 7, 8, 9], learning_rate: 0.01}
pruner: {kind: none}
selection: {kind: best, finalists: 0}
budget: {trials: 2}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a study file, its rows, and a finished study."""
    rows = "".join(f"{i % 7},{i % 5},{'yes' if i % 7 > 3 else 'no'}\n" for i in range(80))
    (tmp_path / "rows.csv").write_text("a,b,y\n" + rows)
    (tmp_path / "tiny.yaml").write_text(SPEC)
    synthetic.write(tmp_path / "mlruns/studies/churn/journal.jsonl", synthetic.study(6))
    return tmp_path


def talk(folder: Path, conversation: Callable[[Any], Awaitable[None]], *options: str) -> str:
    """Hold a conversation with a server in `folder`; returns what it printed on stderr."""
    code = "from hpsearch.cli import main; main()"
    command = ["-c", code, "mcp", "--root", str(folder), *options]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": ""}
    server = mcp.StdioServerParameters(command=sys.executable, args=command, env=environment)

    @asynccontextmanager
    async def connect(log: Any) -> Any:
        async with (
            mcp.stdio_client(server, errlog=log) as streams,
            mcp.ClientSession(*streams) as session,
        ):
            await session.initialize()
            yield session

    async def run(log: Any) -> None:
        with anyio.fail_after(300):
            async with connect(log) as session:
                await conversation(session)

    with (folder / "server.log").open("w+", encoding="utf-8") as log:
        anyio.run(run, log)
        log.seek(0)
        return log.read()


def answer_of(command: str, result: Any) -> dict[str, Any]:
    """The typed answer of a call, which the schema of the command of `command` accepts."""
    assert not result.is_error, result.content
    validator(command).validate(result.structured_content)
    return result.structured_content


def error_of(result: Any) -> str:
    assert result.is_error
    return result.content[0].text


def test_an_agent_reads_studies_in_typed_answers_and_no_score_on_locked_rows(folder):
    async def conversation(session: Any) -> None:
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
        assert TOOLS == tools.keys()
        assert all(tool.output_schema["properties"] for tool in tools.values())
        assert tools["top"].annotations.read_only_hint
        answers = {
            name: answer_of(name, await session.call_tool(name, arguments))
            for name, arguments in {
                "studies": {},
                "top": {"study": "churn", "rows": 3},
                "show": {"study": "churn"},
                "compare": {"study": "churn", "trials": [0, 1]},
            }.items()
        }
        status = answer_of("watch", await session.call_tool("status", {"study": "churn"}))
        assert ("finished", 6) == (status["state"], status["done"])
        assert 3 == len(answers["top"]["trials"])
        said = json.dumps([answers, status])
        for locked in ("0.85,", "0.81", "0.84", "logistic_regression", "final/"):
            assert locked not in said
        for tool, arguments, text in (
            ("top", {"study": "../churn"}, "there is no study '../churn'"),
            ("show", {"study": "churn", "trial": 99}, "has no trial 99"),
            ("promote", {"study": "churn", "name": "m"}, "--allow-promote"),
            ("stop", {"study": "churn"}, "no process runs the study"),
            ("check", {"spec": "missing.yaml"}, "missing.yaml"),
        ):
            assert text in error_of(await session.call_tool(tool, arguments))

    assert "Traceback" not in talk(folder, conversation)


@pytest.mark.long
def test_an_agent_checks_plans_tunes_and_steers_a_study_within_its_budget(folder):
    seen: list[tuple[float, float | None, str | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, total, message))

    async def conversation(session: Any) -> None:
        spec = {"spec": "tiny.yaml"}
        checked = answer_of("check", await session.call_tool("check", spec))
        assert (64, 16) == (checked["data"]["rows"], checked["data"]["locked_rows"])
        answer_of("plan", await session.call_tool("plan", spec))
        done = await session.call_tool("tune", spec, progress_callback=note)
        assert not done.is_error, done.content
        first = done.structured_content
        assert ("finished", 2, 1) == (first["state"], first["done"], first["trials_left"])
        assert "tiny has finished" == first["message"]
        assert 0 < first["minutes_left"] < 30
        promoted = await session.call_tool("promote", {"study": "tiny", "name": "tiny"})
        answer = answer_of("promote", promoted)
        assert (1, "champion", None) == (answer["version"], answer["alias"], answer["comparison"])
        point = {"study": "tiny", "params": {"units": 9}}
        answer_of("enqueue", await session.call_tool("enqueue", point))
        assert "are spent (--max-trials)" in error_of(await session.call_tool("enqueue", point))
        more = (await session.call_tool("tune", {**spec, "trials": 30})).structured_content
        assert (3, 0) == (more["done"], more["trials_left"])
        assert "(--max-trials)" in error_of(await session.call_tool("tune", {**spec, "trials": 30}))
        said = json.dumps([first, more])
        assert "test/" not in said
        assert "baselines" not in said

    talk(folder, conversation, "--max-trials", "3", "--allow-promote")
    assert any(message and "search" in message for _, _, message in seen)
    assert [total for _, total, _ in seen][-1] == 2
    history = load_history(folder / "mlruns/studies/tiny/journal.jsonl")
    assert {"units": 9} == {k: v for k, v in history.trials[2].params.items() if k == "units"}


@pytest.mark.long
def test_a_cancelled_call_stops_the_study_and_the_next_one_continues_it(folder):
    (folder / "tiny.yaml").write_text(SPEC.replace("epochs: 2", "epochs: 60"))

    async def conversation(session: Any) -> None:
        began = anyio.Event()

        async def note(*_: object) -> None:
            began.set()

        async with anyio.create_task_group() as group:

            async def call() -> None:
                arguments = {"spec": "tiny.yaml", "trials": 6}
                await session.call_tool("tune", arguments, progress_callback=note)

            group.start_soon(call)
            await began.wait()
            group.cancel_scope.cancel()
        with anyio.fail_after(120):
            while True:  # it stops while other calls are answered
                status = (await session.call_tool("status", {"study": "tiny"})).structured_content
                if status["state"] != "running":
                    break
                await anyio.sleep(0.2)
        assert status["done"] < 6
        running = await session.call_tool("tune", {"spec": "tiny.yaml", "wait": False})
        assert not running.is_error, running.content
        assert "this server runs tiny" in error_of(
            await session.call_tool("tune", {"spec": "tiny.yaml"})
        )
        stopped = await session.call_tool("stop", {"study": "tiny"})
        assert stopped.structured_content["is_running"]

    talk(folder, conversation)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("rows.csv", "../other.csv"), "is outside"),
        (("rows.csv", "link.csv"), "is outside"),
        (("rows.csv", "/etc/*.conf"), "is outside"),
        (("rows.csv", "s3://bucket/rows.csv"), "reads files below"),
        (("rows.csv", "iceberg:lake.sales.rows"), "reads files below"),
        (("rows.csv", "{sql: select 1, connection: DB, order_by: [a]}"), "reads files below"),
        (("rows.csv", '"${HOME}/rows.csv"'), "environment variables"),
        (("rows.csv", "own.py:rows"), "--allow-code"),
        (("study: tiny", "study: tiny\nmodel: own.py:build"), "--allow-code"),
        (("study: tiny", "extends: ../base.yaml"), "is outside"),
        (("study: tiny", "extends: link.yaml"), "is outside"),
        (("study: tiny", "extends: [own.yaml, link.yaml]"), "is outside"),
        (("study: tiny", "extends: ${HOME}/a.yaml"), "environment variables"),
        (("study: tiny", "execution: {executor: ray}"), "runs on this machine"),
    ],
)
def test_a_study_file_that_leaves_the_folder_is_refused(folder, monkeypatch, change, message):
    from hpsearch.errors import SpecError
    from hpsearch.mcp.confinement import load_confined

    root = folder / "root"
    root.mkdir()
    monkeypatch.chdir(root)
    (folder / "rows.csv").rename(folder / "other.csv")
    (folder / "base.yaml").write_text("secret: value\n")
    (root / "link.csv").symlink_to(folder / "other.csv")
    (root / "link.yaml").symlink_to(folder / "base.yaml")
    (root / "own.yaml").write_text("seed: 1\n")
    (root / "own.py").write_text("def build(params, inputs, outputs): ...\ndef rows(): ...\n")
    (root / "tiny.yaml").write_text(SPEC.replace(*change))
    with pytest.raises(SpecError, match=message) as refused:
        load_confined("tiny.yaml", root, allow_code=False)
    assert "secret" not in str(refused.value)
    with pytest.raises(SpecError, match="is outside"):
        load_confined("../tiny.yaml", root, allow_code=False)


def test_without_the_sdk_the_remedy_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "mcp.server", None)  # as if it were not there
    monkeypatch.delitem(sys.modules, "hpsearch.mcp.agent_server", raising=False)
    done = CliRunner().invoke(main, ["mcp", "--root", str(tmp_path)])
    assert 2 == done.exit_code
    assert "is not installed: pip install 'hpsearch[mcp]'\n" in done.stderr


def test_the_documented_configuration_starts_a_server_with_options_that_exist():
    page = (Path(__file__).parents[2] / "docs" / "agents.md").read_text(encoding="utf-8")
    configuration = json.loads(re.search(r"```json\n(.*?)```", page, re.S)[1])
    server = configuration["mcpServers"]["hpsearch"]
    assert "hpsearch" == server["command"]
    name, *options = server["args"]
    context = main.commands[name].make_context(name, options)
    assert (50, 30.0) == (context.params["max_trials"], context.params["max_minutes"])
    table = "".join(line for line in page.splitlines() if line.startswith("| `"))
    assert set() == {tool for tool in TOOLS if f"`{tool}`" not in table}
