"""The batch script of `hpsearch cluster slurm`, printed, and run on a real Slurm."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from slurm_cluster import slurm

from hpsearch.cli import main
from hpsearch.history import load_history

STUDY = """\
study: wine
data: {source: "sklearn:wine", test_fraction: 0.2}
cross_validation: {folds: 2}
training: {epochs: 8, early_stopping: null}
search_space: {units: [4, 8], learning_rate: {type: float, low: 1e-3, high: 1e-1, log: true}}
budget: {trials: 6}
selection: {finalists: 0}
pruner: {kind: none}
"""


def make_script(folder: Path, *options: str) -> str:
    study = folder / "study.yaml"
    study.write_text(STUDY)
    done = CliRunner().invoke(main, ["cluster", "slurm", str(study), *options])
    assert 0 == done.exit_code, done.output
    return done.output


def test_the_script_is_a_shell_script_with_the_limits_of_the_job(tmp_path):
    text = make_script(tmp_path, "--nodes", "4", "--cpus", "16", "--gpus", "2", "--", "--cpus", "4")
    assert "--nodes=4 --ntasks-per-node=1 --cpus-per-task=16 --gpus-per-node=2 --time=08" in text
    assert '--executor ray --address "$head:$port" --cpus 4 &' in text
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    assert "ray" not in make_script(tmp_path)


def test_a_time_that_slurm_does_not_take_is_refused(tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY)
    line = ["cluster", "slurm", str(tmp_path / "study.yaml"), "--time", "8h"]
    done = CliRunner().invoke(main, line)
    assert (2, True) == (done.exit_code, "--time '8h' is no time of Slurm" in done.output)


def show_job(number: str, environment: dict[str, str]) -> dict[str, str]:
    shown = subprocess.run(
        ["scontrol", "show", "job", number],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return dict(re.findall(r"(\w+)=(\S*)", shown.stdout))


def wait_until(is_reached, what: str, seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not is_reached():
        assert time.monotonic() < end, f"waited {seconds:g} s until {what}"
        time.sleep(0.5)


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_a_job_whose_time_ends_stops_the_study_and_continues_it_from_the_queue(tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'hpsearch[ray]'")
    script = tmp_path / "search.sh"
    script.write_text(make_script(tmp_path, "--nodes", "2", "--", "--offline"))
    journal = tmp_path / "mlruns" / "studies" / "wine" / "journal.jsonl"
    with slurm(2) as environment:
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"

        def run(*command: str) -> str:
            options = {"cwd": tmp_path, "env": environment, "timeout": 60, "check": True}
            return subprocess.run(command, capture_output=True, text=True, **options).stdout

        number = run("sbatch", "--parsable", script.name).strip()

        def log() -> str:
            return "".join(path.read_text() for path in tmp_path.glob("wine-*.log"))

        wait_until(lambda: journal.exists() and '"trial"' in journal.read_text(), "a trial begins")
        run("scancel", "--signal=USR1", "--batch", number)  # as --signal=B:USR1 does at the limit
        wait_until(lambda: show_job(number, environment)["Restarts"] == "1", "it is queued again")
        assert "stopping: running trials get" in log()
        before = len(load_history(journal).ranked_trials())
        wait_until(
            lambda: show_job(number, environment)["JobState"] in ("COMPLETED", "FAILED"), "it ends"
        )
        assert "COMPLETED" == show_job(number, environment)["JobState"], log()
    history = load_history(journal)
    assert before < 6 == len(history.ranked_trials())
    assert history.final is not None
    assert [] == list(tmp_path.glob("*.token"))
