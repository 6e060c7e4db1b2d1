"""Decide whether a model is trained by its own `fit` instead of hpsearch's steps.

A custom `train_step`, callbacks, or a `HyperModel.fit` that does more than set batch size and
epochs may do anything between two batches, so Keras's `fit` runs unchanged.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import SpecError, TrainingError
from ...spec.function_reference import load_function, resolve_reference
from ...trial import Value
from ..layer_adaptation import find_refitted_layer
from ..problem import Problem
from ..trial_result import summarize_message

if TYPE_CHECKING:
    import keras

METHODS = (
    "fit",
    "train_step",
    "test_step",
    "compute_loss",
    "compute_metrics",
    "make_train_function",
)
PREDICTION_METHODS = ("predict", "predict_step", "predict_on_batch", "make_predict_function")


def find_own_training(model: keras.Model, problem: Problem) -> str | None:
    """Explain why `model` is trained by its own `fit`; None if by hpsearch's steps."""
    if problem.callbacks:
        return "callbacks are declared, which may do anything between two epochs"
    return find_own_methods(model) or problem.own_fit or find_refitted_layer(model)


def find_own_methods(model: keras.Model) -> str | None:
    """Return the part of training that a model's class overrides; None if nothing."""
    return _find_overridden(model, METHODS)


def find_own_prediction(model: keras.Model) -> str | None:
    """Return the part of prediction that a model's class overrides; None if nothing."""
    return _find_overridden(model, PREDICTION_METHODS)


def _find_overridden(model: keras.Model, methods: Sequence[str]) -> str | None:
    for kind in type(model).__mro__:
        if kind.__module__.partition(".")[0] in ("keras", "builtins"):
            continue
        if own := next((name for name in methods if name in vars(kind)), None):
            return f"{kind.__name__} has a custom {own}"
    return None


def make_callbacks(problem: Problem, params: Mapping[str, Value]) -> list[Any]:
    """Make the callbacks of a fold.

    Raises:
        SpecError: If a function does not return callbacks.
    """
    made = []
    for reference in problem.callbacks:
        found = load_function(resolve_reference(reference, Path(problem.folder)))
        given = _call_factory(found, params)
        made += _require_callbacks(given, reference)
    return made


def _call_factory(found: Any, params: Mapping[str, Value]) -> Any:
    """Call a custom function, which may take the hyperparameters or nothing."""
    if isinstance(found, type):
        return found()
    return found(dict(params)) if inspect.signature(found).parameters else found()


def _require_callbacks(given: Any, reference: str) -> list[Any]:
    import keras

    several = list(given) if isinstance(given, list | tuple) else [given]
    for one in several:
        if not isinstance(one, keras.callbacks.Callback):
            raise SpecError(
                f"{reference} must return a keras.callbacks.Callback or a list of them, a new one "
                f"at each call. Received: {repr(one)[:200]}"
            )
        if isinstance(one, keras.callbacks.BackupAndRestore):
            raise SpecError(
                f"{reference}: BackupAndRestore would let a fold continue with the weights of "
                "another: leave it out, trials have checkpoints of their own"
            )
    return several


def find_epoch_loss(logs: Mapping[str, Any]) -> float:
    """Return the training loss from an epoch's logs.

    Raises:
        TrainingError: If the logs are empty.
    """
    own = {name: value for name, value in logs.items() if not name.startswith("val_")}
    named = [name for name in own if name == "loss"] or [n for n in own if "loss" in n] or [*own]
    if not named:
        raise TrainingError(
            "an epoch has no logs: let train_step return them, for example "
            "{'loss': loss} or {m.name: m.result() for m in self.metrics}"
        )
    return float(own[named[0]])


class LocatedError(NamedTuple):
    """An error, described in one line."""

    text: str  # `FILE:LINE: Kind: message`
    is_located: bool  # whether the traceback has a line of a custom file


def locate_user_error(error: BaseException) -> LocatedError:
    """Format an error as `FILE:LINE: Kind: message`, with the last line in a custom file."""
    import traceback

    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "site-packages" not in Path(frame.filename).parts
        and not Path(frame.filename).is_relative_to(Path(__file__).parents[2])
        and not Path(frame.filename).is_relative_to(Path(inspect.__file__).parent)
        and Path(frame.filename).is_file()
    ]
    where = f"{own[-1].filename}:{own[-1].lineno}: " if own else ""
    text = f"{where}{type(error).__name__}: {summarize_message(str(error)) or 'no message'}"
    return LocatedError(text, bool(own))
