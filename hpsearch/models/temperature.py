"""Divide the logits of probabilities by a temperature."""

from __future__ import annotations

from typing import Any

FLOOR = 1e-7  # as Keras clips probabilities


def scale_by_temperature(xp: Any, probabilities: Any, temperature: float) -> Any:
    """Compute the probabilities whose logits are `1 / temperature` of the given ones'.

    Args:
        xp: The array module: numpy or keras.ops.
        probabilities: (n_rows, n_outputs): of class 1, or of each class.
        temperature: Above 1, probabilities move towards each other; 1 changes nothing.
    """
    if temperature == 1.0:
        return probabilities
    clipped = xp.clip(probabilities, FLOOR, 1 - FLOOR)
    power = 1 / temperature
    if probabilities.shape[-1] == 1:
        odds = xp.power(clipped / (1 - clipped), power)
        return odds / (1 + odds)
    scaled = xp.power(clipped, power)
    return scaled / xp.sum(scaled, axis=-1, keepdims=True)
