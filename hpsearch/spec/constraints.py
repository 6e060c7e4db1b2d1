"""Constraints: what must hold between the hyperparameters of a trial.

A condition in the language of `expression.py`, or a function of the user's. A point that breaks
one is infeasible, and is never trained.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from ..errors import SpecError
from ..trial import Value
from .expression import evaluate, names_in, parse
from .reference import absolute, is_reference, load_function


class Constraint(Protocol):
    """What decides whether a point is feasible."""

    @property
    def text(self) -> str:
        """As it is declared."""
        ...

    def holds(self, params: Mapping[str, Value]) -> bool:
        """Whether a point, fixed hyperparameters included, is feasible.

        Raises:
            SpecError: If that cannot be said.
        """
        ...


@dataclass(frozen=True, slots=True)
class Expression:
    """`units * layers <= 512`; it says nothing of a trial in which one of its names is inactive."""

    text: str
    tree: ast.expr = field(repr=False, compare=False)
    names: frozenset[str]

    def holds(self, params: Mapping[str, Value]) -> bool:
        """See `Constraint`."""
        if not self.names <= params.keys():
            return True
        try:
            return evaluate(self.tree, params)
        except SpecError as error:
            here = ", ".join(f"{name}={params[name]!r}" for name in sorted(self.names))
            raise SpecError(f"{self.text}: {error} (at {here})") from None


@dataclass(frozen=True, slots=True)
class Rule:
    """A function of the active hyperparameters, as a dict, that says whether they are allowed."""

    text: str

    def holds(self, params: Mapping[str, Value]) -> bool:
        """See `Constraint`."""
        try:
            answer = _function(self.text)(dict(params))
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


@cache
def _function(reference: str) -> Callable[..., Any]:
    return load_function(reference)


def constraint_of(text: str) -> Constraint:
    """A constraint as it is declared; a function's file is not opened before it is needed.

    Raises:
        SpecError: If the text is no condition.
    """
    if is_reference(text):
        return Rule(text)
    tree = parse(text)
    return Expression(text, tree, names_in(tree))


def problems(constraints: Sequence[Constraint], known: Iterable[str]) -> list[tuple[int, str]]:
    """Names that no hyperparameter has: the place of the constraint, and what to say."""
    known = sorted(known)
    found = []
    for place, constraint in enumerate(constraints):
        for name in sorted(getattr(constraint, "names", frozenset()) - set(known)):
            close = difflib.get_close_matches(name, known, 1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            listed = ", ".join(known)
            found.append((place, f"there is no parameter {name!r}.{hint} Known: {listed}."))
    return found


def with_files(texts: Sequence[str], folder: Path) -> list[str]:
    """The declared constraints, functions' files relative to the study's file made absolute."""
    return [absolute(text, folder) for text in texts]
