"""Factors of learning rate and weight decay per variable, set by a family."""

from __future__ import annotations

from typing import Any, NamedTuple


class StepFactors(NamedTuple):
    """Factors of each trainable variable of a network, in Keras's order; float32."""

    rates: Any  # (n_variables,): multiplies the learning rate, also in the decay
    decays: Any  # (n_variables,): multiplies the weight decay
