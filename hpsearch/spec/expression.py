"""A small language of conditions over hyperparameters: `units * layers <= 512`.

Numbers, texts, `true`, `false`, `null`, names of hyperparameters, arithmetic, comparisons and
their chains, `in`, `and`, `or`, `not`, `min`, `max`, `abs`. Python's parser reads it; what is
walked here is a list of allowed nodes, and nothing is ever compiled or executed. The size of a
text, of a power and of a number is bounded, so no expression takes long.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..errors import SpecError
from ..trial import Value
from .conditions import at_most, same

MOST_CHARACTERS = 500
MOST_NODES = 200
LARGEST_POWER = 64
MOST_BITS = 1024  # of a whole number

CONSTANTS: dict[str, Value] = {"true": True, "false": False, "null": None}
FUNCTIONS: dict[str, Callable[..., Any]] = {"min": min, "max": max, "abs": abs}
ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
ORDER: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: lambda a, b: not at_most(b, a),
    ast.LtE: at_most,
    ast.Gt: lambda a, b: not at_most(a, b),
    ast.GtE: lambda a, b: at_most(b, a),
}
ALLOWED = (
    "numbers, texts, names of hyperparameters, + - * / // % **, < <= > >= == !=, in, and, or, not, "
    "min, max, abs"
)


def parse(text: str) -> ast.expr:
    """The tree of a condition.

    Raises:
        SpecError: If the text is none, with the part that is not allowed.
    """
    if len(text) > MOST_CHARACTERS:
        raise SpecError(f"{len(text)} characters are too many; at most {MOST_CHARACTERS}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        shown = (error.text or text).strip()
        raise SpecError(f"not an expression: {error.msg} in {shown!r}") from None
    except (ValueError, RecursionError, MemoryError):
        raise SpecError("not an expression: it is nested too deeply or holds a NUL") from None
    nodes = list(ast.walk(tree))
    if len(nodes) > MOST_NODES:
        raise SpecError(f"{len(nodes)} parts are too many; at most {MOST_NODES}")
    _check(tree)
    if not _may_be_true(tree):
        raise SpecError(
            f"{ast.unparse(tree)} is no condition: compare it with something, such as "
            "units * layers <= 512"
        )
    return tree


def names_in(tree: ast.expr) -> frozenset[str]:
    """The hyperparameters that a condition reads."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return frozenset(
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and id(node) not in called and node.id not in CONSTANTS
    )


