"""Samplers, pruners, families and metrics of another package: that of docs/extending.md."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpsearch import plugins
from hpsearch.errors import SpecError
from hpsearch.models import FAMILIES, load_family
from hpsearch.search.pruners import make_pruner
from hpsearch.search.samplers import SAMPLERS, find_sampler_problems
from hpsearch.spec.search_space import Float, SearchSpace
from hpsearch.study.file_schema import build_schema
from hpsearch.training.metrics import get_metric

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
SPACE = SearchSpace((Float("x", 0.0, 1.0),))


def block(language: str, start: str) -> str:
    """The page's block of code that begins so."""
    (found,) = re.findall(rf"```{language}\n({re.escape(start)}.*?)```", PAGE, re.S)
    return found


MODULE = block("python", '"""A sampler, a pruner')


def install(folder: Path, name: str, version: str, entry_points: str, module: str) -> None:
    """What pip leaves behind for a package of one module."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (info / "METADATA").write_text(text, encoding="utf-8")
    (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")
    (folder / f"{name.replace('-', '_')}.py").write_text(module, encoding="utf-8")


def corner(folder: Path, version: str = "1.0") -> Path:
    """The page's package, installed into `folder`."""
    declared = re.findall(
        r'\[project.entry-points."(.*?)"\]\n(.*?)\n\n', block("toml", "[build-system]"), re.S
    )
    points = "".join(f"[{group}]\n{body.replace(chr(34), '')}\n" for group, body in declared)
    install(folder, "hpsearch-corner", version, points, MODULE)
    return folder


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path into which packages can be installed."""

    def forget() -> None:
        plugins.entry_points.cache_clear()
        plugins.find_plugin.cache_clear()

    monkeypatch.syspath_prepend(tmp_path)
    forget()
    yield tmp_path
    forget()
    sys.modules.pop("hpsearch_corner", None)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in a process in which the package in `folder` is installed."""
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder.parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )


COMMAND = ("-c", "from hpsearch.cli import main; main()")


@pytest.mark.long
def test_a_study_uses_all_of_them_and_sees_another_version(tmp_path):
    site = corner(tmp_path / "site")
    (tmp_path / "study.yaml").write_text(block("yaml", "study: corner"), encoding="utf-8")
    done = run(site, *COMMAND, "tune", "study.yaml", "--offline", "--json")
    assert 0 == done.returncode, done.stderr
    answer = json.loads(done.stdout)
    assert {"learning_rate", "l2"} <= answer["best"]["params"].keys()
    journal = tmp_path / "mlruns/studies/corner/journal.jsonl"
    assert '"hpsearch-corner":"1.0"' in journal.read_text(encoding="utf-8").replace(" ", "")
    assert [] == list((journal.parent / "logs").glob("worker-*"))  # trained by its own executor
    (site / "hpsearch_corner-1.0.dist-info").rename(site / "hpsearch_corner-2.0.dist-info")
    metadata = site / "hpsearch_corner-2.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("1.0", "2.0"), encoding="utf-8")
    again = run(site, *COMMAND, "tune", "study.yaml", "--offline", "--trials", "5")
    assert 2 == again.returncode, again.stderr
    assert "version of hpsearch-corner: 1.0 then, 2.0 now" in again.stderr


