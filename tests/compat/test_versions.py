"""Version bounds of libraries whose private parts are used, and the tested versions."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LIBRARIES = ["keras", "keras-tuner", "mlflow", "optuna", "ray"]
DECLARED = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["ray"]]


def bounds(name: str) -> tuple[str, str]:
    """The lower and the upper bound that pyproject.toml declares."""
    (found,) = (d for d in DECLARED if re.match(rf"{name}(\[\w+\])?>=", d))
    lower, upper = re.fullmatch(r"[^>]+>=([\d.]+),<([\d.]+)", found).groups()
    return lower, upper


@pytest.mark.parametrize("name", LIBRARIES)
def test_what_is_tested_as_the_oldest_is_the_lower_bound(name):
    tested = (ROOT / "tests/compat/oldest.txt").read_text(encoding="utf-8")
    (version,) = re.findall(rf"^{name}==(\S+)$", tested, re.M)
    lower, upper = ([int(n) for n in bound.split(".")] for bound in bounds(name))
    assert lower == [int(n) for n in version.split(".")][: len(lower)]
    assert lower < upper


@pytest.mark.parametrize("name", LIBRARIES)
def test_what_is_locked_is_the_newest_minor_version_that_is_allowed(name):
    """So `make test` is the test of the newest versions that `.ci/run` has time for."""
    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    major, minor = re.search(rf"^{name}==(\d+)\.(\d+)", locked, re.M).groups()
    assert bounds(name)[1] == f"{major}.{int(minor) + 1}"
