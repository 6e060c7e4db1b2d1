"""Commands that steer a study, also while another process runs it: enqueue, extend, pause, stop."""

from __future__ import annotations

from pathlib import Path

import click

from .completion import complete_studies, complete_trial_numbers
from .group import main
from .json_output import json_option, print_answer
from .terminal import print_line


@main.command()
@click.argument("study", shell_complete=complete_studies)
@click.argument("values", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--like", metavar="TRIAL", help="Take the other hyperparameters from 5 or best.")
@click.option("--epochs", type=click.IntRange(1), help="Train for up to this many epochs.")
@json_option
def enqueue(
    study: str, values: tuple[str, ...], like: str | None, epochs: int | None, as_json: bool
) -> None:
    """Train a trial of STUDY with these hyperparameters next.

    Also while the study runs, and if its budget of trials is spent. Hyperparameters that are not
    named take Keras's defaults, or the values of the trial --like.
    """
    from ..reporting.terminal_tables import trial_number
    from ..spec.study_file import parse_assignments
    from ..study.steering import enqueue_point
    from .study_paths import require_journal

    journal = require_journal(study)
    number = None if like is None else trial_number(journal, like)
    done = enqueue_point(journal, parse_assignments(values), like=number, epochs=epochs)
    if as_json:
        from ..answers.action_answers import EnqueueAnswer

        params = dict(done.params)
        print_answer(EnqueueAnswer(study=study, params=params, is_running=done.is_running))
        return
    point = ", ".join(f"{name}={value}" for name, value in done.params.items())
    print_line(f"enqueued: {point}")
    if not done.is_running:
        print_line(f"no process runs {study}: the next hpsearch tune trains it")


@main.command()
@click.argument("study", shell_complete=complete_studies)
@click.argument("trial", shell_complete=complete_trial_numbers)
@click.option(
    "--epochs", type=click.IntRange(1), required=True, help="Epochs in all, from the first one on."
)
@json_option
def extend(study: str, trial: str, epochs: int, as_json: bool) -> None:
    """Train a complete or pruned TRIAL of STUDY for more epochs.

    Also while the study runs, and if its budget of trials is spent. TRIAL is 5, trial-5 or best.
    It goes on from its checkpoint, or from the first epoch if it has none. Its new score replaces
    the present one.
    """
    from ..reporting.terminal_tables import trial_number
    from ..study.steering import extend_trial
    from .study_paths import require_journal

    journal = require_journal(study)
    number = trial_number(journal, trial)
    is_running = extend_trial(journal, number, epochs)
    if as_json:
        from ..answers.action_answers import ExtendAnswer

        print_answer(ExtendAnswer(study=study, trial=number, epochs=epochs, is_running=is_running))
        return
    print_line(f"trial {number} is trained on to {epochs} epochs")
    if not is_running:
        print_line(f"no process runs {study}: the next hpsearch tune does it")


@main.command()
@click.argument("study", shell_complete=complete_studies)
@click.argument("trial", required=False, shell_complete=complete_trial_numbers)
@json_option
def stop(study: str, trial: str | None, as_json: bool) -> None:
    """Stop TRIAL of STUDY after its current epoch, or the process that runs STUDY.

    TRIAL is 5 or trial-5. A stopped trial is pruned. A stopped process lets its running trials
    finish, however long they take; hpsearch tune continues the study.
    """
    from ..journal.inbox import post_stop
    from ..reporting.terminal_tables import trial_number
    from ..study.steering import stop_trial
    from .study_paths import require_journal

    journal = require_journal(study)
    number = None if trial is None else trial_number(journal, trial)
    owner = post_stop(journal) if number is None else ""
    is_running = number is None or stop_trial(journal, number)
    if as_json:
        from ..answers.action_answers import StopAnswer

        print_answer(StopAnswer(study=study, trial=number, is_running=is_running))
    elif number is None:
        print_line(f"{owner} {_describe_stop(journal)}")
    elif is_running:
        print_line(f"trial {number} stops after its current epoch")
    else:
        print_line(f"no process runs {study}: the next hpsearch tune stops trial {number}")


def _describe_stop(journal: Path) -> str:
    """Describe when a process that was asked to stop does so, by the phase of its study."""
    from ..reporting.study_follower import StudyFollower

    phase = StudyFollower(journal).phase  # an index of `study_follower.PHASES`
    if phase > 3:
        return "goes on, as only plots, the report and the upload to MLflow are left"
    if phase > 1:
        return "stops when the winner is fitted and tested"
    running = "finalists" if phase else "trials"
    return f"stops when its running {running} have finished"


@main.command()
@click.argument("study", shell_complete=complete_studies)
@json_option
def pause(study: str, as_json: bool) -> None:
    """Pause STUDY after its running epochs, until hpsearch unpause.

    Its process keeps running and keeps the running trials; its workers keep their memory. A study
    stays paused if its process ends: the next hpsearch tune waits for hpsearch unpause, too.
    """
    from ..study.steering import pause_study
    from .study_paths import require_journal

    is_running = pause_study(require_journal(study))
    if as_json:
        from ..answers.action_answers import PauseAnswer

        print_answer(PauseAnswer(study=study, is_paused=True, is_running=is_running))
        return
    print_line(f"{study} is paused" + (", after its running epochs" if is_running else ""))
    print_line(f"to continue: hpsearch unpause {study}")


@main.command()
@click.argument("study", shell_complete=complete_studies)
@json_option
def unpause(study: str, as_json: bool) -> None:
    """Continue STUDY after hpsearch pause."""
    from ..study.steering import unpause_study
    from .study_paths import require_journal

    is_running = unpause_study(require_journal(study))
    if as_json:
        from ..answers.action_answers import PauseAnswer

        print_answer(PauseAnswer(study=study, is_paused=False, is_running=is_running))
    elif is_running:
        print_line(f"{study} continues")
    else:
        print_line(f"no process runs {study}: hpsearch tune continues it")
