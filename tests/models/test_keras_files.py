"""Files that Keras cannot load: the reason that its own message does not give."""

from __future__ import annotations

import zipfile
from pathlib import Path

import keras
import pytest

from hpsearch.errors import SpecError
from hpsearch.models.backbone import compute_file_digest, load_backbone
from hpsearch.models.keras_files import describe_keras_file, describe_loaded_file


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """A model of a layer that this Keras does not have, as of a later version."""
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "own.keras")
    with (
        zipfile.ZipFile(tmp_path / "own.keras") as old,
        zipfile.ZipFile(tmp_path / "newer.keras", "w") as new,
    ):
        for name in old.namelist():
            content = old.read(name).replace(keras.__version__.encode(), b"9.1.0")
            new.writestr(name, content.replace(b'"Dense"', b'"Denser"'))
    return tmp_path / "newer.keras"


def test_another_version_of_keras_is_named(newer: Path) -> None:
    told = f"newer.keras was written by Keras 9.1.0, and this is Keras {keras.__version__}"
    assert f"; {told}" == describe_keras_file(newer)
    with pytest.raises(SpecError, match=f"Denser.*{told}. Write it with"):
        load_backbone(newer, compute_file_digest(newer))
    with pytest.raises(Exception, match="Denser") as raised:
        keras.models.load_model(str(newer))
    assert f"; {told}" == describe_loaded_file(raised.value)


def test_what_is_no_keras_file_is_told(newer: Path) -> None:
    newer.write_bytes(b"\x89HDF")
    assert "; newer.keras is no zip archive, as a .keras file is" == describe_keras_file(newer)
    assert "" == describe_keras_file(newer.with_name("own.keras"))
    assert "" == describe_keras_file(newer.with_name("missing.keras"))
    (newer.parent / "metadata.json").write_text('{"keras_version": "3.0.1"}', encoding="utf-8")
    assert "was written by Keras 3.0.1" in describe_keras_file(newer.parent)  # a preset
    assert "" == describe_loaded_file(ValueError("not of Keras"))
