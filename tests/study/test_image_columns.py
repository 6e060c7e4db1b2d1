"""A study on images beside numbers: recognized by init, searched, promoted and served."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from inline_worker_pool import training_inline
from PIL import Image

from .conftest import invoke

pytestmark = pytest.mark.long
ROWS = 60
BUILD = """
from keras import Input, Model, layers


def build(params, inputs, outputs):
    photo = Input(inputs["photo"], name="photo")
    rest = Input(inputs["features"], name="features")
    x = layers.RandomFlip()(layers.Rescaling(1 / 255)(photo))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(params["filters"], 3)(x))
    x = layers.Concatenate()([x, rest])
    return Model([photo, rest], layers.Dense(outputs.units, outputs.activation)(x))
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A table of images whose brightness tells the label."""
    rng = random.Random(0)
    (tmp_path / "data").mkdir()
    lines = ["photo,size,label"]
    for k in range(ROWS):
        bright = rng.randrange(256)
        Image.new("RGB", (9, 9), (bright, 0, 255 - bright)).save(tmp_path / "data" / f"{k}.png")
        lines.append(f"{k}.png,{rng.random():.2f},{'red' if bright > 127 else 'blue'}")
    (tmp_path / "data" / "rows.csv").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "model.py").write_text(BUILD, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("model", "space"),
    [("mlp", "units: 4, image_blocks: 1, image_filters: 4"), ("model.py:build", "filters: 3")],
)
def test_images_are_searched_promoted_and_served(root: Path, model: str, space: str) -> None:
    (root / "s.yaml").write_text(
        "study: photos\n"
        "data: {source: data/rows.csv, target: label,\n"
        "  columns: {photo: {kind: image, size: [8, 8]}}}\n"
        f"model: {model}\n"
        "cross_validation: {folds: 2}\n"
        "training: {epochs: 15, early_stopping: null}\n"
        f"search_space: {{{space}, learning_rate: 0.05}}\n"
        "budget: {trials: 1}\nselection: {finalists: 0}\n",
        encoding="utf-8",
    )
    with training_inline():
        told = json.loads(invoke(root, "tune", "s.yaml", "--quiet", "--json").output)
        assert 1 == told["trials"]["complete"], told
        assert told["best"]["score"] > 0.8  # ROC AUC: the pixels are seen
        invoke(root, "promote", "photos", "--as", "photos")
        answers = invoke(root, "predict", "photos@champion", "data/rows.csv").output.splitlines()
    assert ROWS == len([line for line in answers if line.startswith(("red,", "blue,"))])
    Image.new("RGB", (9, 9), (1, 2, 3)).save(root / "data" / "7.png")
    told = invoke(root, "tune", "s.yaml", "--set", "budget.trials=2", code=2).output
    assert "data" in told  # a changed image is other data


def test_init_recognizes_images_and_its_file_is_a_valid_study(root: Path) -> None:
    invoke(root, "init", "data/rows.csv", "--target", "label", "-o", "s.yaml")
    text = (root / "s.yaml").read_text(encoding="utf-8")
    assert "photo: {kind: image, size: [64, 64], channels: 3}" in text
    assert "60 images" in text
    invoke(root, "check", "s.yaml")
