"""The built-in hyperparameters: types, bounds, and the components that read them.

One table serves docs/hyperparameters.md, `hpsearch check`, the validation of the search space and
the resolution of each trial. It is pure data, so a study file is validated without importing Keras.
Additional hyperparameters of a custom function are not checked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from ..trial import Value
from .data_spec import Scaling

DomainType = Literal["float", "int", "bool", "choice", "epochs", "text"]
MAX_EXACT_INT = 2**53  # whole numbers up to it are exact as floats
TRUE_WORDS, FALSE_WORDS = (
    ("true", "yes", "on"),
    ("false", "no", "off"),
)  # booleans in YAML 1.1, strings in YAML 1.2


@dataclass(frozen=True, slots=True)
class Domain:
    """The allowed values of a hyperparameter."""

    type: DomainType
    low: float = -math.inf
    high: float = math.inf
    excludes_low: bool = False  # whether `low` itself is excluded
    excludes_high: bool = False  # whether `high` itself is excluded
    choices: tuple[str, ...] = ()
    nullable: bool = False

    def coerce(self, value: Value) -> Value:
        """Convert a value to the domain's type if that is exact; otherwise return it unchanged."""
        if self.type == "bool":
            if isinstance(value, str) and value.casefold() in (*TRUE_WORDS, *FALSE_WORDS):
                return value.casefold() in TRUE_WORDS
            return bool(value) if value in (0, 1) and type(value) is int else value
        if self.type == "float" and type(value) is int and abs(value) <= MAX_EXACT_INT:
            return float(value)
        if self.type == "int" and type(value) is float and value.is_integer():
            return int(value)
        return value

    def why_invalid(self, value: Value) -> str | None:
        """Explain why a coerced value is not allowed; None if it is."""
        return None if self.contains(value) else f"got {format_value(value)}; allowed: {self}"

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
        too_low = value <= self.low if self.excludes_low else value < self.low
        too_high = value >= self.high if self.excludes_high else value > self.high
        return -math.inf < value < math.inf and not (too_low or too_high)  # of any size

    def __str__(self) -> str:
        """Describe the domain, for errors and documentation."""
        words = {"bool": "true or false", "text": "a text", "choice": ", ".join(self.choices)}
        words["epochs"] = 'epochs, as 10 or "10, 20"'
        if self.type in words:
            text = words[self.type]
        else:
            text = (
                f"{'a whole number' if self.type == 'int' else 'a number'}{self._format_bounds()}"
            )
        return f"{text}, or null" if self.nullable else text

    @property
    def summary(self) -> str:
        """A short description, without the long lists of Keras's names."""
        kinds = {
            ACTIVATIONS: "an activation of Keras's",
            INITIALIZERS: "an initializer of Keras's",
            tuple(OPTIMIZER_DOMAINS): "an optimizer's name",
        }
        if self.choices not in kinds:
            return str(self)
        return f"{kinds[self.choices]}{', or null' if self.nullable else ''}"

    def _format_bounds(self) -> str:
        bounds = []
        if self.low > -math.inf:
            bounds.append(f"{'>' if self.excludes_low else '>='} {self.low:g}")
        if self.high < math.inf:
            bounds.append(f"{'<' if self.excludes_high else '<='} {self.high:g}")
        return f" {' and '.join(bounds)}" if bounds else ""


def format_value(value: Value) -> str:
    """Format a value as YAML."""
    words = {True: "true", False: "false", None: "null"}
    return words[value] if value is None or isinstance(value, bool) else repr(value)


def make_choice_domain(*choices: str) -> Domain:
    """Make a domain of these strings."""
    return Domain("choice", choices=choices)


NON_NEGATIVE = Domain("float", 0)
POSITIVE = Domain("float", 0, excludes_low=True)
UNIT_INTERVAL = Domain("float", 0, 1)  # both ends included
RATE = Domain("float", 0, 1, excludes_high=True)  # a share that is forgotten or dropped
POSITIVE_INT = Domain("int", 1)
NON_NEGATIVE_INT = Domain("int", 0)
BOOLEAN = Domain("bool")


