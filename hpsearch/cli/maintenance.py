"""Maintenance commands: sync, rerun, doctor, gc, delete, rename, note."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .completion import complete_studies, complete_trial_numbers
from .group import main
from .json_output import json_option, print_answer
from .store_option import store_option
from .terminal import print_line

if TYPE_CHECKING:
    from ..study.maintenance.rerun import Rerun

MAX_NOTE = 2000  # characters


@main.command()
@click.argument("study", shell_complete=complete_studies)
@click.option("--verify", is_flag=True, help="Compare every run, point and file with the journal.")
@store_option("Where MLflow's runs go.")
@json_option
def sync(study: str, verify: bool, tracking_uri: str | None, as_json: bool) -> None:
    """Send the missing parts of STUDY to MLflow, after --offline or an unreachable server."""
    from ..errors import redact_text
    from ..study.gallery import draw_missing
    from ..tracking import study_sync
    from ..tracking.store import artifact_location, default_uri
    from .study_paths import require_journal

    root = Path.cwd()
    uri = tracking_uri or default_uri(root)
    missing = draw_missing(require_journal(study))
    send = study_sync.verify_study if verify else study_sync.sync_study
    sent = send(require_journal(study), uri, artifact_location(uri, root))
    n_trials = len(sent.history.last)
    if as_json:
        from ..answers.action_answers import SyncAnswer

        print_answer(
            SyncAnswer(
                study=study,
                tracking_uri=redact_text(uri),
                run_id=sent.parent,
                trials=n_trials,
                replaced=list(sent.runs.replaced),
                resent=list(sent.lacked),
                refused=sent.problems,
                undrawn=dict(missing),
            )
        )
        return
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
@click.argument("trial", shell_complete=complete_trial_numbers)
@json_option
def rerun(study: str, trial: str, as_json: bool) -> None:
    """Train TRIAL of STUDY again from its record; exit code 1 if the result differs.

    TRIAL is 5, trial-5 or best.
    """
    from ..reporting.terminal_tables import trial_number
    from ..study.maintenance.rerun import rerun_trial as train
    from .study_paths import require_journal

    journal = require_journal(study)
    number = trial_number(journal, trial)
    done = train(journal, number)
    if as_json:
        from ..answers.from_results import describe_rerun

        print_answer(describe_rerun(journal, done))
    else:
        _show_rerun(number, done)
    if not done.is_same:
        raise SystemExit(1)


def _show_rerun(trial: int, done: Rerun) -> None:
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
@json_option
def doctor(repair: str | None, tracking_uri: str | None, as_json: bool) -> None:
    """Check versions, backends, devices, disk, store and studies; exit code 1 on a problem.

    Changes nothing without --repair.
    """
    findings = []
    outcome = "" if repair is None else _repair(repair, tracking_uri)
    if outcome and not as_json:
        print_line(outcome)
    if not outcome:
        from ..study.maintenance.doctor import diagnose

        for finding in diagnose(Path.cwd(), tracking_uri):
            findings.append(finding)
            if not as_json:
                print_line(f"{finding.state:4} {finding.subject}: {finding.message}")
    is_well = all(finding.state != "bad" for finding in findings)
    if as_json:
        from ..answers.action_answers import DoctorAnswer, FindingAnswer

        answers = [FindingAnswer(**asdict(finding)) for finding in findings]
        print_answer(DoctorAnswer(is_well=is_well, findings=answers, repair=outcome))
    if not is_well:
        raise SystemExit(1)


def _repair(study: str, tracking_uri: str | None) -> str:
    """Repair a study's journal, or the store if no study is named; returns the outcome."""
    if study:
        from ..study.maintenance.repair import repair_journal
        from .study_paths import require_journal

        return repair_journal(require_journal(study)).format_message()
    from ..study.maintenance.doctor import repair_store

    return repair_store(Path.cwd(), tracking_uri)


