"""A column of image paths: read, resized, fingerprinted, refused, and served in other forms."""

from __future__ import annotations

import base64
import struct
import zlib
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from hpsearch.data import image_files
from hpsearch.data.image_cells import decode_image, decode_images
from hpsearch.data.image_copies import list_copies
from hpsearch.data.image_files import are_image_paths, find_image_folder, resolve_paths
from hpsearch.data.schema import Schema
from hpsearch.errors import DataError
from hpsearch.models.named_inputs import NamedInput, split_features
from hpsearch.spec.data_spec import ColumnSpec
from hpsearch.study.maintenance.source_copies import find_decoded_images

ROWS = 12
IMAGE = {"photo": ColumnSpec(kind="image", size=(4, 6), channels=3)}


@pytest.fixture
def photos(tmp_path: Path) -> str:
    """A table of images in a single colour, each with its brightness."""
    (tmp_path / "photos").mkdir()
    lines = ["photo,size,y"]
    for k in range(ROWS):
        Image.new("RGB", (8, 8), (20 * k, 7, 9)).save(tmp_path / "photos" / f"{k}.png")
        lines.append(f"photos/{k}.png,{k % 5},{k % 2}")
    return "\n".join(lines)


def load_photos(load_file: Any, table: str, **options: Any) -> Any:
    return load_file(table, columns=IMAGE, test_fraction=0.0, task="binary", **options)


def test_images_are_read_resized_and_named_beside_the_table(load_file: Any, photos: str) -> None:
    dataset = load_photos(load_file, photos)
    assert (ROWS, 1 + 4 * 6 * 3) == dataset.features.shape
    size, photo = dataset.schema.column_inputs
    assert ("size", "photo", (4, 6, 3)) == (size.name, photo.name, photo.shape)
    layout = [NamedInput("photo", tuple(range(1, 73)), (4, 6, 3))]
    pixels = np.asarray(split_features(dataset.features, layout)["photo"])
    np.testing.assert_array_equal(20 * np.arange(ROWS), pixels[:, 2, 3, 0])
    assert (7, 9) == (pixels[..., 1].max(), pixels[..., 2].min())
    statistics = dataset.statistics(np.arange(ROWS))  # pixels reach the network as they are
    np.testing.assert_array_equal(
        dataset.features[:, 1:], statistics.apply(dataset.features)[:, 1:]
    )


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_upper_half_of_16_bits_is_read(tmp_path: Path, mode: str) -> None:
    Image.fromarray(np.full((4, 6), 200 * 256 + 9, np.uint16)).save(tmp_path / "deep.png")
    pixels = decode_image(tmp_path / "deep.png", mode, (4, 6))
    assert (200, 200) == (pixels.min(), pixels.max())


def test_the_fingerprint_covers_the_contents(load_file: Any, photos: str, tmp_path: Path) -> None:
    before = load_photos(load_file, photos).fingerprint
    assert before == load_photos(load_file, photos).fingerprint
    Image.new("RGB", (8, 8), (255, 7, 9)).save(tmp_path / "photos" / "3.png")
    assert before != load_photos(load_file, photos).fingerprint


def test_images_are_decoded_once_until_a_file_or_the_copy_changes(
    load_file: Any, photos: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    decode_image = image_files.decode_image
    monkeypatch.setattr(
        image_files, "decode_image", lambda *given: decoded.append(1) or decode_image(*given)
    )

    def load() -> tuple[Any, int]:
        decoded.clear()
        found = load_photos(load_file, photos, cache=tmp_path / "mlruns" / "sources")
        return found, len(decoded)

    first, count = load()
    assert ROWS == count
    again, count = load()
    assert 0 == count
    np.testing.assert_array_equal(first.features, again.features)
    assert first.fingerprint == again.fingerprint == load_photos(load_file, photos).fingerprint
    Image.new("RGB", (8, 8), (255, 7, 9)).save(tmp_path / "photos" / "3.png")
    changed, count = load()
    assert ROWS == count
    assert first.fingerprint != changed.fingerprint
    kept = find_decoded_images(tmp_path)
    assert 2 == len(kept)
    for copy in kept:
        damaged = bytearray(copy.files[0].read_bytes())
        damaged[-1] ^= 1
        copy.files[0].write_bytes(damaged)
    again, count = load()
    assert ROWS == count
    np.testing.assert_array_equal(changed.features, again.features)
    assert 0 == load()[1]


def test_a_copy_that_another_study_removes_meanwhile_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "kept.npy").touch()
    (tmp_path / "removed.npy").symlink_to(tmp_path / "nowhere")
    assert [tmp_path / "kept.npy"] == list_copies(tmp_path)


