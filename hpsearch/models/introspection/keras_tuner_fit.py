"""Read batch size and epochs from a custom `HyperModel.fit`.

hpsearch trains all folds together and does not use a model's `fit`. It is called once, with a
stand-in for the model that records the arguments for `keras.Model.fit`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import SpecError
from .space_discovery import ParameterRequest

if TYPE_CHECKING:
    import keras

SUPPORTED_ARGUMENTS = ("batch_size", "epochs")  # positional arguments of `keras.Model.fit`


class _RecordingModel:
    """A stand-in for the model that records the arguments of `fit`."""

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def fit(self, *args: Any, **kwargs: Any) -> None:
        self.calls.append((args, kwargs))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def record_fit_arguments(model: Any, hp: Any, built: keras.Model) -> None:
    """Record the batch size and epochs of the model's `fit`, if it has one, in `hp`.

    Args:
        model: The `keras_tuner.HyperModel`.
        hp: The container passed to `build`; requests of `fit` are recorded in `hp.asked`.
        built: The built model.

    Raises:
        SpecError: If `fit` does more than set these two.
    """
    import keras_tuner

    if type(model).fit is keras_tuner.HyperModel.fit:
        return
    before = set(hp.asked)
    stand_in = _RecordingModel(built)
    data = (object(), object())
    ours = {"validation_data": object(), "callbacks": [], "verbose": 0}
    try:
        model.fit(hp, stand_in, *data, **ours)
    except Exception as error:
        raise _make_unsupported_error(
            f"it fails with a model that only records calls: {error}"
        ) from error
    if len(stand_in.calls) != 1:
        raise _make_unsupported_error(f"it calls model.fit {len(stand_in.calls)} times")
    args, kwargs = stand_in.calls[0]
    given = {name: kwargs.pop(name) for name in SUPPORTED_ARGUMENTS if kwargs.get(name) is not None}
    other = [name for name, value in kwargs.items() if value is not ours.get(name)]
    if other:
        raise _make_unsupported_error(f"it sets {', '.join(other)}")
    if args != data:
        raise _make_unsupported_error("it changes the data")
    unread = set(hp.asked) - before - set(SUPPORTED_ARGUMENTS)
    if unread:
        raise _make_unsupported_error(f"it asks for {', '.join(sorted(unread))}")
    for name, value in given.items():
        _record_argument(hp, name, value)


def _record_argument(hp: Any, name: str, value: Any) -> None:
    """Record a hyperparameter with the argument's name, or a constant."""
    if name not in hp.asked:
        hp.asked[name] = ParameterRequest(name, {"type": "fixed", "value": value}, value)
        hp.values[name] = value
    elif hp.values[name] != value:
        raise _make_unsupported_error(f"its {name} is not the hyperparameter {name}")


def _make_unsupported_error(reason: str) -> SpecError:
    return SpecError(
        f"HyperModel.fit is not supported here: {reason}. It may hand hyperparameters named "
        "batch_size and epochs, or constants, to one model.fit; hpsearch trains"
    )
