"""Keras Tuner's `build(hp)`, unchanged: its space is discovered, and its models are built.

Keras Tuner's own `HyperParameters` takes the questions, so names, scopes, conditions and errors
are its own; this file answers them. Its Tuner is not used.
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
    """What the user's file holds, as a `keras_tuner.HyperModel`.

    Args:
        found: A function `build(hp)`, a `HyperModel`, or a class of it.
        reference: Where it was found, for errors.

    Raises:
        SpecError: If it is none of them.
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
        """The user's function as a `HyperModel`."""

        def build(self, hp: Any) -> keras.Model:
            return found(hp)

    return FromFunction()


def build(model: Any, params: Mapping[str, Value], answer: AnswerFunction) -> keras.Model:
    """The model of `params`.

    Args:
        model: From `hypermodel`.
        params: A trial's hyperparameters; those that the function does not ask for can be got.
        answer: `exploration.given(params)`.
    """
    hp = _make_recording_hyperparameters(answer)
    hp.values.update(params)
    model.declare_hyperparameters(hp)
    return model.build(hp)


def record_build(model: Any, answer: AnswerFunction, use: ModelVisitor) -> BuildCall:
    """One call for the exploration of the space.

    Args:
        model: From `hypermodel`.
        answer: What to answer.
        use: Is given the call, without arguments, that makes the model.
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
            raise  # a rejected point has shown what it asks for all the same
    hp = calls[-1]
    if built:
        record_fit_arguments(model, hp, built[-1])
    return BuildCall(
        hp.asked, dict(hp.values), tuple(hp.silent), tuple(_list_activating_values(hp))
    )


def _list_activating_values(hp: Any) -> list[dict[str, Value]]:
    """Answers that open the scopes that were closed; Keras Tuner finds its own in this way."""
    return [
        {condition.name: condition.values[0] for condition in conditions}
        for conditions in hp.inactive_scopes
    ]


def _make_recording_hyperparameters(answer: AnswerFunction) -> Any:
    """Keras Tuner's container, which asks `answer` for the values."""
    from ...compat.keras_tuner import recording_hyperparameters_class

    kind: Any = recording_hyperparameters_class()

    class Hyperparameters(kind):  # type: ignore[misc]
        """Notes what was asked for, and with which answer."""

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
    """A hyperparameter of Keras Tuner as a study's file writes it.

    A step on a log scale multiplies, so its values are listed. `reverse_log` has no counterpart:
    its values are drawn evenly.
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
