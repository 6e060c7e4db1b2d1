"""Paths and names that every platform takes."""

from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest

from hpsearch.errors import DataError, SpecError
from hpsearch.platforms.paths import (
    artifact_uri,
    explain_unportable,
    find_similar,
    relative_to,
    sqlite_uri,
    starts_with_drive,
)
from hpsearch.spec.data_spec import DataSpec
from hpsearch.spec.function_reference import REFERENCE_PATTERN, is_reference
from hpsearch.spec.study_file import load_dict
from hpsearch.study.start import require_own_folder


@pytest.mark.parametrize("text", ["C:\\data\\x.csv", "c:/data/x.csv"])
def test_a_drive_is_no_scheme(text, tmp_path):
    from hpsearch.data.sources import read_source

    assert starts_with_drive(text)
    with pytest.raises(DataError, match="there is no such file"):
        read_source(DataSpec(source=text), tmp_path)


@pytest.mark.parametrize("text", ["sklearn:wine", "my_data:load", "https://host/x.csv", "x.csv"])
def test_a_scheme_is_no_drive(text):
    assert not starts_with_drive(text)


def test_a_function_of_a_file_on_a_drive_is_named_with_the_drive():
    found = REFERENCE_PATTERN.fullmatch("C:\\my models\\m.py:build")
    assert ("C:\\my models\\m.py", "build") == (found["location"], found["name"])
    assert not is_reference("C:\\data\\x.csv")


def test_stores_and_artifacts_have_uris_of_their_platform():
    assert "sqlite:////a/mlflow.db" == sqlite_uri(PurePosixPath("/a/mlflow.db"))
    assert "sqlite:///C:/a/mlflow.db" == sqlite_uri(PureWindowsPath("C:\\a\\mlflow.db"))
    assert "/a b/c" == artifact_uri(PurePosixPath("/a b/c"))
    assert "file:///C:/a%20b/c" == artifact_uri(PureWindowsPath("C:\\a b\\c"))
    assert "file://server/share/c" == artifact_uri(PureWindowsPath("\\\\server\\share\\c"))


@pytest.mark.parametrize("name", ["CON", "con", "nul.2024", "LPT1", "study."])
def test_a_study_name_that_windows_cannot_hold_is_refused_everywhere(name):
    assert explain_unportable(name)
    declared = {"study": name, "data": {"source": "a.csv"}, "search_space": {"units": 8}}
    with pytest.raises(SpecError, match="is not a valid folder name on every platform"):
        load_dict(declared)


@pytest.mark.parametrize("name", ["console", "a.b", "study-1", "com10", "nulls.x"])
def test_a_study_name_that_only_looks_like_one_is_taken(name):
    assert explain_unportable(name) is None


def test_names_that_differ_in_case_or_composition_are_alike(tmp_path):
    (tmp_path / "Churn").mkdir()
    (tmp_path / "caf\u00e9").mkdir()
    assert "Churn" == find_similar(tmp_path, "churn")
    assert "caf\u00e9" == find_similar(tmp_path, "cafe\u0301")
    assert find_similar(tmp_path, "Churn") is None
    assert find_similar(tmp_path, "churn2") is None
    assert find_similar(tmp_path / "missing", "x") is None
    with pytest.raises(SpecError, match="there is a study 'Churn'"):
        require_own_folder(tmp_path / "churn")


def test_a_relative_path_has_slashes(tmp_path):
    assert "../data/x" == relative_to(tmp_path / "data" / "x", tmp_path / "project")
    assert "." == relative_to(Path(tmp_path), tmp_path)
