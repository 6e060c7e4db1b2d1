"""Write `recipe.yaml` of the conda package from `pyproject.toml`; a test compares the two.

python packaging/conda/make_recipe.py
"""

import re
import tomllib
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
CONDA_NAMES = {"matplotlib": "matplotlib-base"}  # where conda-forge has another name
RECIPE = """\
# Made by packaging/conda/make_recipe.py from pyproject.toml: edit that file instead.
schema_version: 1

context:
  version: "{version}"

package:
  name: hpsearch
  version: ${{{{ version }}}}

source:
  path: ../..

build:
  number: 0
  noarch: python
  script: ${{{{ PYTHON }}}} -m pip install . -vv --no-deps --no-build-isolation
  python:
    entry_points:
{commands}

requirements:
  host:
    - python {oldest}.*
    - pip
{build}
  run:
    - python {python}
{run}

tests:
  - python:
      imports:
        - hpsearch
        - hpsearch.cli
  - script:
      - hpsearch --version

about:
  summary: {summary}
  license: {license}
  license_file: LICENSE
"""


def convert_requirement(requirement: str) -> str:
    """Convert `name[extra]>=1,<2` to conda's `name >=1,<2`."""
    found = re.fullmatch(r"([\w.-]+)(?:\[[\w,]+\])?(.*)", requirement)
    assert found is not None, requirement
    name = CONDA_NAMES.get(found[1], found[1])
    return f"{name} {found[2].strip()}".strip()


def format_recipe() -> str:
    """Format the recipe of the project as it is declared now."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        declared = tomllib.load(file)
    project = declared["project"]
    oldest = re.match(r">=(3\.\d+)", project["requires-python"])
    assert oldest is not None
    return RECIPE.format(
        version=project["version"],
        oldest=oldest[1],
        python=project["requires-python"],
        commands=_format_list([f"{k} = {v}" for k, v in project["scripts"].items()], indent=6),
        build=_format_list(map(convert_requirement, declared["build-system"]["requires"])),
        run=_format_list(map(convert_requirement, project["dependencies"])),
        summary=project["description"],
        license=project["license"],
    )


def _format_list(items, *, indent=4):
    return "\n".join(f"{' ' * indent}- {item}" for item in items)


if __name__ == "__main__":
    (FOLDER / "recipe.yaml").write_text(format_recipe(), encoding="utf-8")
