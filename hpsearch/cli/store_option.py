"""The store options, shared by every command that opens a store."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from .terminal import print_line

Command = Callable[..., Any]


def store_option(help: str = "Another store.") -> Callable[[Command], Command]:
    """Return `--tracking-uri`, and `--upgrade-store`, which first migrates an older database."""

    def decorate(command: Command) -> Command:
        @click.option("--tracking-uri", envvar="MLFLOW_TRACKING_URI", help=help)
        @click.option(
            "--upgrade-store",
            is_flag=True,
            help="Migrate a database that an older MLflow made; an SQLite file is copied before.",
        )
        @wraps(command)
        def wrapped(*arguments: Any, upgrade_store: bool, **named: Any) -> Any:
            if upgrade_store:
                _upgrade_store(named["tracking_uri"])
            return command(*arguments, **named)

        return wrapped

    return decorate


def _upgrade_store(tracking_uri: str | None) -> None:
    from ..tracking.database_schema import upgrade_database
    from ..tracking.store import check_uri, default_uri, is_server

    uri = tracking_uri or default_uri(Path.cwd())
    if is_server(uri):
        return  # left to its administrator
    if done := upgrade_database(uri):
        print_line(done, err=True)
    check_uri(uri)
