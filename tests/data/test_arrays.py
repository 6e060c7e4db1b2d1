"""Array rows: equal from every source, compact types, and refusals before the first trial."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpsearch.data import load
from hpsearch.data.schema import Schema
from hpsearch.data.statistics import fit_statistics
from hpsearch.errors import DataError
from hpsearch.spec.data_spec import DataSpec

N, SHAPE = 60, (6, 5, 3)


def pictures(n: int = N, shape: tuple[int, ...] = SHAPE) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, *shape), dtype=np.uint8), np.arange(n) % 2


def read(folder: Path, source: str, **data):
    spec = DataSpec(source=source, **data)
    return load(spec, task=None, cross_validation=None, seed=1, folder=folder)


def written(folder: Path, images: np.ndarray, classes: np.ndarray, suffix: str = ".png") -> None:
    for i, (pixels, label) in enumerate(zip(images, classes, strict=True)):
        place = folder / ("cat", "dog")[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.squeeze()).save(place / f"{i:03}{suffix}")


def test_images_stay_bytes_of_their_shape(load_memory):
    x, y = pictures()
    data = load_memory((x, y), test_fraction=0.0)
    assert (np.uint8, x.shape) == (data.columns.dtype, data.columns.shape)
    assert np.shares_memory(x, data.features)  # one copy of the rows
    assert (SHAPE, 90, "uint8") == (data.shape, data.n_features, data.schema.dtype)


@pytest.mark.parametrize("kind", [np.int64, np.uint8, bool])
def test_greyscale_images_get_a_channel(load_memory, kind):
    x, y = pictures(shape=(6, 5))
    data = load_memory(((x % 2).astype(kind), y), test_fraction=0.0)
    assert (np.uint8, (N, 6, 5, 1)) == (data.columns.dtype, data.columns.shape)


def test_sequences_stay_numbers_of_their_shape(load_memory):
    x = np.random.default_rng(0).normal(size=(N, 6, 2))
    data = load_memory((x, np.arange(N) % 2), test_fraction=0.0)
    assert (np.float32, (N, 6, 2)) == (data.columns.dtype, data.columns.shape)


def test_every_source_gives_the_same_rows(tmp_path, load_memory):
    import tensorflow as tf

    x, y = pictures()
    np.savez(tmp_path / "a.npz", x=x, y=y)
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "mine.py").write_text(
        "import numpy as np, pathlib\n"
        "here = pathlib.Path(__file__).parent\n"
        "def rows():\n"
        "    return np.load(here / 'x.npy'), np.arange(60) % 2\n"
        "def lists():\n"
        "    x, y = rows()\n"
        "    return list(x), list(y)\n"
        "def stream(batched):\n"
        "    import tensorflow as tf\n"
        "    found = tf.data.Dataset.from_tensor_slices(rows())\n"
        "    return found.batch(7) if batched else found\n"
        "def one_by_one():\n"
        "    return stream(False)\n"
        "def in_batches():\n"
        "    return stream(True)\n"
    )
    expected = load_memory((x, y), seed=1)
    names = ("rows", "lists", "one_by_one", "in_batches")
    for source in ("a.npz", *(f"mine.py:{name}" for name in names)):
        data = read(tmp_path, source)
        assert expected.schema == data.schema, source
        assert expected.fingerprint == data.fingerprint, source
        np.testing.assert_array_equal(expected.columns, data.columns, source)
        np.testing.assert_array_equal(expected.target, data.target, source)
    endless = tf.data.Dataset.from_tensor_slices((x, y)).repeat()
    with pytest.raises(DataError, match=r"it is infinite: remove repeat\(\)"):
        load_memory(endless)


def test_a_folder_of_images_has_a_class_for_each_folder(tmp_path):
    x, y = pictures()
    written(tmp_path / "pets", x, y)
    (tmp_path / "pets" / "cat" / ".DS_Store").write_text("")
    data = read(tmp_path, "pets", test_fraction=0.0)
    assert ("pets", ("cat", "dog")) == (data.name, data.schema.target.classes)
    np.testing.assert_array_equal(np.concatenate([x[y == 0], x[y == 1]]), data.columns)
    np.testing.assert_array_equal(np.sort(y), data.target[:, 0])


def test_a_folder_of_its_own_holds_the_locked_images(tmp_path):
    x, y = pictures()
    written(tmp_path / "train", x[:40], y[:40])
    written(tmp_path / "test", x[40:], y[40:])
    data = read(tmp_path, "train", test_source="test")
    assert (40, 20) == (data.n_rows, len(data.locked_rows))
    np.testing.assert_array_equal(
        np.concatenate([x[40:][y[40:] == 0], x[40:][y[40:] == 1]]), data.locked_rows.read().columns
    )


def test_grey_files_have_one_channel_and_image_size_resizes(tmp_path):
    x, y = pictures(shape=(8, 8))
    written(tmp_path / "pets", x, y, ".jpg")
    data = read(tmp_path, "pets", image_size=[4, 6], test_fraction=0.0)
    assert ((4, 6, 1), np.uint8) == (data.shape, data.columns.dtype)


def test_what_is_wrong_with_a_folder_is_told_by_name(tmp_path):
    x, y = pictures()
    written(tmp_path / "pets", x, y)
    (tmp_path / "pets" / "bird").mkdir()
    (tmp_path / "pets" / "dog" / "notes.txt").write_text("woof")
    with pytest.raises(DataError, match=r"folder 'bird' holds no PNG or JPEG; dog/notes.txt are"):
        read(tmp_path, "pets")
    (tmp_path / "pets" / "bird").rmdir()
    (tmp_path / "pets" / "dog" / "notes.txt").unlink()
    whole = (tmp_path / "pets" / "cat" / "000.png").read_bytes()
    (tmp_path / "pets" / "cat" / "000.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"^pets: 1 of 60 images are damaged: cat/000\.png"):
        read(tmp_path, "pets")
    (tmp_path / "pets" / "cat" / "000.png").write_text("no image")
    with pytest.raises(DataError, match=r"1 of 60 images cannot be read as images: cat/000\.png"):
        read(tmp_path, "pets")
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "pets" / "cat" / "000.png")
    with pytest.raises(DataError, match=r"are not 9 x 9 like the first; declare data\.image_size"):
        read(tmp_path, "pets")


def test_rows_of_different_shapes_are_refused(load_memory):
    ragged = [np.zeros((4, 4)), np.zeros((4, 4)), np.zeros((5, 4))]
    with pytest.raises(DataError, match=r"row 1 has shape \(4, 4\), row 3 has \(5, 4\)"):
        load_memory((ragged, [0, 1, 0]))


def test_infinite_numbers_and_texts_are_refused(load_memory):
    x = np.zeros((N, 3, 2))
    x[4, 1, 1] = np.inf
    with pytest.raises(DataError, match="X, row 5 holds a number that is infinite"):
        load_memory((x, np.arange(N) % 2))
    with pytest.raises(DataError, match=r"X holds <U1: give numbers"):
        load_memory((np.full((N, 3, 2), "a"), np.arange(N) % 2))


def test_flat_columns_are_laid_out_as_declared(tmp_path):
    data = read(tmp_path, "sklearn:digits", shape=[8, 8, 1])
    flat = read(tmp_path, "sklearn:digits")
    np.testing.assert_array_equal(flat.columns.reshape(-1, 8, 8, 1), data.columns)
    with pytest.raises(DataError, match=r"data\.shape: 9 x 9 are 81 numbers, but a row has 64"):
        read(tmp_path, "sklearn:digits", shape=[9, 9])


def test_columns_of_bytes_are_images_whatever_the_file(tmp_path):
    x, y = pictures(shape=(2, 2))
    lines = [f"{','.join(map(str, row.ravel()))},{label}" for row, label in zip(x, y, strict=True)]
    (tmp_path / "a.csv").write_text("a,b,c,d,y\n" + "\n".join(lines) + "\n")
    data = read(tmp_path, "a.csv", target="y", shape=[2, 2, 1], test_fraction=0.0)
    assert np.uint8 == data.columns.dtype
    np.testing.assert_array_equal(x[..., None], data.columns)
    (tmp_path / "b.csv").write_text("a,b,c,d,y\n1,2,3,red,0\n1,2,3,blue,1\n")
    with pytest.raises(DataError, match=r"column 'd' holds string, and data\.shape needs numbers"):
        read(tmp_path, "b.csv", target="y", shape=[2, 2, 1])


def test_duplicate_images_are_left_out_where_declared(load_memory):
    x, y = pictures()
    x[10], y[10] = x[4], y[4]
    x[11] = x[5]  # the same image with another class is another row
    y[11] = 1 - y[5]
    kept = load_memory((x, y), drop_duplicates=True, test_fraction=0.0)
    assert N - 1 == kept.n_rows
    assert 10 not in kept.rows


def test_fingerprint_sees_every_pixel(load_memory):
    x, y = pictures()
    before = load_memory((x, y)).fingerprint
    x[30, 2, 2, 1] ^= 1
    assert before != load_memory((x, y)).fingerprint


def test_statistics_are_those_of_each_channel_of_the_training_rows(load_memory):
    x, y = pictures()
    data = load_memory((x, y))
    train = data.folds[0].train
    pixels = data.columns[train].reshape(-1, 3).astype(float)
    found = data.statistics(train)
    np.testing.assert_allclose(pixels.mean(axis=0), found.center, rtol=1e-6)
    np.testing.assert_allclose(1 / pixels.std(axis=0), found.scale, rtol=1e-6)
    poisoned = data.columns.copy()
    poisoned[data.folds[0].validation] = 255
    again = fit_statistics(data.schema, poisoned, data.target, train)
    assert found.center.tobytes() == again.center.tobytes()
    np.testing.assert_allclose(
        (pixels - found.center) * found.scale,
        found.apply(data.columns[train]).reshape(-1, 3),
        atol=1e-5,
    )


@pytest.mark.parametrize("how", ["minmax", "robust", "quantile", "none"])
def test_every_scaling_works_on_images(load_memory, how):
    x, y = pictures()
    data = load_memory((x, y), scaling=how)
    seen = data.statistics(data.folds[0].train).apply(data.columns)
    flat = load_memory((x.reshape(-1, 3), np.arange(len(x) * 30) % 2), test_fraction=0.0)
    rows = (data.rows[data.folds[0].train][:, None] * 30 + np.arange(30)).ravel()
    expected = flat.statistics(rows, how).apply(data.columns.reshape(-1, 3))
    np.testing.assert_allclose(expected, seen.reshape(-1, 3), rtol=1e-5, atol=1e-5)


def test_a_served_model_refuses_arrays_of_another_shape_or_type(load_memory):
    x, y = pictures()
    schema = Schema.from_json(load_memory((x, y)).schema.to_json())
    np.testing.assert_array_equal(x, schema.clean(x.astype(float)))
    with pytest.raises(DataError, match=r"takes uint8 of shape \(n_rows, 6, 5, 3\)"):
        schema.clean(x[:, 1:])
    with pytest.raises(DataError, match="whole numbers from 0 to 255"):
        schema.clean(x / 255)
