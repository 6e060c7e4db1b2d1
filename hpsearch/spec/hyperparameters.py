"""Every hyperparameter that ships: its type, its bounds, and what reads it.

The one table that docs/study_file.md shows, `hpsearch check` prints, the search space is checked
against and every trial is resolved with. Pure data: a study's file is checked without Keras. What
a function of the user's reads besides is its own affair.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from ..trial import Value
from .data import Scaling

Type = Literal["float", "int", "bool", "choice", "epochs", "text"]
EXACT = 2**53  # whole numbers up to it are floats without a loss
TRUE, FALSE = ("true", "yes", "on"), ("false", "no", "off")  # YAML 1.1, which YAML 1.2 calls texts


@dataclass(frozen=True, slots=True)
class Domain:
    """The values that a hyperparameter may have."""

    type: Type
    low: float = -math.inf
    high: float = math.inf
    above: bool = False  # whether `low` itself is excluded
    below: bool = False  # whether `high` itself is excluded
    choices: tuple[str, ...] = ()
    nullable: bool = False

    def coerce(self, value: Value) -> Value:
        """The value in the domain's type where that is exact; otherwise the value as it is."""
        if self.type == "bool":
            if isinstance(value, str) and value.casefold() in (*TRUE, *FALSE):
                return value.casefold() in TRUE
            return bool(value) if value in (0, 1) and type(value) is int else value
        if self.type == "float" and type(value) is int and abs(value) <= EXACT:
            return float(value)
        if self.type == "int" and type(value) is float and value.is_integer():
            return int(value)
        return value

    def problem(self, value: Value) -> str | None:
        """Why a coerced value is not allowed, or None where it is."""
        return None if self.contains(value) else f"got {written(value)}; allowed: {self}"

    def contains(self, value: Value) -> bool:
        """Whether a coerced value is allowed."""
        if value is None:
            return self.nullable
        if self.type == "bool":
            return isinstance(value, bool)
        if self.type == "text":
            return isinstance(value, str)
        if self.type == "choice":
            return isinstance(value, str) and value in self.choices
        if self.type == "epochs":
            return isinstance(value, str | float | int) and not isinstance(value, bool)
        if type(value) is not {"float": float, "int": int}[self.type]:
            return False
        assert isinstance(value, int | float)
        too_low = value <= self.low if self.above else value < self.low
        too_high = value >= self.high if self.below else value > self.high
        return math.isfinite(value) and not (too_low or too_high)

    def __str__(self) -> str:
        """In words, as errors and documents show it."""
        words = {"bool": "true or false", "text": "a text", "choice": ", ".join(self.choices)}
        words["epochs"] = 'epochs, as 10 or "10, 20"'
        if self.type in words:
            text = words[self.type]
        else:
            text = f"{'a whole number' if self.type == 'int' else 'a number'}{self._bounds()}"
        return f"{text}, or null" if self.nullable else text

    @property
    def summary(self) -> str:
        """In words, where Keras's own names would be too many."""
        kinds = {
            ACTIVATIONS: "an activation of Keras's",
            INITIALIZERS: "an initializer of Keras's",
            tuple(OPTIMIZERS): "an optimizer's name",
        }
        if self.choices not in kinds:
            return str(self)
        return f"{kinds[self.choices]}{', or null' if self.nullable else ''}"

    def _bounds(self) -> str:
        bounds = []
        if self.low > -math.inf:
            bounds.append(f"{'>' if self.above else '>='} {self.low:g}")
        if self.high < math.inf:
            bounds.append(f"{'<' if self.below else '<='} {self.high:g}")
        return f" {' and '.join(bounds)}" if bounds else ""


def written(value: Value) -> str:
    """A value as YAML writes it."""
    words = {True: "true", False: "false", None: "null"}
    return words[value] if value is None or isinstance(value, bool) else repr(value)


def choice(*choices: str) -> Domain:
    """One of these texts."""
    return Domain("choice", choices=choices)


