"""Optuna's define-by-run `build(trial)`: discover its space and build its models.

The trial is an Optuna `FixedTrial` whose values for `suggest_float`, `suggest_int` and
`suggest_categorical` come from this module; there is no Optuna study.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ...errors import SpecError
from ...trial import Value
from .rejection import get_rejection_state
from .space_discovery import AnswerFunction, BuildCall, ModelVisitor, ParameterRequest

if TYPE_CHECKING:
    import keras


def build(function: Any, params: Mapping[str, Value], answer: AnswerFunction) -> keras.Model:
    """Build the model of a trial with these `params`.

    Args:
        function: The custom `build(trial)`.
        params: The trial's hyperparameters.
        answer: From `space_discovery.answer_from_params(params)`.
    """
    return function(_make_recording_trial(answer, params))


def record_build(function: Any, answer: AnswerFunction, use: ModelVisitor) -> BuildCall:
    """Record one call to discover the space; see `keras_tuner_convention.record_build`."""
    calls: list[Any] = []

    def make() -> keras.Model:
        calls.append(_make_recording_trial(answer, {}))
        return function(calls[-1])

    try:
        use(make)
    except Exception as error:
        if get_rejection_state(error) is None:
            raise  # the requests of a rejected point are recorded, too
    trial = calls[-1]
    return BuildCall(trial.asked, {name: trial.params[name] for name in trial.asked})


def _make_recording_trial(answer: AnswerFunction, params: Mapping[str, Value]) -> Any:
    """Make an Optuna trial that gets its values from `answer`."""
    from optuna.distributions import (
        BaseDistribution,
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )
    from optuna.trial import FixedTrial

    class RecordingTrial(FixedTrial):
        """Records the requests."""

        def __init__(self) -> None:
            self.given = dict(params)
            super().__init__(self.given)
            self.asked: dict[str, ParameterRequest] = {}

        def suggest_float(
            self,
            name: str,
            low: float,
            high: float,
            *,
            step: float | None = None,
            log: bool = False,
        ) -> float:
            self._ask(name, FloatDistribution(low, high, log=log, step=step))
            with warnings.catch_warnings():
                if type(self.given[name]) not in (float, int):  # it stands for those of all trials
                    warnings.simplefilter("ignore")  # so it may be out of range
                return super().suggest_float(name, low, high, step=step, log=log)

        def suggest_int(
            self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
        ) -> int:
            self._ask(name, IntDistribution(low, high, log=log, step=step))
            return super().suggest_int(name, low, high, step=step, log=log)

        def suggest_categorical(self, name: str, choices: Any) -> Any:
            _check_plain_choices(name, choices)
            self._ask(name, CategoricalDistribution(choices))
            return super().suggest_categorical(name, choices)

        def _ask(self, name: str, distribution: BaseDistribution) -> None:
            if name not in self.asked:
                declared = _to_declaration(distribution)
                default = declared["choices"][0] if "choices" in declared else declared["low"]
                self.asked[name] = ParameterRequest(name, declared, default)
                self.given[name] = answer(self.asked[name])

    return RecordingTrial()


def _check_plain_choices(name: str, choices: Iterable[Any]) -> None:
    """Refuse choices that cannot be written to a file.

    Raises:
        SpecError: Names the choice.
    """
    for choice in choices:
        if choice is not None and not isinstance(choice, bool | int | float | str):
            raise SpecError(
                f"suggest_categorical({name!r}) offers {choice!r}: a choice must be a string, a "
                "number, a truth value or None. Name the object by a string, and look it up"
            )


def _to_declaration(distribution: Any) -> dict[str, Any]:
    """Convert an Optuna distribution to a declaration of a study file."""
    if hasattr(distribution, "choices"):
        return {"type": "categorical", "choices": list(distribution.choices)}
    kind = "int" if type(distribution).__name__ == "IntDistribution" else "float"
    declared = {"type": kind, "low": distribution.low, "high": distribution.high}
    if distribution.log:
        declared["log"] = True
    if distribution.step not in (None, 1) or (kind == "float" and distribution.step is not None):
        declared["step"] = distribution.step
    return declared
