"""A small expression language for conditions over hyperparameters: `units * layers <= 512`.

It has numbers, strings, `true`, `false`, `null`, names of hyperparameters, arithmetic, (chained)
comparisons, `in`, `and`, `or`, `not`, `min`, `max` and `abs`. Python's parser builds the tree; only
allowed nodes are evaluated here, and nothing is compiled or executed. The sizes of the text, of
powers and of numbers are bounded, which bounds the time of an evaluation.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..errors import SpecError
from ..trial import Value
from .conditions import is_at_most, is_same_value

MAX_CHARACTERS = 500
MAX_NODES = 200
MAX_POWER = 64
MAX_BITS = 1024  # bits of a whole number

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
ORDERINGS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: lambda a, b: not is_at_most(b, a),
    ast.LtE: is_at_most,
    ast.Gt: lambda a, b: not is_at_most(a, b),
    ast.GtE: lambda a, b: is_at_most(b, a),
}
ALLOWED_SYNTAX = (
    "numbers, texts, names of hyperparameters, + - * / // % **, < <= > >= == !=, in, and, or, not, "
    "min, max, abs"
)


def parse_condition(text: str) -> ast.expr:
    """Parse a condition.

    Raises:
        SpecError: If the text is not a condition; names the part that is not allowed.
    """
    if len(text) > MAX_CHARACTERS:
        raise SpecError(f"{len(text)} characters are too many; at most {MAX_CHARACTERS}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        shown = (error.text or text).strip()
        raise SpecError(f"not an expression: {error.msg} in {shown!r}") from None
    except (ValueError, RecursionError, MemoryError):
        raise SpecError("not an expression: it is nested too deeply or holds a NUL") from None
    nodes = list(ast.walk(tree))
    if len(nodes) > MAX_NODES:
        raise SpecError(f"{len(nodes)} parts are too many; at most {MAX_NODES}")
    _check_node(tree)
    if not _may_be_boolean(tree):
        raise SpecError(
            f"{ast.unparse(tree)} is not a condition: compare it with a value, such as "
            "units * layers <= 512"
        )
    return tree


def find_names(tree: ast.expr) -> frozenset[str]:
    """Return the hyperparameters used in a condition."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return frozenset(
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and id(node) not in called and node.id not in CONSTANTS
    )


def equality_pairs(tree: ast.expr) -> Iterator[tuple[str, Value]]:
    """Return the pairs of hyperparameter and constant compared by ==, != or in."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare):
            continue
        left = node.left
        for op, right in zip(node.ops, node.comparators, strict=True):
            if type(op) not in ORDERINGS:
                others = right.elts if isinstance(right, ast.List | ast.Tuple) else [right]
                for a, b in [pair for o in others for pair in ((left, o), (o, left))]:
                    if isinstance(a, ast.Name) and isinstance(b, ast.Constant):
                        yield a.id, b.value  # type: ignore[misc]  # `parse` lets no other through
                    elif isinstance(a, ast.Name) and isinstance(b, ast.Name) and b.id in CONSTANTS:
                        yield a.id, CONSTANTS[b.id]
            left = right


def evaluate_condition(tree: ast.expr, params: Mapping[str, Value]) -> bool:
    """Evaluate a condition.

    Args:
        tree: From `parse_condition`.
        params: Values of all its names.

    Raises:
        SpecError: If the condition cannot be evaluated, for example if it multiplies a string.
    """
    return _require_bool(_evaluate_node(tree, params))


# ---- allowed syntax ----


def _check_node(node: ast.expr) -> None:
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None):
            _require_bounded(node.value)
        case ast.Name():
            pass
        case ast.BoolOp():
            _check_nodes(node.values)
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.UAdd()):
            _check_node(node.operand)
        case ast.BinOp() if type(node.op) in ARITHMETIC:
            _check_nodes([node.left, node.right])
        case ast.Compare():
            _check_comparison(node)
        case ast.Call(func=ast.Name(id=name), keywords=[]) if name in FUNCTIONS:
            if (len(node.args) == 1) != (name == "abs"):
                raise SpecError(f"{ast.unparse(node)}: write abs(a), min(a, b) or max(a, b)")
            _check_nodes(node.args)
        case _:
            raise SpecError(f"{ast.unparse(node)!r} is not allowed. Allowed: {ALLOWED_SYNTAX}.")


def _check_nodes(nodes: list[ast.expr]) -> None:
    for node in nodes:
        _check_node(node)


def _check_comparison(node: ast.Compare) -> None:
    _check_node(node.left)
    for op, right in zip(node.ops, node.comparators, strict=True):
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(right, ast.List | ast.Tuple):
                raise SpecError(f"{ast.unparse(node)}: a list stands right of `in`, as in a in [1]")
            _check_nodes(right.elts)
        elif isinstance(op, ast.Is | ast.IsNot):
            raise SpecError(f"{ast.unparse(node)}: write == or !=")
        else:
            _check_node(right)


def _may_be_boolean(node: ast.expr) -> bool:
    """Whether a node can yield a truth value; a name's type is known only in a trial."""
    match node:
        case ast.Compare() | ast.Name() | ast.UnaryOp(op=ast.Not()):
            return True
        case ast.BoolOp():
            return all(map(_may_be_boolean, node.values))
    return False


