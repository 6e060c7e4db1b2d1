"""Maintenance commands: sync, rerun, doctor, gc, delete, rename, note."""

from __future__ import annotations

import math
from pathlib import Path

import click

from .completion import complete_studies, complete_trial_numbers
from .group import main
from .store_option import store_option
from .terminal import print_line

MAX_NOTE = 2000  # characters


@main.command()
@click.argument("study", shell_complete=complete_studies)
@click.option("--verify", is_flag=True, help="Compare every run, point and file with the journal.")
@store_option("Where MLflow's runs go.")
def sync(study: str, verify: bool, tracking_uri: str | None) -> None:
    """Send the missing parts of STUDY to MLflow, after --offline or an unreachable server."""
    from ..errors import redact_text
    from ..study.gallery import draw_missing
    from ..tracking import sender
    from ..tracking.store import artifact_location, default_uri
    from .study_paths import require_journal

    root = Path.cwd()
    uri = tracking_uri or default_uri(root)
    missing = draw_missing(require_journal(study))
    send = sender.verify_study if verify else sender.sync_study
    sent = send(require_journal(study), uri, artifact_location(uri, root))
    n_trials = len(sent.history.last)
    what = "all" if not sent.problems else "the rest"
    for replaced in sent.runs.replaced:
        print_line(
            f"was in MLflow and not in the journal: {replaced}; deleted there (restorable until gc)"
        )
    for lacked in sent.lacked:
        print_line(f"was missing in MLflow and has been sent: {lacked}")
    for problem in sent.problems:
        print_line(f"not in MLflow: {problem}")
    print_line(f"{redact_text(uri)} has {what} of {study}: {n_trials} trials, run {sent.parent}")
    for name, reason in missing.items():
        print_line(f"still missing: {name}: {reason}", err=True)


@main.command()
@click.argument("study", shell_complete=complete_studies)
@click.argument("trial", type=click.IntRange(0), shell_complete=complete_trial_numbers)
def rerun(study: str, trial: int) -> None:
    """Train TRIAL of STUDY again from its record; exit code 1 if the result differs."""
    from ..study.maintenance.rerun import rerun_trial as train
    from .study_paths import require_journal

    done = train(require_journal(study), trial)
    then, now = done.trial, done.result
    score = "no score" if now.score is None else f"score {now.score!r}"
    print_line(f"trial {trial}: {now.state}, {score}, in {now.seconds:.1f} s")
    if done.is_same:
        print_line("the same as the first time, bit for bit")
        return
    before = "no score" if then.score is None else f"score {then.score!r}"
    print_line(f"not the same: it was {then.state}, {before}")
    if done.difference is not None:
        print_line(f"largest difference of a fold: {done.difference:.3g}")
    for name, (old, new) in done.changed.items():
        print_line(f"changed since: {name} {old} then, {new} now")
    raise SystemExit(1)


@main.command()
@click.option(
    "--repair",
    is_flag=False,
    flag_value="",
    metavar="[STUDY]",
    shell_complete=complete_studies,
    help="Save what can be saved of STUDY's journal; without STUDY, renew a half-made store.",
)
@store_option("The store to look at.")
def doctor(repair: str | None, tracking_uri: str | None) -> None:
    """Check versions, backends, devices, disk, store and studies; exit code 1 on a problem.

    Changes nothing without --repair.
    """
    if repair == "":
        from ..study.maintenance.doctor import repair_store

        print_line(repair_store(Path.cwd(), tracking_uri))
        return
    if repair is not None:
        from ..study.maintenance.repair import repair_journal as mend
        from .study_paths import require_journal

        print_line(mend(require_journal(repair)).format_message())
        return
    from ..study.maintenance.doctor import diagnose

    is_well = True
    for finding in diagnose(Path.cwd(), tracking_uri):
        is_well &= finding.state != "bad"
        print_line(f"{finding.state:4} {finding.subject}: {finding.message}")
    if not is_well:
        raise SystemExit(1)


