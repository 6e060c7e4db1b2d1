"""A real process is killed amid a trial; the next one takes the trial up at its checkpoint."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from hpsearch.history import load_history

pytestmark = [pytest.mark.long, pytest.mark.skipif(os.name == "nt", reason="SIGKILL")]
STUDY = """
study: killed
data: DATA
search_space:
  {learning_rate: {type: float, low: 1e-3, high: 1e-2}, units: 4, layers: 1, dropout: 0.2}
training: {epochs: 150, early_stopping: null, checkpoint: 5, trainer: TRAINER}
pruner: {kind: none}
sampler: {kind: random}
budget: {trials: 1}
execution: {workers: 1}
"""


IRIS = '{source: "sklearn:iris"}'
ON_DISK = "{source: ../rows.parquet, target: y, memory_gib: 0.00001}"


def tune(root, trainer, data=IRIS):
    root.mkdir(exist_ok=True)
    text = STUDY.replace("TRAINER", trainer).replace("DATA", data)
    (root / "study.yaml").write_text(text, encoding="utf-8")
    command = [str(Path(sys.executable).with_name("hpsearch")), "tune", "study.yaml", "--offline"]
    with (root / "output.txt").open("a", encoding="utf-8") as output:
        return subprocess.Popen(
            command, cwd=root, start_new_session=True, stdout=output, stderr=subprocess.STDOUT
        )


def wait_until(found, process):
    deadline = time.monotonic() + 300
    while not found():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


def write_rows(path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3))
    label = np.where(x[:, 0] + rng.normal(size=400) > 0, "yes", "no")
    parquet.write_table(pa.table({**{f"x{i}": x[:, i] for i in range(3)}, "y": label}), path)


@pytest.mark.parametrize("data", [IRIS, ON_DISK], ids=["memory", "disk"])
@pytest.mark.parametrize("trainer", ["vectorized", "keras_fit"])
def test_a_killed_process_goes_on_amid_the_trial_bit_for_bit(tmp_path, trainer, data):
    write_rows(tmp_path / "rows.parquet")
    whole, killed = (tmp_path / name for name in ("whole", "killed"))
    process = tune(whole, trainer, data)
    assert 0 == process.wait(600), (whole / "output.txt").read_text()
    process = tune(killed, trainer, data)
    folder = killed / "mlruns" / "studies" / "killed"
    wait_until(lambda: list(folder.glob("checkpoints/*.ckpt")), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    again = tune(killed, trainer, data)
    assert 0 == again.wait(600), (killed / "output.txt").read_text()
    assert "goes on from its checkpoint" in (folder / "logs" / "study.log").read_text()
    paths = whole / "mlruns" / "studies" / "killed" / "journal.jsonl", folder / "journal.jsonl"
    first, second = (load_history(path).last[0] for path in paths)
    assert (0, 1) == (first.attempt, second.attempt)
    assert first.scores == second.scores
    assert first.curves == second.curves
