"""`hpsearch completion`, and the names that a shell completes.

A shell asks at every press of a key, so only names of folders and files are read, and of a store
only an SQLite file. A name that cannot be completed is no error.
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
    assert script is not None  # click knows them all
    print_line(script(main, {}, "hpsearch", "_HPSEARCH_COMPLETE").source())


def complete_studies(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """The studies of this folder, the newest first."""
    return _starting_with(incomplete, _study_names())


def complete_trials(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Trials of the study that was written, or of the newest, and the studies before that."""
    written: Sequence[str] = context.params.get("arguments") or ()
    study = next((word for word in written if find_journal(word)), None)
    names = [] if written else _study_names()
    return _starting_with(incomplete, ["best", *_list_trials(study or newest_study()), *names])


def complete_trial_numbers(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Trials of the study that was written."""
    return _starting_with(incomplete, _list_trials(context.params.get("study")))


def complete_models(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """`NAME@ALIAS` of the registered models of an SQLite store."""
    return _starting_with(incomplete, [f"{name}@{alias}" for name, alias in _list_models(context)])


def complete_model_names(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Names of the registered models of an SQLite store."""
    return _starting_with(incomplete, dict.fromkeys(name for name, _ in _list_models(context)))


def complete_paths(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Files, for an argument that may be something else, too."""
    return [CompletionItem(incomplete, type="file")]


def _starting_with(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _study_names() -> list[str]:
    return [journal.parent.name for journal in list_journals()]


def _list_trials(study: str | None) -> list[str]:
    """The trials whose predictions are kept; reading the journal would take too long."""
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
