"""The registry of model families and their hyperparameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SpecError
from ..plugins import describe_known, find_object
from ..spec.function_reference import load_function, load_object
from ..trial import Value
from .families import convolutional, mlp, number_embedding, realmlp, recurrent, tabm, wide_and_deep
from .families.batch_sizes import equalize_batches
from .introspection.space_discovery import (
    AnswerFunction,
    BuildCall,
    ModelVisitor,
    answer_from_params,
)
from .outputs import Outputs
from .step_factors import StepFactors

if TYPE_CHECKING:
    import keras

FamilyBuilder = Callable[..., "keras.Model"]  # (params, inputs, outputs) -> an uncompiled network


# (params, network, weights, features, rng, categories, arrays) -> weights; arrays are omitted if
# there are none
RowInitializer = Callable[..., list[np.ndarray]]


@dataclass(frozen=True, slots=True)
class Family:
    """A family of networks."""

    name: str
    build: FamilyBuilder
    defaults: Mapping[str, Value] | None  # hyperparameter -> default; None: any hyperparameter
    row_shapes: Mapping[int, str] | None = (
        None  # supported dimensions of a row, with description; None: any
    )
    is_convolutional: bool = False
    # task -> default training hyperparameters; None: none
    make_training_defaults: Callable[[str], dict[str, Value]] | None = None
    # (params, network) -> factors per variable; None: all 1
    make_step_factors: Callable[[Mapping[str, Value], keras.Model], StepFactors] | None = None
    # (params) -> data-dependent initialization of the weights; None: none
    find_initializer: Callable[[Mapping[str, Value]], RowInitializer | None] | None = None
    # (batch_size, number of training rows) -> the trained batch size; None: `batch_size`
    adapt_batch_size: Callable[[int, int], int] | None = None
    # points that do well on many data sets, for a study's first trials; missing values are defaults
    portfolio: Sequence[Mapping[str, Value]] = ()

    @property
    def takes_categories(self) -> bool:
        """Whether `build` takes the argument `categories`."""
        return self.defaults is not None and "encoding" in self.defaults

    @property
    def takes_texts(self) -> bool:
        """Whether `build` takes the argument `arrays`."""
        return self.defaults is not None and "text_vocabulary" in self.defaults


def _find_bins_initializer(params: Mapping[str, Value]) -> RowInitializer | None:
    return number_embedding.initialize_bins if params.get("embedding") == "piecewise" else None


TABLE_SHAPE = {1: "(features,)"}
WINDOW_SHAPE = {2: "(steps, features)"}
IMAGE_SHAPE = "(height, width, channels)"
FAMILIES: dict[str, Family] = {
    "mlp": Family("mlp", mlp.build, mlp.DEFAULTS, find_initializer=_find_bins_initializer),
    "realmlp": Family(
        "realmlp",
        realmlp.build,
        realmlp.DEFAULTS,
        TABLE_SHAPE,
        make_training_defaults=realmlp.make_training_defaults,
        make_step_factors=realmlp.make_step_factors,
        adapt_batch_size=equalize_batches,
        find_initializer=lambda params: realmlp.initialize,
    ),
    "tabm": Family(
        "tabm",
        tabm.build,
        tabm.DEFAULTS,
        TABLE_SHAPE,
        make_training_defaults=tabm.make_training_defaults,
        find_initializer=lambda params: tabm.initialize,
        adapt_batch_size=equalize_batches,
        portfolio=tabm.PORTFOLIO,
    ),
    "wide_and_deep": Family(
        "wide_and_deep",
        wide_and_deep.build,
        wide_and_deep.DEFAULTS,
        TABLE_SHAPE | WINDOW_SHAPE,
        find_initializer=_find_bins_initializer,
    ),
    "cnn": Family(
        "cnn",
        convolutional.build_cnn,
        convolutional.CNN_DEFAULTS,
        {3: IMAGE_SHAPE, 2: "(height, width)"},
        is_convolutional=True,
    ),
    "conv1d": Family(
        "conv1d",
        convolutional.build_conv1d,
        convolutional.CONV1D_DEFAULTS,
        WINDOW_SHAPE,
        is_convolutional=True,
    ),
    "recurrent": Family("recurrent", recurrent.build, recurrent.DEFAULTS, WINDOW_SHAPE),
}


BuildRecorder = Callable[
    [AnswerFunction, ModelVisitor], BuildCall
]  # one call of a function that defines its search space


@dataclass(frozen=True, slots=True)
class Convention:
    """A calling convention of custom functions."""

    load: Callable[[str], Any]  # converts the referenced object to a callable
    build: Callable[[Any, Mapping[str, Value], AnswerFunction], keras.Model]
    record_build: Callable[[Any, AnswerFunction, ModelVisitor], BuildCall]


def _make_keras_tuner_convention() -> Convention:
    from .introspection import keras_tuner_convention as kt  # takes a second to import

    return Convention(
        lambda ref: kt.to_hypermodel(load_object(ref), ref), kt.build, kt.record_build
    )


def _make_optuna_convention() -> Convention:
    from .introspection import optuna_convention as optuna

    return Convention(load_function, optuna.build, optuna.record_build)


CONVENTIONS: dict[str, Callable[[], Convention]] = {
    "keras_tuner": _make_keras_tuner_convention,
    "optuna": _make_optuna_convention,
}


def find_family(name: str) -> Family | None:
    """Find a built-in or installed family by name; None if there is none."""
    if name in FAMILIES or ":" in name:
        return FAMILIES.get(name)
    found = find_object("families", name, Family, "hpsearch.models.Family")
    return None if found is None else replace(found, name=name)


def load_family(name: str) -> Family:
    """Load a family by name, or a function as `FILE.py:FUNCTION` or `MODULE:FUNCTION`.

    `keras_tuner:FILE.py:FUNCTION` loads a `build(hp)` for Keras Tuner, `optuna:FILE.py:FUNCTION` a
    `build(trial)` for Optuna.

    Raises:
        SpecError: If there is no such family, file or function.
    """
    family = find_family(name)
    if family is not None:
        return family
    if ":" not in name:
        raise SpecError(format_unknown_family(name))
    if strip_convention(name) == name:
        function = load_function(name)

        def call(
            params: Mapping[str, Value], inputs: tuple[int, ...], outputs: Outputs
        ) -> keras.Model:
            return require_model(function(params, inputs, outputs), name)

        return Family(name, call, None)
    convention, found = _load_convention(name)

    def build(
        params: Mapping[str, Value], inputs: tuple[int, ...], outputs: Outputs
    ) -> keras.Model:
        return require_model(convention.build(found, params, answer_from_params(params)), name)

    return Family(name, build, None)


def make_training_defaults(name: str, task: str) -> dict[str, Value]:
    """Return a family's default training hyperparameters."""
    family = find_family(name)
    if family is None or family.make_training_defaults is None:
        return {}
    return family.make_training_defaults(task)


