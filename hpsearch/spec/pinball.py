"""Names of the mean pinball loss of some quantiles: pinball_10_50_90."""

from __future__ import annotations

from collections.abc import Sequence

PREFIX = "pinball_"


def name_pinball(levels: Sequence[float]) -> str:
    """Name the mean pinball loss of these quantiles.

    Examples:
        >>> name_pinball([0.1, 0.5, 0.975])
        'pinball_10_50_97.5'
    """
    return PREFIX + "_".join(f"{100 * level:g}" for level in sorted(levels))


def parse_pinball(name: str) -> tuple[float, ...]:
    """Return the quantiles that a name stands for; empty if it is another name.

    Examples:
        >>> parse_pinball("pinball_10_50_90")
        (0.1, 0.5, 0.9)
        >>> parse_pinball("rmse")
        ()
    """
    if not name.startswith(PREFIX):
        return ()
    try:
        levels = tuple(float(part) / 100 for part in name.removeprefix(PREFIX).split("_"))
    except ValueError:
        return ()
    is_canonical = all(0 < level < 1 for level in levels) and name_pinball(levels) == name
    return levels if is_canonical else ()
