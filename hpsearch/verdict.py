"""How a winner compares with plain models on the locked rows, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from .events import BaselineScores

Standing = Literal["better than", "as good as", "worse than"]
STANDINGS: tuple[Standing, ...] = ("worse than", "as good as", "better than")


def compare_with(baseline: BaselineScores) -> Standing | None:
    """Whether the winner is better; the same within the 95% interval counts as as good.

    None where the difference is not known.
    """
    low, high = baseline.advantage or (0.0, float("nan"))
    if low > 0:
        return "better than"
    if high < 0:
        return "worse than"
    return "as good as" if low <= 0 <= high else None


def stronger_baselines(baselines: Iterable[BaselineScores]) -> list[BaselineScores]:
    """Those than which the winner is worse."""
    return [each for each in baselines if compare_with(each) == "worse than"]


def describe_verdict(baselines: Sequence[BaselineScores]) -> str:
    """What the winner is worse than, as good as and better than; "" where nothing is known.

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
    """For people."""
    return "a constant" if baseline.name == "constant" else baseline.name.replace("_", " ")
