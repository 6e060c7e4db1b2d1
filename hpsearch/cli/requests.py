"""Commands that steer a study, also while another process runs it: enqueue, stop."""

from __future__ import annotations

import click

from .completion import complete_studies, complete_trial_numbers
from .group import main
from .terminal import print_line


@main.command()
@click.argument("study", shell_complete=complete_studies)
@click.argument("values", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--like", metavar="TRIAL", help="Take the other hyperparameters from 5 or best.")
@click.option("--epochs", type=click.IntRange(1), help="Train for up to this many epochs.")
def enqueue(study: str, values: tuple[str, ...], like: str | None, epochs: int | None) -> None:
    """Train a trial of STUDY with these hyperparameters next, beyond its budget of trials.

    Also while the study runs. Hyperparameters that are not named take Keras's defaults, or those
    of the trial --like.
    """
    from ..reporting.terminal_tables import trial_number
    from ..spec.study_file import parse_assignment
    from ..study.steering import enqueue_point
    from .study_paths import require_journal

    journal = require_journal(study)
    number = None if like is None else trial_number(journal, like)
    done = enqueue_point(journal, dict(map(parse_assignment, values)), like=number, epochs=epochs)
    point = ", ".join(f"{name}={value}" for name, value in done.params.items())
    print_line(f"enqueued: {point}")
    if not done.is_running:
        print_line(f"no process runs {study}: the next hpsearch tune trains it")


@main.command()
@click.argument("study", shell_complete=complete_studies)
@click.argument(
    "trial", type=click.IntRange(0), required=False, shell_complete=complete_trial_numbers
)
def stop(study: str, trial: int | None) -> None:
    """Stop TRIAL of STUDY after its current epoch, or the process that runs STUDY.

    A stopped trial is pruned. A stopped process lets its running trials finish, as after Ctrl-C;
    hpsearch tune continues the study.
    """
    from ..journal.inbox import post_stop
    from ..study.steering import stop_trial
    from .study_paths import require_journal

    journal = require_journal(study)
    if trial is None:
        print_line(f"{post_stop(journal)} stops when its running trials have finished")
    elif stop_trial(journal, trial):
        print_line(f"trial {trial} stops after its current epoch")
    else:
        print_line(f"no process runs {study}: the next hpsearch tune stops trial {trial}")
