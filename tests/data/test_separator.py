"""Separators of delimited text, declared or passed to `predict`."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from hpsearch.cli import main
from hpsearch.spec.data_spec import DataSpec


@pytest.mark.parametrize("separator", ["", ";;", '"', "\n", "\r", "\0", "§", r"\t"])
def test_what_is_no_separator_is_refused(separator):
    with pytest.raises(ValidationError, match="one ASCII character"):
        DataSpec(separator=separator)


@pytest.mark.parametrize("separator", [";", "\t", "|", " ", ":", "\x01"])
def test_any_other_character_is_one(separator):
    assert separator == DataSpec(separator=separator).separator


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--separator", ";;"], "--separator: ';;' is not a separator: give one ASCII character"),
        (["-o", "answers.feather"], "predictions are written as CSV or Parquet: name a .csv"),
        (["-o", "-"], "omit -o for standard output"),
    ],
)
def test_predict_refuses_before_it_opens_a_model(tmp_path, options, said):
    rows = tmp_path / "rows.csv"
    rows.write_text("a\n1\n")
    done = CliRunner().invoke(main, ["predict", "model@champion", str(rows), *options])
    assert 2 == done.exit_code
    assert said in done.output
