"""Determine whether a custom `HyperModel.fit` does more than set batch size and epochs.

It is called once with a stand-in for the model that records the arguments of `keras.Model.fit`. If
these are only a batch size and epochs, folds are trained without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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


def record_fit_arguments(model: Any, hp: Any, built: keras.Model) -> str | None:
    """Record in `hp` the batch size and the epochs that the model's `fit` requests, if it has one.

    Args:
        model: The `keras_tuner.HyperModel`.
        hp: The container passed to `build`; requests of `fit` are recorded in `hp.asked`.
        built: The built model.

    Returns:
        A description of what else `fit` does, so that it must be run unchanged; None: nothing.
    """
    import keras_tuner

    if type(model).fit is keras_tuner.HyperModel.fit:
        return None
    before = set(hp.asked)
    stand_in = _RecordingModel(built)
    data = (object(), object())
    ours = {"validation_data": object(), "callbacks": [], "verbose": 0}
    try:
        model.fit(hp, stand_in, *data, **ours)
    except Exception as error:
        return f"HyperModel.fit works with the data or the model ({type(error).__name__})"
    if len(stand_in.calls) != 1:
        return f"HyperModel.fit calls model.fit {len(stand_in.calls)} times"
    args, kwargs = stand_in.calls[0]
    given = {name: kwargs.pop(name) for name in SUPPORTED_ARGUMENTS if kwargs.get(name) is not None}
    other = [name for name, value in kwargs.items() if value is not ours.get(name)]
    if other:
        return f"HyperModel.fit sets {', '.join(other)}"
    if args != data:
        return "HyperModel.fit changes the data"
    unread = set(hp.asked) - before - set(SUPPORTED_ARGUMENTS)
    if unread:
        return f"HyperModel.fit asks for {', '.join(sorted(unread))}"
    for name, value in given.items():
        if not _record_argument(hp, name, value):
            return f"its {name} is not the hyperparameter {name}"
    return None


def _record_argument(hp: Any, name: str, value: Any) -> bool:
    """Record an argument; False if neither a hyperparameter of that name nor a constant."""
    if name not in hp.asked:
        hp.asked[name] = ParameterRequest(name, {"type": "fixed", "value": value}, value)
        hp.values[name] = value
    return bool(hp.values[name] == value)
