"""`hpsearch export-model`: the same answers in every format, each opened by its own runtime."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hpsearch.errors import PromotionError
from hpsearch.promotion import export_model, parse_reference, promote

ANSWERS = """
import json, sys
import numpy as np
from pathlib import Path
folder = Path(sys.argv[1])
from hpsearch.cli import main
for name in ("keras", "savedmodel", "onnx"):
    main(["export-model", "exported@champion", "--tracking-uri", sys.argv[2],
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


def test_every_format_answers_alike_in_its_own_runtime(store, tmp_path):
    promote(store.client, store.study("to-export"), parse_reference("exported"))
    model = Path(store.uri.removeprefix("sqlite:///")).parent / "model.keras"
    import keras

    network = keras.models.load_model(model)
    rows = np.random.default_rng(0).integers(0, 2, (6, network.input_shape[1]))
    rows = rows.astype(np.float32)
    rows[0, 0] = np.nan
    np.save(tmp_path / "rows.npy", rows)
    subprocess.run(
        [sys.executable, "-c", ANSWERS, str(tmp_path), store.uri], check=True, timeout=300
    )
    expected = np.asarray(network(rows))
    with np.load(tmp_path / "answers.npz") as answers:
        assert {"keras", "savedmodel", "onnx"} == set(answers)
        for name in answers:
            np.testing.assert_allclose(expected, answers[name], atol=1e-5, err_msg=name)
    schema = json.loads((tmp_path / "onnx" / "schema.json").read_text())
    assert rows.shape[1] == len(schema["columns"])


def test_an_existing_folder_is_not_overwritten(store, tmp_path):
    with pytest.raises(PromotionError, match="exists: name another folder"):
        export_model(store.client, parse_reference("exported"), tmp_path, format="keras")
