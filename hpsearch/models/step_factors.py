"""What a family says of single weights: how far each is moved and shrunk in a step."""

from __future__ import annotations

from typing import Any, NamedTuple


class StepFactors(NamedTuple):
    """Of each trainable variable of a network, in Keras's order; float32."""

    rates: Any  # (n_variables,): multiplies the learning rate, that of the decay too
    decays: Any  # (n_variables,): multiplies the weight decay
