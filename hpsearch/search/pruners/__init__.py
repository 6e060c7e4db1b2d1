"""The pruners by name, with the options that each reads."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from ...errors import SpecError
from ...plugins import describe_known, find_plugin
from ..pruner import NoPruner, Pruner
from .asha import Asha, Hyperband
from .fold_race import FoldRace
from .halving import Halving
from .optuna_pruner import OptunaPruner

DEFAULT = "hyperband"  # benchmarks/pruners.md: ahead of ASHA alone at both budgets
MIN_EPOCHS = 9  # of a study that is pruned by default: two brackets

PrunerOptions = Mapping[str, Any]


def _make_asha(options: PrunerOptions, epochs: int, seed: int) -> Pruner:
    return Asha(**options)


def _make_hyperband(options: PrunerOptions, epochs: int, seed: int) -> Pruner:
    return Hyperband(epochs=epochs, seed=seed, **options)


def _make_halving(options: PrunerOptions, epochs: int, seed: int) -> Pruner:
    return Halving(epochs=epochs, **options)


def _make_percentile(options: PrunerOptions, epochs: int, seed: int) -> Pruner:
    share, startup = options["percentile"], options["startup"]

    def make() -> Any:
        from optuna.pruners import PercentilePruner

        return PercentilePruner(share, n_startup_trials=startup)

    return OptunaPruner(make, min_epochs=options["min_epochs"])


def _make_median(options: PrunerOptions, epochs: int, seed: int) -> Pruner:
    return _make_percentile({**options, "percentile": 50.0}, epochs, seed)


def _make_patience(options: PrunerOptions, epochs: int, seed: int) -> Pruner:
    def make() -> Any:
        from optuna.exceptions import ExperimentalWarning
        from optuna.pruners import PatientPruner

        with warnings.catch_warnings():  # Optuna's experimental warnings are of no use to users
            warnings.simplefilter("ignore", ExperimentalWarning)
            return PatientPruner(None, **options)

    return OptunaPruner(make)


def _make_threshold(options: PrunerOptions, epochs: int, seed: int) -> Pruner:
    def make() -> Any:
        from optuna.pruners import ThresholdPruner

        return ThresholdPruner(lower=options["lower"], upper=options["upper"])

    return OptunaPruner(make, min_epochs=options["min_epochs"])


def _make_fold_race(options: PrunerOptions, epochs: int, seed: int) -> Pruner:
    return FoldRace(**options)


def _make_none(options: PrunerOptions, epochs: int, seed: int) -> Pruner:
    return NoPruner()


_RUNG_OPTIONS = {"eta": 3, "min_epochs": 3}
PRUNERS: dict[str, tuple[Callable[[PrunerOptions, int, int], Pruner], dict[str, Any]]] = {
    "asha": (_make_asha, _RUNG_OPTIONS),
    "fold_race": (_make_fold_race, {"alpha": 0.1}),
    "halving": (_make_halving, _RUNG_OPTIONS),
    "hyperband": (_make_hyperband, _RUNG_OPTIONS),
    "median": (_make_median, {"startup": 5, "min_epochs": 3}),
    "none": (_make_none, {}),
    "patience": (_make_patience, {"patience": 5, "min_delta": 0.0}),
    "percentile": (_make_percentile, {"percentile": 25.0, "startup": 5, "min_epochs": 3}),
    "threshold": (_make_threshold, {"lower": None, "upper": None, "min_epochs": 3}),
}  # name -> how it is made, the options that it reads with their defaults


def find_pruner(
    kind: str,
) -> tuple[Callable[[PrunerOptions, int, int], Pruner], dict[str, Any]] | None:
    """How a pruner is made and the options that it reads, as in `PRUNERS`; None: there is none."""
    if kind in PRUNERS:
        return PRUNERS[kind]
    plugin = find_plugin("pruners", kind)
    if plugin is None:
        return None

    def make(options: PrunerOptions, epochs: int, seed: int) -> Pruner:
        pruner: Pruner = plugin.value(epochs=epochs, seed=seed, **options)
        return pruner

    return make, dict(getattr(plugin.value, "options", {}))


def make_pruner(kind: str, options: PrunerOptions, *, epochs: int, seed: int = 0) -> Pruner:
    """The pruner called `kind` for trials of at most `epochs`.

    Args:
        kind: One of `PRUNERS`, or a name that another package has declared.
        options: Those that were declared; the others have their defaults.
        epochs: The most that a trial trains.
        seed: The study's, for what is drawn.

    Raises:
        SpecError: If there is no such pruner, or it does not read an option.
    """
    found = find_pruner(kind)
    if found is None:
        raise SpecError(f"pruner {kind!r} does not exist. {describe_known('pruners', PRUNERS)}")
    make, defaults = found
    for name in options:
        if name not in defaults:
            known = ", ".join(defaults) or "no option"
            raise SpecError(f"{name}: {kind} does not read this option. It reads {known}.")
    return make({**defaults, **options}, epochs, seed)


def default_pruner(*, epochs: int, objectives: int) -> str:
    """The pruner of a study that names none: Hyperband, where trials are long enough.

    With several objectives there is no single curve to compare, so nothing is pruned.
    """
    return DEFAULT if epochs >= MIN_EPOCHS and objectives == 1 else "none"
