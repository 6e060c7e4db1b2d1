"""`hpsearch watch`: follow a study in a terminal, or on a page in the browser."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from ..platforms.interrupts import handle_stop_signals
from .completion import complete_studies
from .group import main
from .json_output import json_option, print_answer
from .study_paths import journal_or_newest
from .terminal import make_console, print_line
from .ui import FIRST_PAGE_PORT, choose_port, exit_on_signal, port_option, show_address

POLL_SECONDS = 0.5


@main.command()
@click.argument("study", required=False, shell_complete=complete_studies)
@click.option("--page", is_flag=True, help="Serve it as a page on loopback instead.")
@port_option(FIRST_PAGE_PORT, "Port of the page")
@json_option
def watch(study: str | None, page: bool, port: int | None, as_json: bool) -> None:
    """Follow STUDY, or the newest: phase, best, running trials, queue, rungs, cost, time left.

    Only reads the journal, so it works while another process runs the study, after that process
    was killed, and after the study's end. On a terminal it is redrawn until the study has finished;
    otherwise it is printed once. Ctrl-C ends only this command.
    """
    if port and not page:
        raise click.UsageError("--port is the port of --page")
    if as_json and page:
        raise click.UsageError("--json prints the status once, and --page serves it: use one")
    journal = journal_or_newest(study)
    handle_stop_signals(exit_on_signal)
    if as_json:
        from ..answers.from_journal import describe_status
        from ..reporting.study_follower import StudyFollower

        print_answer(describe_status(StudyFollower(journal)))
    elif page:
        _serve_page(journal, choose_port(port, FIRST_PAGE_PORT))
    else:
        _watch_terminal(journal)


def _serve_page(journal: Path, port: int) -> None:
    from ..reporting.live_page import LivePageServer

    with LivePageServer(journal, port) as server:
        show_address(server.address)
        server.serve_forever()


def _watch_terminal(journal: Path) -> None:
    from ..reporting.study_follower import StudyFollower
    from ..reporting.study_status import study_status
    from ..reporting.watch_view import build_watch_view

    follower, console = StudyFollower(journal), make_console()
    status = study_status(follower)
    if status.state == "finished" or not sys.stdout.isatty():
        console.print(build_watch_view(follower, status))
        return
    from rich.live import Live

    with Live(console=console, auto_refresh=False, screen=False) as live:
        while True:
            status = study_status(follower)
            live.update(build_watch_view(follower, status), refresh=True)
            if status.state == "finished":
                break
            time.sleep(POLL_SECONDS)
            follower.update()
    print_line("the study has finished")