def _make_nullable(domain: Domain) -> Domain:
    return replace(domain, nullable=True)


ParameterDomains = Mapping[str, Domain]

# Keras's names; tests compare both with the installed Keras. Two activations are excluded: glu
# halves the width of its layer, and threshold has arguments without defaults.
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
NORMALIZATION = make_choice_domain("none", "batch", "layer")

_DENSE_DOMAINS: ParameterDomains = {
    "activation": _make_nullable(make_choice_domain(*ACTIVATIONS)),
    "initializer": make_choice_domain(*INITIALIZERS),
    "normalization": NORMALIZATION,
    "dropout": RATE,
    "l1": NON_NEGATIVE,
    "l2": NON_NEGATIVE,
}
_ENCODING_DOMAINS: ParameterDomains = {
    "encoding": make_choice_domain("one_hot", "embedding"),
    "embedding_size": NON_NEGATIVE_INT,
    "max_one_hot": NON_NEGATIVE_INT,
    "embedding": make_choice_domain("none", "pbld", "plr", "piecewise"),
    "embedding_scale": POSITIVE,
    "embedding_frequencies": POSITIVE_INT,
    "embedding_units": POSITIVE_INT,
    "embedding_bins": POSITIVE_INT,
}
_MLP_DOMAINS: ParameterDomains = {
    "layers": NON_NEGATIVE_INT,
    "units": POSITIVE_INT,
    **_DENSE_DOMAINS,
    **_ENCODING_DOMAINS,
}
_ARRAY_DOMAINS: ParameterDomains = {
    "text_vocabulary": Domain("int", 2),
    "text_ngrams": POSITIVE_INT,
    "text_tokens": NON_NEGATIVE_INT,
    "text_size": POSITIVE_INT,
    "text_pooling": make_choice_domain("sqrtn", "mean", "max"),
    "text_filters": NON_NEGATIVE_INT,
    "text_kernel_size": POSITIVE_INT,
    "image_blocks": POSITIVE_INT,
    "image_filters": POSITIVE_INT,
}
_CONVOLUTIONAL_DOMAINS: ParameterDomains = {
    "blocks": NON_NEGATIVE_INT,
    "convolutions": POSITIVE_INT,
    "filters": POSITIVE_INT,
    "kernel_size": POSITIVE_INT,
    "pooling": make_choice_domain("max", "average"),
    "global_pooling": make_choice_domain("none", "max", "average"),
    "units": NON_NEGATIVE_INT,
    **_DENSE_DOMAINS,
    "spatial_dropout": RATE,
}
FAMILY_DOMAINS: Mapping[str, ParameterDomains] = {
    "mlp": {**_MLP_DOMAINS, **_ARRAY_DOMAINS},
    "realmlp": {
        "layers": NON_NEGATIVE_INT,
        "units": POSITIVE_INT,
        "activation": _make_nullable(make_choice_domain(*ACTIVATIONS)),
        "parametric_activation": BOOLEAN,
        "dropout": RATE,
        "front_scale": BOOLEAN,
        "parametrization": make_choice_domain("ntk", "standard"),
        "weight_init": make_choice_domain("std", "normal"),
        "bias_init": make_choice_domain("he+5", "zeros"),
        "bias_lr_factor": NON_NEGATIVE,
        "scale_lr_factor": NON_NEGATIVE,
        "embedding_lr_factor": NON_NEGATIVE,
        "activation_lr_factor": NON_NEGATIVE,
        **_ENCODING_DOMAINS,
        **_ARRAY_DOMAINS,
    },
    "tabm": {
        "members": POSITIVE_INT,
        "layers": NON_NEGATIVE_INT,
        "units": POSITIVE_INT,
        "activation": _make_nullable(make_choice_domain(*ACTIVATIONS)),
        "dropout": RATE,
        **_ENCODING_DOMAINS,
        **_ARRAY_DOMAINS,
    },
    "wide_and_deep": _MLP_DOMAINS,
    "cnn": {
        **_CONVOLUTIONAL_DOMAINS,
        "random_flip": make_choice_domain(
            "none", "horizontal", "vertical", "horizontal_and_vertical"
        ),
        "random_translation": UNIT_INTERVAL,
        "random_rotation": UNIT_INTERVAL,
        "random_zoom": RATE,
    },
    "conv1d": _CONVOLUTIONAL_DOMAINS,
    "recurrent": {
        "cell": make_choice_domain("lstm", "gru"),
        "layers": POSITIVE_INT,
        "units": POSITIVE_INT,
        "bidirectional": BOOLEAN,
        "dropout": RATE,
        "l2": NON_NEGATIVE,
    },
}

