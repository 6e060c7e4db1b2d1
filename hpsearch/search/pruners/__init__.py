"""The registry of pruners, with the options of each."""

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
from .rolling_halving import RollingHalving

DEFAULT = "hyperband"  # benchmarks/pruners.md: ahead of ASHA alone at both budgets
# Those that compare Pareto fronts.
SEVERAL_OBJECTIVES = ("asha", "halving", "hyperband", "rolling_halving")
MIN_EPOCHS = 9  # minimum epochs to prune by default: two brackets

PrunerOptions = Mapping[str, Any]


def _make_asha(options: PrunerOptions, epochs: int, seed: int) -> Pruner:
    return Asha(**options)


def _make_hyperband(options: PrunerOptions, epochs: int, seed: int) -> Pruner:
    return Hyperband(epochs=epochs, seed=seed, **options)


def _make_halving(options: PrunerOptions, epochs: int, seed: int) -> Pruner:
    return Halving(epochs=epochs, **options)


def _make_rolling_halving(options: PrunerOptions, epochs: int, seed: int) -> Pruner:
    return RollingHalving(epochs=epochs, **options)


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

        with warnings.catch_warnings():  # suppress Optuna's experimental warnings
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
    "rolling_halving": (_make_rolling_halving, _RUNG_OPTIONS),
    "threshold": (_make_threshold, {"lower": None, "upper": None, "min_epochs": 3}),
}  # name -> factory, options with defaults


def find_pruner(
    kind: str,
) -> tuple[Callable[[PrunerOptions, int, int], Pruner], dict[str, Any]] | None:
    """Find a pruner's factory and options, as in `PRUNERS`; None if it is unknown."""
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
    """Make the pruner `kind` for trials of at most `epochs`.

    Args:
        kind: One of `PRUNERS`, or the name of a plugin.
        options: Declared options; others have their defaults.
        epochs: Maximum epochs of a trial.
        seed: The study's seed.

    Raises:
        SpecError: If the pruner is unknown, or does not use an option.
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
    """Return the default pruner: Hyperband, if trials are long enough.

    With several objectives there is no single curve to compare, so no pruner.
    """
    return DEFAULT if epochs >= MIN_EPOCHS and objectives == 1 else "none"
