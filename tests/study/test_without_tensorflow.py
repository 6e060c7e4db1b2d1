"""A whole study without TensorFlow, trained by JAX."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SPEC = """
study: without-tensorflow
data: {source: "sklearn:breast_cancer", target: target, test_fraction: 0.2}
cross_validation: {folds: 2}
training: {epochs: 1}
search_space: {units: [4], layers: 1}
budget: {trials: 1}
"""
CODE = """
import importlib.util
assert importlib.util.find_spec("tensorflow") is None
from hpsearch.cli import main
main(["tune", "spec.yaml", "--offline"])
"""


DIAGNOSE = """
from pathlib import Path
from hpsearch.study.maintenance import doctor
doctor.PROBES = {"tensorflow": doctor.PROBES["tensorflow"]}
for finding in doctor.diagnose(Path(".")):
    print(finding.state, finding.subject, finding.message)
"""


def run_hidden(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code where TensorFlow is not found."""
    hidden = Path(__file__).parent / "without_tensorflow"
    paths = os.pathsep.join([str(hidden), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )


@pytest.mark.long
def test_a_study_that_jax_trains_needs_no_tensorflow(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC, encoding="utf-8")
    done = run_hidden(CODE, tmp_path)
    assert 0 == done.returncode, done.stderr
    assert "winner: trial 0" in done.stdout + done.stderr
    assert (tmp_path / "mlruns/studies/without-tensorflow/final/model.keras").exists()


def test_doctor_notes_that_tensorflow_is_missing_and_calls_nothing_bad(tmp_path: Path) -> None:
    done = run_hidden(DIAGNOSE, tmp_path)
    lines = done.stdout.splitlines()
    assert 0 == done.returncode, done.stderr
    assert [] == [line for line in lines if line.startswith("bad")]
    assert any(line.startswith("note versions") and "no tensorflow" in line for line in lines)
    assert any(line.startswith("note backend tensorflow not installed") for line in lines)