COMMON_OPTIMIZER_DOMAINS: ParameterDomains = {
    "learning_rate": POSITIVE,
    "weight_decay": _make_nullable(NON_NEGATIVE),
    "clipnorm": _make_nullable(POSITIVE),
    "clipvalue": _make_nullable(POSITIVE),
    "global_clipnorm": _make_nullable(POSITIVE),
    "use_ema": BOOLEAN,
    "ema_momentum": UNIT_INTERVAL,
}
_ADAM_DOMAINS: ParameterDomains = {"beta_1": RATE, "beta_2": RATE, "epsilon": NON_NEGATIVE}
_OWN_OPTIMIZER_DOMAINS: Mapping[str, ParameterDomains] = {
    "sgd": {"momentum": UNIT_INTERVAL, "nesterov": BOOLEAN},
    "rmsprop": {"rho": RATE, "momentum": RATE, "epsilon": NON_NEGATIVE, "centered": BOOLEAN},
    "adam": {**_ADAM_DOMAINS, "amsgrad": BOOLEAN},
    "adamw": {**_ADAM_DOMAINS, "amsgrad": BOOLEAN, "weight_decay": NON_NEGATIVE},
    "adamax": _ADAM_DOMAINS,
    "nadam": _ADAM_DOMAINS,
    "adagrad": {"initial_accumulator_value": NON_NEGATIVE, "epsilon": NON_NEGATIVE},
    "adadelta": {"rho": RATE, "epsilon": NON_NEGATIVE},
    "adafactor": {
        "beta_2_decay": Domain("float", -1, 0),
        "epsilon_1": NON_NEGATIVE,
        "epsilon_2": NON_NEGATIVE,
        "clip_threshold": POSITIVE,
        "relative_step": BOOLEAN,
    },
    "ftrl": {
        "learning_rate_power": Domain("float", high=0),
        "initial_accumulator_value": NON_NEGATIVE,
        "l1_regularization_strength": NON_NEGATIVE,
        "l2_regularization_strength": NON_NEGATIVE,
        "l2_shrinkage_regularization_strength": NON_NEGATIVE,
        "beta": NON_NEGATIVE,
    },
    "lion": {"beta_1": Domain("float", 0, 1, excludes_low=True), "beta_2": RATE},
    "lamb": _ADAM_DOMAINS,
    "muon": {
        "momentum": RATE,
        "nesterov": BOOLEAN,
        "ns_steps": POSITIVE_INT,
        "adam_beta_1": RATE,
        "adam_beta_2": RATE,
    },
    "schedule_free_adamw": {**_ADAM_DOMAINS, "warmup_steps": NON_NEGATIVE_INT},
}
OPTIMIZER_DOMAINS: Mapping[str, ParameterDomains] = {
    k: {**COMMON_OPTIMIZER_DOMAINS, **own} for k, own in _OWN_OPTIMIZER_DOMAINS.items()
}
DEFAULT_OPTIMIZER = "adam"

