"""`predict` streams a file, and answers as the served model does."""

from __future__ import annotations

import gzip
import importlib.util
import io
import json
import os
import py_compile
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest
from answer_check import read_answer
from click.testing import CliRunner
from promotion.conftest import Store

from hpsearch.cli import main
from hpsearch.errors import DataError, PromotionError
from hpsearch.promotion import Reference, predict_file, promote_run, row_file
from hpsearch.promotion.registry import version_at

CANCER = Reference("scored")


@pytest.fixture(scope="module", autouse=True)
def promoted(store: Store) -> None:
    promote_run(store.client, store.study("scored"), CANCER)


def answers(store: Store, source: Path, **options: Any) -> pd.DataFrame:
    output = io.StringIO()
    counts = predict_file(store.client, CANCER, source, output, **options)
    table = pd.read_csv(io.StringIO(output.getvalue()))
    assert counts.rows == len(table)
    return table


def served(store: Store, frame: pd.DataFrame) -> pd.DataFrame:
    from mlflow import pyfunc

    version = version_at(store.client, CANCER)
    assert version is not None
    uri = store.client.get_model_version_download_uri(CANCER.name, version.version)
    return pyfunc.load_model(uri).predict(frame)


def test_a_file_is_answered_as_the_mlflow_model_answers_it(
    store: Store, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_file, "BLOCK_BYTES", 1000)  # bytes: many blocks
    expected = served(store, pd.read_csv(table))
    found = answers(store, table)
    assert list(expected.columns) == list(found.columns)
    assert expected["label"].tolist() == found["label"].tolist()
    for name in ("probability_no", "probability_yes"):
        np.testing.assert_allclose(expected[name], found[name], atol=1e-6)


def test_gzip_parquet_and_other_separators_are_read(
    store: Store, table: Path, tmp_path: Path
) -> None:
    expected = answers(store, table)
    frame = pd.read_csv(table, dtype=str, keep_default_na=False)
    (tmp_path / "new.csv.gz").write_bytes(gzip.compress(table.read_bytes()))
    (tmp_path / "bom.csv").write_bytes(b"\xef\xbb\xbf" + table.read_bytes())
    frame.to_csv(tmp_path / "new.tsv", sep="\t", index=False)
    frame.to_parquet(tmp_path / "new.parquet")
    for name in ("new.csv.gz", "bom.csv", "new.tsv", "new.parquet"):
        pd.testing.assert_frame_equal(expected, answers(store, tmp_path / name))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("city,age\nBonn,3\n", "'charges' is missing"),
        ("city,age,charges\nBonn,3,1\nKöln,4\n", "line 3: 2 fields, expected 3"),
        ("city,age,charges\nBonn,old,1\n", "'old' is not a number"),
        ("city,age,age,charges\nBonn,3,3,1\n", "duplicate column names"),
        ("", "empty"),
    ],
)
def test_a_bad_file_is_one_line_of_error(
    store: Store, tmp_path: Path, content: str, reason: str
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=reason) as error:
        answers(store, path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["none.csv", "none.parquet"])