@pytest.mark.long
def test_they_pass_the_suites(tmp_path):
    site = corner(tmp_path / "site")
    test = tmp_path / "test_corner.py"
    test.write_text(block("python", "import pytest\nfrom hpsearch_corner"), encoding="utf-8")
    done = run(site, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=.", str(test))
    assert 0 == done.returncode, done.stdout
    assert "passed" in done.stdout


def test_an_unknown_name_is_told_with_what_is_built_in_and_installed(path):
    corner(path)
    ((_, told),) = find_sampler_problems("shufled", {}, SPACE, objectives=1)
    assert told.endswith(f"Known: {', '.join(SAMPLERS)}. Installed: shuffled.")
    with pytest.raises(SpecError, match=r"Known: asha, .* Installed: halfway\."):
        make_pruner("halfwy", {}, epochs=9)
    with pytest.raises(SpecError, match=r"Installed: brier_skill\."):
        get_metric("brier_skil", "binary")
    with pytest.raises(SpecError, match="Installed: linear, or your own function"):
        load_family("liner")


def test_without_a_plugin_nothing_is_said_of_what_is_installed(path):
    ((_, told),) = find_sampler_problems("shuffled", {}, SPACE, objectives=1)
    assert "Installed" not in told


def test_an_option_that_a_sampler_does_not_read_is_refused(path):
    corner(path)
    assert [
        ("startup", "shuffled does not read this option: it reads no option")
    ] == find_sampler_problems("shuffled", {"startup": 3}, SPACE, objectives=1)


def test_two_packages_of_one_name_are_refused(path):
    for name in ("first", "second"):
        install(path, name, "1.0", "[hpsearch.samplers]\nsame = first:X\n", "X = None")
    with pytest.raises(SpecError, match=r"'same' is declared by several packages: first, second"):
        plugins.find_plugin("samplers", "same")


def test_one_that_cannot_be_imported_is_told_with_its_package(path):
    install(path, "broken", "3.1", "[hpsearch.samplers]\nb = broken:X\n", "import nothing_such")
    with pytest.raises(SpecError, match=r"'b' of the package broken 3\.1 cannot be loaded from"):
        plugins.find_plugin("samplers", "b")


def test_what_is_no_family_and_no_metric_is_refused(path):
    points = "[hpsearch.families]\nf = other:X\n[hpsearch.metrics]\nm = other:X\n"
    install(path, "other", "1.0", points, "X = 3")
    with pytest.raises(SpecError, match=r"must be a hpsearch\.models\.Family\. Received: 3"):
        load_family("f")
    with pytest.raises(SpecError, match=r"training\.metrics\.Metric\. Received: 3"):
        get_metric("m", "binary")


def test_a_built_in_name_is_not_replaced_and_the_clash_is_told(path):
    install(path, "bold", "1.0", "[hpsearch.families]\nmlp = bold:X\n", "X = 3")
    assert load_family("mlp") is FAMILIES["mlp"]
    assert [
        "families: 'mlp' of the package bold is not used: hpsearch has one of that name"
    ] == plugins.find_clashes("families", FAMILIES)


def test_what_is_built_in_asks_for_no_entry_points():
    code = (
        "from importlib import metadata\n"
        "known = metadata.entry_points\n"
        "def look(*, group='', **given):\n"
        "    assert not group.startswith('hpsearch'), group\n"
        "    return known(group=group, **given)\n"
        "metadata.entry_points = look\n"
        "from hpsearch.models import load_family\n"
        "from hpsearch.search.samplers import make_sampler\n"
        "from hpsearch.training.metrics import get_metric as metric_for\n"
        "from hpsearch.search.pruners import make_pruner\n"
        "from hpsearch.spec.search_space import Float, SearchSpace as Space\n"
        "load_family('mlp'), metric_for('f1', 'binary'), make_pruner('asha', {}, epochs=9)\n"
        "make_sampler('grid', Space((Float('x', 0, 1, step=0.5),)), direction='minimize', seed=0)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_schema_of_the_study_file_knows_what_is_installed(path):
    corner(path)
    models = build_schema()["$defs"]
    sampler, pruner = models["SamplerSpec"], models["PrunerSpec"]
    for kind, section in (("samplers", sampler), ("pruners", pruner)):
        (name,) = plugins.installed_names(kind)
        assert name in section["properties"]["kind"]["enum"]
        assert name in [rule["if"]["properties"]["kind"]["const"] for rule in section["allOf"]]
    assert set(plugins.installed_names("families")) <= set(
        models["StudySpec"]["properties"]["model"]["oneOf"][0]["anyOf"][0]["enum"]
    )
