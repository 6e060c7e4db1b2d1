"""The conda recipe is that of pyproject.toml, and rattler-build reads it."""

import importlib.util
import tomllib
from pathlib import Path

import pytest

from hpsearch.spec.yaml_lines import parse_yaml

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "packaging" / "conda" / "recipe.yaml"


@pytest.fixture
def maker():
    """The script that makes the recipe."""
    spec = importlib.util.spec_from_file_location("make_recipe", RECIPE.with_name("make_recipe.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_recipe_is_made_from_the_project_as_it_is(maker):
    assert maker.format_recipe() == RECIPE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("requirement", "expected"),
    [
        ("click>=8.1", "click >=8.1"),
        ("keras>=3.15.1,<3.16", "keras >=3.15.1,<3.16"),
        ("jax[cuda12] >=0.7", "jax >=0.7"),
        ("matplotlib>=3.9", "matplotlib-base >=3.9"),
        ("ruamel.yaml", "ruamel.yaml"),
    ],
)
def test_a_requirement_is_written_as_conda_does(maker, requirement, expected):
    assert expected == maker.convert_requirement(requirement)


def test_every_dependency_is_required_and_no_other():
    recipe, _ = parse_yaml(RECIPE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = {line.split()[0] for line in recipe["requirements"]["run"]} - {"python"}
    assert len(project["dependencies"]) == len(required)
    assert {"jax", "keras", "mlflow", "optuna"} <= required
    assert project["version"] == recipe["context"]["version"]
    assert f"python {project['requires-python']}" in recipe["requirements"]["run"]


def test_rattler_build_reads_the_recipe():
    reason = "needs rattler-build: pip install py-rattler-build"
    rattler_build = pytest.importorskip("rattler_build", reason=reason)
    recipe = rattler_build.Stage0Recipe.from_file(RECIPE)
    [variant] = recipe.render()
    assert "hpsearch" == str(variant.recipe.package.name)