@main.command()
@click.option("--keep", type=click.IntRange(1), default=10, help="Best trials that keep all.")
@click.option(
    "--dry-run", is_flag=True, help="Only print what would be deleted and how much it frees."
)
@click.option(
    "--all", "everybodys", is_flag=True, help="Deleted runs of other programs and folders, too."
)
@store_option()
@json_option
def gc(keep: int, dry_run: bool, everybodys: bool, tracking_uri: str | None, as_json: bool) -> None:
    """Delete predictions of all but the best trials, and studies' runs deleted in MLflow.

    Also deletes copies of what addresses (s3://, https://) hold, except for unfinished studies,
    outputs of frozen models, and, unless a study is running, decoded images and stored rows that
    exceed the memory.
    Keeps the predictions from which the winner is chosen (of the finalists, or of the 10 best
    trials for an ensemble), models, journals, the best trials and runs with a registered model.
    Runs on a tracking server are left to its administrator.
    """
    from ..study.maintenance.source_copies import (
        find_cached_features,
        find_decoded_images,
        find_stored_rows,
        find_unneeded_copies,
    )
    from ..study.winner.selection import trials_in_use
    from ..tracking.garbage import find_garbage, remove_garbage
    from ..tracking.store import default_uri, open_store

    root = Path.cwd()
    uri = tracking_uri or default_uri(root)
    client = open_store(uri)
    found = find_garbage(root, client, keep=keep, in_use=trials_in_use, everybodys=everybodys)
    found += [*find_unneeded_copies(root), *find_cached_features(root)]
    found += [*find_decoded_images(root), *find_stored_rows(root)]
    if not as_json:
        for item in found:
            print_line(f"{item.study}: {item.what}, {_format_bytes(item.size)}")
    if not dry_run:
        remove_garbage(found, client)
    if as_json:
        from ..answers.from_results import describe_garbage

        print_answer(describe_garbage(found, is_dry_run=dry_run))
        return
    total = _format_bytes(sum(item.size for item in found))
    print_line(f"{total} would be freed; without --dry-run it is" if dry_run else f"{total} freed")


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
@json_option
def delete(study: str, yes: bool, force: bool, tracking_uri: str | None, as_json: bool) -> None:
    """Delete the folder of STUDY permanently; its runs in MLflow can be restored until gc.

    Asks for confirmation. A running study is refused.
    """
    from ..tracking.store import default_uri
    from ..tracking.study_deletion import delete_study, plan_deletion
    from .study_paths import require_journal

    uri = tracking_uri or default_uri(Path.cwd())
    plan = plan_deletion(require_journal(study), uri, force=force)
    print_line(plan.describe(), err=as_json)
    if not yes:
        click.confirm("delete it?", abort=True, err=True)
    delete_study(plan)
    if as_json:
        from ..answers.action_answers import DeleteAnswer

        runs = len(plan.runs)
        print_answer(DeleteAnswer(study=study, trials=plan.trials, bytes=plan.size, runs=runs))
    else:
        print_line(f"{study} is deleted")


@main.command()
@click.argument("study", shell_complete=complete_studies)
@click.argument("name")
@store_option("The store with its runs.")
@json_option
def rename(study: str, name: str, tracking_uri: str | None, as_json: bool) -> None:
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
    if as_json:
        from ..answers.action_answers import RenameAnswer

        versions, sent = done.versions, done.sent
        print_answer(RenameAnswer(before=study, study=name, in_mlflow=sent, versions=versions))
        return
    print_line(f"{study} is {name} now; to continue it: hpsearch tune SPEC --study {name}")
    if not done.sent:
        print_line(f"MLflow has nothing of it: hpsearch sync {name}{uri_option(uri, root)}")
    if done.versions:
        print_line(f"{done.versions} registered versions name it")


@main.command()
@click.argument("study")
@click.argument("text")
@json_option
def note(study: str, text: str, as_json: bool) -> None:
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
    written = redact(text.strip())
    with Journal(journal) as opened:
        opened.append(StudyNoted(text=written))
    if journal.with_name(REPORT).exists():
        write_report(journal)
    if as_json:
        from ..answers.action_answers import NoteAnswer

        print_answer(NoteAnswer(study=study, note=written))
    else:
        print_line(f"noted; for MLflow: hpsearch sync {study}")
