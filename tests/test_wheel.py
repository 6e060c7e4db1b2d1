"""The wheel and the source distribution are complete, and work in an empty environment."""

import email
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_{}(sys.argv[1]))"
BUILT_FROM = ("hpsearch", "pyproject.toml", "README.md", "LICENSE")
HEAVY = {"tensorflow", "ray", "torch", "onnx", "tf2onnx", "cmaes", "pytest"}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the source distribution, built from a copy."""
    copy, output = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, copy / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, copy)
    for kind in ("wheel", "sdist"):
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", BUILD.format(kind), output],
            cwd=copy,
            check=True,
            capture_output=True,
        )
    [wheel], [sdist] = output.glob("*.whl"), output.glob("*.tar.gz")
    return wheel, sdist


def test_the_wheel_has_every_file_of_the_package_and_no_other(built):
    files = {p for p in (ROOT / "hpsearch").rglob("*") if p.is_file() and p.suffix != ".pyc"}
    expected = {p.relative_to(ROOT).as_posix() for p in files}
    with zipfile.ZipFile(built[0]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert expected == names


def test_the_wheel_says_who_it_is_and_asks_for_no_heavy_library(built):
    with zipfile.ZipFile(built[0]) as wheel:
        [name] = [name for name in wheel.namelist() if name.endswith("/METADATA")]
        metadata = email.message_from_bytes(wheel.read(name))
    required = [r for r in metadata.get_all("Requires-Dist") if "extra ==" not in r]
    names = {re.match(r"[\w.-]+", r)[0].lower() for r in required}
    assert {"jax", "keras", "optuna", "mlflow", "click"} <= names
    assert set() == names & HEAVY
    assert {"tensorflow", "ray", "onnx", "torch", "cmaes"} <= set(
        metadata.get_all("Provides-Extra")
    )
    assert "Apache-2.0" == metadata["License-Expression"]
    assert metadata.get_payload().startswith("# hpsearch")


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("index", [0, 1], ids=["wheel", "sdist"])
def test_an_empty_environment_runs_the_example_of_readme(built, index, tmp_path):
    home = tmp_path / "fresh"
    venv.create(home, with_pip=True)
    scripts = home / Path(sysconfig.get_path("scripts")).name
    python = scripts / ("python.exe" if sys.platform == "win32" else "python")

    def run(*arguments, cwd=tmp_path):
        done = subprocess.run(
            [str(a) for a in arguments], cwd=cwd, capture_output=True, text=True, check=False
        )
        assert 0 == done.returncode, done.stdout + done.stderr
        return done.stdout

    run(python, "-m", "pip", "install", "--quiet", built[index])
    bytes_of = sum(p.stat().st_size for p in home.rglob("*") if p.is_file())
    print(f"an environment with hpsearch alone: {bytes_of / 2**20:,.0f} MiB")
    version = run(python, "-c", "import hpsearch; print(hpsearch.__version__)").strip()
    assert f"hpsearch, version {version}" == run(scripts / "hpsearch", "--version").strip()
    missing = "import importlib.util as u; print(u.find_spec('tensorflow'))"
    assert "None" == run(python, "-c", missing).strip()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", readme, re.S)
    example = next(block for block in blocks if "hpsearch.tune" in block)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert "'accuracy': " in run(python, "-c", example, cwd=elsewhere)
    declared = "{source: 'sklearn:wine'}"
    study = f"study: keras\ndata: {declared}\nsearch_space: {{units: [4], layers: 1}}\n"
    (elsewhere / "keras.yaml").write_text(
        f"{study}training: {{trainer: keras_fit, epochs: 1}}\nbudget: {{trials: 1}}\n"
    )
    run(scripts / "hpsearch", "tune", "keras.yaml", "--offline", cwd=elsewhere)
    log = (elsewhere / "mlruns/studies/keras/journal.jsonl").read_text(encoding="utf-8")
    assert "on JAX, as TensorFlow is not installed" in log
