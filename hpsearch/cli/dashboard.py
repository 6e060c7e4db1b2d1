"""`hpsearch dashboard`: show a study in optuna-dashboard."""

from __future__ import annotations

import click

from ..platforms.interrupts import handle_stop_signals
from .completion import complete_studies
from .group import main
from .json_output import json_option
from .study_paths import journal_or_newest
from .ui import choose_port, exit_on_signal, port_option, show_address

FIRST_PORT = 5200  # after the ports of MLflow and of the live page


@main.command()
@click.argument("study", required=False, shell_complete=complete_studies)
@port_option(FIRST_PORT)
@json_option
def dashboard(study: str | None, port: int | None, as_json: bool) -> None:
    """Show STUDY, or the newest, in optuna-dashboard on this machine.

    Needs the extra: pip install 'hpsearch[dashboard]'. Only reads the journal.
    """
    from ..reporting.optuna_dashboard import import_dashboard, serve_dashboard

    journal = journal_or_newest(study)
    import_dashboard()  # checked before the address is printed
    handle_stop_signals(exit_on_signal)
    port = choose_port(port, FIRST_PORT)
    show_address(f"http://127.0.0.1:{port}/dashboard", as_json=as_json)
    serve_dashboard(journal, port)
