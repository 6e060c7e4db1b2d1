"""Find the hyperparameters that a custom function only passes on to Keras, by building once.

Such numbers can be inputs of a program, so that trials share a network. A number that Python code
compares, computes with or prints may affect the structure, and is a constant.
"""

from __future__ import annotations

import ast
import builtins
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ...compat.keras import variable_initializer
from ...models import strip_convention
from ...spec import parameter_domains as domains
from ...spec.function_reference import read_file

# The parts of Keras that a file may use: numbers can be found in all of them.
KNOWN_PARTS = {
    *("Input", "Model", "Sequential", "activations", "constraints", "initializers", "layers"),
    *("losses", "metrics", "optimizers", "regularizers"),
}
KNOWN_MODULES = {"keras", "keras_tuner", "optuna", "typing", "collections", "__future__"}
# Packages whose code may look at a number: it passes numbers on, and does not decide by them.
TRUSTED_PACKAGES = ("keras", "hpsearch", "jax", "numpy", "optuna")
# Hyperparameters of the training; a function reads them only by name.
TRAINING_NAMES = frozenset(
    name
    for group in (
        *({"optimizer": None, "loss": None}, domains.TRAINING_DOMAINS, domains.ALWAYS_READ_DOMAINS),
        *domains.OPTIMIZER_DOMAINS.values(),
        *domains.LOSS_DOMAINS.values(),
        *domains.SCHEDULE_DOMAINS.values(),
    )
    for name in group
)
UNKNOWN_NODES = (ast.Lambda, ast.ClassDef, ast.Global, ast.Nonlocal, ast.AsyncFunctionDef)
TEXT_METHODS = {"format", "format_map", "join", "lower", "replace", "strip"}
UNKNOWN_NAMES = {"eval", "exec", "open", "getattr", "setattr", "vars", "globals", "__import__"}


class WatchedNumber(float):
    """A float that records in `seen` when code outside Keras uses its value."""

    def __new__(cls, value: float, name: str, seen: set[str]) -> WatchedNumber:
        """Represent the hyperparameter `name`."""
        number = super().__new__(cls, value)
        number.name, number.seen = name, seen  # type: ignore[attr-defined]
        return number

    def __deepcopy__(self, memo: Any) -> WatchedNumber:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return float, (super().__float__(),)


def _watch(method: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: Any, *given: Any) -> Any:
        frame = inspect.currentframe()
        caller = frame.f_back if frame is not None else None
        module = "" if caller is None else str(caller.f_globals.get("__name__", ""))
        if module.partition(".")[0] not in TRUSTED_PACKAGES:
            self.seen.add(self.name)
        return method(self, *given)

    return call


LOOKS = (
    *("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__bool__", "__hash__"),
    *("__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__pow__", "__rpow__"),
    *("__truediv__", "__rtruediv__", "__floordiv__", "__rfloordiv__", "__mod__", "__rmod__"),
    *("__divmod__", "__rdivmod__", "__neg__", "__pos__", "__abs__", "__round__", "__trunc__"),
    *("__floor__", "__ceil__", "__int__", "__float__", "__repr__", "__str__", "__format__"),
    *("hex", "is_integer", "as_integer_ratio", "conjugate", "__getnewargs__"),
)
for _name in LOOKS:
    setattr(WatchedNumber, _name, _watch(getattr(float, _name)))


def may_watch_numbers(model: str) -> bool:
    """Whether a `WatchedNumber` notices every use of a number in a custom file.

    The file imports only Keras, and Keras Tuner or Optuna if their convention is used. It uses only
    layers, their parts, and what a model is compiled with: neither `keras.ops` nor own classes or
    closures, which can hold a number unnoticed.
    """
    place, _, name = strip_convention(model).rpartition(":")
    if not place.endswith(".py") or not name:
        return False
    try:
        tree = read_file(Path(place)).tree
    except OSError:
        return False
    return tree is not None and all(map(_is_known, ast.walk(tree))) and not _has_closures(tree)


def find_read_names(model: str, names: Iterable[str]) -> frozenset[str]:
    """Find the names that a custom file may read: those in its text, or all if it makes text."""
    found = read_file(Path(strip_convention(model).rpartition(":")[0]))
    makes_text = found.tree is None or any(map(_makes_text, ast.walk(found.tree)))
    return frozenset(name for name in names if makes_text or name in found.text)


def describe_initializers(network: Any) -> str:
    """Describe the distributions of a network's initial weights as text."""
    initializers = [variable_initializer(variable) for variable in network.weights]
    return str([i.get_config() if hasattr(i, "get_config") else vars(i) for i in initializers])


def _has_closures(tree: ast.Module) -> bool:
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return any(
        isinstance(inner, ast.FunctionDef)
        for function in functions
        for inner in ast.walk(function)
        if inner is not function
    )


def _makes_text(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp):
        sides = (node.left, node.right)
        return any(isinstance(n, ast.Constant) and isinstance(n.value, str) for n in sides)
    attribute = isinstance(node, ast.Attribute) and node.attr in TEXT_METHODS
    return attribute or isinstance(node, ast.JoinedStr)


def _is_known(node: ast.AST) -> bool:
    if isinstance(node, UNKNOWN_NODES):
        return False
    if isinstance(node, ast.Import):
        return all(_is_known_import(alias.name.split("."), "") for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        parts = (node.module or "").split(".")
        return not node.level and all(_is_known_import(parts, a.name) for a in node.names)
    if isinstance(node, ast.Attribute):
        inside = node.value
        if isinstance(inside, ast.Name) and inside.id == "keras" and node.attr not in KNOWN_PARTS:
            return False
        hidden = ("Lambda", "items", "values", "real", "imag", "fromkeys")
        return node.attr not in hidden and "__" not in node.attr
    if isinstance(node, ast.Name):
        return node.id not in UNKNOWN_NAMES or not hasattr(builtins, node.id)
    return True


def _is_known_import(parts: list[str], name: str) -> bool:
    if parts[0] != "keras":
        return parts[0] in KNOWN_MODULES
    inside = [*parts[1:], name] if name else parts[1:]
    return not inside or (inside[0] in KNOWN_PARTS and "Lambda" not in inside)
