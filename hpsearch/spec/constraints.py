"""Constraints between the hyperparameters of a trial, and on what is measured in it.

A constraint is a condition in the language of `expression.py`, or a custom function. A point that
violates one is infeasible and is never trained. A limit on a measured quantity is only known after
the training; a trial that violates one cannot win.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ..errors import SpecError
from ..trial import Limit, Value
from .expression import equality_pairs, evaluate_condition, find_names, parse_condition
from .function_reference import is_reference, load_function_once, resolve_reference
from .parameter_domains import format_value

# How a limit is written, for a name that is no hyperparameter
LIMIT_HINT = " What is measured is compared alone with a number, by <= or >=: latency_ms <= 2."


class Constraint(Protocol):
    """Decides whether a point is feasible."""

    @property
    def text(self) -> str:
        """The constraint as declared."""
        ...

    def is_satisfied(self, params: Mapping[str, Value]) -> bool:
        """Whether a point, fixed hyperparameters included, is feasible.

        Raises:
            SpecError: If the constraint cannot be evaluated.
        """
        ...


@dataclass(frozen=True, slots=True)
class ExpressionConstraint:
    """`units * layers <= 512`; satisfied if one of its names is inactive in the trial."""

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
    """A function that takes the active hyperparameters as a dict and returns True or False."""

    text: str

    def is_satisfied(self, params: Mapping[str, Value]) -> bool:
        """See `Constraint`."""
        try:
            answer = load_function_once(self.text)(dict(params))
        except SpecError:
            raise
        except Exception as error:  # user code may raise anything
            raise SpecError(
                f"{self.text} raised {type(error).__name__}: {error} (at {dict(params)})"
            ) from error
        if hasattr(answer, "item"):
            answer = answer.item()  # a NumPy truth value
        if not isinstance(answer, bool):
            raise SpecError(f"{self.text} returned {answer!r}; return True or False")
        return answer


def parse_constraint(text: str) -> Constraint:
    """Parse a declared constraint; a function's file is opened at its first use.

    Raises:
        SpecError: If the text is not a condition.
    """
    if is_reference(text):
        return FunctionConstraint(text)
    tree = parse_condition(text)
    return ExpressionConstraint(text, tree, find_names(tree))


def parse_limit(text: str) -> Limit | None:
    """Parse a constraint that compares one name with a number; None for any other.

    Examples:
        >>> parse_limit("latency_ms <= 2")
        Limit(name='latency_ms', bound=2.0, is_upper=True)
    """
    constraint = parse_constraint(text)
    tree = constraint.tree if isinstance(constraint, ExpressionConstraint) else None
    match tree:
        case ast.Compare(ops=[ast.LtE() | ast.GtE()], comparators=[right]):
            left, is_upper = tree.left, isinstance(tree.ops[0], ast.LtE)
        case _:
            return None
    if isinstance(right, ast.Name):
        left, right, is_upper = right, left, not is_upper
    bound = None if find_names(right) else _read_number(right)
    if bound is None or not isinstance(left, ast.Name):
        return None
    return Limit(left.id, bound, is_upper)


def _read_number(node: ast.expr) -> float | None:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return float(value)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -float(value)
    return None


def find_unknown_names(
    constraints: Sequence[Constraint], known: Mapping[str, frozenset[str]]
) -> list[tuple[int, str]]:
    """Find unknown names, and constants that a hyperparameter can never equal.

    Args:
        constraints: The declared constraints.
        known: The hyperparameters with the kinds of their values; see `kind_of`.

    Returns:
        The index of the constraint, and a message.
    """
    found = []
    for index, constraint in enumerate(constraints):
        for name in sorted(getattr(constraint, "names", frozenset()) - known.keys()):
            close = difflib.get_close_matches(name, sorted(known), 1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            listed = ", ".join(sorted(known)) + ("." if close else f".{LIMIT_HINT}")
            found.append((index, f"there is no parameter {name!r}.{hint} Known: {listed}"))
        if isinstance(constraint, ExpressionConstraint):
            for name, constant in equality_pairs(constraint.tree):
                if reason := _never_equal(name, constant, known.get(name, frozenset())):
                    found.append((index, f"{constraint.text}: {reason}"))
    return found


def kind_of(value: Value) -> str:
    """Name the kind of a value; values of different kinds are never equal."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean (true or false)"
    return "a text" if isinstance(value, str) else "a number"


def _never_equal(name: str, constant: Value, kinds: frozenset[str]) -> str | None:
    """Explain why a comparison is constant; None if it is not. null is always allowed."""
    kind = kind_of(constant)
    if not kinds or constant is None or kind in kinds:
        return None
    return (
        f"{name} is {' or '.join(sorted(kinds))}, and {format_value(constant)} is {kind}: "
        "they are never equal"
    )


def resolve_constraint_paths(texts: Sequence[str], folder: Path) -> list[str]:
    """Make the paths of functions in constraints absolute, relative to the study file."""
    return [resolve_reference(text, folder) for text in texts]
