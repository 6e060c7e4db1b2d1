"""Typical scripts of Keras users: each is searched, promoted and served, or refused.

`docs/gallery.md` lists them with the trainer that took them; what it says is what happens here.
"""

from __future__ import annotations

import re
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from inline_worker_pool import training_inline
from PIL import Image
from study.conftest import with_store

from hpsearch.cli import main
from hpsearch.history import History
from hpsearch.journal import read_page

SCRIPTS = Path(__file__).parent / "scripts"
PAGE = Path(__file__).parents[2] / "docs" / "gallery.md"
ROWS = 80


@dataclass(frozen=True)
class Script:
    """One script, and what is to happen to it."""

    name: str
    trainer: str  # that takes it
    convention: str = ""
    training: str = ""  # what the study file says of the training
    own_code: bool = False  # whether the served model runs the user's file
    data: str = ""  # what the study file says of the data, beside source and target
    table: str = "table.csv"
    answer: str = r"^[01],[\d.e-]+,[\d.e-]+$"  # a line of the predictions
    is_long: bool = True  # left out of `make test`

    @property
    def about(self) -> str:
        """The first line of its docstring."""
        text = (SCRIPTS / f"{self.name}.py").read_text(encoding="utf-8")
        return re.match(r'"""(.+?)\.?(?:"""|\n)', text)[1]


TEXT = "columns: {message: {kind: text}}"
IMAGE = "columns: {photo: {kind: image, size: [32, 32]}}"
CALLBACKS = f"callbacks: ['{SCRIPTS}/callbacks.py:make']"
PHASES = (
    "phases: [{epochs: 1}, {epochs: 1, trainable: [head, output, block2_*], learning_rate: 1e-4}]"
)
FORECAST = "forecast: {horizon: 3, history: 6, time: hour}"
PAIR = "inputs: {left: [a, b], right: [c, d]}"
TAKEN = [
    Script("custom_layer", "vectorized", own_code=True, is_long=False),
    Script("subclassed_model", "vectorized", own_code=True),
    Script("autoencoder_head", "vectorized", own_code=True),
    Script("lambda_layer", "vectorized", own_code=True),
    Script("registered_layer", "vectorized", own_code=True),
    Script("normalization", "vectorized"),
    Script("logits", "vectorized"),
    Script("attention", "vectorized"),
    Script("lstm", "vectorized"),
    Script("mixed_precision", "vectorized"),
    Script("frozen_weights", "keras_fit"),
    Script("own_loss", "keras_fit"),
    Script("tuner_tutorial", "vectorized", "keras_tuner"),
    Script("own_train_step", "keras_fit"),
    Script("own_compute_loss", "keras_fit"),
    Script("callbacks", "keras_fit", training=CALLBACKS, is_long=False),
    Script("tuner_fit", "keras_fit", "keras_tuner"),
    Script("tuner_own_loop", "keras_fit", "keras_tuner"),
    Script("two_phases", "keras_fit", "keras_tuner"),
    Script("several_inputs", "vectorized", data="drop: [message], inputs: {wide: [a, b]}"),
    Script("text_classification", "keras_fit", data=f"drop: [a, b, c, d], {TEXT}"),
    Script("text_and_numbers", "vectorized", data=TEXT),
    Script("tuner_inputs", "vectorized", "keras_tuner", data=TEXT),
    Script("subclassed_inputs", "keras_fit", own_code=True, data=TEXT),
    Script("text_transformer", "vectorized", data=f"drop: [a, b, c, d], {TEXT}"),
    Script("siamese", "vectorized", data=f"drop: [message], {PAIR}"),
    Script("residual", "vectorized"),
    Script("lora", "vectorized"),
    Script("image_augmentation", "keras_fit", data=f"drop: [a], {IMAGE}", table="photos.csv"),
    Script("image_and_table", "keras_fit", data=IMAGE, table="photos.csv"),
    Script("transfer_learning", "keras_fit", data=f"drop: [a], {IMAGE}", table="photos.csv"),
    Script("lora_backbone", "keras_fit", data=f"drop: [a], {IMAGE}", table="photos.csv"),
    Script("gated_residual", "vectorized", own_code=True),
    Script("cross_network", "vectorized"),
    Script("series_transformer", "keras_fit"),
    Script(
        "vision_transformer",
        "keras_fit",
        own_code=True,
        data=f"drop: [a], {IMAGE}",
        table="photos.csv",
    ),
    Script("separable_convolutions", "keras_fit", data=f"drop: [a], {IMAGE}", table="photos.csv"),
    Script("distillation", "keras_fit", own_code=True),
    Script("bidirectional_text", "vectorized", data=f"drop: [a, b, c, d], {TEXT}"),
    Script(
        "forecast_horizons",
        "vectorized",
        data=FORECAST,
        table="sales.csv",
        answer=r"^(?:,,|[\d.]+,[\d.]+,[\d.]+)$",
    ),
    Script("fine_tuning", "keras_fit", "", PHASES, data=f"drop: [a], {IMAGE}", table="photos.csv"),
]
REFUSED = {  # of mistakes.py: what is told before the first trial
    "two_inputs": "has the name of no column and of no group of data.inputs",
    "wrong_width": "the model's input 'a' takes rows of shape (2,), but the data have rows of",
    "without_return": "must return a keras.Model. Received: None. Is there a `return` missing?",
    "wide_head": "has shape (None, 7), but the task needs (None, 1)",
    "bare_head": "a binary task needs probabilities: give the last layer activation='sigmoid'",
    "misspelt": "KeyError: 'widht', which is not a hyperparameter of the study",
    "gan": "but the task needs (None, 1)",
    "without_arguments": "It is called as build(params, inputs, outputs); Keras Tuner's build(hp)",
    "silent_step": "Silent has a custom train_step: does it return its logs?",
}


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """A folder with a store and a table."""
    root = with_store(tmp_path_factory.mktemp("gallery"), empty_store)
    features = np.random.default_rng(0).normal(size=(ROWS, 4))
    lines = [
        f"{','.join(f'{x:.3f}' for x in row)},it is {'large' if row[0] > 0 else 'small'} in "
        f"row {k},{row[0] > 0:d}"
        for k, row in enumerate(features)
    ]
    (root / "table.csv").write_text("\n".join(["a,b,c,d,message,y", *lines]), encoding="utf-8")
    write_photos(root, features[:, 0])
    write_series(root / "sales.csv")
    write_backbone(root / "backbone.keras")
    return root


