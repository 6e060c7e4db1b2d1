"""A whole study and its promotion, with simulated restrictions of macOS and Windows."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SHIMS = Path(__file__).parent / "shims"
ROWS = "a,b,color,target\n" + "".join(
    f"{i % 7},{i % 5 / 2},{'réd' if i % 3 else 'blue'},{'yes' if i % 7 > 3 else 'no'}\n"
    for i in range(120)
)
SPEC = """\
study: s
seed: 1
data: {source: rows.csv, target: target}
cross_validation: {folds: 2}
training: {epochs: 3}
search_space: {units: [4, 8], layers: 1, batch_size: 32, learning_rate: [0.01, 0.02]}
sampler: {kind: random}
pruner: {kind: none}
budget: {trials: 3}
selection: {finalists: 0}
"""


def environment(platform: str, **variables: str) -> dict[str, str]:
    path = [str(SHIMS / platform), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), **variables}


@pytest.fixture(params=["macos", "windows"])
def platform(request):
    return request.param


@pytest.fixture
def project(tmp_path):
    (tmp_path / "rows.csv").write_text(ROWS, encoding="utf-8")
    (tmp_path / "new.csv").write_text(ROWS, encoding="utf-8")
    (tmp_path / "s.yaml").write_text(SPEC, encoding="utf-8")
    return tmp_path


def drive(root: Path, environment: dict[str, str], *commands: str) -> list[dict]:
    """The outcome of each command, all run in one process."""
    done = subprocess.run(
        [
            sys.executable,
            Path(__file__).with_name("drive.py"),
            *map(json.dumps, map(str.split, commands)),
        ],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.mark.long
def test_a_study_is_killed_resumed_promoted_and_asked(platform, project):
    killed = subprocess.run(
        [sys.executable, "-c", "from hpsearch.cli import main; main()", "tune", "s.yaml"],
        cwd=project,
        env=environment(platform, HPSEARCH_FAULT="after_tell:1=kill", HELD="mlflow.db:2"),
        capture_output=True,
        check=False,
    )
    assert -9 == killed.returncode, killed.stderr.decode()
    outcomes = drive(
        project,
        environment(platform),
        "tune s.yaml --workers 2 --quiet",
        "promote s --as m@champion",
        "predict m@champion new.csv -o answers.csv",
        "report s -o s.html",
        "sync s",
        "doctor",
        "gc --dry-run",
        "top s",
    )
    wrong = [o for o in outcomes if o["code"]]
    assert [] == wrong, wrong[0]["output"] + wrong[0]["trace"]
    records = (project / "mlruns/studies/s/journal.jsonl").read_bytes().splitlines()
    assert 3 == sum(b'"event":"result"' in record for record in records)
    assert 121 == len((project / "answers.csv").read_text(encoding="utf-8").splitlines())
    # A draft of the database stays for ten minutes: another process might be at it.
    files = [p for p in project.rglob("*") if p.parent.name != "mlruns"]
    assert [] == [p for p in files if ".draft-" in p.name or p.suffix == ".partial"]


def test_a_file_that_another_program_holds_for_two_seconds_is_waited_for(project):
    held = environment("windows", HELD="journal.jsonl:2")
    outcomes = drive(project, held, "tune s.yaml --trials 1 --quiet", "promote s --as m", "top s")
    wrong = [o for o in outcomes if o["code"]]
    assert [] == wrong, wrong[0]["output"] + wrong[0]["trace"]


def test_a_folder_that_cannot_be_written_is_told_in_a_line(project):
    closed = environment("windows", READ_ONLY=str(project))
    for command in ("tune s.yaml", "tune s.yaml --offline"):
        (outcome,) = drive(project, closed, command)
        assert outcome["code"] in (1, 2), outcome["trace"]
        assert "permission denied" in outcome["output"].lower()
        assert "Traceback" not in outcome["output"]
