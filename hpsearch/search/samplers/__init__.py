"""Make samplers by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

from ...errors import SpecError
from ...plugins import describe_known, find_plugin
from ...spec.branches import has_branches, split_branches, split_point
from ...spec.priors import has_priors
from ...spec.search_space import SearchSpace
from ...trial import Direction, Limit, Trial, Value
from ..sampler import Sampler
from .branch_adapter import BranchAdapter
from .grid import GridSampler, explain_no_grid
from .keras_tuner_sampler import ORACLES, KerasTunerSampler
from .optuna_kinds import OPTUNA, make_gp
from .optuna_sampler import OptunaSampler
from .prior_sampler import PriorSampler
from .seeded_sampler import SeededSampler

SAMPLERS = tuple(sorted([*OPTUNA, *ORACLES, "grid"]))


def sampler_options(kind: str) -> tuple[str, ...]:
    """Return the names of a sampler's options."""
    if kind in OPTUNA:
        return OPTUNA[kind].options
    if kind in SAMPLERS:
        return tuple(ORACLES[kind].options) if kind in ORACLES else ()
    plugin = find_plugin("samplers", kind)
    return tuple(getattr(plugin.value, "options", ())) if plugin else ()


def find_earlier_problem(kind: str, *, objectives: int) -> str | None:
    """Describe why a sampler cannot learn from studies of other data; None if it can."""
    if kind != "gp":
        return f"{kind} cannot learn from studies of other data; the sampler gp can"
    if objectives > 1:
        return "studies of other data are used for one objective only"
    return None


def sampler_packages(kind: str) -> tuple[str, ...]:
    """Return the installed versions of the packages that determine a sampler's suggestions."""
    if kind in ORACLES:
        return ("keras-tuner",)
    if kind not in SAMPLERS:
        plugin = find_plugin("samplers", kind)
        return (plugin.package,) if plugin else ()
    if kind not in OPTUNA:
        return ()
    package = OPTUNA[kind].package
    return ("optuna",) if package is None else ("optuna", package)


def find_sampler_problems(
    kind: str, options: Mapping[str, int], space: SearchSpace, *, objectives: int
) -> list[tuple[str, str]]:
    """Find problems of a sampler: pairs of an option, or "kind", and a message."""
    if kind not in SAMPLERS and find_plugin("samplers", kind) is None:
        return [("kind", f"{kind!r} does not exist. {describe_known('samplers', SAMPLERS)}")]
    reads = sampler_options(kind)
    known = f"it reads {', '.join(reads)}" if reads else "it reads no option"
    found = [
        (name, f"{kind} does not read this option: {known}")
        for name in options
        if name not in reads
    ]
    package = OPTUNA[kind].package if kind in OPTUNA else None
    if package is not None and find_spec(package) is None:
        extra = f"pip install 'hpsearch[{package}]'"
        found.append(("kind", f"{kind} needs the package {package}: {extra}"))
    if kind == "cmaes" and sum(p.is_ordered and p.size > 1 for p in space) < 2:
        found.append(("kind", "cmaes needs two numbers at least: it ignores choices"))
    if kind == "grid" and (reason := explain_no_grid(space)) is not None:
        found.append(("kind", reason))
    if objectives > _max_objectives(kind):
        fit = ", ".join(name for name in SAMPLERS if objectives <= _max_objectives(name))
        found.append(("kind", f"{kind} takes one objective. For several: {fit}."))
    return found


def _max_objectives(kind: str) -> int:
    """Return the largest number of objectives; the grid accepts any."""
    if kind in SAMPLERS:
        return OPTUNA[kind].objectives if kind in OPTUNA else 1 if kind in ORACLES else 5
    plugin = find_plugin("samplers", kind)
    return int(getattr(plugin.value, "objectives", 1)) if plugin else 5


def make_sampler(
    kind: str,
    space: SearchSpace,
    *,
    direction: Direction | Sequence[Direction],
    seed: int,
    options: Mapping[str, int] | None = None,
    epochs: int = 1,
    points: Sequence[Mapping[str, Value]] = (),
    elsewhere: Sequence[Trial] = (),
    given: int = 0,
    limits: Sequence[Limit] = (),
    earlier: Sequence[Sequence[Trial]] = (),
) -> Sampler:
    """Make the sampler called `kind` over `space`.

    Args:
        kind: One of `SAMPLERS`, or a name that a plugin declares.
        space: The search space.
        direction: The score's direction, or those of several objectives.
        seed: Seed of all random draws.
        options: Values for `sampler_options`.
        epochs: Epochs of a full training, for samplers that divide it.
        points: Hyperparameters of the first trials.
        elsewhere: Trials of another study, known from the start.
        given: Trials numbered below this were not suggested by a sampler over `space`.
        limits: Constraints on what is measured.
        earlier: Complete trials of each of several studies of other data, for `gp`.

    Raises:
        SpecError: If the sampler is unknown, or has problems: see `find_sampler_problems`.
    """
    directions: list[Direction] = [direction] if isinstance(direction, str) else list(direction)
    options = options or {}
    given = max(given, len(points))
    wrong = find_sampler_problems(kind, options, space, objectives=len(directions))
    if wrong:
        raise SpecError("; ".join(f"sampler {message}" for _, message in wrong))
    whole = space
    if has_branches(space):
        space = split_branches(space)
        earlier = [
            [replace(t, params=split_point(whole, t.params)) for t in trials] for trials in earlier
        ]
    sampler = _make_plain_sampler(
        kind,
        space,
        directions=directions,
        seed=seed,
        options=options,
        epochs=epochs,
        given=given,
        limits=limits,
        earlier=earlier,
    )
    if kind in ("random", "tpe") and has_priors(space):
        sampler = PriorSampler(sampler, space, direction=directions[0], seed=seed)
    if space is not whole:
        sampler = BranchAdapter(sampler, whole)
    return SeededSampler(sampler, points, elsewhere) if points or elsewhere else sampler


def _make_plain_sampler(
    kind: str,
    space: SearchSpace,
    *,
    directions: Sequence[Direction],
    seed: int,
    options: Mapping[str, int],
    epochs: int,
    given: int,
    limits: Sequence[Limit],
    earlier: Sequence[Sequence[Trial]],
) -> Sampler:
    """Make the sampler called `kind` over a space without branches."""
    if kind == "grid":
        return GridSampler(space, seed=seed)
    if kind in ORACLES:
        return KerasTunerSampler(
            kind,
            space,
            direction=directions[0],
            seed=seed,
            epochs=epochs,
            options=options,
            given=given,
        )
    if kind not in OPTUNA and (plugin := find_plugin("samplers", kind)):
        made: Sampler = plugin.value(
            space, directions=directions, seed=seed, epochs=epochs, options=dict(options)
        )
        return made
    chosen = OPTUNA[kind]
    make = chosen.make
    if earlier and kind == "gp":
        make = partial(make_gp, direction=directions[0], earlier=earlier)
    return OptunaSampler(
        make(seed, space, options),
        space,
        directions=directions,
        latest=chosen.max_trials,
        max_running=chosen.max_running,
        replays=chosen.replays,
        reads_reports=chosen.reads_reports,
        limits=limits,
        given=given,
    )