def write_photos(root: Path, numbers: np.ndarray) -> None:
    """Write a table of images whose brightness is the label."""
    (root / "photos").mkdir()
    lines = ["photo,a,y"]
    for k, number in enumerate(numbers):
        Image.new("RGB", (16, 16), (200 if number > 0 else 40,) * 3).save(root / f"photos/{k}.png")
        lines.append(f"photos/{k}.png,{number:.3f},{number > 0:d}")
    (root / "photos.csv").write_text("\n".join(lines), encoding="utf-8")


def write_series(path: Path) -> None:
    """Write a table of a daily rhythm, hour by hour."""
    rows = [f"{k},{5 + np.sin(k / 24 * 2 * np.pi):.3f}" for k in range(ROWS)]
    path.write_text("\n".join(["hour,y", *rows]), encoding="utf-8")


def write_backbone(path: Path) -> None:
    """Write a model as if it had been trained before."""
    import keras  # takes seconds

    keras.utils.set_random_seed(0)
    options = {"activation": "relu", "kernel_initializer": "he_normal"}
    blocks = [
        keras.layers.Conv2D(4, 3, strides=2, name="block1_conv", **options),
        keras.layers.Conv2D(8, 3, strides=2, name="block2_conv", **options),
    ]
    layers = [keras.Input((32, 32, 3)), *blocks, keras.layers.GlobalAveragePooling2D()]
    keras.Sequential(layers, name="backbone").save(path)