def test_the_answer_for_no_rows_is_a_header(store: Store, tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame({"city": [], "age": [], "charges": []})
    path = tmp_path / name
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    found = answers(store, path)
    assert ["label", "probability_no", "probability_yes"] == list(found.columns)
    assert 0 == len(found)


def test_text_that_is_no_utf8_is_refused(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes("city,age,charges\nKöln,1,2\n".encode("latin-1"))
    with pytest.raises(DataError, match="UTF"):
        answers(store, path)


def test_a_model_that_is_not_there_is_named(store: Store, table: Path) -> None:
    with pytest.raises(PromotionError, match="there is no nobody@champion"):
        predict_file(store.client, Reference("nobody"), table, io.StringIO())


@pytest.fixture(scope="module")
def exchanged(store: Store) -> Path:
    """The folder of a promoted model's files, in which somebody else may write."""
    promote_run(store.client, store.study("exchanged"), Reference("exchanged"))
    version = version_at(store.client, Reference("exchanged"))
    assert version is not None
    return Path(store.client.get_model_version_download_uri("exchanged", version.version))


@pytest.mark.parametrize(
    "file",
    [
        *("artifacts/model.keras", "artifacts/schema.json", "served_model.py"),
        *("code/hpsearch_schema.py", "code/json.py", "MLmodel"),
    ],
)
def test_a_model_that_was_exchanged_is_refused(
    store: Store, exchanged: Path, table: Path, file: str
) -> None:
    path = exchanged / file
    before = path.read_bytes() if path.exists() else None
    path.write_bytes((before or b"") + b"\n")
    with pytest.raises(PromotionError, match="one of its files has changed"):
        predict_file(store.client, Reference("exchanged"), table, io.StringIO())
    path.unlink() if before is None else path.write_bytes(before)


def test_bytecode_beside_a_models_code_does_not_run(
    store: Store, exchanged: Path, table: Path, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    hostile = tmp_path / "hostile.py"
    hostile.write_text(f"open({str(canary)!r}, 'w')")
    source = exchanged / "code" / "hpsearch_schema.py"
    place = source.parent / importlib.util.cache_from_source(source.name)
    checked = py_compile.PycInvalidationMode.UNCHECKED_HASH  # Python takes it for the source's
    py_compile.compile(str(hostile), str(place), invalidation_mode=checked)
    predict_file(store.client, Reference("exchanged"), table, io.StringIO())
    assert not canary.exists()


def scored(server: subprocess.Popen[str], port: int, rows: pd.DataFrame) -> pd.DataFrame:
    """What a server that has just been started answers for `rows`."""
    assert server.stdout is not None
    said = []
    for line in server.stdout:
        said.append(line)
        if "Uvicorn running" in line:
            break
    else:
        pytest.fail("".join(said)[-3000:])
    body = json.dumps({"dataframe_split": json.loads(rows.to_json(orient="split"))})
    return asked(port, body.encode(), "application/json")


def asked(port: int, body: bytes, kind: str) -> pd.DataFrame:
    """What the server answers to one request."""
    address = f"http://127.0.0.1:{port}/invocations"
    request = urllib.request.Request(address, body, {"Content-Type": kind})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return pd.DataFrame(json.load(answer)["predictions"])


def test_mlflow_serves_the_documented_json_and_csv(store: Store, table: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    rows = pd.read_csv(table).head(5)
    expected = served(store, rows)
    command = [
        *(sys.executable, "-m", "mlflow", "models", "serve", "-m", CANCER.uri),
        *("--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)),
    ]
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # uvicorn is there
    environment = {**os.environ, "MLFLOW_TRACKING_URI": store.uri, "PATH": beside}
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as server:
        try:
            found = scored(server, port, rows)
            as_text = asked(port, table.read_bytes(), "text/csv")
            address = f"http://127.0.0.1:{port}/invocations"
            head = {"Content-Type": "text/csv"}
            bad = urllib.request.Request(address, b"city,age\nBonn,3\n", head)
            with pytest.raises(urllib.error.HTTPError, match="400") as refused:
                urllib.request.urlopen(bad, timeout=120)
            assert b"column 'charges' is missing" in refused.value.read()
        finally:
            os.killpg(server.pid, signal.SIGTERM)
    np.testing.assert_allclose(expected["probability_yes"], found["probability_yes"], atol=1e-6)
    assert expected["label"].tolist() == found["label"].tolist()
    whole = answers(store, table)
    np.testing.assert_allclose(whole["probability_yes"], as_text["probability_yes"], atol=1e-6)


def test_cells_that_say_nothing_are_counted_by_column(store: Store, table: Path) -> None:
    frame = pd.read_csv(table, dtype=str, keep_default_na=False)
    counts = predict_file(store.client, CANCER, table, io.StringIO())
    assert {"city": {"Ulm": int((frame["city"] == "Ulm").sum())}} == counts.unknown
    blanks = {name: int((frame[name].str.strip() == "").sum()) for name in ("city", "charges")}
    assert blanks == counts.missing


def test_strict_refuses_them_before_a_row_is_answered(store: Store, table: Path) -> None:
    output = io.StringIO()
    with pytest.raises(DataError, match=r"city: .* categories that are unknown: 'Ulm'") as error:
        predict_file(store.client, CANCER, table, output, strict=True)
    assert "charges: " in str(error.value)
    assert "" == output.getvalue()


def test_kept_columns_stand_before_the_answers(
    store: Store, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_file, "BLOCK_BYTES", 1000)
    found = answers(store, table, keep=["id", "city"])
    assert ["id", "city", "label"] == list(found.columns)[:3]
    assert list(range(500)) == found["id"].tolist()
    with pytest.raises(DataError, match="column 'nobody' is missing"):
        answers(store, table, keep=["nobody"])


def test_the_command_reads_standard_input_and_prints_one_object(
    store: Store, table: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.csv"
    told = ["predict", "scored@champion", "-", "--tracking-uri", store.uri]
    done = CliRunner().invoke(
        main, [*told, "-o", str(output), "--keep", "id", "--json"], input=table.read_bytes()
    )
    assert 0 == done.exit_code, done.output
    summary = read_answer("predict", done.stdout)
    assert 500 == summary["rows"] == len(pd.read_csv(output))
    assert {"city"} == summary["unknown"].keys()
    assert "city: " in done.stderr
    parquet = tmp_path / "out.parquet"
    done = CliRunner().invoke(main, [*told, "-o", str(parquet)], input=table.read_bytes())
    assert 0 == done.exit_code, done.output
    pd.testing.assert_frame_equal(
        pd.read_csv(output).drop(columns="id"), pd.read_parquet(parquet), check_dtype=False
    )
    refused = CliRunner().invoke(main, [*told, "--json"], input=table.read_bytes())
    assert 2 == refused.exit_code
    damaged = CliRunner().invoke(main, told, input=b"city;age\nBonn")
    assert 2 == damaged.exit_code
    assert "standard input: " in damaged.stderr
    assert tempfile.gettempdir() not in damaged.stderr


def test_rows_and_predictions_may_be_in_a_bucket(
    store: Store, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3
    from server_parts import S3_KEYS, s3_server

    with s3_server("lake") as uri:
        for name, value in {**S3_KEYS, "AWS_ENDPOINT_URL": uri}.items():
            monkeypatch.setenv(name, value)
        bucket = boto3.resource("s3", region_name="us-east-1").Bucket("lake")
        bucket.put_object(Key="in.csv", Body=table.read_bytes())

        def predict(rows: str, output: str, *options: str) -> tuple[int, str]:
            line = ["predict", "scored@champion", rows, "-o", output, *options]
            done = CliRunner().invoke(main, [*line, "--tracking-uri", store.uri])
            return done.exit_code, done.output

        assert 0 == predict("s3://lake/in.csv", "s3://lake/out/answers.csv")[0]
        found = bucket.Object("out/answers.csv").get()["Body"]
        pd.testing.assert_frame_equal(answers(store, table), pd.read_csv(found))
        for rows, output, message in (
            ("s3://lake/in.csv", "s3://lake/out/answers.csv", "answers.csv exists: name another"),
            ("s3://lake/no.csv", "s3://lake/new.csv", "s3://lake/no.csv: it cannot be read"),
            (str(table), "https://lake.invalid/out.csv", "are written to object stores"),
            (str(table), "s3://pond/out.csv", "it cannot be written: there is no bucket pond"),
        ):
            code, text = predict(rows, output)
            assert (2, True) == (code, message in text), text


def test_a_folder_is_predicted_by_files_and_goes_on_after_an_interruption(
    store: Store, table: Path, tmp_path: Path
) -> None:
    frame = pd.read_csv(table, dtype=str, keep_default_na=False)
    rows, output = tmp_path / "rows", tmp_path / "answers"
    for city, part in frame.groupby("city"):
        folder = rows / f"city={quote(city) or '__HIVE_DEFAULT_PARTITION__'}"
        folder.mkdir(parents=True)
        part.drop(columns="city").to_csv(folder / "part-0.csv", index=False)

    def predict(*options: str) -> str:
        line = ["predict", "scored@champion", str(rows), "-o", str(output), "--keep", "id"]
        done = CliRunner().invoke(
            main, [*line, *options, "--tracking-uri", store.uri], catch_exceptions=False
        )
        return f"{done.exit_code} {done.output}"

    assert f"4 files in {output}, 0 of them predicted before" in predict()
    parts = sorted(output.rglob("*.csv"))
    found = pd.concat(map(pd.read_csv, parts)).sort_values("id", ignore_index=True)
    expected = answers(store, table, keep=("id",)).sort_values("id", ignore_index=True)
    pd.testing.assert_frame_equal(expected, found)
    output = tmp_path / "answers.parquet"
    assert f"4 files in {output}, 0 of them predicted before" in predict()
    parquet = pd.concat(map(pd.read_parquet, sorted(output.rglob("*.parquet"))))
    parquet["id"] = parquet["id"].astype(int)
    pd.testing.assert_frame_equal(expected, parquet.sort_values("id", ignore_index=True))
    output = tmp_path / "answers"
    parts[0].unlink()
    assert f"4 files in {output}, 3 of them predicted before" in predict()
    assert parts[0].exists()
    assert "another model or of other options" in predict("--keep", "age")
