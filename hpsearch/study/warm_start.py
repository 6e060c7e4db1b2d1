"""Initialize the sampler of a new study with the trials of another.

They are copied into the new study's journal at its start, so later changes of the other study have
no effect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from ..errors import JournalError
from ..events import StudyCreated, WarmStart, WarmStartTrial
from ..history import History, load_condensed_history
from ..journal import START_OVER
from ..spec.function_reference import is_reference, resolve_reference
from ..spec.study_file import StudyFile
from ..spec.study_spec import StudySpec
from ..tracking.store import find_journal
from ..trial import Direction, State, Trial, Value, orient
from .resolved_study import ResolvedStudy
from .user_code import compute_digests


def collect_trials(study: ResolvedStudy, journal: Path, *, fingerprint: str) -> WarmStart:
    """Collect the other study's finished trials that are points of this space.

    Args:
        study: The new study.
        journal: The new study's journal; the other one's is in a sibling folder.
        fingerprint: The fingerprint of the new study's data.

    Raises:
        SpecError: If the study does not exist, its scores are not comparable, or none of its
            trials is a point of the space.
    """
    file = study.file
    name = str(file.spec.warm_start)
    other = load_other(file, journal, name)
    _require_comparable_scores(study, other, fingerprint)
    finished = [t for t in other.trials if t.is_finished]
    _require_same_metric_code(file, other, finished)
    fitting = [t for t in finished if point_of(file.spec, t.params) is not None]
    if not fitting:
        message = f"none of the {len(finished)} finished trials of study {name} lies in this space"
        raise file.make_error("warm_start", message)
    return WarmStart(
        study=name,
        key=other.key,
        trials=[copy_trial(t, point_of(file.spec, t.params) or {}) for t in fitting],
        left_out=len(finished) - len(fitting),
    )


def load_other(file: StudyFile, journal: Path, name: str) -> History:
    """Load the history of a study that `warm_start` names, beside the new study's `journal`.

    Raises:
        SpecError: If it does not exist or cannot be read.
    """
    folder = journal.parents[1]
    path = folder / name / journal.name
    if not path.exists():
        others = {other.parent.name for other in folder.glob(f"*/{journal.name}")}
        known = ", ".join(sorted(others - {journal.parent.name}))
        there = f"Known: {known}." if known else "There is no other."
        raise file.make_error("warm_start", f"there is no study {name!r} below {folder}. {there}")
    try:
        return load_condensed_history(path)
    except JournalError as error:
        message = str(error).replace(START_OVER, f"leave {name} out")  # --fresh is for this study
        raise file.make_error("warm_start", message) from None


def note_missing_studies(spec: StudySpec, root: Path) -> list[str]:
    """Describe the studies of `warm_start` that do not exist below `root`."""
    missing = [name for name in spec.named_studies if find_journal(root, name) is None]
    return [f"warm_start: {name} is no study in this folder yet; tune needs it" for name in missing]


def _require_comparable_scores(study: ResolvedStudy, other: History, fingerprint: str) -> None:
    """Refuse a study with another objective or other data."""
    objectives = [(o.metric, o.direction) for o in study.objectives]
    for what, there, here in (
        ("objective", list(other.objectives), objectives),
        ("data", other.study.fingerprint[:12], fingerprint[:12]),
    ):
        if there != here:
            raise study.file.make_error(
                "warm_start",
                f"the {what} of study {study.spec.warm_start} differs: "
                f"{_format_objectives(there)} there, {_format_objectives(here)} here. "
                f"The scores are not comparable: name it in a list, of which the sampler gp uses "
                f"the order of the trials (warm_start: [{study.spec.warm_start}]), or leave it "
                "out, and enqueue its best points",
            )


def _require_same_metric_code(file: StudyFile, other: History, finished: Sequence[Trial]) -> None:
    """Refuse trials whose custom metric was computed by another version of its files."""
    digests = _metric_digests(file)
    edited = {
        path
        for t in finished
        for path, digest in (other.declaration(t.revision).files or {}).items()
        if digests.get(path, digest) != digest
    }
    if edited:
        raise file.make_error(
            "warm_start",
            f"the metric of study {file.spec.warm_start} was computed by other code: "
            f"{', '.join(sorted(edited))} was edited since. The scores are not comparable: "
            "leave it out",
        )


def read_trials(first: StudyCreated) -> list[Trial]:
    """Read the trials from a journal's first line in the sampler's form."""
    return read_copies(first.warm_start) if first.warm_start else []


def read_copies(other: WarmStart) -> list[Trial]:
    """Read the copied trials of another study in the sampler's form."""
    return [
        Trial(
            number=copied.number,
            attempt=0,
            params=copied.params,
            seed=0,
            epochs=copied.epochs,
            asked=0,
            state=copied.state,
            score=copied.score,
            values=copied.values,
            fold_scores=copied.fold_scores,
            measured=copied.measured,
            scores=[[score] for score in copied.curve],
        )
        for copied in other.trials
    ]


def best_point(trials: Sequence[Trial], direction: Direction) -> list[Mapping[str, Value]]:
    """Return the point of the best complete trial; it can win only if it is trained again."""
    complete = [t for t in trials if t.state == "COMPLETE" and t.score is not None]
    best = max(complete, key=lambda t: orient(t.score or 0.0, direction), default=None)
    return [] if best is None else [best.params]


def _metric_digests(file: StudyFile) -> dict[str, str]:
    """Return the digests of a custom metric's files; empty for a built-in one."""
    objective = file.spec.objective
    if objective is None or not is_reference(objective.metric):
        return {}
    return compute_digests([resolve_reference(objective.metric, file.folder)], file.folder)


def _format_objectives(value: Any) -> str:
    return value if isinstance(value, str) else ", ".join(metric for metric, _ in value)


def point_of(spec: StudySpec, params: Mapping[str, Value]) -> dict[str, Value] | None:
    """Return the params that vary in this space; None if they are not a point of it."""
    missing = object()
    if any(params.get(name, missing) != value for name, value in spec.fixed_params.items()):
        return None
    point = {k: v for k, v in params.items() if k not in spec.fixed_params}
    return point if spec.space.why_invalid(point) is None else None


def copy_trial(trial: Trial, params: Mapping[str, Value]) -> WarmStartTrial:
    """Copy a trial with its params in the new study's space."""
    return WarmStartTrial(
        number=trial.number,
        params=params,
        state=cast(State, trial.state),
        score=trial.score,
        values=trial.values,
        fold_scores=trial.fold_scores and list(trial.fold_scores),
        epochs=trial.epochs,
        curve=list(trial.mean_scores()),
        measured=trial.measured,
    )
