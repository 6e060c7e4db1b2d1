"""`hpsearch.tune` in a real notebook kernel, driven as Jupyter does."""

import queue
import time

import pytest

CELL = """
import numpy as np, hpsearch
X = np.random.default_rng(0).normal(size=(80, 3))
spec = {
    "study": "note",
    "data": {},
    "cross_validation": {"folds": 2},
    "training": {"epochs": 1, "early_stopping": None},
    "search_space": {"units": 3, "learning_rate": {"type": "float", "low": 0.001, "high": 0.1}},
    "budget": {"trials": TRIALS},
    "selection": {"finalists": 0},
    "execution": {"workers": 1},
}
result = hpsearch.tune(spec, (X, (X[:, 0] > 0).astype(int)), offline=True)
"""


@pytest.fixture
def kernel(tmp_path):
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(cwd=str(tmp_path), startup_timeout=300)
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def execute(client, code, heard=lambda message: None):
    """Run a cell; returns its messages as pairs of type and content."""
    asked, messages = client.execute(code), []
    ends = time.monotonic() + 400
    while time.monotonic() < ends:
        try:
            message = client.get_iopub_msg(timeout=5)
        except queue.Empty:
            continue
        if message["parent_header"].get("msg_id") != asked:
            continue
        kind, content = message["msg_type"], message["content"]
        messages.append((kind, content))
        heard(messages[-1])
        if kind == "status" and content["execution_state"] == "idle":
            return messages
    raise AssertionError(f"the cell has not ended: {messages[-3:]}")


def blocks(messages, kind):
    return [c["data"]["text/html"] for k, c in messages if k == kind and "text/html" in c["data"]]


@pytest.mark.long
def test_a_cell_shows_progress_stops_and_goes_on(kernel):
    manager, client = kernel
    stopped = []

    def stop(message):
        kind, content = message
        is_block = kind == "update_display_data" and "text/html" in content["data"]
        if is_block and "best: trial" in content["data"]["text/html"] and not stopped:
            stopped.append(manager.interrupt_kernel())

    told = execute(client, CELL.replace("TRIALS", "500"), stop)
    assert 1 == len(blocks(told, "display_data"))
    assert '<b>note</b> <progress max="500"' in blocks(told, "display_data")[0]
    errors = [content for kind, content in told if kind == "error"]
    assert ["StudyInterrupted"] == [error["ename"] for error in errors]
    assert 1 == len(errors[0]["traceback"])
    assert "The same call continues it." in errors[0]["traceback"][0]

    count = "import hpsearch; len(hpsearch.load('note').trials)"
    done = int(
        next(c for k, c in execute(client, count) if k == "execute_result")["data"]["text/plain"]
    )
    told = execute(client, CELL.replace("TRIALS", str(done + 1)))
    assert [] == [content for kind, content in told if kind == "error"]
    assert "winner" not in "".join(blocks(told, "display_data"))
    last = blocks(told, "update_display_data")[-1]
    assert f"{done + 1}/{done + 1} trials" in last
    shown = execute(client, "result")
    table = next(c for k, c in shown if k == "execute_result")["data"]["text/html"]
    assert "<b>note</b>" in table
    assert "param_units" in table


@pytest.mark.long
def test_a_mistake_is_shown_as_one_line(kernel):
    _, client = kernel
    told = execute(client, CELL.replace("TRIALS", "'many'"))
    error = next(content for kind, content in told if kind == "error")
    assert "SpecError" == error["ename"]
    assert 1 == len(error["traceback"])
    assert "budget.trials" in error["traceback"][0]
