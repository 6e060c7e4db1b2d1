"""Start a study, or check that an existing one can continue."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree

from ..data import Dataset
from ..errors import JournalError, SpecError, UnconfirmedChangesError
from ..events import (
    DeclarationChanged,
    Event,
    StudyCreated,
    StudyResumed,
    WarmStart,
)
from ..journal import take_lock
from ..platforms.identity import host_name, user_name
from ..platforms.paths import find_similar, relative_to
from ..search.event_writer import EventWriter
from .declaration import Change, Declaration, build_declaration, find_changes, packages_of
from .earlier_studies import collect_earlier_studies
from .git_provenance import record_git_state
from .prepare import describe_dataset
from .resolved_study import ResolvedStudy
from .space_edit import describe_outside, find_outside
from .steering import find_extensions
from .warm_start import collect_trials
from .worker_pool import WorkerPool


def start_or_resume(
    writer: EventWriter,
    study: ResolvedStudy,
    dataset: Dataset,
    workers: WorkerPool,
    *,
    accept_changes: bool = False,
) -> None:
    """Start the journal, or check that it belongs to this declaration and these data.

    Args:
        writer: The writer of the study's events.
        study: The declaration.
        dataset: The data.
        workers: The worker pool.
        accept_changes: Continue with changed code, versions or training, and record the change.

    Raises:
        SpecError: If the journal belongs to another study, or the declaration has changed.
    """
    declaration = build_declaration(study)
    if writer.journal.first is None:
        _start(writer, study, dataset, workers, declaration)
        return
    first = require_comparable(writer.journal.first, writer.journal.path)
    before = writer.history.declaration(len(writer.history.changes))
    found = compare_declarations(before, declaration, study, dataset, trainer=workers.trainer)
    found += _compare_workers(before, study, workers)
    outside = None
    if any(change.is_of_space for change in found):
        outside = find_outside(study.file, writer.history)
    if found and not (accept_changes and all(change.is_acceptable for change in found)):
        note = "" if outside is None else describe_outside(outside, writer.history)
        raise _make_refusal(first.study, found, note, accept=accept_changes)
    if found:
        changes = [[change.key, change.then, change.now] for change in found]
        record = declaration.to_record()
        limits = None if outside is None else list(study.limits)
        writer.write(DeclarationChanged(changes=changes, outside=outside, limits=limits, **record))
        _extend_trials(writer, before, study.spec.training.epochs)
    may_change = study.spec.model_dump(mode="json", include={"budget", "selection"})
    settings = {"workers": workers.workers, "threads": workers.threads, **may_change}
    writer.write(StudyResumed(**settings))


def _extend_trials(writer: EventWriter, before: StudyCreated, epochs: int) -> None:
    """Train the trials further that were trained to the end, if the epochs were raised."""
    declared = (before.resolved or {}).get("training", {}).get("epochs", epochs)
    folder = writer.journal.path.parent
    found = find_extensions(writer.history, folder, before=declared, epochs=epochs)
    if found:
        writer.write_all(found)


def _start(
    writer: EventWriter,
    study: ResolvedStudy,
    dataset: Dataset,
    workers: WorkerPool,
    declaration: Declaration,
) -> None:
    """Write the first event of a new study."""
    file, spec, journal = study.file, study.spec, writer.journal
    writer.write(
        StudyCreated(
            study=spec.study,
            key=secrets.token_hex(8),
            spec=file.raw,
            fingerprint=dataset.fingerprint,
            data=describe_dataset(dataset),
            task=study.task,
            objective=study.objective,
            seed=spec.seed,
            objectives=list(study.objectives) if len(study.objectives) > 1 else None,
            limits=list(study.limits) or None,
            sampler=spec.sampler.kind,
            pruner=study.pruner_kind,
            trainer=workers.trainer,
            trainer_reason=workers.reason,
            **declaration.to_record(),
            source=record_git_state(file.folder, journal.path.parent),
            owner=user_name(),
            host=host_name(),
            folder=relative_to(file.folder, journal.path.parents[3]),
            warm_start=_warm_start_fields(study, journal.path, dataset),
            earlier_studies=collect_earlier_studies(study, journal.path) or None,
            workers=workers.workers,
            threads=workers.threads,
            first_epoch=1,  # as Keras prints them; studies of earlier versions go on from 0
        )
    )


def find_read_versions(first: Event | None) -> Mapping[str, str]:
    """Return the versions of the sources that the study began with, by location."""
    return first.data.versions if isinstance(first, StudyCreated) else {}


def require_comparable(first: Event, path: Path) -> StudyCreated:
    """Return the first event of a journal, which must contain the declaration.

    Raises:
        JournalError: Names the missing fields.
    """
    missing = ["study", "spec", "fingerprint", "objective.metric"]
    if isinstance(first, StudyCreated):
        values = (first.study, first.spec, first.fingerprint, first.objective.metric)
        missing = [name for name, value in zip(missing, values, strict=True) if not value]
        if not missing:
            return first
    raise JournalError(
        f"{path}: the first record has no {', '.join(missing)}, so it is unknown whether it is "
        "this study: another program wrote it. Restore journal.jsonl from the study's run in "
        "MLflow, or start over with --fresh."
    )


def compare_declarations(
    before: StudyCreated,
    now: Declaration,
    study: ResolvedStudy,
    dataset: Dataset,
    *,
    trainer: str,
) -> list[Change]:
    """Compare with the declaration of the start, or of the last accepted change."""
    found = find_changes(before, now, file=study.file, packages=packages_of(study, trainer))
    same_study = {
        "the data": (before.fingerprint[:12], dataset.fingerprint[:12]),
        "the task": (before.task or study.task, study.task),
        "the metric": (before.objective.metric, study.objective.metric),
    }
    found += [Change(key, then, here) for key, (then, here) in same_study.items() if then != here]
    return found


def _compare_workers(
    before: StudyCreated, study: ResolvedStudy, workers: WorkerPool
) -> list[Change]:
    """Compare the workers of a deterministic study with those of its start."""
    if not study.spec.training.deterministic:
        return []
    found = []
    for key, then, here in (
        ("workers", before.workers, workers.workers),
        ("threads", before.threads, workers.threads),
    ):
        was = here if before.format == 1 and then is None else then
        if str(was) != str(here):
            found.append(Change(f"the {key} of a deterministic study", str(was), str(here)))
    return found


def _make_refusal(study: str, found: list[Change], note: str, *, accept: bool) -> SpecError:
    """Make the error that lists the changes and the remedies."""
    lines = [f"study {study} exists and was declared otherwise:", *(f"  {c}" for c in found)]
    lines += [note] if note else []
    others = [change.key for change in found if not change.is_acceptable]
    if any(change.is_default for change in found):
        lines.append("A default that has changed keeps its old value if the file declares it.")
    ways = "Name another with --study NAME, or start over with --fresh"
    if not others:
        ways += (
            ", or continue with --accept-changes: old and new trials are then ranked together, "
            "and each trial shows to which it belongs"
        )
    if "enqueue" in others:
        lines.append(f"To add a point to this study: hpsearch enqueue {study} NAME=VALUE.")
    if others and accept:
        ways = f"Trials with another {', '.join(others)} cannot be ranked together. {ways}"
    made = SpecError if others else UnconfirmedChangesError
    return made("\n".join([*lines, f"{ways}."]))


def _warm_start_fields(study: ResolvedStudy, journal: Path, dataset: Dataset) -> WarmStart | None:
    """Collect the trials of the study named by `warm_start`."""
    if not isinstance(study.spec.warm_start, str):
        return None
    return collect_trials(study, journal, fingerprint=dataset.fingerprint)


def require_own_folder(folder: Path) -> None:
    """Refuse a study whose folder name equals another's on macOS and Windows.

    Raises:
        SpecError: Names the other study.
    """
    other = find_similar(folder.parent, folder.name)
    if other is not None:
        raise SpecError(
            f"study {folder.name!r}: there is a study {other!r}, whose folder is the same on macOS "
            f"and Windows. Continue it with --study {other}, or rename this one."
        )


@contextmanager
def study_moved_aside(folder: Path) -> Iterator[None]:
    """Move an earlier run of the study aside; back if the block begins no journal.

    Raises:
        JournalError: If the study is running, or the folder cannot be renamed.
    """
    aside = move_study_aside(folder)
    try:
        yield
    finally:
        if aside is not None and not (folder / "journal.jsonl").exists():
            rmtree(folder, ignore_errors=True)
            aside.rename(folder)


def move_study_aside(folder: Path) -> Path | None:
    """Move an earlier run of the study aside, even with a damaged journal.

    Returns:
        Its folder now; None if there was none.

    Raises:
        JournalError: If the study is running, or the folder cannot be renamed.
    """
    if not folder.exists():
        return None
    number = 1
    while (aside := folder.with_name(f"{folder.name}.{number}")).exists():
        number += 1
    journal = folder / "journal.jsonl"
    with take_lock(journal) as lock:
        try:
            try:
                folder.rename(aside)
            except PermissionError:  # Windows cannot rename a folder with open files
                lock.release()
                folder.rename(aside)
        except OSError as error:
            raise JournalError(f"{folder}: cannot be moved aside: {error.strerror}") from None
    (aside / lock.path.name).unlink(missing_ok=True)
    return aside
