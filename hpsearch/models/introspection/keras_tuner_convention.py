"""Keras Tuner's `build(hp)`: discover its space and build its models.

Requests go to a subclass of Keras Tuner's `HyperParameters`, so names, scopes, conditions and
errors are Keras Tuner's; this module provides the values. No Tuner is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...errors import SpecError
from ...trial import Value
from .keras_tuner_fit import record_fit_arguments
from .rejection import get_rejection_state
from .space_discovery import AnswerFunction, BuildCall, ModelVisitor, ParameterRequest

if TYPE_CHECKING:
    import keras


def to_hypermodel(found: Any, reference: str) -> Any:
    """Convert the object in the user's file to a `keras_tuner.HyperModel`.

    Args:
        found: A function `build(hp)`, a `HyperModel`, or a class of it.
        reference: Its location, for errors.

    Raises:
        SpecError: If it is none of these.
    """
    import keras_tuner

    if isinstance(found, type) and issubclass(found, keras_tuner.HyperModel):
        try:
            found = found()
        except TypeError as error:
            raise SpecError(
                f"{reference}: {error}. Name an instance of the class instead of the class."
            ) from None
    if isinstance(found, keras_tuner.HyperModel):
        return found
    if not callable(found) or isinstance(found, type):
        raise SpecError(f"{reference} is neither a function build(hp) nor a keras_tuner.HyperModel")

    class FromFunction(keras_tuner.HyperModel):  # type: ignore[misc]
        """A function wrapped as a `HyperModel`."""

        def build(self, hp: Any) -> keras.Model:
            return found(hp)

    return FromFunction()


def build(model: Any, params: Mapping[str, Value], answer: AnswerFunction) -> keras.Model:
    """Build the model of `params`.

    Args:
        model: From `to_hypermodel`.
        params: A trial's hyperparameters; ones not requested are available by `hp.get`.
        answer: From `space_discovery.answer_from_params(params)`.
    """
    hp = _make_recording_hyperparameters(answer)
    hp.values.update(params)
    model.declare_hyperparameters(hp)
    return model.build(hp)


def make_hyperparameters(params: Mapping[str, Value]) -> Any:
    """Make Keras Tuner's container with the values of a trial."""
    import keras_tuner

    hp = keras_tuner.HyperParameters()
    hp.values.update(params)
    return hp


def record_build(model: Any, answer: AnswerFunction, use: ModelVisitor) -> BuildCall:
    """Record one call, to discover the space.

    Args:
        model: From `to_hypermodel`.
        answer: Returns the value of a request.
        use: Called with a function without arguments that builds the model.
    """
    calls: list[Any] = []
    built: list[keras.Model] = []

    def make() -> keras.Model:
        hp = _make_recording_hyperparameters(answer)
        calls.append(hp)
        model.declare_hyperparameters(hp)
        built.append(model.build(hp))
        return built[-1]

    try:
        use(make)
    except Exception as error:
        if get_rejection_state(error) is None:
            raise  # the requests of a rejected point are recorded, too
    hp = calls[-1]
    own_fit = record_fit_arguments(model, hp, built[-1]) if built else None
    return BuildCall(
        hp.asked, dict(hp.values), tuple(hp.silent), tuple(_list_activating_values(hp)), own_fit
    )


def _list_activating_values(hp: Any) -> list[dict[str, Value]]:
    """List values that activate inactive scopes, as Keras Tuner does."""
    return [
        {condition.name: condition.values[0] for condition in conditions}
        for conditions in hp.inactive_scopes
    ]


def _make_recording_hyperparameters(answer: AnswerFunction) -> Any:
    """Make a Keras Tuner container that gets its values from `answer`."""
    from ...compat.keras_tuner import recording_hyperparameters_class

    kind: Any = recording_hyperparameters_class()

    class Hyperparameters(kind):  # type: ignore[misc]
        """Records the requests and their values."""

        def __init__(self) -> None:
            super().__init__()
            self.asked: dict[str, ParameterRequest] = {}
            self.silent: list[ParameterRequest] = []

        def note(self, hp: Any, exists: bool) -> None:
            question = _to_request(hp)
            if not exists:
                if question not in self.silent:
                    self.silent.append(question)
            elif hp.name not in self.asked:
                self.asked[hp.name] = question
                self.values[hp.name] = answer(question)

    return Hyperparameters()


def _to_request(hp: Any) -> ParameterRequest:
    when: dict[str, tuple[Value, ...]] = {}
    for condition in hp.conditions:
        values = tuple(condition.values)
        earlier = when.get(condition.name)
        when[condition.name] = (
            values if earlier is None else tuple(v for v in earlier if v in values)
        )
    return ParameterRequest(hp.name, _to_declaration(hp), hp.default, when)


def _to_declaration(hp: Any) -> dict[str, Any]:
    """Convert a Keras Tuner hyperparameter to a declaration of a study file.

    A step on a log scale multiplies, so the values are listed. `reverse_log` has no equivalent and
    becomes a uniform range.
    """
    kind = type(hp).__name__
    if kind == "Fixed":
        return {"type": "fixed", "value": hp.value}
    if kind in ("Choice", "Boolean"):
        return {"type": "categorical", "choices": list(dict.fromkeys(hp.values))}
    if hp.sampling != "linear" and hp.step is not None:
        number = int if kind == "Int" else float
        return {"type": "categorical", "choices": [number(v) for v in hp.values]}
    declared = {"type": kind.lower(), "low": hp.min_value, "high": hp.max_value}
    if hp.sampling == "log":
        declared["log"] = True
    if hp.step not in (None, 1) or (kind == "Float" and hp.step is not None):
        declared["step"] = hp.step
    return declared