def require_model(returned: Any, name: str) -> keras.Model:
    """Return the result of a custom function if it is a Keras model.

    Raises:
        SpecError: If it is not.
    """
    import keras

    if isinstance(returned, keras.Model):
        return returned
    hint = ". Is there a `return` missing?" if returned is None else ""
    raise SpecError(
        f"{strip_convention(name)} must return a keras.Model. Received: "
        f"{repr(returned)[:200]}{hint}"
    )


def load_build_recorder(name: str) -> BuildRecorder:
    """Load a recorder of calls of a custom function, to discover its search space.

    Args:
        name: `CONVENTION:FILE.py:FUNCTION`.

    Raises:
        SpecError: If there is no such file or function.
    """
    convention, found = _load_convention(name)
    return lambda answer, use: convention.record_build(found, answer, use)


def strip_convention(name: str) -> str:
    """Strip the convention from `CONVENTION:FILE.py:FUNCTION`; other names are unchanged."""
    convention, _, reference = name.partition(":")
    return reference if convention in CONVENTIONS and ":" in reference else name


def get_convention(name: str) -> str:
    """Return the convention before `FILE.py:FUNCTION` in a model's name; empty if none."""
    reference = strip_convention(name)
    return "" if reference == name else name.removesuffix(f":{reference}")


def format_unknown_family(name: str) -> str:
    """Format the error for an unknown family."""
    return (
        f"model {name!r} does not exist. {describe_known('families', sorted(FAMILIES))[:-1]}, "
        "or your own function as FILE.py:FUNCTION."
    )


def _load_convention(name: str) -> tuple[Convention, Any]:
    reference = strip_convention(name)
    convention = CONVENTIONS[get_convention(name)]()
    return convention, convention.load(reference)
