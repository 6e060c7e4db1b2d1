"""Mark cases of a parametrized test as `long`, which only `make test-long` runs."""

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
