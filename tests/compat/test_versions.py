"""Version bounds of libraries whose private parts are used, and the tested versions."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DECLARED = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["ray"]]


def bounds(name: str) -> tuple[str, str]:
    """The lower and the upper bound that pyproject.toml declares."""
    (found,) = (d for d in DECLARED if re.match(rf"{name}(\[\w+\])?>=", d))
    lower, upper = re.fullmatch(r"[^>]+>=([\d.]+),<([\d.]+)", found).groups()
    return lower, upper


@pytest.mark.parametrize("name", ["keras", "keras-tuner", "mlflow", "optuna", "ray"])
def test_what_is_tested_as_the_oldest_is_the_lower_bound(name):
    tested = (ROOT / "tests/compat/oldest.txt").read_text(encoding="utf-8")
    (version,) = re.findall(rf"^{name}==(\S+)$", tested, re.M)
    lower, upper = ([int(n) for n in bound.split(".")] for bound in bounds(name))
    assert lower == [int(n) for n in version.split(".")][: len(lower)]
    assert lower < upper
