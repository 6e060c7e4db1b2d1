"""MLflow's pages of a finished study in a real browser."""

import os
import signal
import socket
import subprocess
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow import MlflowClient

from hpsearch.tracking.study_runs import journal_key as read_key

from .conftest import command

PATIENCE = 60  # seconds for a page on a busy machine


@contextmanager
def interface(root: Path):
    """The page that `hpsearch ui` prints for the store in `root`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    child = subprocess.Popen(
        command("ui", "--port", port),
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        lines = iter(child.stderr.readline, "")  # before it: which port is taken, if any
        live = next(line for line in lines if line.startswith("live page of"))
        with urllib.request.urlopen(live.rpartition(": ")[2].strip(), timeout=PATIENCE) as answer:
            assert "<h1>" in answer.read().decode()
        yield child.stdout.readline().strip()  # it is printed once the server answers
    finally:
        os.killpg(child.pid, signal.SIGINT)
        said = child.stderr.read()  # `communicate` leaves out what readline had read ahead
        child.communicate()
        assert 128 + signal.SIGINT == child.returncode
        assert "Traceback" not in said
        assert 1 == len(said.splitlines())  # that it starts


@pytest.fixture(scope="module")
def page(finished, browser, tmp_path_factory):
    """Opens a page of the interface and waits until it shows some texts."""
    shots = Path(os.environ.get("HPSEARCH_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    before = browser.get_window_size()
    browser.set_window_size(1900, 1000)  # MLflow draws no columns beyond the edge of its table
    with interface(finished.root) as first:
        url = first.partition("/#")[0]

        def show(path: str | None, *texts: str, name: str, frame: str | None = None) -> str:
            from selenium.common.exceptions import TimeoutException
            from selenium.webdriver.common.by import By
            from selenium.webdriver.support.ui import WebDriverWait

            browser.switch_to.default_content()
            browser.get("about:blank")
            browser.get(first if path is None else f"{url}/#{path}")
            if frame:
                waiting = WebDriverWait(browser, PATIENCE)
                waiting.until(lambda b: b.find_elements(By.CSS_SELECTOR, frame))
                browser.switch_to.frame(browser.find_element(By.CSS_SELECTOR, frame))

            def body(driver) -> str:
                return driver.find_element(By.TAG_NAME, "body").text

            try:
                WebDriverWait(browser, PATIENCE, ignored_exceptions=[Exception]).until(
                    lambda b: all(text in body(b) for text in texts)
                )
            except TimeoutException as error:
                raise AssertionError(f"{path} never showed {texts}: {body(browser)}") from error
            seen = body(browser)
            browser.save_screenshot(str(shots / f"{name}.png"))
            return seen

        yield show
    browser.set_window_size(before["width"], before["height"])


@pytest.fixture(scope="module")
def client(finished) -> MlflowClient:
    return MlflowClient(finished.uri)


def test_ui_opens_the_trials_flat_and_the_best_first(page, finished):
    from hpsearch.history import load_history

    history = load_history(finished.folder / "journal.jsonl")
    seen = page(None, "5 matching runs", "score_std", "best_epoch", "state", name="experiment")
    ranked = [trial.name for trial in history.trials if trial.score is not None]
    ranked.sort(key=lambda name: -next(t.score for t in history.trials if t.name == name))
    assert ranked == [line for line in seen.splitlines() if line.startswith("trial-")]
    assert "Model training" in seen
    assert "COMPLETE" in seen


def test_the_views_charts_are_prepared(page, finished):
    experiment = finished.answer["experiment_id"]
    key = read_key(finished.folder / "journal.jsonl")
    view = f"viewStateShareKey=trials-{key[:8]}&compareRunsMode=CHART"
    path = f"/experiments/{experiment}/runs?{view}"
    page(path, "Search\n(4)", "val/roc_auc", "val/loss", name="charts")


def test_the_studys_run_tells_its_result_in_words(page, finished):
    experiment, run = finished.answer["experiment_id"], finished.answer["run_id"]
    page(f"/experiments/{experiment}/runs/{run}", "Chosen", "on the locked rows", name="study")


def test_a_trials_page_draws_its_curves(page, finished):
    experiment, run = finished.answer["experiment_id"], finished.answer["best"]["run_id"]
    path = f"/experiments/{experiment}/runs/{run}/model-metrics"
    page(path, "(fold_0/val_loss)", "(fold_0/val_roc_auc)", "train\n", "val\n", name="curves")


def test_a_plot_and_the_interactive_page_open_as_artifacts(page, finished, client):
    experiment, run = finished.answer["experiment_id"], finished.answer["run_id"]
    plots = {Path(f.path).name for f in client.list_artifacts(run, "plots")}
    assert {"00_history.png", "interactive.html"} <= plots
    page(
        f"/experiments/{experiment}/runs/{run}/artifacts/plots/00_history.png",
        "00_history.png",
        name="plot",
    )
    page(
        f"/experiments/{experiment}/runs/{run}/artifacts/plots/interactive.html",
        "Optimisation history",
        "Time line",
        "Datetime",  # an axis: the page's script has drawn it
        name="interactive",
        frame="iframe",
    )


def test_the_report_opens_as_an_artifact(page, finished):
    experiment, run = finished.answer["experiment_id"], finished.answer["run_id"]
    page(
        f"/experiments/{experiment}/runs/{run}/artifacts/report.html",
        "is the winner",
        "Parallel coordinates",
        "5 of 5 trials",  # the page's script has drawn the table
        name="report",
        frame="iframe",
    )
