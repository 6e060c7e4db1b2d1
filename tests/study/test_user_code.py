"""Finding the files of user code."""

import sys
from pathlib import Path

import pytest

from hpsearch.models.user_network import load_packed_object
from hpsearch.spec.function_reference import load_object
from hpsearch.spec.study_file import load_dict
from hpsearch.study.user_code import compute_digests, find_references, list_code_files
from hpsearch.training.own_code import get_packed_reference

FILES = {
    "m.py": "import os, numpy, helper\nfrom pkg.deep import layer\ndef build(p, i, o): ...\n",
    "helper.py": "def f():\n    import late\n",
    "late.py": "import importlib\nimportlib.import_module('named')\n",
    "named.py": "",
    "pkg/__init__.py": "",
    "pkg/deep/__init__.py": "from . import sibling\nfrom ..aunt import x as y\n",
    "pkg/deep/layer.py": "from .constants import *\n",
    "pkg/deep/sibling.py": "",
    "pkg/deep/constants.py": "",
    "pkg/aunt.py": "import space.inner\n",
    "space/inner.py": "import m\n",  # a package without __init__, and a circle
    "unused.py": "import helper\n",
    "pkg/unused.py": "",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def names(folder: Path, *references: str) -> set[str]:
    return set(compute_digests(references, folder))


def test_a_file_counts_with_all_that_it_imports_beside_it(folder: Path) -> None:
    used = {name for name in FILES if "unused" not in name}
    assert used == names(folder, f"{folder}/m.py:build")


def test_an_edit_of_any_of_them_changes_its_digest_alone(folder: Path) -> None:
    before = compute_digests([f"{folder}/m.py:build"], folder)
    (folder / "pkg" / "deep" / "constants.py").write_text("N = 2\n")
    after = compute_digests([f"{folder}/m.py:build"], folder)
    assert ["pkg/deep/constants.py"] == [name for name in before if before[name] != after[name]]


def test_a_module_is_found_by_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    found = names(folder, "pkg.deep:build")
    assert {"pkg/__init__.py", "pkg/deep/__init__.py", "pkg/deep/sibling.py"} <= found
    assert "pkg" not in sys.modules


def test_of_a_library_only_the_named_file_counts() -> None:
    found = names(Path.cwd(), "sklearn.datasets:load_iris")
    assert {"sklearn/__init__.py", "sklearn/datasets/__init__.py"} == found


def test_a_file_that_cannot_be_parsed_counts_by_its_bytes(folder: Path) -> None:
    (folder / "broken.py").write_text("def (")
    assert {"broken.py"} == names(folder, f"{folder}/broken.py:f")


def test_a_study_elsewhere_has_the_same_names(folder: Path, tmp_path: Path) -> None:
    below = tmp_path / "studies"
    below.mkdir()
    assert {"../late.py", "../named.py"} == names(below, f"{folder}/late.py:f")


def test_every_function_of_a_declaration_is_found(folder: Path) -> None:
    (folder / "rows.csv").write_text("a\n")
    declared = {
        "data": {"source": "late.py:rows", "test_source": "rows.csv"},
        "model": "m.py:build",
        "objective": {"metric": "metric.py:cost", "direction": "minimize"},
        "constraints": ["rule.py:allowed", "units < 9"],
        "search_space": {"units": [4, 8], "loss": ["mse", "loss.py:own"]},
    }
    found = find_references(load_dict(declared, folder=folder))
    expected = ["m.py:build", "metric.py:cost", "rule.py:allowed", "loss.py:own", "late.py:rows"]
    assert sorted(f"{folder}/{name}" for name in expected) == sorted(found)


@pytest.mark.parametrize("source", ["sklearn:wine", "rows.csv", None])
def test_data_that_come_from_no_function_have_no_code(folder: Path, source: str | None) -> None:
    declared = {"data": {"source": source}, "search_space": {"units": [4, 8]}}
    assert [] == find_references(load_dict(declared, folder=folder))


@pytest.mark.parametrize("convention", ["keras_tuner", "optuna"])
def test_a_model_of_another_convention_is_code_too(folder: Path, convention: str) -> None:
    declared = {"data": {"source": "sklearn:wine"}, "model": {convention: "m.py:build"}}
    assert [f"{folder}/m.py:build"] == find_references(load_dict(declared, folder=folder))


def test_a_file_of_a_package_imports_relatively_in_training_and_in_a_served_model(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path
    (folder / "nets" / "deep").mkdir(parents=True)
    for package in ("nets", "nets/deep"):
        (folder / package / "__init__.py").touch()
    (folder / "nets" / "models.py").write_text(
        "from .deep.size import SIZE\ndef build(): return SIZE, __name__\n"
    )
    (folder / "nets" / "deep" / "size.py").write_text("SIZE = 1\n")
    reference = f"{folder}/nets/models.py:build"
    assert (1, "nets.models") == load_object(reference)()
    (folder / "nets" / "deep" / "size.py").write_text("SIZE = 20\n")
    assert (20, "nets.models") == load_object(reference)()  # its file is run again
    assert "nets" not in sys.modules
    packed = tmp_path_factory.mktemp("packed")
    for name, path in list_code_files(reference, folder).items():
        (packed / name).parent.mkdir(parents=True, exist_ok=True)
        (packed / name).write_bytes(path.read_bytes())
    assert "nets.models:build" == get_packed_reference(reference)
    assert (20, "nets.models") == load_packed_object(packed, "nets.models:build")()
    assert "plain.py:build" == get_packed_reference(f"{folder}/plain.py:build")