AT_LEAST_0 = Domain("float", 0)
ABOVE_0 = Domain("float", 0, above=True)
SHARE = Domain("float", 0, 1)  # both ends included
RATE = Domain("float", 0, 1, below=True)  # of what is forgotten or dropped
COUNT = Domain("int", 1)
COUNT_OR_0 = Domain("int", 0)
SWITCH = Domain("bool")


def _or_null(domain: Domain) -> Domain:
    return replace(domain, nullable=True)


Reads = Mapping[str, Domain]

# Keras's own names; tests compare both with the installed Keras. Two activations cannot be used by
# name: glu halves the width of its layer, and threshold has arguments without a default.
ACTIVATIONS = (
    *("celu", "elu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu"),
    *("hard_swish", "hard_tanh", "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish"),
    *("relu", "relu6", "selu", "sigmoid", "silu", "soft_shrink", "softmax", "softplus"),
    *("softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "swish", "tanh"),
    "tanh_shrink",
)
INITIALIZERS = (
    *("glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "lecun_normal"),
    *("lecun_uniform", "ones", "orthogonal", "random_normal", "random_uniform"),
    *("truncated_normal", "variance_scaling", "zeros"),
)
NORMALIZATION = choice("none", "batch", "layer")

_DENSE: Reads = {
    "activation": _or_null(choice(*ACTIVATIONS)),
    "initializer": choice(*INITIALIZERS),
    "normalization": NORMALIZATION,
    "dropout": RATE,
    "l1": AT_LEAST_0,
    "l2": AT_LEAST_0,
}
_MLP: Reads = {
    "layers": COUNT_OR_0,
    "units": COUNT,
    **_DENSE,
    "encoding": choice("one_hot", "embedding"),
    "embedding_size": COUNT_OR_0,
}
_CONVOLUTIONAL: Reads = {
    "blocks": COUNT_OR_0,
    "convolutions": COUNT,
    "filters": COUNT,
    "kernel_size": COUNT,
    "pooling": choice("max", "average"),
    "global_pooling": choice("none", "max", "average"),
    "units": COUNT_OR_0,
    **_DENSE,
    "spatial_dropout": RATE,
}
FAMILIES: Mapping[str, Reads] = {
    "mlp": _MLP,
    "wide_and_deep": _MLP,
    "cnn": {
        **_CONVOLUTIONAL,
        "random_flip": choice("none", "horizontal", "vertical", "horizontal_and_vertical"),
        "random_translation": SHARE,
        "random_rotation": SHARE,
        "random_zoom": RATE,
    },
    "conv1d": _CONVOLUTIONAL,
    "recurrent": {
        "cell": choice("lstm", "gru"),
        "layers": COUNT,
        "units": COUNT,
        "bidirectional": SWITCH,
        "dropout": RATE,
        "l2": AT_LEAST_0,
    },
}

EVERY_OPTIMIZER: Reads = {
    "learning_rate": ABOVE_0,
    "weight_decay": _or_null(AT_LEAST_0),
    "clipnorm": _or_null(ABOVE_0),
    "clipvalue": _or_null(ABOVE_0),
    "global_clipnorm": _or_null(ABOVE_0),
    "use_ema": SWITCH,
    "ema_momentum": SHARE,
}
_ADAM: Reads = {"beta_1": RATE, "beta_2": RATE, "epsilon": AT_LEAST_0}
_OWN: Mapping[str, Reads] = {
    "sgd": {"momentum": SHARE, "nesterov": SWITCH},
    "rmsprop": {"rho": RATE, "momentum": RATE, "epsilon": AT_LEAST_0, "centered": SWITCH},
    "adam": {**_ADAM, "amsgrad": SWITCH},
    "adamw": {**_ADAM, "amsgrad": SWITCH, "weight_decay": AT_LEAST_0},
    "adamax": _ADAM,
    "nadam": _ADAM,
    "adagrad": {"initial_accumulator_value": AT_LEAST_0, "epsilon": AT_LEAST_0},
    "adadelta": {"rho": RATE, "epsilon": AT_LEAST_0},
    "adafactor": {
        "beta_2_decay": Domain("float", -1, 0),
        "epsilon_1": AT_LEAST_0,
        "epsilon_2": AT_LEAST_0,
        "clip_threshold": ABOVE_0,
        "relative_step": SWITCH,
    },
    "ftrl": {
        "learning_rate_power": Domain("float", high=0),
        "initial_accumulator_value": AT_LEAST_0,
        "l1_regularization_strength": AT_LEAST_0,
        "l2_regularization_strength": AT_LEAST_0,
        "l2_shrinkage_regularization_strength": AT_LEAST_0,
        "beta": AT_LEAST_0,
    },
    "lion": {"beta_1": Domain("float", 0, 1, above=True), "beta_2": RATE},
    "lamb": _ADAM,
    "muon": {
        "momentum": RATE,
        "nesterov": SWITCH,
        "ns_steps": COUNT,
        "adam_beta_1": RATE,
        "adam_beta_2": RATE,
    },
    "schedule_free_adamw": {**_ADAM, "warmup_steps": COUNT_OR_0},
}
OPTIMIZERS: Mapping[str, Reads] = {k: {**EVERY_OPTIMIZER, **own} for k, own in _OWN.items()}
DEFAULT_OPTIMIZER = "adam"

_SMOOTHED: Reads = {"label_smoothing": SHARE}
_FOCAL: Reads = {**_SMOOTHED, "alpha": SHARE, "gamma": AT_LEAST_0}
# What a loss reads; one that is not named reads nothing.
LOSSES: Mapping[str, Reads] = {
    "binary_crossentropy": _SMOOTHED,
    "binary_focal_crossentropy": _FOCAL,
    "categorical_crossentropy": _SMOOTHED,
    "categorical_focal_crossentropy": _FOCAL,
    "huber": {"delta": ABOVE_0},
    "tversky": {"alpha": AT_LEAST_0, "tversky_beta": AT_LEAST_0},
}

SCHEDULES: Mapping[str, Reads] = {
    "constant": {},
    "exponential": {"decay_rate": ABOVE_0, "decay_epochs": ABOVE_0, "staircase": SWITCH},
    "cosine": {
        "decay_epochs": _or_null(ABOVE_0),
        "decay_alpha": AT_LEAST_0,
        "warmup_epochs": AT_LEAST_0,
    },
    "piecewise": {"boundaries": Domain("epochs"), "decay_rate": ABOVE_0},
    "reduce_on_plateau": {
        "factor": RATE,
        "plateau_patience": COUNT_OR_0,
        "plateau_min_delta": AT_LEAST_0,
        "cooldown": COUNT_OR_0,
        "min_lr": AT_LEAST_0,
    },
}
DEFAULT_SCHEDULE = "constant"

# What is read whatever the model.
ALWAYS: Reads = {
    "batch_size": COUNT,
    "epochs": Domain("int", 1, 100_000),
    "scaling": choice(*get_args(Scaling)),
}
TRAINING: Reads = {
    **ALWAYS,
    "optimizer": choice(*OPTIMIZERS),
    "loss": Domain("text"),  # by task, or FILE.py:FUNCTION
    "schedule": choice(*SCHEDULES),
    "class_weight": choice("none", "balanced"),
}


def readers() -> Iterator[tuple[str, Reads]]:
    """Everything that reads hyperparameters, by its name, and what it reads."""
    yield "training", TRAINING
    yield from FAMILIES.items()
    yield "every optimizer", EVERY_OPTIMIZER
    yield from _OWN.items()
    yield from LOSSES.items()
    yield from ((f"schedule {name}", reads) for name, reads in SCHEDULES.items())


def markdown_table() -> str:
    """The table of docs/study_file.md."""
    rows: dict[tuple[str, str], list[str]] = {}
    for reader, reads in readers():
        for name, domain in reads.items():
            rows.setdefault((name, domain.summary), []).append(f"`{reader}`")
    lines = ["| hyperparameter | allowed | read by |", "|---|---|---|"]
    lines += [f"| `{name}` | {a} | {', '.join(who)} |" for (name, a), who in rows.items()]
    return "\n".join(lines)