# ---- evaluation ----


def _evaluate_node(node: ast.expr, params: Mapping[str, Value]) -> Any:
    match node:
        case ast.Constant():
            return node.value
        case ast.Name(id=name):
            return params[name] if name in params else CONSTANTS[name]
        case ast.BoolOp(op=ast.And()):
            return all(_require_bool(_evaluate_node(v, params)) for v in node.values)
        case ast.BoolOp():
            return any(_require_bool(_evaluate_node(v, params)) for v in node.values)
        case ast.UnaryOp(op=ast.Not()):
            return not _require_bool(_evaluate_node(node.operand, params))
        case ast.UnaryOp():
            number = _require_number(_evaluate_node(node.operand, params), node)
            return -number if isinstance(node.op, ast.USub) else number
        case ast.BinOp():
            return _evaluate_arithmetic(node, params)
        case ast.Call(func=ast.Name(id=name)):
            return FUNCTIONS[name](
                *(_require_number(_evaluate_node(a, params), a) for a in node.args)
            )
        case ast.Compare():
            return _evaluate_comparison(node, params)
    raise AssertionError(node)  # `parse_condition` rejects all else


def _evaluate_arithmetic(node: ast.BinOp, params: Mapping[str, Value]) -> float:
    left = _require_number(_evaluate_node(node.left, params), node.left)
    right = _require_number(_evaluate_node(node.right, params), node.right)
    if isinstance(node.op, ast.Pow) and abs(right) > MAX_POWER:
        raise SpecError(f"{ast.unparse(node)}: a power of {right:g}; at most {MAX_POWER}")
    try:
        result = ARITHMETIC[type(node.op)](left, right)
    except ZeroDivisionError:
        raise SpecError(f"{ast.unparse(node)} divides by zero") from None
    except OverflowError:
        raise SpecError(f"{ast.unparse(node)} is too large a number") from None
    if isinstance(result, complex):
        raise SpecError(f"{ast.unparse(node)} is the root of a negative number")
    return _require_bounded(result)  # type: ignore[no-any-return]


def _evaluate_comparison(node: ast.Compare, params: Mapping[str, Value]) -> bool:
    left, left_node = _evaluate_node(node.left, params), node.left
    for op, right_node in zip(node.ops, node.comparators, strict=True):
        if isinstance(op, ast.In | ast.NotIn):
            assert isinstance(right_node, ast.List | ast.Tuple)
            found = any(is_same_value(left, _evaluate_node(e, params)) for e in right_node.elts)
            right, holds = None, found == isinstance(op, ast.In)
        else:
            right = _evaluate_node(right_node, params)
            if type(op) in ORDERINGS:
                a, b = _require_number(left, left_node), _require_number(right, right_node)
                holds = ORDERINGS[type(op)](a, b)
            else:
                holds = is_same_value(left, right) == isinstance(op, ast.Eq)
        if not holds:
            return False
        left, left_node = right, right_node
    return True


def _require_bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise SpecError(f"{value!r} is neither true nor false: compare it with something")
    return value


def _require_number(value: Any, node: ast.expr) -> Any:
    if not isinstance(value, int | float):
        raise SpecError(f"{ast.unparse(node)} is {value!r}, not a number")
    return value


def _require_bounded(value: Any) -> Any:
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise SpecError(f"a whole number of {value.bit_length()} bits; at most {MAX_BITS}")
    if isinstance(value, float) and math.isnan(value):
        raise SpecError("infinity minus infinity is not a number")
    return value
