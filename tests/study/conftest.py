"""Fixtures: a finished study, made by the command line in a temporary folder."""

import shutil
import subprocess
import sys
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import pytest
from answer_check import read_answer
from click.testing import CliRunner, Result

from hpsearch.cli import main

SPEC = """\
study: cancer
seed: 3
data: {source: "sklearn:breast_cancer", test_fraction: 0.2}
cross_validation: {folds: 3}
training: {epochs: 12, early_stopping: null}
search_space:
  optimizer: [adam, sgd]
  learning_rate: {type: float, low: 1e-3, high: 1e-1, log: true}
  momentum: {type: float, low: 0.0, high: 0.9, when: {optimizer: sgd}}
  units: {type: int, low: 8, high: 32}
  dropout: {type: float, low: 0.0, high: 0.3}
  batch_size: 32
budget: {trials: 5}
selection: {finalists: 2}
"""


@dataclass(frozen=True)
class Finished:
    """What the command left behind and printed."""

    root: Path
    spec: Path
    stdout: str
    stderr: str

    @property
    def answer(self) -> dict:
        return read_answer("tune", self.stdout)

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.root}/mlruns/mlflow.db"

    @property
    def folder(self) -> Path:
        return self.root / "mlruns" / "studies" / "cancer"


def command(*arguments: object) -> list[str]:
    """A command line of this environment's hpsearch."""
    return [sys.executable, "-c", "from hpsearch.cli import main; main()", *map(str, arguments)]


def run(root: Path, *arguments: object, code: int = 0) -> subprocess.CompletedProcess:
    """Run a command in `root`, which must end with `code`."""
    done = subprocess.run(
        command(*arguments),
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert code == done.returncode, done.stderr
    return done


def invoke(root: Path, *arguments: object, code: int = 0) -> Result:
    """Run a command in `root` within this process, which has imported already what it needs."""
    with chdir(root):
        done = CliRunner().invoke(main, [*map(str, arguments)])
    assert code == done.exit_code, done.output
    return done


def with_store(root: Path, empty_store: Path) -> Path:
    """`root`, whose store is there already, as after a first study."""
    (root / "mlruns").mkdir(parents=True)
    shutil.copy(empty_store, root / "mlruns")
    return root


@pytest.fixture
def tmp_path(tmp_path: Path, empty_store: Path) -> Path:
    """A folder whose store is there already."""
    return with_store(tmp_path, empty_store)


@pytest.fixture(scope="session")
def finished(tmp_path_factory, empty_store) -> Finished:
    """The study of `SPEC`, run once for all tests."""
    root = with_store(tmp_path_factory.mktemp("finished"), empty_store)
    spec = root / "cancer.yaml"
    spec.write_text(SPEC)
    done = run(root, "tune", spec, "--json")
    return Finished(root, spec, done.stdout, done.stderr)
