"""`hpsearch export-model`: the same answers in every format, each opened by its own runtime."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from hpsearch.data.schema import Column, Schema, Target
from hpsearch.data.statistics import fit_statistics
from hpsearch.errors import PromotionError
from hpsearch.models import load_family, outputs_for
from hpsearch.models.assembled import Part, assemble
from hpsearch.promotion import export_model, parse_reference, promote

ANSWERS = """
import json, sys
import numpy as np
from pathlib import Path
folder = Path(sys.argv[1])
from hpsearch.cli import main
for name in ("keras", "savedmodel", "onnx"):
    main(["export-model", sys.argv[3], "--tracking-uri", sys.argv[2],
          "--format", name, "-o", str(folder / name)], standalone_mode=False)
import keras, onnxruntime, tensorflow as tf
rows = np.load(folder / "rows.npy")
saved = tf.saved_model.load(folder / "savedmodel" / "saved_model")  # it must outlive its call
answers = {
    "keras": keras.models.load_model(folder / "keras" / "model.keras")(rows),
    "savedmodel": saved.serve(rows),
}
session = onnxruntime.InferenceSession(folder / "onnx" / "model.onnx")
answers["onnx"] = session.run(None, {session.get_inputs()[0].name: rows})[0]
np.savez(folder / "answers.npz", **{k: np.asarray(v) for k, v in answers.items()})
"""


def answers_alike(store, folder, name, network, rows):
    """Export the champion of `name` in every format; each answers for `rows` as `network` does."""
    np.save(folder / "rows.npy", rows)
    command = [sys.executable, "-c", ANSWERS, str(folder), store.uri, f"{name}@champion"]
    subprocess.run(command, check=True, timeout=300)
    expected = np.asarray(network(rows))
    with np.load(folder / "answers.npz") as answers:
        assert {"keras", "savedmodel", "onnx"} == set(answers)
        for form in answers:
            np.testing.assert_allclose(expected, answers[form], atol=1e-5, err_msg=form)
    return json.loads((folder / "onnx" / "schema.json").read_text())


def test_every_format_answers_alike_in_its_own_runtime(store, tmp_path):
    promote(store.client, store.study("to-export"), parse_reference("exported"))
    model = Path(store.uri.removeprefix("sqlite:///")).parent / "model.keras"
    network = keras.models.load_model(model)
    rows = np.random.default_rng(0).integers(0, 2, (6, network.input_shape[1]))
    rows = rows.astype(np.float32)
    rows[0, 0] = np.nan
    schema = answers_alike(store, tmp_path, "exported", network, rows)
    assert rows.shape[1] == len(schema["columns"])


def test_a_network_of_images_is_exported_for_bytes(store, tmp_path):
    shape, names = (8, 6, 3), [f"channel_{k}" for k in range(3)]
    target = Target("kind", "multiclass", ("cat", "dog", "owl"))
    schema = Schema(tuple(Column(n, "numeric") for n in names), target, shape, "uint8")
    images = np.random.default_rng(0).integers(0, 256, (5, *shape), dtype=np.uint8)
    space = {
        "blocks": 2,
        "filters": 4,
        "units": 8,
        "normalization": "batch",
        "random_flip": "horizontal",
    }
    network = load_family("cnn").build(space, shape, outputs_for("multiclass", 3))
    seen = fit_statistics(schema, images, np.eye(3)[[0, 1, 2, 0, 1]], np.arange(5))
    model = assemble([Part(network, seen)], schema, "multiclass")
    model.save(tmp_path / "model.keras")
    run = store.study("of-images", winner=(tmp_path / "model.keras", schema, images[:3]))
    promote(store.client, run, parse_reference("of-images"))
    told = answers_alike(store, tmp_path, "of-images", model, images)
    assert ([*shape], "uint8") == (told["shape"], told["dtype"])


def test_an_existing_folder_is_not_overwritten(store, tmp_path):
    with pytest.raises(PromotionError, match="exists: name another folder"):
        export_model(store.client, parse_reference("exported"), tmp_path, format="keras")