@pytest.mark.parametrize(
    ("cell", "content", "said"),
    [
        ("photos/none.png", None, "row 2: photos/none.png: there is no such file"),
        ("photos/bad.png", b"no image", "row 2: photos/bad.png: not readable as an image"),
        ("photos/cut.png", "cut", "row 2: photos/cut.png: not readable as an image"),
        ("photos/vast.png", "vast", "row 2: photos/vast.png: not readable .*exceeds limit"),
        ("", None, "row 2: no path"),
    ],
)
def test_a_file_that_is_no_image_is_refused_with_its_row(
    load_file: Any, photos: str, tmp_path: Path, cell: str, content: Any, said: str
) -> None:
    if content == "cut":
        content = (tmp_path / "photos" / "1.png").read_bytes()[:48]
    if content == "vast":  # by its header
        content = bytearray((tmp_path / "photos" / "1.png").read_bytes())
        content[16:24] = struct.pack(">II", 50_000, 50_000)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    if content is not None:
        (tmp_path / cell).write_bytes(content)
    with pytest.raises(DataError, match=said):
        load_photos(load_file, photos.replace("photos/1.png", cell))


def test_a_cell_is_a_path_a_file_an_address_or_an_array(
    load_file: Any, photos: str, tmp_path: Path
) -> None:
    dataset = load_photos(load_file, photos)
    schema = Schema.from_json(dataset.schema.to_json())
    path = tmp_path / "photos" / "5.png"
    content = path.read_bytes()
    address = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    array = dataset.features[5, 1:].reshape(4, 6, 3).astype(np.uint8)
    given = [str(path), content, address, array, None]
    cleaned = schema.clean({"photo": given, "size": [0.0] * 5})
    np.testing.assert_array_equal(np.tile(dataset.features[5, 1:], (4, 1)), cleaned[:4, 1:])
    assert np.isnan(cleaned[4, 1:]).all()
    with pytest.raises(DataError, match=r"column 'photo', row 1: .*expected \(4, 6, 3\)"):
        decode_images([np.zeros((2, 2, 3))], "photo", (4, 6, 3))


def test_paths_are_relative_to_the_file_of_the_rows(tmp_path: Path) -> None:
    import pyarrow as pa

    (tmp_path / "rows.csv").touch()
    assert tmp_path == find_image_folder("rows.csv", tmp_path)
    table = pa.table({"photo": ["a.png", "/b.png", "data:x", None]})
    found = resolve_paths(table, ["photo"], tmp_path)["photo"].to_pylist()
    assert [str(tmp_path / "a.png"), "/b.png", "data:x", None] == found


def test_paths_of_images_are_recognized(photos: str, load_file: Any, tmp_path: Path) -> None:
    paths = [line.partition(",")[0] for line in photos.splitlines()[1:]]
    assert are_image_paths(paths, tmp_path)
    assert not are_image_paths(paths, tmp_path / "photos")
    assert not are_image_paths([*paths, "photos"], tmp_path)


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"size": (4, 4)}, "size, channels and backbone are for kind: image"),
        ({"kind": "image", "clip": (0, 1)}, "clip: not for kind: image"),
    ],
)
def test_options_of_other_kinds_are_refused(declared: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ColumnSpec(**declared)


def test_mlp_encodes_an_image_beside_numbers() -> None:
    from hpsearch.data.columns import ColumnInput
    from hpsearch.models.families import mlp
    from hpsearch.models.outputs import make_outputs

    image = ColumnInput("photo", "image", 2, (8, 8, 3))
    network = mlp.build({"units": 3}, (2 + 192,), make_outputs("binary", 1), arrays=[image])
    kinds = [type(layer) for layer in network.layers]
    assert 3 == kinds.count(keras.layers.Conv2D)
    rows = np.random.default_rng(0).uniform(0, 255, (4, 194)).astype(np.float32)
    assert (4, 1) == np.asarray(network(rows)).shape
