"""A canary secret in every input channel is not found in any output."""

import http.server
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import synthetic

from hpsearch.journal import read_page, redacted_text
from hpsearch.tracking.store import default_uri, journal_path, open_store
from tests.study.conftest import command, invoke, with_store

CANARY = "Canary7f3a9"

MODEL = f"""
import logging, os, subprocess, sys, warnings, keras

def build(params, inputs, outputs):
    print("stdout: password: {CANARY}-print", flush=True)
    os.write(2, b"native: token={CANARY}-native\\n")
    warnings.warn("the key is hf_{CANARY}0123456789abcdef")
    logging.getLogger("anybodys").error("GET https://h/?X-Amz-Signature={CANARY}-signed&a=1")
    subprocess.run(["echo", "child: --api-key {CANARY}-child"], stdout=2)
    if params["units"] == 6:
        password = "{CANARY}-code"; raise ConnectionError(
            "cannot connect to postgresql://bob:{CANARY}-uri@db.example/f?token={CANARY}-query; "
            "Authorization: Bearer {CANARY}-header\\n" + os.environ["FEATURES_PASSWORD"]
        )
    x = first = keras.Input(inputs)
    x = keras.layers.Dense(params["units"], activation="relu")(x)
    return keras.Model(first, keras.layers.Dense(outputs.units, activation=outputs.activation)(x))
"""
STUDY = """
study: canary
seed: 3
data: {source: "sklearn:wine"}
cross_validation: {folds: 2}
training: {epochs: 1}
model: m.py:build
search_space:
  units: {type: int, low: 4, high: 6}
enqueue: [{units: 4}, {units: 6}]
sampler: {kind: random}
pruner: {kind: none}
selection: {finalists: 0}
budget: {trials: 2}
"""
DATA = f"""
def rows():
    raise OSError("s3 refused: AWS_SECRET_ACCESS_KEY={CANARY}-data")
"""


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, empty_store) -> Path:
    """A repository with a store, and with secrets in what is not committed yet."""
    folder = with_store(tmp_path_factory.mktemp("canary"), empty_store)
    git(folder, "init", "-q")
    names = ("m.py", "settings.py", "secrets.yaml", ".env")
    for name in names:
        (folder / name).write_text("# nothing yet\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "begin")
    (folder / "m.py").write_text(MODEL)
    (folder / "settings.py").write_text(f'KEY = "{CANARY}-python"\n')
    (folder / "secrets.yaml").write_text(f"password: {CANARY}-yaml\n")
    (folder / ".env").write_text(f"ANYTHING={CANARY}-dotenv\n")
    (folder / "s.yaml").write_text(STUDY)
    return folder


def watched(child: subprocess.Popen) -> tuple[str, str]:
    """What a command prints, and the command lines of all that it starts, but the model's echo."""
    lines: set[str] = set()

    def watch() -> None:
        while child.poll() is None:
            with suppress(psutil.Error):  # it has ended meanwhile
                for process in psutil.Process(child.pid).children(recursive=True):
                    with suppress(psutil.Error):
                        lines.add(str(process.cmdline()))
            time.sleep(0.1)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    said, _ = child.communicate(timeout=300)
    thread.join(5)
    return said, "\n".join(line for line in lines if not line.startswith("['echo'"))


def test_a_canary_in_every_channel_of_a_study_is_found_nowhere(folder, monkeypatch, figure):
    monkeypatch.setenv("FEATURES_PASSWORD", f"{CANARY}-environment")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", f"{CANARY}-bearer")
    child = subprocess.Popen(
        command("tune", "s.yaml"),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said, processes = watched(child)
    assert 0 == child.returncode, said
    assert "hpsearch.execution.worker" in processes
    for arguments in (["show", "canary", 1], ["top", "canary"]):
        said += invoke(folder, *arguments).output
    said += invoke(folder, "report", "canary", "-o", "page.html").output
    said += invoke(folder, "export", "canary", "-o", "trials.csv").output
    assert "ConnectionError: cannot connect to postgresql://***@db.example" in said
    ours = {"mlruns", "page.html", "trials.csv"}
    files = [p for p in folder.rglob("*") if p.is_file() and ours & {*p.parts}]
    log = folder / "mlruns" / "studies" / "canary" / "logs" / "worker-0.log"
    assert {"journal.jsonl", "source.diff", "traceback.txt"} <= {p.name for p in files}
    assert b"stdout: password: ***\nnative: token=***" in log.read_bytes()
    logged = log.read_text()
    for told in ("UserWarning: the key is ***", "child: --api-key ***", "X-Amz-Signature=***"):
        assert told in logged
    found = [p for p in files if CANARY.encode() in p.read_bytes()]
    assert [] == found
    assert CANARY not in said + processes
    client = open_store(default_uri(folder))
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert 3 == len(runs)
    assert CANARY not in str([run.to_dictionary() for run in runs])
    figure(channels=14, canary_found=len(found))


@contextmanager
def refusing_server() -> Iterator[int]:
    """A tracking server whose refusal quotes a secret."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = f"403 for Authorization: Basic {CANARY}-server\napi_key: {CANARY}-refused"
            self.send_response(403)
            self.end_headers()
            self.wfile.write(text.encode())

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_errors_of_data_arguments_declarations_and_servers_tell_no_secret(folder, figure):
    (folder / "d.py").write_text(DATA)
    with refusing_server() as port:
        server = f"http://ann:{CANARY}-login@127.0.0.1:{port}"
        commands = [
            ["check", "s.yaml", "--set", "data.source=d.py:rows", "--set", "data.target=y"],
            ["check", "s.yaml", "--set", f"data.source=postgresql://a:{CANARY}-argument@h/d"],
            ["check", "s.yaml", "--set", f"search_space.password={CANARY}-declared"],
            ["sync", "canary", "--tracking-uri", server],
        ]
        told = [invoke(folder, *c, code=2).output for c in commands]
    for text in told:
        assert "***" in text or "looks like a secret" in text
    found = [text for text in told if CANARY in text]
    assert [] == found
    figure(channels=5, canary_found=len(found))


def test_what_an_older_version_wrote_into_a_journal_leaves_it_nowhere(
    tmp_path, empty_store, monkeypatch, figure
):
    monkeypatch.setenv("DB_PASSWORD", f"{CANARY}-environment")
    records = synthetic.study(4, folds=2, epochs=2)
    spec = records[0]["spec"] | {"model": {"params": {"api_key": f"{CANARY}-yaml"}}}
    uri = f"postgresql://bob:{CANARY}-uri@db/x"
    data = records[0]["data"] | {"name": uri}
    records[0] |= {"spec": spec, "data": data, "environment": {"proxy": f"http://a:{CANARY}@h"}}
    failed = next(r for r in records if r["event"] == "result" and r["state"] == "FAILED")
    failed["error"] = f"no answer: Authorization: Bearer {CANARY}-header"
    failed["traceback"] = f"  connect('{uri}')\nOSError: {CANARY}-environment\n"
    records.append({**failed, "seq": len(records), "event": "ended", "reason": f"{uri} is away"})
    journal = synthetic.write(journal_path(tmp_path, "churn"), records)
    journal.with_name("source.diff").write_text(f"+PASSWORD = '{CANARY}-diff'\n")
    shutil.copy(empty_store, tmp_path / "mlruns")
    said = invoke(tmp_path, "sync", "churn").output
    for arguments in (["show", "churn", 3], ["top", "churn"], ["compare", "churn", 0, 3]):
        said += invoke(tmp_path, *arguments).output
    invoke(tmp_path, "report", "churn", "-o", "page.html")
    invoke(tmp_path, "export", "churn", "-o", "trials.csv")
    assert "Authorization: ***" in said
    assert CANARY not in said
    files = [p for p in tmp_path.rglob("*") if p.is_file() and p.parent != journal.parent]
    assert {"journal.jsonl", "source.diff", "traceback.txt", "mlflow.db", "page.html"} <= {
        p.name for p in files
    }
    found = [p for p in files if CANARY.encode() in p.read_bytes()]
    assert [] == found
    [sent] = [p for p in files if p.name == "journal.jsonl"]
    events = [[e.kind for e in read_page(path).events] for path in (journal, sent)]
    assert events[0] == events[1]
    figure(canary_found=len(found))


def test_a_journal_without_secrets_is_sent_as_it_is(tmp_path):
    records = synthetic.study(4, folds=2, epochs=2)
    records[0]["data"]["columns"] = {"password": "category", "api_key": "code"}
    assert redacted_text(synthetic.write(tmp_path / "journal.jsonl", records)) is None
