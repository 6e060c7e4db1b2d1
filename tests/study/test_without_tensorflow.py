"""Where TensorFlow is not installed, JAX trains a whole study."""

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


@pytest.mark.long
def test_a_study_that_jax_trains_needs_no_tensorflow(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC, encoding="utf-8")
    hidden = Path(__file__).parent / "without_tensorflow"
    paths = os.pathsep.join([str(hidden), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert 0 == done.returncode, done.stderr
    assert "winner: trial 0" in done.stdout + done.stderr
    assert (tmp_path / "mlruns/studies/without-tensorflow/final/model.keras").exists()
