"""Cases of a parametrized test of which `make test` runs a part, `make test-long` the others."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def long_unless(kept: Callable[[Any], bool], cases: Iterable[Any]) -> list[Any]:
    """The cases for `parametrize`, marked `long` where they are not to be `kept`."""
    return [
        case
        if kept(case)
        else pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.long)
        for case in cases
    ]
