"""Mistakes in `training.phases` are told with their key before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpsearch.errors import SpecError
from hpsearch.spec.study_file import load_file
from hpsearch.study.training_phases import check_phases, make_early_stopping, make_phases
from hpsearch.study.validation import check_study
from hpsearch.training.model_inspection import ModelInspection
from hpsearch.training.phases import Phase

HEAD = "{epochs: 2, trainable: [head]}"


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder without a store."""
    return tmp_path_factory.mktemp("phases")


def write_study(folder: Path, training: str, more: str = "", model: str = "m.py:build") -> Path:
    (folder / "m.py").write_text("def build(params, inputs, outputs): ...\n", encoding="utf-8")
    path = folder / "study.yaml"
    path.write_text(
        f"""\
data: {{source: "sklearn:wine"}}
model: {model}
training: {training}
search_space:
  units: [3, 4]
  sign: [-1.0, 1.0]
  rate: {{type: float, low: 1e-5, high: 1e-3}}
  seldom: {{type: float, low: 1e-5, high: 1e-3, when: {{units: 4}}}}
{more}""",
        encoding="utf-8",
    )
    return path


def refusal(path: Path) -> str:
    with pytest.raises(SpecError) as raised:
        check_study(load_file(path))
    return str(raised.value)


@pytest.mark.parametrize(
    ("training", "more", "model", "told"),
    [
        (f"{{epochs: 9, phases: [{HEAD}]}}", "", "m.py:build", "epochs: 9 epochs, but the phases"),
        (f"{{phases: [{HEAD}], trainer: vectorized}}", "", "m.py:build", "trained by Keras"),
        (f"{{phases: [{HEAD}]}}", "", "mlp", "training.phases: are for a model of your own; mlp"),
        (f"{{phases: [{HEAD}]}}", "  epochs: [3]", "m.py:build", "search_space.epochs: training."),
        (
            f"{{phases: [{HEAD}]}}",
            "sampler: {kind: keras_tuner_hyperband}",
            "m.py:build",
            "keras_tuner_hyperband decides how many epochs",
        ),
        (f"{{phases: [{HEAD}], precision: bfloat16}}", "", "m.py:build", "bfloat16 is computed by"),
        ("{phases: [{trainable: [head]}]}", "", "m.py:build", "phases.0.epochs: is required"),
        ("{phases: [{epochs: 1, trainable: []}]}", "", "m.py:build", "phases.0.trainable: "),
    ],
)
def test_phases_that_cannot_be_trained_are_refused(
    folder: Path, training: str, more: str, model: str, told: str
) -> None:
    assert told in refusal(write_study(folder, training, more, model))


@pytest.mark.parametrize(
    ("rate", "told"),
    [
        ("-1", "a positive number or the name of a hyperparameter. Received: -1.0"),
        ("true", "a number is needed. Received: True"),
        ("rat", "'rat' is neither a number nor a hyperparameter. Known: rate, seldom, sign, units"),
        ("sign", "the hyperparameter 'sign' has values that are not positive numbers"),
        ("seldom", "the hyperparameter 'seldom' has a when, so some trials do not have it"),
    ],
)
def test_a_learning_rate_is_a_positive_number_or_a_hyperparameter(
    folder: Path, rate: str, told: str
) -> None:
    path = write_study(folder, f"{{phases: [{HEAD}, {{epochs: 1, learning_rate: {rate}}}]}}")
    expected = f"{path}:3: training.phases.1.learning_rate: {told}"
    assert expected in refusal(path).splitlines()


def test_epochs_are_the_sum_and_early_stopping_begins_with_the_last_phase(folder: Path) -> None:
    last = "{epochs: 3, learning_rate: rate}"
    training = load_file(write_study(folder, f"{{phases: [{HEAD}, {last}]}}")).spec.training
    assert (5, 2) == (training.epochs, make_early_stopping(training).first_epoch)
    assert (Phase(0, 2, ("head",)), Phase(2, 3, None, "rate")) == make_phases(training)


def test_a_pattern_that_matches_no_layer_is_told_with_the_layers(folder: Path) -> None:
    phases = "[{epochs: 1, trainable: [head, 'blck*']}, {epochs: 1, trainable: [backbone/b*]}]"
    path = write_study(folder, f"{{phases: {phases}}}")
    found = ModelInspection(compiled=False, layers=("backbone", "backbone/block1", "head"))
    with pytest.raises(SpecError) as raised:
        check_phases(load_file(path), found)
    assert str(raised.value) == (
        f"{path}:3: training.phases.0.trainable: 'blck*' matches no layer with weights. "
        "Layers: backbone, backbone/block1, head"
    )
