"""`hpsearch mcp`: serve the commands as tools of the Model Context Protocol."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ..errors import HpsearchError
from .group import main
from .store_option import store_option

INSTALL = "the SDK of the Model Context Protocol is not installed: pip install 'hpsearch[mcp]'"


@main.command()
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="The only folder that study files and data are read from; default: the working folder.",
)
@click.option(
    "--max-trials",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    help="Trials of all calls together.",
)
@click.option(
    "--max-minutes",
    type=click.FloatRange(0, min_open=True),
    default=30.0,
    show_default=True,
    help="Minutes of all studies and plans together.",
)
@click.option("--allow-promote", is_flag=True, help="Let agents change the registry of models.")
@click.option("--allow-code", is_flag=True, help="Run functions that study files name.")
@store_option("Where MLflow's runs go.")
def mcp(
    root: Path,
    max_trials: int,
    max_minutes: float,
    allow_promote: bool,
    allow_code: bool,
    tracking_uri: str | None,
) -> None:
    """Serve an agent on standard input and output: check, plan, tune, top and others as tools.

    The agent sees no score on locked rows. Needs the extra: pip install 'hpsearch[mcp]'.
    """
    try:
        from ..mcp.agent_server import serve
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "mcp":
            raise
        raise HpsearchError(INSTALL) from None
    from importlib.metadata import version

    from ..mcp.agent_tools import AgentTools
    from ..mcp.spend_limits import SpendLimits

    os.chdir(root)
    tools = AgentTools(
        Path.cwd(),
        SpendLimits(max_trials, max_minutes),
        tracking_uri=tracking_uri,
        allow_code=allow_code,
        allow_promote=allow_promote,
    )
    serve(tools, version("hpsearch"))
