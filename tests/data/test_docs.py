"""The pages on data document every key, and their examples are accepted."""

import re
from pathlib import Path

import pytest
from data.spelling_table import written
from ruamel.yaml import YAML

from hpsearch.spec.data_spec import (
    ColumnSpec,
    CrossValidationSpec,
    DataSpec,
    ForecastSpec,
    WindowSpec,
)
from hpsearch.spec.study_file import load_dict

DOCS = Path(__file__).parents[2] / "docs"
DATA, *OTHERS = (
    (DOCS / f"{name}.md").read_text(encoding="utf-8")
    for name in ("data", "text", "images", "time_series", "cross_validation")
)
PAGES = "\n".join([DATA, *OTHERS])
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGES, re.DOTALL)


@pytest.mark.parametrize(
    "model", [DataSpec, ColumnSpec, CrossValidationSpec, WindowSpec, ForecastSpec]
)
def test_every_key_is_documented(model):
    missing = [k for k in model.model_fields if not re.search(rf"\b{k}\b", PAGES)]
    assert [] == missing


@pytest.mark.parametrize("block", BLOCKS)
def test_every_example_is_accepted(block):
    plain = YAML(typ="safe", pure=True).load(block)
    if not {"data", "cross_validation"} >= plain.keys():
        load_dict(plain)  # a whole study
        return
    if "data" in plain:
        DataSpec(**plain["data"])
    if "cross_validation" in plain:
        CrossValidationSpec(**plain["cross_validation"])


def test_the_table_of_spellings_is_what_the_reader_does():
    assert DATA == written(DATA)
