"""A file that trained a model means the same when pandas reads it for the served model."""

import numpy as np
import pandas as pd
import pytest

from hpsearch.data import Dataset
from hpsearch.data.columns import CellCounts

CELLS = {  # column -> its different cells, as a file spells them
    "truth": ["True", "False", ""],
    "TRUTH": ["TRUE", "FALSE"],
    "time": ["8:30", "09:30", ""],
    "zip": ["01234", "99999", "00501"],
    "spaced": [" a", "a ", "b"],
    "number": ["1.0", "2.50", "NA"],
    "whole": ["1", "2", ""],
    "mixed": ["1", "x", "2.0"],
    "country": ["NA", "DE", "null"],
    "science": ["1e3", "2E-2", "-5"],
    "quoted": ['"a,b"', '"c"', "d"],
    "date": ["2011-01-01", "2012-02-29", "2013-05-05"],
    "letters": ["é", "日本", "ß"],
    "signed": ["-0.0", "0", "5"],
}
# pandas takes NA and null for missing, unless it is told that only a blank is.
BLANKS = {"keep_default_na": False, "na_values": [""]}
READINGS = {
    "as pandas guesses": {"na_filter": True, **BLANKS},
    "all text": {"dtype": str, "keep_default_na": False},
    "as Arrow": {"dtype_backend": "pyarrow", **BLANKS},
    "nullable": {"dtype_backend": "numpy_nullable", **BLANKS},
    "dates": {"parse_dates": ["date"], **BLANKS},
}
NUMBERS = ("zip", "whole", "science")  # -0.0 and 0 are one number, but two categories


def text() -> str:
    rng = np.random.default_rng(0)
    names = [*CELLS, "y"]
    rows = [[str(rng.choice(cells)) for cells in CELLS.values()] + [str(i % 2)] for i in range(200)]
    return "\n".join(",".join(row) for row in [names, *rows]) + "\n"


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("kinds", ["inferred", "categorical"])
def test_pandas_reads_what_was_trained_on(load_file, tmp_path, kinds, reading):
    columns = {"date": {"kind": "date"}}
    if kinds == "categorical":
        columns = {name: {"kind": "categorical"} for name in (*NUMBERS, "date")}
    data: Dataset = load_file(text(), columns=columns)
    frame = pd.read_csv(tmp_path / "rows.csv", **READINGS[reading]).iloc[data.rows]
    counts = CellCounts()
    served = data.schema.clean(frame, counts)
    for j, column in enumerate(data.schema.columns):
        np.testing.assert_array_equal(data.columns[:, j], served[:, j], column.name)
    assert {} == counts.unknown
