"""Infer the space of a define-by-run study from its trials.

Its parameters are the union of all that were suggested. The condition of a parameter is on the
first parent whose values separate the trials that have it from those that lack it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial

from .model_space import ModelParameter


@dataclass(frozen=True, slots=True)
class _AllExcept:
    """All values except those at which the child was missing."""

    values: frozenset[Any]

    def __contains__(self, value: object) -> bool:
        return value not in self.values


@dataclass(frozen=True, slots=True)
class _BeyondThreshold:
    """Numbers on one side of a threshold."""

    threshold: float
    above: bool

    def __contains__(self, value: object) -> bool:
        assert isinstance(value, int | float)
        return value > self.threshold if self.above else value < self.threshold


def infer_parameters(trials: Sequence[FrozenTrial]) -> tuple[ModelParameter, ...]:
    """Return every parameter that a trial suggested, with the inferred conditions.

    A parameter whose absence no single parent explains is assumed to be always active. An unseen
    value of a parent is assumed to allow its children.
    """
    distributions: dict[str, BaseDistribution] = {}
    for t in trials:
        distributions.update(t.distributions)
    rows = [t.params for t in trials if t.params]
    counts = Counter(chain.from_iterable(rows))
    conditions: dict[str, dict[str, Container[Any]]] = {}
    for name in distributions:
        always = counts[name] == len(rows)
        conditions[name] = {} if always else _infer_condition(name, distributions, rows, conditions)
    return tuple(ModelParameter(n, d, conditions[n]) for n, d in distributions.items())


def _infer_condition(
    name: str,
    distributions: Mapping[str, BaseDistribution],
    rows: Sequence[Mapping[str, Any]],
    found: Mapping[str, object],
) -> dict[str, Container[Any]]:
    having = [r for r in rows if name in r]
    lacking = [r for r in rows if name not in r]
    for parent in found:  # parents are suggested before their children
        if not all(parent in r for r in having):
            continue
        present = {r[parent] for r in having}
        absent = {r[parent] for r in lacking if parent in r}
        if present & absent or not (absent or _explains_absence(parent, rows, lacking)):
            continue
        if isinstance(distributions[parent], CategoricalDistribution):
            return {parent: _AllExcept(frozenset(absent))}
        if not absent:
            return {parent: _AllExcept(frozenset())}
        if max(absent) < min(present):
            return {parent: _BeyondThreshold((max(absent) + min(present)) / 2, above=True)}
        if max(present) < min(absent):
            return {parent: _BeyondThreshold((max(present) + min(absent)) / 2, above=False)}
    return {}


def _explains_absence(
    parent: str, rows: Sequence[Mapping[str, Any]], lacking: Sequence[Mapping[str, Any]]
) -> bool:
    """Whether the parent's own absence explains every absence of the child."""
    return all(parent not in r for r in lacking) and any(parent not in r for r in rows)
