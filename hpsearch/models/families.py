"""Which networks there are, and which hyperparameters each of them reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import SpecError
from ..plugins import describe_known, find_plugin
from ..spec.reference import load_function, load_object
from ..trial import Value
from . import convolutional, mlp, recurrent, wide_and_deep
from .exploration import Answer, Run, Use, given
from .outputs import Outputs

if TYPE_CHECKING:
    import keras

Build = Callable[..., "keras.Model"]  # (params, inputs, outputs) -> an uncompiled network


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of network."""

    name: str
    build: Build
    reads: Mapping[str, Value] | None  # hyperparameter -> default; None: whatever it is given
    rows: Mapping[int, str] | None = None  # dimensions of a row that it takes, in words; None: any
    convolves: bool = False

    @property
    def embeds(self) -> bool:
        """Whether it takes `categories` beside what every family takes."""
        return self.reads is not None and "encoding" in self.reads


SEQUENCE, IMAGE = "(steps, features)", "(height, width, channels)"
FAMILIES: dict[str, Family] = {
    "mlp": Family("mlp", mlp.build, mlp.DEFAULTS),
    "wide_and_deep": Family(
        "wide_and_deep", wide_and_deep.build, wide_and_deep.DEFAULTS, {1: "(features,)"}
    ),
    "cnn": Family(
        "cnn",
        convolutional.build_cnn,
        convolutional.CNN,
        {3: IMAGE, 2: "(height, width)"},
        convolves=True,
    ),
    "conv1d": Family(
        "conv1d", convolutional.build_conv1d, convolutional.CONV1D, {2: SEQUENCE}, convolves=True
    ),
    "recurrent": Family("recurrent", recurrent.build, recurrent.DEFAULTS, {2: SEQUENCE}),
}


Ask = Callable[[Answer, Use], Run]  # one call of a function that asks for its hyperparameters


@dataclass(frozen=True, slots=True)
class Convention:
    """Who calls a user's function, and what with."""

    load: Callable[[str], Any]  # what a reference names, ready to be called
    build: Callable[[Any, Mapping[str, Value], Answer], keras.Model]
    asked: Callable[[Any, Answer, Use], Run]


def _keras_tuner() -> Convention:
    from . import keras_tuner_model as kt  # a second, for whoever asks for it

    return Convention(lambda ref: kt.hypermodel(load_object(ref), ref), kt.build, kt.asked)


def _optuna() -> Convention:
    from . import optuna_model as optuna

    return Convention(load_function, optuna.build, optuna.asked)


CONVENTIONS: dict[str, Callable[[], Convention]] = {
    "keras_tuner": _keras_tuner,
    "optuna": _optuna,
}


def find_family(name: str) -> Family | None:
    """The family called so, built in or of another package; None where there is none."""
    if name in FAMILIES or ":" in name:
        return FAMILIES.get(name)
    plugin = find_plugin("families", name)
    if plugin is None:
        return None
    if not isinstance(plugin.value, Family):
        raise SpecError(
            f"families: {name!r} of the package {plugin.package} must be a "
            f"hpsearch.models.Family. Received: {plugin.value!r}"
        )
    return replace(plugin.value, name=name)


def load_family(name: str) -> Family:
    """A family by name, or the user's function given as `FILE.py:FUNCTION` or `MODULE:FUNCTION`.

    `keras_tuner:FILE.py:FUNCTION` takes Keras Tuner's `build(hp)`, `optuna:FILE.py:FUNCTION` a
    `build(trial)` as Optuna's users write it.

    Raises:
        SpecError: If there is no such family, file or function.
    """
    family = find_family(name)
    if family is not None:
        return family
    if ":" not in name:
        raise SpecError(unknown_family(name))
    if reference_of(name) == name:
        function = load_function(name)

        def call(
            params: Mapping[str, Value], inputs: tuple[int, ...], outputs: Outputs
        ) -> keras.Model:
            return require_model(function(params, inputs, outputs), name)

        return Family(name, call, None)
    convention, found = _of_convention(name)

    def build(
        params: Mapping[str, Value], inputs: tuple[int, ...], outputs: Outputs
    ) -> keras.Model:
        return require_model(convention.build(found, params, given(params)), name)

    return Family(name, build, None)


def require_model(returned: Any, name: str) -> keras.Model:
    """What a user's function returned, if it is a Keras model.

    Raises:
        SpecError: If it is none.
    """
    import keras

    if isinstance(returned, keras.Model):
        return returned
    hint = ". Is there a `return` missing?" if returned is None else ""
    raise SpecError(
        f"{reference_of(name)} must return a keras.Model. Received: {repr(returned)[:200]}{hint}"
    )


def asking(name: str) -> Ask:
    """One call of a user's function, whose hyperparameters are not known yet.

    Args:
        name: `CONVENTION:FILE.py:FUNCTION`.

    Raises:
        SpecError: If there is no such file or function.
    """
    convention, found = _of_convention(name)
    return lambda answer, use: convention.asked(found, answer, use)


def reference_of(name: str) -> str:
    """A model's `FILE.py:FUNCTION` without the convention in front; a family's own name."""
    convention, _, reference = name.partition(":")
    return reference if convention in CONVENTIONS and ":" in reference else name


def unknown_family(name: str) -> str:
    """What to say of a name that is none."""
    return (
        f"model {name!r} does not exist. {describe_known('families', sorted(FAMILIES))[:-1]}, "
        "or your own function as FILE.py:FUNCTION."
    )


def _of_convention(name: str) -> tuple[Convention, Any]:
    reference = reference_of(name)
    convention = CONVENTIONS[name.removesuffix(f":{reference}")]()
    return convention, convention.load(reference)
