"""Let the sampler of a new study learn from studies of other data.

Their scores are not comparable with those here, so only the order of their trials counts. What is
used of them is copied into the new study's journal at its start, as for `warm_start` from one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..events import WarmStart
from ..history import History
from ..search.samplers import find_earlier_problem
from ..spec.study_spec import StudySpec
from ..trial import Trial, Value, is_score
from .initial_trials import complete_point
from .resolved_study import ResolvedStudy
from .space_edit import find_point_beyond
from .warm_start import best_point, copy_trial, load_other, read_copies

MIN_TRIALS = 3  # of an earlier study
MAX_TRIED = 3  # earlier studies whose best point is tried first


def collect_earlier_studies(study: ResolvedStudy, journal: Path) -> list[WarmStart]:
    """Collect the complete trials of the studies of the list `warm_start`.

    Hyperparameters that this space lacks are dropped. A trial is left out if a value is outside
    this space.

    Args:
        study: The new study.
        journal: The new study's journal; the others are in sibling folders.

    Raises:
        SpecError: If a study does not exist, has another direction, or too few trials that fit.
    """
    return [_collect(study, journal, name) for name in study.spec.earlier_studies]


def _collect(study: ResolvedStudy, journal: Path, name: str) -> WarmStart:
    file = study.file
    other = load_other(file, journal, name)
    _require_same_direction(study, other, name)
    complete = [t for t in other.trials if t.state == "COMPLETE" and is_score(t.score)]
    shared = [(t, _shared_params(study.spec, t.params)) for t in complete]
    fitting = [copy_trial(t, params) for t, params in shared if params]
    if len(fitting) < MIN_TRIALS:
        raise file.make_error(
            "warm_start",
            f"{len(fitting)} of the {len(complete)} complete trials of study {name} have values of "
            f"this space, and at least {MIN_TRIALS} are needed: leave it out",
        )
    bare = [replace(t, curve=[], fold_scores=None, values=None, measured=None) for t in fitting]
    return WarmStart(study=name, key=other.key, trials=bare, left_out=len(complete) - len(fitting))


def _require_same_direction(study: ResolvedStudy, other: History, name: str) -> None:
    here, there = study.objective, other.direction
    if there != here.direction:
        raise study.file.make_error(
            "warm_start",
            f"study {name} {there}s its objective, and this one {here.direction}s {here.metric}: "
            "leave it out",
        )


def _shared_params(spec: StudySpec, params: Mapping[str, Value]) -> dict[str, Value] | None:
    """Return the params that vary in this space; None if a value is outside it."""
    ranges: dict[str, list[bool]] = {}
    for p in spec.space:
        if p.name in params:
            ranges.setdefault(p.name, []).append(p.contains(params[p.name]))
    differs = any(params.get(k, v) != v for k, v in spec.fixed_params.items())
    if differs or not all(map(any, ranges.values())):
        return None
    return {name: params[name] for name in ranges}


def read_earlier_studies(history: History) -> list[list[Trial]]:
    """Read the trials of earlier studies from the journal's first line."""
    return [read_copies(copied) for copied in history.study.earlier_studies or ()]


def find_outside_trials(spec: StudySpec, history: History) -> list[Trial]:
    """Find the complete trials outside an edited space that `gp` learns as an earlier study.

    They have no value outside it, but a hyperparameter was added or removed. Empty for other
    samplers and several objectives, and if there are fewer than 3.
    """
    if find_earlier_problem(spec.sampler.kind, objectives=len(history.objectives)) is not None:
        return []
    trials = [history.last[number] for number in sorted(history.ended_outside)]
    others = [t for t in trials if find_point_beyond(spec, t.params) is None]
    complete = [t for t in others if t.state == "COMPLETE" and is_score(t.score)]
    shared = [(t, _shared_params(spec, t.params)) for t in complete]
    found = [replace(t, params=params) for t, params in shared if params]
    return found if len(found) >= MIN_TRIALS else []


def find_best_points(
    spec: StudySpec, history: History, studies: Sequence[Sequence[Trial]]
) -> list[dict[str, Value]]:
    """Return the best point of each of the first earlier studies, completed as in `enqueue`."""
    best = [p for trials in studies[:MAX_TRIED] for p in best_point(trials, history.direction)]
    points = [complete_point(spec, point) for point in best]
    return [point for point in points if spec.space.why_invalid(point) is None]
