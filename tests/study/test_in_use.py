"""Promotion and rollback on a real tracking server."""

import csv
import io
import json
import urllib.request
from contextlib import chdir
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from answer_check import read_answer
from click.testing import CliRunner
from mlflow import MlflowClient, pyfunc
from mlflow_server import SECONDS, TrackingServer, served
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from hpsearch.cli import main
from hpsearch.platforms.identity import host_name, user_name
from hpsearch.study.prepare import load_data
from hpsearch.study.tune import read_spec

WEAK = """\
seed: 3
data: {source: "sklearn:breast_cancer", test_fraction: 0.3}
cross_validation: {folds: 2}
training: {epochs: 1}
selection: {finalists: 0}
search_space: {optimizer: sgd, learning_rate: 1e-6, units: 8}
budget: {trials: 1}
"""
STRONG = WEAK.replace("epochs: 1", "epochs: 15").replace("sgd, learning_rate: 1e-6", "adam")


@pytest.fixture(scope="module")
def tracking(tracking_server: TrackingServer) -> str:
    return tracking_server.uri


@pytest.mark.usefixtures("inline_workers")
@pytest.mark.parametrize("served_by_mlflow", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_model_goes_into_use_only_if_it_is_better_and_comes_back_with_one_command(
    tracking: str,
    browser,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    served_by_mlflow: bool,
) -> None:
    """tests/promotion/test_scoring.py asks a server of MLflow's in `make test`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking)

    def run(*arguments: str, code: int = 0) -> str:
        done = CliRunner().invoke(main, arguments)
        assert code == done.exit_code, done.output
        return done.output

    for name, text in (("weak", WEAK), ("strong", STRONG)):
        Path(f"{name}.yaml").write_text(text, encoding="utf-8")
        told = run("tune", f"{name}.yaml")
        option = f" --tracking-uri {tracking}"
        assert f"hpsearch promote {name} --as {name}@champion{option}" in told
        assert f"hpsearch ui {name}{option}" in told
    assert "cancer@champion is version 1 of weak" in run("promote", "weak", "--as", "cancer")
    passed = read_answer("promote", run("promote", "strong", "--as", "cancer@champion", "--json"))
    assert (2, 1, "strong") == (passed["version"], passed["before"], passed["study"])
    assert passed["comparison"]["certain_gain"] > 0
    assert 171 == passed["comparison"]["rows"]
    refused = run("promote", "weak", "--as", "cancer", code=3)
    assert "on the same 171 locked rows" in refused
    assert "not better by the required 0" in refused

    browser.get(f"{tracking}/#/models/cancer")
    WebDriverWait(browser, SECONDS, ignored_exceptions=[Exception]).until(
        lambda page: "champion" in page.find_element(By.TAG_NAME, "body").text
    )

    rows = load_data(read_spec("strong.yaml")).locked_rows.read().table.to_pandas()
    rows.drop(columns="target").to_csv("rows.csv", index=False)
    told = list(csv.DictReader(io.StringIO(run("predict", "cancer@champion", "rows.csv"))))
    ask = ask_server if served_by_mlflow else ask_loaded
    answered = ask(rows.drop(columns="target"))
    np.testing.assert_allclose(
        [float(row["probability_1"]) for row in told],
        [row["probability_1"] for row in answered],
        atol=1e-6,
    )
    assert [row["label"] for row in told] == [str(row["label"]) for row in answered]

    back = read_answer("rollback", run("rollback", "cancer", "--json"))
    assert ("champion", 1, 2) == (back["alias"], back["version"], back["before"])
    listed = run("models")
    assert "weak" in listed
    assert "strong" in listed
    versions = read_answer("models", run("models", "--json"))["models"]
    assert [(2, "strong"), (1, "weak")] == [(m["version"], m["study"]) for m in versions]
    assert ["champion"] == [a for m in versions for a in m["aliases"] if a == "champion"]


def ask_loaded(rows: pd.DataFrame) -> list[dict[str, object]]:
    """What the champion answers where MLflow has loaded it."""
    return pyfunc.load_model("models:/cancer@champion").predict(rows).to_dict("records")


def ask_server(rows: pd.DataFrame) -> list[dict[str, object]]:
    """What the champion answers to a request."""
    model = ("models", "serve", "-m", "models:/cancer@champion", "--env-manager", "local")
    with served(*model, path="/ping") as uri:
        split = json.loads(rows.to_json(orient="split", index=False))
        request = urllib.request.Request(
            f"{uri}/invocations",
            json.dumps({"dataframe_split": split}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return json.load(answer)["predictions"]


@pytest.mark.usefixtures("inline_workers")
@pytest.mark.long
def test_each_of_two_folders_with_one_name_promotes_its_own_winner(
    tracking: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking)

    def run(folder: str, *arguments: str, code: int = 0) -> str:
        with chdir(tmp_path / folder):
            done = CliRunner().invoke(main, arguments)
        assert code == done.exit_code, done.output
        return done.stderr if code else done.stdout

    answers = {}
    for folder, seed in (("ann", 1), ("bob", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "shared.yaml").write_text(STRONG.replace("seed: 3", f"seed: {seed}"))
        answers[folder] = json.loads(run(folder, "tune", "shared.yaml", "--json"))
    client = MlflowClient(tracking)
    for folder in ("ann", "bob"):  # ann first: hers is the older
        run(folder, "promote", "shared", "--as", f"of-{folder}")
        version = client.get_model_version_by_alias(f"of-{folder}", "champion")
        assert answers[folder]["run_id"] == version.tags["hpsearch.run"]
        page = run(folder, "ui", "shared").strip()
        key = client.get_run(answers[folder]["run_id"]).data.tags["hpsearch.key"]
        assert f"/runs?viewStateShareKey=trials-{key[:8]}&" in page
        assert answers[folder]["run_id"] in run(folder, "sync", "shared")
    (tmp_path / "elsewhere").mkdir()
    refused = run("elsewhere", "promote", "shared", "--as", "whose", code=2)
    assert "has 2 studies of the name 'shared'. Say which one with --key:" in refused
    assert 2 == refused.count(f"{user_name()} on {host_name()}")
    key = client.get_run(answers["ann"]["run_id"]).data.tags["hpsearch.key"]
    run("elsewhere", "promote", "shared", "--as", "whose", "--key", key[:8])
    chosen = client.get_model_version_by_alias("whose", "champion")
    assert answers["ann"]["run_id"] == chosen.tags["hpsearch.run"]