def invoke(root: Path, *arguments: object, code: int = 0) -> Result:
    with chdir(root), training_inline():
        done = CliRunner().invoke(main, [*map(str, arguments)])
    assert code == done.exit_code, (done.output, done.exception)
    return done


def declare(
    root: Path,
    name: str,
    reference: str,
    training: str = "",
    data: str = "drop: [message]",
    table: str = "table.csv",
) -> Path:
    path = root / f"{name}.yaml"
    space = "search_space: {width: [3, 4], text_vocabulary: 500}\n"
    if reference.startswith("{"):
        space = ""
    elif TEXT not in data:
        space = "search_space: {width: [3, 4]}\n"
    path.write_text(
        f"study: {name}\n"
        f"data: {{source: {table}, target: y, test_fraction: 0.2, {data}}}\n"
        "cross_validation: {folds: 2}\n"
        f"training: {{epochs: 2, early_stopping: null, {training}}}\n"
        f"model: {reference}\n{space}"
        "budget: {trials: 1}\nselection: {finalists: 0}\n",
        encoding="utf-8",
    )
    return path


def taken_scripts() -> list[object]:
    marks = [(s, [pytest.mark.long] if s.is_long else []) for s in TAKEN]
    return [pytest.param(s, id=s.name, marks=m) for s, m in marks]


@pytest.mark.filterwarnings("ignore:.*unbuilt state")  # of a layer that a script leaves unused
@pytest.mark.parametrize("script", taken_scripts())
def test_a_script_is_checked_searched_promoted_and_served(gallery: Path, script: Script) -> None:
    place = f"{SCRIPTS / script.name}.py:build"
    reference = f"{{{script.convention}: {place}}}" if script.convention else place
    given = {"data": script.data} if script.data else {}
    spec = declare(gallery, script.name, reference, script.training, table=script.table, **given)
    invoke(gallery, "tune", spec, "--quiet")
    journal = gallery / "mlruns" / "studies" / script.name / "journal.jsonl"
    history = History(read_page(journal).events)
    [trial] = history.last.values()
    assert ("COMPLETE", script.trainer) == (trial.state, trial.trainer), trial.error
    if script.own_code:
        told = invoke(gallery, "promote", script.name, "--as", script.name, code=2).output
        assert f"a served model would run {script.name}.py" in told
        invoke(gallery, "tune", spec, "--quiet", "--set", "serve.trust_code=true")
        assert 1 == len(History(read_page(journal).events).last)  # nothing was trained
    told = invoke(gallery, "promote", script.name, "--as", script.name).output
    assert script.own_code == (f"runs your code: {script.name}.py" in told)
    answers = invoke(gallery, "predict", f"{script.name}@champion", script.table).output
    assert ROWS == len(re.findall(script.answer, answers, re.M)), answers[:500]


@pytest.mark.parametrize("name", REFUSED)
def test_a_mistake_is_told_by_check_before_the_first_trial(gallery: Path, name: str) -> None:
    spec = declare(gallery, f"wrong-{name}", f"{SCRIPTS}/mistakes.py:{name}")
    told = invoke(gallery, "check", spec, code=2).output
    assert REFUSED[name] in told
    assert "mistakes.py" in told or f"wrong-{name}.yaml:" in told


def format_table() -> str:
    lines = ["| script | what it is | trainer | served |", "|---|---|---|---|"]
    for s in TAKEN:
        served = "with `serve: {trust_code: true}`" if s.own_code else "yes"
        lines.append(f"| `{s.name}.py` | {s.about} | `{s.trainer}` | {served} |")
    lines += ["", "| mistake | what `check` says |", "|---|---|"]
    lines += [f"| `mistakes.py:{name}` | … {told} … |" for name, told in REFUSED.items()]
    return "\n".join(lines)


def test_the_page_lists_what_happens_here() -> None:
    assert format_table() in PAGE.read_text(encoding="utf-8")


def test_every_script_is_tried() -> None:
    assert {path.stem for path in SCRIPTS.glob("*.py")} == {s.name for s in TAKEN} | {"mistakes"}
