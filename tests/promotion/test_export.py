"""`hpsearch export-model`: the same answers in every format, each opened by its own runtime."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from answer_check import read_answer
from click.testing import CliRunner

from hpsearch.cli import main
from hpsearch.data.columns import Column, Target
from hpsearch.data.schema import Schema
from hpsearch.data.statistics import fit_statistics
from hpsearch.errors import PromotionError
from hpsearch.models import load_family, make_outputs
from hpsearch.models.assembly import WeightedNetwork, assemble_model
from hpsearch.promotion import (
    export_model,
    export_quantized,
    model_export,
    parse_reference,
    promote_run,
    quantization,
)
from hpsearch.promotion.model_loading import fetch_model, load_served
from hpsearch.training.metrics import METRICS

from .conftest import RAW

ANSWERS = """
import contextlib, io, json, sys
import numpy as np
from pathlib import Path
from hpsearch.cli import main
root, formats = Path(sys.argv[2]), json.loads(sys.argv[3])
for model, names in formats.items():
    folder = root / model
    for name in names:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            main(["export-model", f"{folder.name}@champion", "--tracking-uri", sys.argv[1],
                  "--format", name, "-o", str(folder / name), "--json"], standalone_mode=False)
        (folder / f"{name}.json").write_text(printed.getvalue())
import keras, onnxruntime, tensorflow as tf
from hpsearch.errors import PromotionError
from hpsearch.promotion import export_model, parse_reference
from hpsearch.tracking.store import open_store
try:
    export_model(open_store(sys.argv[1]), parse_reference("of-erfinv"), root / "not", format="onnx")
except PromotionError as error:
    (root / "refusal.txt").write_text(str(error))

def ask_keras(folder, rows):
    return keras.models.load_model(folder / "model.keras")(rows)

def ask_savedmodel(folder, rows):
    saved = tf.saved_model.load(folder / "saved_model")  # it must outlive its call
    return saved.serve(rows)

def ask_onnx(folder, rows):
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    return session.run(None, {session.get_inputs()[0].name: rows})[0]

ask = {"keras": ask_keras, "savedmodel": ask_savedmodel, "onnx": ask_onnx}
for model, names in formats.items():
    folder = root / model
    rows = np.load(folder / "rows.npy")
    answers = {name: np.asarray(ask[name](folder / name, rows)) for name in names}
    np.savez(folder / "answers.npz", **answers)
"""
FORMATS = ("keras", "savedmodel", "onnx")
MODELS = ("of-tables", "of-images", "of-gelu-celu")
# Images and activations make a difference to what converts operations, not to Keras's own file.
SOME = dict(zip(MODELS, (FORMATS, FORMATS[1:], FORMATS[2:]), strict=True))


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(SOME, id="some"),
        pytest.param(dict.fromkeys(MODELS, FORMATS), id="all", marks=pytest.mark.long),
    ],
)
def formats(request):
    """The formats in which each model is exported."""
    return request.param


@pytest.fixture(scope="module")
def exported(formats, store, tmp_path_factory):
    """A folder for each champion: exported in its formats, and what each answers for its rows.

    One process exports all of them: TensorFlow takes seconds to import.
    """
    root = tmp_path_factory.mktemp("exported")
    made = {"of-tables": of_tables(store), "of-images": of_images(store, root)}
    made |= {"of-gelu-celu": of_activations(store, root, "of-gelu-celu")}
    promote_run(
        store.client, of_activations(store, root, "of-erfinv")[0], parse_reference("of-erfinv")
    )
    for name, (run, network, rows) in made.items():
        promote_run(store.client, run, parse_reference(name))
        (root / name).mkdir()
        np.save(root / name / "rows.npy", rows)
        np.save(root / name / "expected.npy", network(rows))
    command = [sys.executable, "-c", ANSWERS, store.uri, str(root), json.dumps(formats)]
    subprocess.run(command, check=True, timeout=300)
    return root


def of_tables(store, name="of-tables"):
    """A study's run, its network and some rows for it."""
    network = keras.models.load_model(
        Path(store.uri.removeprefix("sqlite:///")).parent / "model.keras"
    )
    rows = np.random.default_rng(0).integers(0, 2, (6, network.input_shape[1]))
    rows = rows.astype(np.float32)
    rows[0, 0] = np.nan
    return store.study(name), network, rows


def of_images(store, folder):
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
    network = load_family("cnn").build(space, shape, make_outputs("multiclass", 3))
    seen = fit_statistics(schema, images, np.eye(3)[[0, 1, 2, 0, 1]], np.arange(5))
    model = assemble_model([WeightedNetwork(network, seen)], schema, "multiclass")
    model.save(folder / "model.keras")
    winner = folder / "model.keras", schema, images[:3]
    return store.study("of-images", winner=winner), model, images