@main.command()
@click.option("--keep", type=click.IntRange(1), default=10, help="Best trials that keep all.")
@click.option(
    "--dry-run", is_flag=True, help="Only print what would be deleted and how much it frees."
)
@click.option(
    "--all", "everybodys", is_flag=True, help="Deleted runs of other programs and folders, too."
)
@store_option()
def gc(keep: int, dry_run: bool, everybodys: bool, tracking_uri: str | None) -> None:
    """Delete predictions of all but the best trials, and studies' runs deleted in MLflow.

    Keeps the predictions from which the winner is chosen (of the finalists, or of the 10 best
    trials for an ensemble), models, journals, the best trials and runs with a registered model.
    Runs on a tracking server are left to its administrator.
    """
    from ..study.winner.selection import trials_in_use
    from ..tracking.garbage import find_garbage, remove_garbage
    from ..tracking.store import default_uri, open_store

    root = Path.cwd()
    uri = tracking_uri or default_uri(root)
    client = open_store(uri)
    found = find_garbage(root, client, keep=keep, in_use=trials_in_use, everybodys=everybodys)
    for item in found:
        print_line(f"{item.study}: {item.what}, {_format_bytes(item.size)}")
    total = _format_bytes(sum(item.size for item in found))
    if dry_run:
        print_line(f"{total} would be freed; without --dry-run it is")
        return
    remove_garbage(found, client)
    print_line(f"{total} freed")


def _format_bytes(size: float) -> str:
    """Format a number of bytes with its unit."""
    power = min(3, int(math.log(max(size, 1), 1000)))
    digits = 1 if power else 0
    return f"{size / 1000**power:.{digits}f} {('B', 'kB', 'MB', 'GB')[power]}"


@main.command()
@click.argument("study")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Even if its model is registered, which stays so.")
@store_option("The store with its runs.")
def delete(study: str, yes: bool, force: bool, tracking_uri: str | None) -> None:
    """Delete the folder of STUDY permanently; its runs in MLflow can be restored until gc.

    Asks for confirmation. A running study is refused.
    """
    from ..tracking.store import default_uri
    from ..tracking.study_deletion import delete_study, plan_deletion
    from .study_paths import require_journal

    uri = tracking_uri or default_uri(Path.cwd())
    plan = plan_deletion(require_journal(study), uri, force=force)
    print_line(plan.describe())
    if not yes:
        click.confirm("delete it?", abort=True, err=True)
    delete_study(plan)
    print_line(f"{study} is deleted")


@main.command()
@click.argument("study", shell_complete=complete_studies)
@click.argument("name")
@store_option("The store with its runs.")
def rename(study: str, name: str, tracking_uri: str | None) -> None:
    """Rename STUDY to NAME: its folder, its run and experiment in MLflow, its model's versions.

    Renaming back undoes it. A running study is refused.
    """
    from ..study.maintenance.rename import rename_study
    from ..tracking.store import default_uri, uri_option
    from .study_paths import find_journal, require_journal

    root = Path.cwd()
    uri = tracking_uri or default_uri(root)
    if find_journal(name) is None:
        require_journal(study)
    done = rename_study(root, study, name, uri)
    print_line(f"{study} is {name} now; to continue it: hpsearch tune SPEC --study {name}")
    if not done.sent:
        print_line(f"MLflow has nothing of it: hpsearch sync {name}{uri_option(uri, root)}")
    if done.versions:
        print_line(f"{done.versions} registered versions name it")


@main.command()
@click.argument("study")
@click.argument("text")
def note(study: str, text: str) -> None:
    """Write a note about STUDY, shown by studies and watch, in the report and in MLflow.

    An empty TEXT removes it. MLflow has it after the next sync.
    """
    from ..events import StudyNoted
    from ..journal import Journal
    from ..redaction import redact
    from ..reporting.html import REPORT, write_report
    from .study_paths import require_journal

    journal = require_journal(study)
    if len(text) > MAX_NOTE:
        raise click.UsageError(f"a note has at most {MAX_NOTE:,} characters, not {len(text):,}")
    with Journal(journal) as opened:
        opened.append(StudyNoted(text=redact(text.strip())))
    if journal.with_name(REPORT).exists():
        write_report(journal)
    print_line(f"noted; for MLflow: hpsearch sync {study}")
