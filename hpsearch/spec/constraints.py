"""Constraints: what must hold between the hyperparameters of a trial.

A condition in the language of `expression.py`, or a custom function. A point that breaks
one is infeasible, and is never trained.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ..errors import SpecError
from ..trial import Value
from .expression import equality_pairs, evaluate_condition, find_names, parse_condition
from .function_reference import is_reference, load_function_once, resolve_reference
from .parameter_domains import format_value


class Constraint(Protocol):
    """What decides whether a point is feasible."""

    @property
    def text(self) -> str:
        """As it is declared."""
        ...

    def is_satisfied(self, params: Mapping[str, Value]) -> bool:
        """Whether a point, fixed hyperparameters included, is feasible.

        Raises:
            SpecError: If that cannot be said.
        """
        ...


@dataclass(frozen=True, slots=True)
class ExpressionConstraint:
    """`units * layers <= 512`; it says nothing of a trial in which one of its names is inactive."""

    text: str
    tree: ast.expr = field(repr=False, compare=False)
    names: frozenset[str]

    def is_satisfied(self, params: Mapping[str, Value]) -> bool:
        """See `Constraint`."""
        if not self.names <= params.keys():
            return True
        try:
            return evaluate_condition(self.tree, params)
        except SpecError as error:
            here = ", ".join(f"{name}={format_value(params[name])}" for name in sorted(self.names))
            raise SpecError(f"{self.text}: {error} (at {here})") from None


@dataclass(frozen=True, slots=True)
class FunctionConstraint:
    """A function of the active hyperparameters, as a dict, that says whether they are allowed."""

    text: str

    def is_satisfied(self, params: Mapping[str, Value]) -> bool:
        """See `Constraint`."""
        try:
            answer = load_function_once(self.text)(dict(params))
        except SpecError:
            raise
        except Exception as error:  # the user's code: whatever it raises
            raise SpecError(
                f"{self.text} raised {type(error).__name__}: {error} (at {dict(params)})"
            ) from error
        if hasattr(answer, "item"):
            answer = answer.item()  # a NumPy truth value
        if not isinstance(answer, bool):
            raise SpecError(f"{self.text} returned {answer!r}; return True or False")
        return answer


def parse_constraint(text: str) -> Constraint:
    """A constraint as it is declared; a function's file is not opened before it is needed.

    Raises:
        SpecError: If the text is no condition.
    """
    if is_reference(text):
        return FunctionConstraint(text)
    tree = parse_condition(text)
    return ExpressionConstraint(text, tree, find_names(tree))


def find_unknown_names(
    constraints: Sequence[Constraint], known: Mapping[str, frozenset[str]]
) -> list[tuple[int, str]]:
    """Names that no hyperparameter has, and constants that its values can never equal.

    Args:
        constraints: As declared.
        known: The hyperparameters, each with the kinds of its values; see `kind_of`.

    Returns:
        The index of the constraint, and what to say.
    """
    found = []
    for index, constraint in enumerate(constraints):
        for name in sorted(getattr(constraint, "names", frozenset()) - known.keys()):
            close = difflib.get_close_matches(name, sorted(known), 1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            listed = ", ".join(sorted(known))
            found.append((index, f"there is no parameter {name!r}.{hint} Known: {listed}."))
        if isinstance(constraint, ExpressionConstraint):
            for name, constant in equality_pairs(constraint.tree):
                if reason := _never_equal(name, constant, known.get(name, frozenset())):
                    found.append((index, f"{constraint.text}: {reason}"))
    return found


def kind_of(value: Value) -> str:
    """What a value is, in words: values of two kinds are never equal."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean (true or false)"
    return "a text" if isinstance(value, str) else "a number"


def _never_equal(name: str, constant: Value, kinds: frozenset[str]) -> str | None:
    """Why a comparison always has one result, None where it has not; null is always allowed."""
    kind = kind_of(constant)
    if not kinds or constant is None or kind in kinds:
        return None
    return (
        f"{name} is {' or '.join(sorted(kinds))}, and {format_value(constant)} is {kind}: "
        "they are never equal"
    )


def resolve_constraint_paths(texts: Sequence[str], folder: Path) -> list[str]:
    """The declared constraints, functions' files relative to the study's file made absolute."""
    return [resolve_reference(text, folder) for text in texts]
