"""A `.keras` file that somebody else wrote in place of ours: nothing of it runs."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from promotion.conftest import RAW
from promotion.test_served_model import LINEAGE, make_model

from hpsearch.promotion.package import save_served_model, sha256
from hpsearch.promotion.served_model import ServedModel


def rewritten(path: Path, name: str, content: Callable[[bytes], bytes]) -> None:
    """Change one file in the archive at `path`."""
    with zipfile.ZipFile(path) as archive:
        files = {each: archive.read(each) for each in archive.namelist()}
    files[name] = content(files.get(name, b""))
    with zipfile.ZipFile(path, "w") as archive:
        for each, held in files.items():
            archive.writestr(each, held)


def code_in_a_layer(path: Path, canary: Path) -> None:
    """A Lambda layer holds Python bytecode."""
    place = str(canary)
    layer = keras.layers.Lambda(
        lambda x: (__import__("pathlib").Path(place).touch(), x)[1], output_shape=(5,)
    )
    keras.Sequential([keras.Input((5,)), layer]).save(path)
    keras.models.load_model(path, safe_mode=False)(np.zeros((1, 5), np.float32))
    canary.unlink()  # which shows that it would have run


def another_class(path: Path, canary: Path) -> None:
    """The declaration names a function of `os`."""
    called = {"module": "os", "class_name": "system", "config": f"touch {canary}"}
    rewritten(path, "config.json", lambda _: json.dumps(called).encode())


def another_place(path: Path, canary: Path) -> None:
    """A file of the archive leads out of the folder that it is unpacked into."""
    upwards = "../" * 12
    for name in (f"assets/{upwards}{canary}", f"{upwards}{canary}", str(canary)):
        rewritten(path, name, lambda _: b"outside")


def another_format(path: Path, canary: Path) -> None:
    """An HDF5 file, whose old loader knows no safe mode."""
    other = path.with_suffix(".h5")
    code_in_a_layer(other, canary)
    other.replace(path)


HOSTILE = [code_in_a_layer, another_class, another_place, another_format]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The MLflow model of a winner."""
    folder = tmp_path_factory.mktemp("packed")
    _, schema = make_model(folder, "binary")
    save_served_model(
        folder / "served",
        model=folder / "model.keras",
        schema=schema,
        columns=schema.clean(RAW),
        lineage=LINEAGE,
    )
    return folder / "served" / "artifacts"


def opened(folder: Path) -> ServedModel:
    """What is served from the artifacts in `folder`, their digests checked first."""
    files = {"model": "model.keras", "schema": "schema.json", "digests": "digests.json"}
    served = ServedModel()
    served.load_context(SimpleNamespace(artifacts={k: folder / v for k, v in files.items()}))
    return served


@pytest.mark.filterwarnings("ignore:Skipping invalid path during archive extraction")
@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_model_file_runs_nothing_even_under_a_forged_digest(
    hostile: Callable[[Path, Path], None],
    packed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    figure: Callable[..., None],
) -> None:
    folder, canary = tmp_path / "artifacts", tmp_path / "canary"
    shutil.copytree(packed, folder)
    hostile(folder / "model.keras", canary)
    with pytest.raises(ValueError, match="is damaged: its SHA-256"):
        opened(folder)
    digests = json.loads((folder / "digests.json").read_text())
    digests["model"] = sha256(folder / "model.keras")
    (folder / "digests.json").write_text(json.dumps(digests))
    monkeypatch.setattr("hpsearch.promotion.served_model._choose_backend", lambda: None)
    monkeypatch.syspath_prepend(str(packed.parent / "code"))
    if hostile is another_place:  # the model in it is whole, and what is beside it stays there
        opened(folder)
    else:
        with pytest.raises((ValueError, TypeError)):
            opened(folder)
    assert not canary.exists()
    figure(canaries_run=int(canary.exists()))


def test_every_flipped_bit_is_found_before_the_file_is_opened(
    packed: Path, tmp_path: Path, figure: Callable[..., None]
) -> None:
    folder = tmp_path / "artifacts"
    shutil.copytree(packed, folder)
    sound = (folder / "model.keras").read_bytes()
    rng = np.random.default_rng(0)
    flips, found = 200, 0
    for place, bit in zip(
        rng.integers(0, len(sound), flips), rng.integers(0, 8, flips), strict=True
    ):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << int(bit)
        (folder / "model.keras").write_bytes(damaged)
        try:
            opened(folder)
        except ValueError as error:
            found += "is damaged: its SHA-256" in str(error)
    assert flips == found
    figure(flips_found=f"{found} of {flips}")