_SMOOTHING_DOMAINS: ParameterDomains = {"label_smoothing": UNIT_INTERVAL}
_FOCAL_DOMAINS: ParameterDomains = {
    **_SMOOTHING_DOMAINS,
    "alpha": UNIT_INTERVAL,
    "gamma": NON_NEGATIVE,
}
# Hyperparameters of each loss; a loss that is not listed has none.
LOSS_DOMAINS: Mapping[str, ParameterDomains] = {
    "binary_crossentropy": _SMOOTHING_DOMAINS,
    "binary_focal_crossentropy": _FOCAL_DOMAINS,
    "categorical_crossentropy": _SMOOTHING_DOMAINS,
    "categorical_focal_crossentropy": _FOCAL_DOMAINS,
    "huber": {"delta": POSITIVE},
    "tversky": {"alpha": NON_NEGATIVE, "tversky_beta": NON_NEGATIVE},
}

SCHEDULE_DOMAINS: Mapping[str, ParameterDomains] = {
    "constant": {},
    "exponential": {"decay_rate": POSITIVE, "decay_epochs": POSITIVE, "staircase": BOOLEAN},
    "cosine": {
        "decay_epochs": _make_nullable(POSITIVE),
        "decay_alpha": NON_NEGATIVE,
        "warmup_epochs": NON_NEGATIVE,
    },
    "coslog": {"cycles": Domain("int", 1, 20)},
    "piecewise": {"boundaries": Domain("epochs"), "decay_rate": POSITIVE},
    "reduce_on_plateau": {
        "factor": RATE,
        "plateau_patience": NON_NEGATIVE_INT,
        "plateau_min_delta": NON_NEGATIVE,
        "cooldown": NON_NEGATIVE_INT,
        "min_lr": NON_NEGATIVE,
    },
}
DEFAULT_SCHEDULE = "constant"
# The default schedule of a family.
FAMILY_SCHEDULES: Mapping[str, str] = {"realmlp": "coslog"}
# A family's defaults for the section `training`.
FAMILY_TRAINING: Mapping[str, Mapping[str, Any]] = {
    "realmlp": {"epochs": 256, "early_stopping": None},
    "tabm": {"epochs": 256, "early_stopping": {"patience": 16}},
}

# Hyperparameters read for every model.
ALWAYS_READ_DOMAINS: ParameterDomains = {
    "batch_size": POSITIVE_INT,
    "epochs": Domain("int", 1, 100_000),
    "scaling": make_choice_domain(*get_args(Scaling)),
}
TRAINING_DOMAINS: ParameterDomains = {
    **ALWAYS_READ_DOMAINS,
    "optimizer": make_choice_domain(*OPTIMIZER_DOMAINS),
    "loss": Domain("text"),  # by task, or FILE.py:FUNCTION
    "schedule": make_choice_domain(*SCHEDULE_DOMAINS),
    "class_weight": make_choice_domain("none", "balanced"),
    "dropout_schedule": make_choice_domain("constant", "flat_cosine"),
    "weight_decay_schedule": make_choice_domain("constant", "flat_cosine"),
    "clamp": BOOLEAN,
}


def iter_readers() -> Iterator[tuple[str, ParameterDomains]]:
    """Iterate over the components that read hyperparameters, by name, with their domains."""
    yield "training", TRAINING_DOMAINS
    yield from FAMILY_DOMAINS.items()
    yield "every optimizer", COMMON_OPTIMIZER_DOMAINS
    yield from _OWN_OPTIMIZER_DOMAINS.items()
    yield from LOSS_DOMAINS.items()
    yield from ((f"schedule {name}", reads) for name, reads in SCHEDULE_DOMAINS.items())


def format_markdown_table() -> str:
    """Format the table of docs/hyperparameters.md."""
    rows: dict[tuple[str, str], list[str]] = {}
    for reader, reads in iter_readers():
        for name, domain in reads.items():
            rows.setdefault((name, domain.summary), []).append(f"`{reader}`")
    lines = ["| hyperparameter | allowed | read by |", "|---|---|---|"]
    lines += [f"| `{name}` | {a} | {', '.join(who)} |" for (name, a), who in rows.items()]
    return "\n".join(lines)