def of_activations(store, folder, name):
    """A study whose network has operations that tf2onnx lacks; nothing replaces `erfinv`."""
    schema = Schema((Column("a", "numeric"), Column("b", "numeric")), Target("y", "regression"))
    rows = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
    last = first = keras.Input((2,))
    if name == "of-erfinv":
        last = keras.ops.erfinv(first / 9)
    else:
        for activation in name.removeprefix("of-").split("-"):
            last = keras.layers.Dense(4, activation)(last)
    network = keras.Model(first, keras.layers.Dense(1)(last))
    seen = fit_statistics(schema, rows, rows[:, :1], np.arange(8))
    model = assemble_model([WeightedNetwork(network, seen)], schema, "regression")
    path = folder / f"network-{name}" / "model.keras"
    path.parent.mkdir()
    model.save(path)
    return store.study(name, winner=(path, schema, rows[:3])), model, rows


@pytest.mark.parametrize("name", MODELS)
def test_every_format_answers_alike_in_its_own_runtime(exported, formats, name):
    expected = np.load(exported / name / "expected.npy")
    with np.load(exported / name / "answers.npz") as answers:
        assert set(formats[name]) == set(answers)
        for form in answers:
            np.testing.assert_allclose(expected, answers[form], atol=1e-5, err_msg=form)


def test_the_files_are_named_as_json(exported):
    answer = read_answer("export-model", (exported / "of-tables" / "onnx.json").read_text())
    assert ("of-tables@champion", "onnx") == (answer["model"], answer["format"])
    assert all(Path(file).exists() for file in answer["files"])


def test_the_schema_lies_beside_the_network(exported):
    schema, n_columns = schema_of("of-tables", exported)
    assert n_columns == len(schema["columns"])


def test_a_network_of_images_is_exported_for_bytes(exported):
    schema, *shape = schema_of("of-images", exported)
    assert (shape, "uint8") == (schema["shape"], schema["dtype"])


def schema_of(name, exported):
    """The schema beside the ONNX file, and the shape of a row."""
    schema = json.loads((exported / name / "onnx" / "schema.json").read_text())
    return schema, *np.load(exported / name / "rows.npy").shape[1:]


def test_what_the_runtime_cannot_open_is_refused_and_not_left_there(exported):
    refusal = (exported / "refusal.txt").read_text()
    assert refusal.startswith("of-erfinv@champion was written as onnx, which cannot be used: ")
    assert "Erfinv" in refusal
    assert [] == [path.name for path in exported.iterdir() if path.name.startswith("not")]


def test_other_answers_than_those_of_the_served_model_are_refused(store, tmp_path):
    run, model, _ = of_tables(store, "of-other-tables")
    promote_run(store.client, run, parse_reference("of-other-tables"))
    path = fetch_model(store.client, parse_reference("of-other-tables"), str(tmp_path))
    served = load_served(path, parse_reference("of-other-tables"))
    example = model_export._load_example(path, served.schema)
    model_export._require_same_answers(served, example, model.predict_on_batch)
    with pytest.raises(PromotionError, match=r"example rows differ by up to 0\.001"):
        model_export._require_same_answers(
            served, example, lambda rows: model.predict_on_batch(rows) + 0.001
        )


def test_an_existing_folder_is_not_overwritten(store, tmp_path):
    with pytest.raises(PromotionError, match="exists: name another folder"):
        export_model(store.client, parse_reference("of-tables"), tmp_path, format="keras")


def test_a_quantized_network_is_scored_before_and_after(store, tmp_path):
    run, model, _ = of_tables(store, "of-quantized")
    promote_run(store.client, run, parse_reference("of-quantized"))
    reference = parse_reference("of-quantized")
    schema = load_served(fetch_model(store.client, reference, str(tmp_path)), reference).schema
    table = pd.concat([RAW] * 5, ignore_index=True)
    table[schema.target.name] = [schema.target.classes[k % 3 == 0] for k in range(len(table))]
    table.to_csv(tmp_path / "rows.csv", index=False)
    found = export_quantized(
        store.client, reference, tmp_path / "small", mode="int8", rows=tmp_path / "rows.csv"
    )
    assert ("roc_auc", 20) == (found.metric, found.n_rows)
    truth = schema.encode_target(table)
    columns = schema.clean(table)
    expected = METRICS["roc_auc"](truth, np.asarray(model.predict_on_batch(columns)))
    assert expected == pytest.approx(found.before, abs=1e-6)
    opened = keras.models.load_model(found.files[0], safe_mode=True)
    assert {"int8"} == {
        x.kernel.dtype for x in opened._flatten_layers() if isinstance(x, keras.layers.Dense)
    }
    after = METRICS["roc_auc"](truth, np.asarray(opened.predict_on_batch(columns)))
    assert after == pytest.approx(found.after, abs=1e-6)


def test_a_network_without_a_layer_to_quantize_is_refused():
    layers = [keras.Input((8, 8, 1)), keras.layers.Conv2D(1, 8), keras.layers.Flatten()]
    with pytest.raises(ValueError, match="no dense or embedding layer"):
        quantization._quantize(keras.Sequential(layers), "int8")


def test_options_of_quantizing_belong_together(tmp_path):
    (tmp_path / "rows.csv").touch()
    for more in (["--quantize", "int8"], ["--rows", str(tmp_path / "rows.csv")]):
        told = CliRunner().invoke(main, ["export-model", "a@b", "-o", str(tmp_path / "x"), *more])
        assert (2, True) == (told.exit_code, "belong together" in told.output)
