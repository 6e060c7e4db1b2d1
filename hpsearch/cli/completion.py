"""`hpsearch completion`, and the completion of names by shells.

A shell calls it at every press of the tab key, so it only reads names of folders and files, and
SQLite stores. Names that cannot be completed are not errors.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

from .group import main
from .study_paths import find_journal, list_journals, newest_study
from .terminal import print_line

SHELLS = ("bash", "zsh", "fish")


@main.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script with which SHELL completes commands, options and names.

    bash: eval "$(hpsearch completion bash)" in ~/.bashrc. zsh: the same in ~/.zshrc, after
    compinit. fish: hpsearch completion fish > ~/.config/fish/completions/hpsearch.fish
    """
    script = get_completion_class(shell)
    assert script is not None  # click has the scripts of all shells
    print_line(script(main, {}, "hpsearch", "_HPSEARCH_COMPLETE").source())


def complete_studies(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Return the studies of this folder, newest first."""
    return _starting_with(incomplete, _study_names())


def complete_trials(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Return trials of the entered or the newest study; before a study is entered, studies too."""
    written: Sequence[str] = context.params.get("arguments") or ()
    study = next((word for word in written if find_journal(word)), None)
    names = [] if written else _study_names()
    return _starting_with(incomplete, ["best", *_list_trials(study or newest_study()), *names])


def complete_trial_numbers(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Return the trials of the entered study."""
    return _starting_with(incomplete, _list_trials(context.params.get("study")))


def complete_models(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Return `NAME@ALIAS` of the registered models in an SQLite store."""
    return _starting_with(incomplete, [f"{name}@{alias}" for name, alias in _list_models(context)])


def complete_model_names(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Return the names of the registered models in an SQLite store."""
    return _starting_with(incomplete, dict.fromkeys(name for name, _ in _list_models(context)))


def complete_paths(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return files, for an argument that may also be another value."""
    return [CompletionItem(incomplete, type="file")]


def _starting_with(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _study_names() -> list[str]:
    return [journal.parent.name for journal in list_journals()]


def _list_trials(study: str | None) -> list[str]:
    """List the trials with stored predictions; reading the journal would take too long."""
    journal = None if study is None else find_journal(study)
    if journal is None:
        return []
    kept = journal.parent.glob("predictions/*.npy")
    return [str(number) for number in sorted(int(p.stem) for p in kept if p.stem.isdigit())]


def _list_models(context: click.Context) -> list[tuple[str, str]]:
    from ..tracking.database import database_path, list_aliases
    from ..tracking.store import default_uri

    path = database_path(context.params.get("tracking_uri") or default_uri(Path.cwd()))
    with suppress(OSError, sqlite3.Error):
        return list_aliases(path) if path is not None and path.is_file() else []
    return []
