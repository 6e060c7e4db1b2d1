"""The server: tools, their errors, progress and cancellation, over standard input and output.

While it serves, the SDK keeps standard output for the protocol, and what libraries print goes to
standard error.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import anyio
from anyio import to_thread
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

from ..answers.trial_answers import RunAnswer
from ..errors import HpsearchError, describe_os_error
from .agent_tools import AgentTools, ServedRun

POLL_SECONDS = 0.5  # between two looks at a running study
INSTRUCTIONS = (
    "hpsearch searches hyperparameters of Keras models by cross-validation. A study file (YAML) "
    "declares a study: `check` it, `plan` its duration, and `tune` it, which also continues a "
    "stopped study. `status`, `top`, `show` and `compare` read a study while it runs and "
    "afterwards. Scores are means over cross-validation folds; scores on the locked test rows are "
    "for people and not returned. Paths are relative to the server's folder."
)
READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
ADDS = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
REPLACES = ToolAnnotations(read_only_hint=False, destructive_hint=True, open_world_hint=False)


def build_server(tools: AgentTools, version: str) -> MCPServer[Any]:
    """Build a server with all tools."""
    server: MCPServer[Any] = MCPServer(
        "hpsearch", instructions=INSTRUCTIONS, version=version, log_level="WARNING"
    )
    reading = (tools.studies, tools.status, tools.top, tools.show, tools.compare)
    steering = (tools.enqueue, tools.extend, tools.pause, tools.unpause, tools.stop)
    kinds: tuple[tuple[ToolAnnotations, tuple[Callable[..., Any], ...]], ...] = (
        (READS, (tools.check, tools.plan, *reading)),
        (ADDS, (_make_tune(tools), *steering)),
        (REPLACES, (tools.promote,)),
    )
    for kind, of_kind in kinds:
        for tool in of_kind:
            server.add_tool(_explain_errors(tool), annotations=kind)
    return server


def serve(tools: AgentTools, version: str) -> None:
    """Serve a client until it closes standard input; a running study is then stopped."""
    try:
        build_server(tools, version).run("stdio")
    finally:
        tools.close()


def _explain_errors(tool: Callable[..., Any]) -> Callable[..., Any]:
    """Turn errors that a caller can fix into answers with their message."""

    @wraps(tool)
    async def call(*arguments: Any, **named: Any) -> Any:
        try:
            if inspect.iscoroutinefunction(tool):
                return await tool(*arguments, **named)
            return await to_thread.run_sync(partial(tool, *arguments, **named))
        except HpsearchError as error:
            raise ToolError(str(error)) from None
        except OSError as error:
            if error.errno is None:  # raised by a library, not by the operating system
                raise
            raise ToolError(describe_os_error(error)) from None

    return call


def _make_tune(tools: AgentTools) -> Callable[..., Any]:
    async def tune(
        ctx: Context[Any, Any],
        spec: str,
        trials: int | None = None,
        minutes: float | None = None,
        wait: bool = True,
    ) -> RunAnswer:
        """Run the study of a study file, or continue it, within the server's budget.

        `trials` and `minutes` replace those of the file; both are totals over all runs of the
        study. With `wait`, progress is reported until the study ends, and cancelling the call stops
        the study. Without it, the call returns when the study runs: `status` and `top` follow it,
        `stop` stops it.
        """
        run = await to_thread.run_sync(tools.start, spec, trials, minutes)
        try:
            while run.process.is_running:
                await anyio.sleep(POLL_SECONDS)
                shown = await to_thread.run_sync(tools.describe_run, run)
                if shown is None or shown.state != "running":
                    continue
                if not wait:
                    return shown.model_copy(update={"message": "the study runs"})
                await _report(ctx, shown)
        except BaseException:  # the call was cancelled, or the client has gone
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(run.process.stop)
            raise
        return await to_thread.run_sync(_finish, tools, run)

    return tune


async def _report(ctx: Context[Any, Any], shown: RunAnswer) -> None:
    best = shown.best
    score = "" if best is None else f", best {shown.metric} {best.score:.4f} (trial {best.trial})"
    await ctx.report_progress(shown.done, shown.total, f"{shown.phase}{score}")


def _finish(tools: AgentTools, run: ServedRun) -> RunAnswer:
    """Describe a run that has ended.

    Raises:
        HpsearchError: If the study failed, or was stopped before it began.
    """
    outcome = run.process.outcome()
    if outcome.state == "failed":
        raise HpsearchError(outcome.message)
    stopped = f"{run.study} was stopped; nothing is lost, and tune continues it"
    message = f"{run.study} has finished" if outcome.state == "finished" else stopped
    shown = tools.describe_run(run, message)
    if shown is None:
        raise HpsearchError(stopped)
    return shown
