"""How a study begins, and whether an existing one may be gone on with."""

from __future__ import annotations

import platform
import secrets
from importlib import metadata
from pathlib import Path
from typing import Any

from ..data import Dataset
from ..errors import JournalError, SpecError
from ..journal import Journal, Record
from ..platforms.identity import host_name, user_name
from ..platforms.paths import find_alike, relative_to
from ..spec.file import StudyFile, load_dict
from ..spec.study import StudySpec
from ..training.problem import Problem
from .prepare import Crew, described, objectives_of, pruner_kind
from .source import source_of
from .warm_start import trials_of

PACKAGES = ("keras", "jax", "tensorflow", "optuna", "mlflow", "numpy", "scikit-learn")
MAY_CHANGE = ("budget", "execution", "selection")  # of a declaration, when a study goes on


def introduction(
    journal: Journal, file: StudyFile, dataset: Dataset, problem: Problem, crew: Crew
) -> Record:
    """Begin the journal, or make sure that it belongs to this declaration and these data.

    Returns:
        Its first record.
    """
    if journal.first is not None:
        _compare(journal.first, file, dataset, crew)
        journal.append("resumed", **_circumstances(crew))
        return journal.first
    spec = file.spec
    return journal.append(
        "study",
        study=spec.study,
        key=secrets.token_hex(8),
        spec=file.raw,
        fingerprint=dataset.fingerprint,
        data=described(dataset),
        task=problem.task,
        objective={
            "metric": problem.objective,
            "direction": problem.goal.direction,
        },
        seed=spec.seed,
        **_objectives(spec, problem),
        sampler=spec.sampler.kind,
        pruner=pruner_kind(spec),
        trainer=crew.trainer,
        trainer_reason=crew.reason,
        environment=environment(),
        source=source_of(file.folder, journal.path.parent),
        owner=user_name(),
        host=host_name(),
        folder=relative_to(file.folder, journal.path.parents[3]),
        **_warm_start(file, journal, dataset, problem),
        **_circumstances(crew),
    )


def _circumstances(crew: Crew) -> dict[str, Any]:
    """What a trial's bits depend on beside its params, data and seed."""
    return {"workers": crew.workers, "threads": crew.threads}


def _compare(first: Record, file: StudyFile, dataset: Dataset, crew: Crew) -> None:
    """Refuse to go on with another study under the same name."""
    before, now = (_flat(load_dict(r).spec.model_dump()) for r in (first["spec"], file.raw))
    changed = [
        f"  {key}: {before.get(key)!r} then, {now.get(key)!r} now"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and key.split(".")[0] not in MAY_CHANGE
    ]
    if first["fingerprint"] != dataset.fingerprint:
        changed.append(
            f"  the data: {first['fingerprint'][:12]} then, {dataset.fingerprint[:12]} now"
        )
    if file.spec.training.deterministic:
        changed += [
            f"  {key}: {first[key]} then, {value} now, of a deterministic study"
            for key, value in _circumstances(crew).items()
            if first.get(key, value) != value
        ]
    if changed:
        raise SpecError(
            f"study {first['study']} exists and was declared otherwise:\n"
            + "\n".join(changed)
            + "\nName another with --study NAME, or begin anew with --fresh."
        )


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {key: value}
    prefix = f"{key}." if key else ""
    return {
        k: v for name, child in value.items() for k, v in _flat(child, f"{prefix}{name}").items()
    }


def _warm_start(
    file: StudyFile, journal: Journal, dataset: Dataset, problem: Problem
) -> dict[str, Any]:
    """The trials of another study that the sampler is told, where one is named."""
    if file.spec.warm_start is None:
        return {}
    objectives = objectives_of(file.spec, problem.task)
    fingerprint = dataset.fingerprint
    copied = trials_of(file, journal.path, fingerprint=fingerprint, objectives=objectives)
    return {"warm_start": copied}


def _objectives(spec: StudySpec, problem: Problem) -> dict[str, Any]:
    """All objectives, where there are several."""
    several = objectives_of(spec, problem.task)
    listed = [{"metric": name, "direction": direction} for name, direction in several]
    return {"objectives": listed} if len(listed) > 1 else {}


def environment() -> dict[str, str]:
    """Versions and machine; nothing of the environment's variables."""
    versions = {name: metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), "machine": platform.machine(), **versions}


def require_own_folder(folder: Path) -> None:
    """Refuse a study whose folder macOS and Windows would not tell apart from another's.

    Raises:
        SpecError: It names the other study.
    """
    other = find_alike(folder.parent, folder.name)
    if other is not None:
        raise SpecError(
            f"study {folder.name!r}: there is a study {other!r}, whose folder is the same on macOS "
            f"and Windows. Go on with it by --study {other}, or give this one another name."
        )


def set_aside(folder: Path) -> None:
    """Keep an earlier life of the study under another name."""
    if not folder.exists():
        return
    with Journal(folder / "journal.jsonl"):
        pass  # nobody else holds it
    number = 1
    while (aside := folder.with_name(f"{folder.name}.{number}")).exists():
        number += 1
    try:
        folder.rename(aside)
    except OSError as error:
        raise JournalError(f"{folder}: cannot be set aside: {error.strerror}") from None
