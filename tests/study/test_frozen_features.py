"""A frozen model before the network: each image passes it once, and the served model has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from inline_worker_pool import training_inline
from keras import layers

from hpsearch.errors import SpecError
from hpsearch.models.backbone import compute_file_digest, load_backbone
from hpsearch.training.backbone_features import BATCH_ROWS, compute_features

from .conftest import invoke
from .test_image_columns import ROWS, root

__all__ = ["root"]
SHAPE = (8, 8, 3)


def make_backbone(seed: int = 0) -> keras.Model:
    keras.utils.set_random_seed(seed)
    first = keras.Input(SHAPE)
    x = layers.Conv2D(5, 3, activation="relu")(layers.Rescaling(1 / 255)(first))
    return keras.Model(first, layers.GlobalAveragePooling2D()(x))


class Counting:
    """Counts the images that pass a model."""

    def __init__(self, model: keras.Model) -> None:
        self.model, self.inputs, self.sizes = model, model.inputs, []

    def predict_on_batch(self, images: np.ndarray) -> Any:
        self.sizes.append(len(images))
        return self.model.predict_on_batch(images)


def test_each_image_passes_the_model_once() -> None:
    counting = Counting(make_backbone())
    pixels = np.random.default_rng(0).uniform(0, 255, (70, 192)).astype(np.float32)
    features = compute_features(counting, pixels, SHAPE, "photo")
    assert [BATCH_ROWS, BATCH_ROWS, 70 - 2 * BATCH_ROWS] == counting.sizes
    expected = counting.model(pixels.reshape(-1, *SHAPE))
    np.testing.assert_allclose(expected, features, rtol=1e-4, atol=1e-5)
    with pytest.raises(SpecError, match=r"takes images of shape \(8, 8, 3\).*size: \[8, 8\]"):
        compute_features(counting, pixels, (4, 16, 3), "photo")


def test_a_file_that_is_no_model_or_has_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "backbone.keras"
    path.write_bytes(b"no model")
    with pytest.raises(SpecError, match="not readable as a Keras model"):
        load_backbone(path, compute_file_digest(path))
    with pytest.raises(SpecError, match="the backbone has changed"):
        load_backbone(path, "0" * 64)


@pytest.mark.long
def test_a_study_trains_on_features_and_serves_the_whole_model(root: Path) -> None:
    make_backbone().save(root / "backbone.keras")
    (root / "s.yaml").write_text(
        "study: photos\n"
        "data: {source: data/rows.csv, target: label,\n"
        "  columns: {photo: {kind: image, size: [8, 8], backbone: backbone.keras}}}\n"
        "cross_validation: {folds: 5}\n"
        "training: {epochs: 2, early_stopping: null}\n"
        "search_space: {units: [3, 4], learning_rate: {type: float, low: 0.01, high: 0.3}}\n"
        "sampler: {kind: random}\nbudget: {trials: 20}\nselection: {finalists: 0}\n",
        encoding="utf-8",
    )
    with training_inline():
        said = invoke(root, "check", "s.yaml").output
        assert "photo: 5 numbers of backbone.keras for each image, computed once" in said
        [cached] = (root / "mlruns" / "features").glob("*.npy")
        assert (48, 5) == np.load(cached).shape  # the development rows
        written = cached.stat().st_mtime_ns
        told = json.loads(invoke(root, "tune", "s.yaml", "--quiet", "--json").output)
        assert 20 == told["trials"]["complete"], told
        baselines = {each["name"]: each["metrics"]["accuracy"] for each in told["baselines"]}
        assert {"logistic_regression", "gradient_boosting", "constant"} == baselines.keys()
        assert baselines["constant"] < baselines["logistic_regression"]  # which reads the features
        assert written == cached.stat().st_mtime_ns  # 100 folds later
        invoke(root, "promote", "photos", "--as", "photos")
        answers = invoke(root, "predict", "photos@champion", "data/rows.csv").output.splitlines()
    assert ROWS == len([line for line in answers if line.startswith(("red,", "blue,"))])
    [saved] = (root / "mlruns" / "studies" / "photos" / "final").glob("*.keras")
    served = keras.models.load_model(saved, safe_mode=True)
    weights = served.get_layer("backbone_1").get_weights()
    for expected, found in zip(make_backbone().get_weights(), weights, strict=True):
        np.testing.assert_array_equal(expected, found)
    make_backbone(seed=1).save(root / "backbone.keras")
    told = invoke(root, "tune", "s.yaml", "--set", "budget.trials=21", code=2).output
    assert "data" in told  # another backbone makes other features
    assert "outputs of a frozen model" in invoke(root, "gc", "--dry-run").output
