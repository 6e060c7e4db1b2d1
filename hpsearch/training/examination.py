"""A user's model looked at before the first trial: what it asks for, and what comes of it.

Builds models without values and trains none. Whoever calls it needs Keras in its process.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from ..errors import HpsearchError, SpecError, TrainingError
from ..models import load_family, outputs_for, reference_of
from ..models.exploration import Answer, Run, explore
from ..models.families import asking
from ..models.inspection import Facts, facts_of
from ..trial import Value
from .compiled import compiled_loss
from .initial import blueprint
from .several_outputs import side_by_side

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, slots=True)
class Examined:
    """What is known of a user's model; plain values."""

    compiled: bool  # whether the user compiles it, in any of the models that were built
    inputs: tuple[int | None, ...] | None = None  # shape of one row; None: any
    outputs: tuple[int | None, ...] | None = None  # likewise
    declared: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # what it asks for
    read: tuple[str, ...] = ()  # what a plain function looked up of its params
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def explored(model: str) -> Examined:
    """Discover the space of a function that asks for its hyperparameters.

    Args:
        model: `CONVENTION:FILE.py:FUNCTION`.

    Raises:
        SpecError: If it fails with its own defaults, or builds what cannot be trained or served.
    """
    ask = asking(model)
    seen: list[Facts] = []

    def build(answer: Answer) -> Run:
        return ask(answer, lambda make: seen.append(_facts(_built(make))))

    found = _told(model, lambda: explore(build))
    return _summary(model, seen, declared=found.declared, notes=found.notes)


def tried(
    model: str,
    points: Sequence[Mapping[str, Value]],
    *,
    inputs: tuple[int, ...],
    task: str,
    n_outputs: int,
) -> Examined:
    """Build a plain `build(params, inputs, outputs)` at some points of its space.

    Args:
        model: `FILE.py:FUNCTION` or `MODULE:FUNCTION`.
        points: Hyperparameters, the fixed ones included.
        inputs: Shape of one row.
        task: The study's.
        n_outputs: Units of the last layer that the task needs.

    Raises:
        SpecError: If it fails at every point, or builds what cannot be trained or served.
    """
    family = load_family(model)
    outputs = outputs_for(task, n_outputs)
    seen: list[Facts] = []
    read: set[str] = set()
    failures: list[Exception] = []
    for point in points:
        params = _Noting(point, read)

        def make(params: Mapping[str, Value] = params) -> keras.Model:
            return family.build(params, inputs, outputs)

        try:
            seen.append(_facts(_built(make)))
        except HpsearchError:
            raise
        except Exception as error:  # a point that cannot be built is a failed trial
            failures.append(error)
    if not seen:
        raise SpecError(_shown(model, failures[0]))
    return _summary(model, seen, read=tuple(sorted(read)))


class _Noting(dict[str, Value]):
    """Hyperparameters that note which of them are looked up."""

    def __init__(self, params: Mapping[str, Value], read: set[str]) -> None:
        super().__init__(params)
        self._read = read

    def __getitem__(self, name: str) -> Value:
        self._read.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self._read.add(name)
        return super().get(name, default)

    def __contains__(self, name: object) -> bool:
        self._read.add(str(name))
        return super().__contains__(name)

    def __iter__(self) -> Any:
        self._read.update(super().keys())
        return super().__iter__()

    def keys(self) -> Any:
        self._read.update(super().keys())
        return super().keys()

    def items(self) -> Any:
        self._read.update(super().keys())
        return super().items()


def _built(make: Callable[[], keras.Model]) -> keras.Model:
    try:
        return blueprint(make)
    except TrainingError:  # it needs weights with values
        return make()


def _facts(model: keras.Model) -> Facts:
    facts = facts_of(model)
    joined = side_by_side(model)
    if facts.compiled:
        compiled_loss(joined)
    if joined is not model:  # its own outputs are served, side by side
        facts = replace(facts, outputs=tuple(joined.outputs[0].shape[1:]))
    return facts


def _told(model: str, act: Callable[[], Any]) -> Any:
    """What `act` gives; an exception of the user's code is told with its line."""
    try:
        return act()
    except HpsearchError:
        raise
    except Exception as error:
        raise SpecError(_shown(model, error)) from error


def _shown(model: str, error: Exception) -> str:
    place = reference_of(model).rpartition(":")[0]
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == place]
    where = f"{place}:{lines[-1]}" if lines else place
    first, *_ = [*str(error).strip().splitlines(), "no message"]
    return f"{where}: {type(error).__name__}: {first}"


def _summary(model: str, seen: Sequence[Facts], **more: Any) -> Examined:
    """What the built models have in common.

    Raises:
        SpecError: If one of them cannot be served.
    """
    if unserved := next((f.unserved for f in seen if f.unserved), None):
        raise SpecError(
            f"{reference_of(model)}: {unserved}. What is served is opened by plain Keras, "
            "without your code"
        )
    return Examined(
        compiled=any(f.compiled for f in seen),
        inputs=_common(f.inputs for f in seen),
        outputs=_common(f.outputs for f in seen),
        **more,
    )


def _common(shapes: Iterable[tuple[int | None, ...] | None]) -> tuple[int | None, ...] | None:
    """The shape that all models have; None where they differ or do not say."""
    different = set(shapes)
    return different.pop() if len(different) == 1 else None


def mismatch(examined: Examined, features: tuple[int, ...]) -> str | None:
    """Why the data do not fit the model's input, or None where they may."""
    if examined.inputs is None:
        return None
    if all(own in (None, n) for own, n in zip_longest(examined.inputs, features, fillvalue=0)):
        return None
    takes, have = (math.prod(d or 1 for d in shape) for shape in (examined.inputs, features))
    return (
        f"the model takes {takes} features, keras.Input({examined.inputs}), but the data have "
        f"{have} after encoding, {features}: give keras.Input the data's shape, or leave it out "
        "of a Sequential model"
    )
