"""Describe how a winner compares with baseline models on the locked rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from .events import BaselineScores

Standing = Literal["better than", "as good as", "worse than"]
STANDINGS: tuple[Standing, ...] = ("worse than", "as good as", "better than")


def compare_with(baseline: BaselineScores) -> Standing | None:
    """Compare the winner with a baseline: "better", "worse", or "as good" within the 95% interval.

    None if the difference is unknown.
    """
    low, high = baseline.advantage or (0.0, float("nan"))
    if low > 0:
        return "better than"
    if high < 0:
        return "worse than"
    return "as good as" if low <= 0 <= high else None


def stronger_baselines(baselines: Iterable[BaselineScores]) -> list[BaselineScores]:
    """Return the baselines that beat the winner."""
    return [each for each in baselines if compare_with(each) == "worse than"]


def describe_verdict(baselines: Sequence[BaselineScores]) -> str:
    """Describe what the winner is worse than, as good as and better than; "" if unknown.

    Examples:
        >>> linear = BaselineScores("ridge", {"rmse": 2.0}, advantage=[0.5, 0.9])
        >>> boosting = BaselineScores("gradient_boosting", {"rmse": 1.2}, advantage=[-0.2, 0.1])
        >>> describe_verdict([linear, boosting])
        'as good as gradient boosting, better than ridge'
    """
    parts = []
    for standing in STANDINGS:
        names = [display_name(each) for each in baselines if compare_with(each) == standing]
        if names:
            parts.append(f"{standing} {' and '.join(names)}")
    return ", ".join(parts)


def display_name(baseline: BaselineScores) -> str:
    """Format a baseline's name for the user."""
    return "a constant" if baseline.name == "constant" else baseline.name.replace("_", " ")
