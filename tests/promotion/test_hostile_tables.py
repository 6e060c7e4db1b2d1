"""Tables that are hard to read, from the command that tunes to the server that answers."""

from __future__ import annotations

import csv
import io
import json
from contextlib import chdir
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from promotion.test_same_answers import probabilities, served

from hpsearch.cli import main

ROWS, LOCKED = 40, 12
SPELLINGS = ["True", "FALSE", "yes", "No", "true"]
NAMES = {
    "truth": ["id", "flag", "y"],
    "dates": ["when", "size", "y"],
    "bare": ["text", "n", "y"],
}
DATA = {
    "truth": "columns: {id: {kind: categorical}}",
    "dates": "separator: ';', decimal: ',', columns: {when: {kind: date, missing: ['?', NA]}, "
    "size: {missing: ['-']}}",
    "bare": "header: false, names: [text, n, y]",
}


def cells(kind: str, row: int) -> list[str]:
    """The row of a table; `y` hangs on the other columns."""
    label = "ab"[row // 2 % 2]
    if kind == "truth":
        return [["007", "7", "0070"][row % 3], SPELLINGS[(row * 3 + row // 2) % 5], label]
    if kind == "dates":
        when = f"2024-{row % 12 + 1:02d}-{row % 28 + 1:02d}T{row % 24:02d}:30:00+09:00"
        return ["?" if row % 9 == 4 else when, "-" if row % 7 == 3 else f"{row},25", label]
    return [["x, y", 'say "x"', "z"][row % 3], str(row * 7 % 11), label]


def text_of(kind: str, rows: range) -> str:
    out = io.StringIO()
    end = "\r" if kind == "bare" else "\n"
    writer = csv.writer(out, delimiter=";" if kind == "dates" else ",", lineterminator=end)
    if kind != "bare":
        writer.writerow(NAMES[kind])
    writer.writerows(cells(kind, row) for row in rows)
    return out.getvalue()


@pytest.mark.long
@pytest.mark.usefixtures("inline_workers")
@pytest.mark.parametrize("kind", list(NAMES))
def test_a_hostile_table_is_answered_as_its_locked_rows_were(tmp_path: Path, kind: str) -> None:
    (tmp_path / "train.csv").write_bytes(text_of(kind, range(ROWS)).encode())
    (tmp_path / "new.csv").write_bytes(text_of(kind, range(ROWS, ROWS + LOCKED)).encode())
    (tmp_path / "s.yaml").write_text(
        f"data: {{source: train.csv, test_source: new.csv, target: y, {DATA[kind]}}}\n"
        "training: {epochs: 1}\ncross_validation: {folds: 2}\nselection: {finalists: 0}\n"
        "search_space: {units: 4}\nbudget: {trials: 1}\n",
        encoding="utf-8",
    )

    def run(*arguments: str) -> None:
        done = CliRunner().invoke(main, arguments)
        assert 0 == done.exit_code, done.output

    with chdir(tmp_path):
        run("tune", "s.yaml", "--quiet")
        run("promote", "s", "--as", "hostile@champion")
        run("predict", "hostile@champion", "new.csv", "-o", "out.csv")
        mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
        model = mlflow.pyfunc.load_model("models:/hostile@champion")
    with np.load(tmp_path / "mlruns/studies/s/final/predictions.npz") as saved:
        positive = saved["prediction"][:, 0]
    assert np.std(positive) > 0
    frame = pd.DataFrame(
        [cells(kind, row)[:-1] for row in range(ROWS, ROWS + LOCKED)], columns=NAMES[kind][:-1]
    )
    body = json.dumps({"dataframe_split": json.loads(frame.to_json(orient="split"))})
    for answer in (
        probabilities(pd.read_csv(tmp_path / "out.csv")),
        probabilities(model.predict(frame)),
        served(model, body, "application/json"),
    ):
        np.testing.assert_allclose(positive, answer[:, 1], atol=1e-6)
