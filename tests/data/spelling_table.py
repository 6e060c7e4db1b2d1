"""The table of docs/data.md: how each spelling of a cell is read, in training and in serving.

    python tests/data/spelling_table.py --write

Made by reading: each row is a column of a small file that is loaded as a study would load it, and
the cell is then cleaned by the schema that a served model holds.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from hpsearch.data import load
from hpsearch.data.columns import CellCounts, Column
from hpsearch.data.schema import Schema
from hpsearch.errors import DataError
from hpsearch.spec.data_spec import CrossValidationSpec, DataSpec

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
BEGIN, END = "<!-- spellings: made by tests/data/spelling_table.py -->", "<!-- end of spellings -->"
NUMBERS = ("1", "2.5", "-3")
# The other cells of the column, what is declared of it, and the cells that are asked.
CASES: tuple[tuple[tuple[str, ...], dict[str, object], tuple[str, ...]], ...] = (
    (NUMBERS, {}, ("7", "7.0", "+7", "1e3", "NA", "", "n/a", "007", "1,250", "true", "abc")),
    (NUMBERS, {"missing": [-3]}, ("-3", "-3.0")),
    (("0,5", "2,75", "10"), {}, ("0,5", "1250", "1.250")),
    (("1,250", "12", "3,000,000"), {}, ("1,250", "999", "12,50")),
    (("1.250,5", "12"), {"format": "1.250,5"}, ("1.250,5", "0,5", "0.5")),
    (("$5", "$1,250"), {}, ("$1,250", "5")),
    (("5%", "12.5%"), {}, ("12.5%", "0.125")),
    (("007", "012", "123"), {}, ("007", "7", "123.0")),
    (("007", "012"), {"kind": "numeric"}, ("007", "7")),
    (("12E3", "1250"), {}, ("12E3", "12000")),
    (("3.1", "3.10"), {"kind": "categorical"}, ("3.1", "3.10", "3.100")),
    (("1", "2"), {"kind": "categorical"}, ("1", "1.0", "01", "NA")),
    (("red", "blue", "NA"), {}, ("red", " red ", "Red", "NA", "", "green")),
    (("True", "False"), {}, ("True", "TRUE", "yes", "1", "0")),
    (("yes", "Yes", "no"), {}, ("yes", "Yes", "YES")),
    (("2024-12-31", "2024-01-02"), {}, ()),
    (
        ("2024-12-31", "2024-01-02T08:00:00"),
        {"kind": "date"},
        ("2024-12-31", "2024-12-31T23:30:00", "2024-12-31T23:30:00+09:00", "NA", "31/12/2024"),
    ),
    (
        ("2024-12-31T08:00:00+09:00",),
        {"kind": "date"},
        (
            "2024-12-31T23:30+09:00",
            "2024-12-31T23:30",
            "2024-12-31T23:30-05:00",
            "2024-12-31T23:30Z",
        ),
    ),
    (
        ("2024-06-30T08:00:00+02:00", "2024-12-31T08:00:00+01:00"),
        {"kind": "date"},
        ("2024-12-31T08:00:00+01:00", "2024-12-31T07:00:00Z"),
    ),
    (
        ("2024-06-30T08:00:00+02:00", "2024-12-31T08:00:00+01:00"),
        {"kind": "date", "zone": "Europe/Berlin"},
        ("2024-12-31T08:00", "2024-12-31T07:00:00Z", "2024-06-30T07:00:00Z"),
    ),
    (("31/12/2024", "01/02/2024"), {}, ()),
    (("31/12/2024",), {"kind": "date", "format": "DD/MM/YYYY"}, ("31/12/2024", "1/2/2024 8:30")),
)


def read(cells: tuple[str, ...], spec: dict[str, object]) -> tuple[Schema, np.ndarray]:
    """The schema of a study whose column `x` holds the cells, and how they were cleaned."""
    lines = ["x;other;y"]
    lines += [f"{cells[i % len(cells)]};{i % 7};{i % 2}" for i in range(60)]
    if any("1,250" in cell for cell in cells) and "format" not in spec:  # of a CSV with commas
        quoted = [f'"{cells[i % len(cells)]}",{i % 7},{i % 2}' for i in range(60)]
        lines = ["x,other,y", *quoted]
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "rows.csv").write_text("\n".join(lines), encoding="utf-8")
        declared = {"x": spec} if spec else {}
        data = DataSpec(source="rows.csv", target="y", columns=declared, test_fraction=0)
        cv = CrossValidationSpec(kind="kfold", folds=2)
        found = load(data, task=None, cross_validation=cv, seed=1, folder=Path(name))
        return Schema.from_json(json.loads(json.dumps(found.schema.to_json()))), found.columns


def meaning(schema: Schema, cell: str) -> str:
    """What a cell is once it is cleaned."""
    columns = [c for c in schema.columns if c.raw_name == "x"]
    counts = CellCounts()
    try:
        values = Schema(tuple(columns)).clean({"x": [cell]}, counts)[0]
    except DataError:
        return "refused"
    if counts.unknown:
        return "unknown category"
    if np.isnan(values).all():
        return "missing"
    if columns[0].part:
        return ", ".join(f"{c.part} {v:g}" for c, v in zip(columns, values, strict=True))
    return said(columns[0], values[0])


def said(column: Column, value: float) -> str:
    if column.kind == "categorical":
        return f"category `{column.vocabulary[int(value)]}`"
    return f"{value:g}"


def shown(cell: str) -> str:
    return f"`{cell}`" if cell.strip() == cell and cell else f"`{cell}`" if cell else "(blank)"


def table() -> str:
    """The table in Markdown."""
    lines = ["| the column holds | declared | kind | a cell is read as |", "|---|---|---|---|"]
    for cells, spec, asked in CASES:
        held = ", ".join(map(shown, cells))
        word = ", ".join(f"`{key}: {value}`" for key, value in spec.items()) or "–"  # noqa: RUF001
        try:
            schema, _ = read(cells, spec)
        except DataError as error:
            reason = str(error).partition(": ")[2].partition(":")[0]
            lines.append(f"| {held} | {word} | refused | {reason} |")
            continue
        first = next(c for c in schema.columns if c.raw_name == "x")
        kind = "date" if first.part else first.kind
        each = "; ".join(f"{shown(cell)} → {meaning(schema, cell)}" for cell in asked)
        lines.append(f"| {held} | {word} | {kind} | {each} |")
    return "\n".join(lines)


def written(page: str) -> str:
    """The page with the table as it is now."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    new = written(PAGE.read_text(encoding="utf-8"))
    if "--write" in sys.argv:
        PAGE.write_text(new, encoding="utf-8")
    else:
        print(table())
