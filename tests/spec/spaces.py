"""Generated declarations of search spaces: all types, nested conditions, constraints."""

from decimal import Decimal
from random import Random
from typing import Any

from hypothesis import strategies as st

from hpsearch.spec.study_file import load_dict

Declared = dict[str, Any]


def _scalars() -> st.SearchStrategy[Any]:
    return st.one_of(st.integers(-3, 9), st.sampled_from(["a", "b", "sgd", True, False, None, 0.5]))


def _distinct(values: list[Any]) -> list[Any]:
    return list({(type(v), v): v for v in values}.values())


@st.composite
def _float(draw: Any, *, finite: bool) -> dict[str, Any]:
    low, width = draw(st.sampled_from([-1.0, 0.0, 1e-4, 0.3])), draw(st.floats(0.05, 3.0))
    step = draw(st.sampled_from([0.1, 0.25])) if finite or draw(st.booleans()) else None
    if step is not None:
        high = low + draw(st.integers(0, 6)) * step
        return {"type": "float", "low": low, "high": high, "step": step}
    return {
        "type": "float",
        "low": low,
        "high": low + width,
        "log": low > 0 and draw(st.booleans()),
    }


@st.composite
def _int(draw: Any) -> dict[str, Any]:
    low, n = draw(st.integers(-3, 8)), draw(st.integers(0, 9))
    if low > 0 and draw(st.booleans()):
        return {"type": "int", "low": low, "high": low + n, "log": True}
    step = draw(st.integers(1, 3))
    return {"type": "int", "low": low, "high": low + n, "step": step}


_categorical = st.lists(_scalars(), min_size=1, max_size=4).map(
    lambda v: {"type": "categorical", "choices": _distinct(v)}
)


def _values(d: dict[str, Any]) -> list[Any]:
    """Some values that a parameter takes."""
    if d["type"] == "categorical":
        return list(d["choices"])
    step = d.get("step", 1) or 1
    low, high, step = (Decimal(repr(x)) for x in (d["low"], d["high"], step))
    kind = int if d["type"] == "int" else float
    return [kind(low + i * step) for i in range(int((high - low) // step) + 1)]


@st.composite
def _condition(draw: Any, parent: dict[str, Any]) -> Any:
    """Values or a range that the parent can meet."""
    values = _values(parent)
    continuous = parent["type"] == "float" and not parent.get("step")
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if continuous:
        middle = (parent["low"] + parent["high"]) / 2
        return draw(st.sampled_from([{"min": middle}, {"max": middle}, {"min": parent["low"]}]))
    if numbers and draw(st.booleans()):
        low, high = sorted([draw(st.sampled_from(numbers)), draw(st.sampled_from(numbers))])
        return draw(st.sampled_from([{"min": low}, {"max": high}, {"min": low, "max": high}]))
    some = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3))
    return draw(st.sampled_from([some, some[0]]))


def _parted(parent: dict[str, Any]) -> tuple[Any, Any] | None:
    """Two conditions on a parent that exclude each other and may both hold somewhere."""
    if parent["type"] == "float" and not parent.get("step"):
        middle = (parent["low"] + parent["high"]) / 2
        return {"max": middle}, {"min": middle}
    values = _values(parent)
    return (values[:1], values[1:]) if len(values) > 1 else None


@st.composite
def _ranges(draw: Any, kind: st.SearchStrategy[dict[str, Any]], name: str, whens: Any) -> Any:
    """One range of a kind for each of two conditions."""
    return [{**draw(kind), "when": {name: when}} for when in whens]


@st.composite
def declarations(draw: Any, *, finite: bool = False, most: int = 6) -> Declared:
    """A `search_space` section; parents may stand after their children, names have ranges."""
    found: Declared = {}
    for i in range(draw(st.integers(1, most))):
        numbers = st.one_of(_float(finite=finite), _int())
        made: Any = dict(draw(st.one_of(numbers, _categorical)))
        single = sorted(name for name, d in found.items() if isinstance(d, dict))
        parted = {n: whens for n in single if (whens := _parted(found[n])) is not None}
        if parted and draw(st.integers(0, 2)) == 0:
            parent = draw(st.sampled_from(sorted(parted)))
            kind = draw(st.sampled_from([numbers, _categorical]))
            made = draw(_ranges(kind, parent, parted[parent]))
        elif single and draw(st.booleans()):
            parents = draw(st.lists(st.sampled_from(single), max_size=2, unique=True))
            if when := {p: draw(_condition(found[p])) for p in parents}:
                made["when"] = when
        found[f"p{i}"] = made
    names = draw(st.permutations(sorted(found)))
    return {name: found[name] for name in names}


@st.composite
def constrained(draw: Any, *, most: int = 6) -> dict[str, Any]:
    """A declaration with constraints that at least one of its points meets."""
    space = draw(declarations(most=most))
    spec = load_dict({"data": {}, "search_space": space}).spec
    point = spec.space.draw(Random(draw(st.integers(0, 99))))
    numbers = {
        p.name: point[p.name] for p in spec.space.iter_active(point) if not hasattr(p, "choices")
    }
    texts = []
    if len(numbers) > 1:
        a, b = draw(st.permutations(sorted(numbers)))[:2]
        texts.append(f"{a} + 2 * {b} <= {numbers[a] + 2 * numbers[b]!r}")
    if numbers:
        name = draw(st.sampled_from(sorted(numbers)))
        texts.append(f"abs({name}) >= {abs(numbers[name])!r} or {name} < {numbers[name] + 1!r}")
    return {"data": {}, "search_space": space, "constraints": texts}