def equated(tree: ast.expr) -> Iterator[tuple[str, Value]]:
    """Every hyperparameter and constant that a condition compares by ==, != or in."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare):
            continue
        left = node.left
        for op, right in zip(node.ops, node.comparators, strict=True):
            if type(op) not in ORDER:
                others = right.elts if isinstance(right, ast.List | ast.Tuple) else [right]
                for a, b in [pair for o in others for pair in ((left, o), (o, left))]:
                    if isinstance(a, ast.Name) and isinstance(b, ast.Constant):
                        yield a.id, b.value  # type: ignore[misc]  # `parse` lets no other through
                    elif isinstance(a, ast.Name) and isinstance(b, ast.Name) and b.id in CONSTANTS:
                        yield a.id, CONSTANTS[b.id]
            left = right


def evaluate(tree: ast.expr, params: Mapping[str, Value]) -> bool:
    """Whether the condition holds.

    Args:
        tree: From `parse`.
        params: Values of all its names.

    Raises:
        SpecError: If it cannot be said, for example where a text is multiplied.
    """
    return _truth(_value(tree, params))


# ---- what is allowed ----


def _check(node: ast.expr) -> None:
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None):
            _bounded(node.value)
        case ast.Name():
            pass
        case ast.BoolOp():
            _check_all(node.values)
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.UAdd()):
            _check(node.operand)
        case ast.BinOp() if type(node.op) in ARITHMETIC:
            _check_all([node.left, node.right])
        case ast.Compare():
            _check_comparison(node)
        case ast.Call(func=ast.Name(id=name), keywords=[]) if name in FUNCTIONS:
            if (len(node.args) == 1) != (name == "abs"):
                raise SpecError(f"{ast.unparse(node)}: write abs(a), min(a, b) or max(a, b)")
            _check_all(node.args)
        case _:
            raise SpecError(f"{ast.unparse(node)!r} is not allowed. Allowed: {ALLOWED}.")


def _check_all(nodes: list[ast.expr]) -> None:
    for node in nodes:
        _check(node)


def _check_comparison(node: ast.Compare) -> None:
    _check(node.left)
    for op, right in zip(node.ops, node.comparators, strict=True):
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(right, ast.List | ast.Tuple):
                raise SpecError(f"{ast.unparse(node)}: a list stands right of `in`, as in a in [1]")
            _check_all(right.elts)
        elif isinstance(op, ast.Is | ast.IsNot):
            raise SpecError(f"{ast.unparse(node)}: write == or !=")
        else:
            _check(right)


def _may_be_true(node: ast.expr) -> bool:
    """Whether the value can be a truth value; that of a name is known only in a trial."""
    match node:
        case ast.Compare() | ast.Name() | ast.UnaryOp(op=ast.Not()):
            return True
        case ast.BoolOp():
            return all(map(_may_be_true, node.values))
    return False


# ---- what it means ----


def _value(node: ast.expr, params: Mapping[str, Value]) -> Any:
    match node:
        case ast.Constant():
            return node.value
        case ast.Name(id=name):
            return params[name] if name in params else CONSTANTS[name]
        case ast.BoolOp(op=ast.And()):
            return all(_truth(_value(v, params)) for v in node.values)
        case ast.BoolOp():
            return any(_truth(_value(v, params)) for v in node.values)
        case ast.UnaryOp(op=ast.Not()):
            return not _truth(_value(node.operand, params))
        case ast.UnaryOp():
            number = _number(_value(node.operand, params), node)
            return -number if isinstance(node.op, ast.USub) else number
        case ast.BinOp():
            return _arithmetic(node, params)
        case ast.Call(func=ast.Name(id=name)):
            return FUNCTIONS[name](*(_number(_value(a, params), a) for a in node.args))
        case ast.Compare():
            return _comparison(node, params)
    raise AssertionError(node)  # `parse` lets nothing else through


def _arithmetic(node: ast.BinOp, params: Mapping[str, Value]) -> float:
    left = _number(_value(node.left, params), node.left)
    right = _number(_value(node.right, params), node.right)
    if isinstance(node.op, ast.Pow) and abs(right) > LARGEST_POWER:
        raise SpecError(f"{ast.unparse(node)}: a power of {right:g}; at most {LARGEST_POWER}")
    try:
        result = ARITHMETIC[type(node.op)](left, right)
    except ZeroDivisionError:
        raise SpecError(f"{ast.unparse(node)} divides by zero") from None
    except OverflowError:
        raise SpecError(f"{ast.unparse(node)} is too large a number") from None
    if isinstance(result, complex):
        raise SpecError(f"{ast.unparse(node)} is the root of a negative number")
    return _bounded(result)  # type: ignore[no-any-return]


def _comparison(node: ast.Compare, params: Mapping[str, Value]) -> bool:
    left, left_node = _value(node.left, params), node.left
    for op, right_node in zip(node.ops, node.comparators, strict=True):
        if isinstance(op, ast.In | ast.NotIn):
            assert isinstance(right_node, ast.List | ast.Tuple)
            found = any(same(left, _value(e, params)) for e in right_node.elts)
            right, holds = None, found == isinstance(op, ast.In)
        else:
            right = _value(right_node, params)
            if type(op) in ORDER:
                a, b = _number(left, left_node), _number(right, right_node)
                holds = ORDER[type(op)](a, b)
            else:
                holds = same(left, right) == isinstance(op, ast.Eq)
        if not holds:
            return False
        left, left_node = right, right_node
    return True


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise SpecError(f"{value!r} is neither true nor false: compare it with something")
    return value


def _number(value: Any, node: ast.expr) -> Any:
    if not isinstance(value, int | float):
        raise SpecError(f"{ast.unparse(node)} is {value!r}, not a number")
    return value


def _bounded(value: Any) -> Any:
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        raise SpecError(f"a whole number of {value.bit_length()} bits; at most {MOST_BITS}")
    if isinstance(value, float) and math.isnan(value):
        raise SpecError("infinity minus infinity is no number")
    return value
