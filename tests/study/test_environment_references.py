"""A study with a source from an environment variable, whose value is not recorded."""

import functools
import shutil
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest
from web_server import web_server

from hpsearch.history import load_history

from .conftest import invoke

CANARY = "Canary7f3a9d2c4b6"
SPEC = """\
study: elsewhere
data: {source: "${ROWS}", test_source: "${MORE_ROWS}", target: y}
objective: {metric: "${CODE}/own.py:cost", direction: minimize}
cross_validation: {folds: 2}
training: {epochs: 1}
search_space: {units: [2, 3, 4, 5], batch_size: 64}
sampler: {kind: random}
selection: {finalists: 0}
budget: {trials: 1}
"""
METRIC = """\
def cost(truth, prediction, weights):
    return float(abs(truth - prediction).mean())
"""


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a folder, and prints nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """Rows at `/CANARY…` and `/copy…` of a web server, and on disk."""
    rows = "".join(f"{n},{n * 7 % 10},{'yes' if n % 3 else 'no'}\n" for n in range(60))
    for folder in (f"{CANARY}00", f"{CANARY}11"):
        (tmp_path / "served" / folder).mkdir(parents=True)
        (tmp_path / "served" / folder / f"{CANARY}.csv").write_text(f"a,b,y\n{rows}")
    served = functools.partial(QuietHandler, directory=str(tmp_path / "served"))
    with web_server(served) as address:
        yield address


@pytest.mark.usefixtures("inline_workers_with_plots")
def test_the_value_of_a_variable_is_in_no_file_and_in_no_message(tmp_path, monkeypatch, web):
    root = tmp_path / "here"
    (root / "code").mkdir(parents=True)
    (root / "code" / "own.py").write_text(METRIC)
    (root / "s.yaml").write_text(SPEC)
    monkeypatch.setattr("hpsearch.redaction._addresses", {})
    monkeypatch.setenv("CODE", "code")
    monkeypatch.setenv("ROWS", f"{web}/{CANARY}00/{CANARY}.csv")
    monkeypatch.setenv("MORE_ROWS", str(tmp_path / "served" / f"{CANARY}00" / f"{CANARY}.csv"))
    output = invoke(root, "tune", "s.yaml", "--offline").output
    journal = root / "mlruns" / "studies" / "elsewhere" / "journal.jsonl"
    first = load_history(journal).study
    assert ("ROWS", ["${ROWS}"]) == (first.data.name, list(first.data.versions))
    assert ("${CODE}/own.py:cost", "${ROWS}") == (
        first.resolved["objective"]["metric"],
        first.spec["data"]["source"],
    )

    monkeypatch.setenv("ROWS", f"{web}/{CANARY}11/{CANARY}.csv")  # the same rows
    output += invoke(root, "tune", "s.yaml", "--offline", "--trials", 2).output
    output += invoke(root, "report", "elsewhere", "-o", "page.html").output

    (tmp_path / "served" / f"{CANARY}11" / f"{CANARY}.csv").write_text("a,b,y\n1,2,yes\n")
    shutil.rmtree(root / "mlruns" / "sources")  # or the study would go on with its first rows
    changed = invoke(root, "tune", "s.yaml", "--offline", "--trials", 3, code=2).output
    assert "${ROWS}: it has changed since the study began" in " ".join(changed.split())
    monkeypatch.setenv("ROWS", f"{web}/{CANARY}22.csv")
    missing = invoke(root, "tune", "s.yaml", "--offline", "--trials", 3, code=2).output
    assert "${ROWS}: it cannot be read: " in " ".join(missing.split())
    monkeypatch.delenv("ROWS")
    unset = invoke(root, "check", "s.yaml", code=2).output
    assert "s.yaml:2: data.source: the environment variable ROWS is not set" in unset

    files = [p for p in root.rglob("*") if p.is_file()]
    assert {"journal.jsonl", "page.html"} <= {p.name for p in files}
    assert [] == [str(p) for p in files if CANARY.encode() in p.read_bytes()]
    assert CANARY not in output + changed + missing + unset
