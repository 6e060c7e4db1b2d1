"""MLflow's pages of a finished study, opened in a real browser."""

import os
import signal
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow import MlflowClient

from .conftest import command

PATIENCE = 60  # seconds for a page on a busy machine


@contextmanager
def interface(root: Path):
    """The address of `hpsearch ui` for the store in `root`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    child = subprocess.Popen(
        command("ui", "--port", port),
        cwd=root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(2 * PATIENCE):
            try:
                urllib.request.urlopen(f"{url}/health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.5)
        yield url
    finally:
        os.killpg(child.pid, signal.SIGTERM)
        child.wait()


@pytest.fixture(scope="module")
def page(finished, browser, tmp_path_factory):
    """Opens a page of the interface and waits until it shows some texts."""
    shots = Path(os.environ.get("HPSEARCH_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    with interface(finished.root) as url:

        def show(path: str, *texts: str, name: str, frame: str | None = None) -> str:
            from selenium.webdriver.common.by import By
            from selenium.webdriver.support.ui import WebDriverWait

            browser.switch_to.default_content()
            browser.get("about:blank")
            browser.get(f"{url}/#{path}")
            if frame:
                waiting = WebDriverWait(browser, PATIENCE)
                waiting.until(lambda b: b.find_elements(By.CSS_SELECTOR, frame))
                browser.switch_to.frame(browser.find_element(By.CSS_SELECTOR, frame))

            def body(driver) -> str:
                return driver.find_element(By.TAG_NAME, "body").text

            WebDriverWait(browser, PATIENCE, ignored_exceptions=[Exception]).until(
                lambda b: all(text in body(b) for text in texts), f"{path} never showed {texts}"
            )
            seen = body(browser)
            browser.save_screenshot(str(shots / f"{name}.png"))
            return seen

        yield show


@pytest.fixture(scope="module")
def client(finished) -> MlflowClient:
    return MlflowClient(finished.uri)


def test_the_experiment_lists_the_study_and_counts_its_trials(page, finished):
    experiment = finished.answer["experiment_id"]
    # The trials' runs are folded below the study's, but counted.
    page(f"/experiments/{experiment}/runs", "cancer", "6 matching runs", name="experiment")


def test_the_studys_run_tells_its_result_in_words(page, finished):
    experiment, run = finished.answer["experiment_id"], finished.answer["run_id"]
    page(f"/experiments/{experiment}/runs/{run}", "Chosen", "roc_auc", name="study")


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
        "Parallel coordinates",
        "Datetime",  # an axis: the page's script has drawn it
        name="interactive",
        frame="iframe",
    )
