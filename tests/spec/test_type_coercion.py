"""Types and bounds of hyperparameters apply wherever a value is declared."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpsearch.errors import SpecError, TrainingError
from hpsearch.models import FAMILIES
from hpsearch.spec import parameter_domains as table
from hpsearch.spec.parameter_domains import iter_readers
from hpsearch.spec.study_file import StudyFile, load_dict, load_file
from hpsearch.spec.type_coercion import resolve_params
from hpsearch.study.tune import read_spec
from hpsearch.training.schedules import SCHEDULES


def study(space: object, **more: object) -> StudyFile:
    return read_spec({"data": {"source": "sklearn:wine"}, "search_space": space, **more}).file


def test_a_name_has_one_type_whatever_reads_it():
    types: dict[str, set[str]] = {}
    for _, reads in iter_readers():
        for name, domain in reads.items():
            types.setdefault(name, set()).add(domain.type)
    assert {} == {name: kinds for name, kinds in types.items() if len(kinds) > 1}


def test_the_table_holds_what_families_and_schedules_read_and_their_defaults():
    assert FAMILIES.keys() == table.FAMILY_DOMAINS.keys()
    for name, family in FAMILIES.items():
        assert family.defaults is not None
        assert family.defaults.keys() == table.FAMILY_DOMAINS[name].keys()
        assert all(table.FAMILY_DOMAINS[name][k].contains(v) for k, v in family.defaults.items())
    assert {k: set(v) for k, v in SCHEDULES.items()} == {
        k: set(v) for k, v in table.SCHEDULE_DOMAINS.items()
    }


@pytest.mark.parametrize("no", ["no", "off", "No", "false", 0, False])
def test_a_switch_that_is_off_in_the_file_is_off_in_the_trial(no: object):
    file = study({"optimizer": "sgd", "nesterov": no, "units": [4, 8]})
    assert file.spec.fixed_params["nesterov"] is False
    assert file.raw["search_space"]["nesterov"] is False  # as the journal has it


def test_whole_numbers_are_real_ones_in_choices_ranges_conditions_and_points():
    file = study(
        {
            "optimizer": "sgd",
            "momentum": [0, 0.9],
            "learning_rate": {"type": "int", "low": 1, "high": 3},
            "nesterov": {"type": "categorical", "choices": ["yes", "no"], "when": {"momentum": 0}},
            "batch_size": [32.0, 64],
            "units": {"type": "float", "low": 8, "high": 16, "step": 4},
            "clipnorm": {"type": "fixed", "value": 1},
        },
        enqueue=[{"momentum": 0, "learning_rate": 2, "nesterov": "off", "units": 12.0}],
    )
    values = {
        p.name: [p.value(i) for i in range(int(p.size))]
        for p in file.spec.space
        if p.name != "optimizer"
    }
    assert {
        "momentum": [0.0, 0.9],
        "learning_rate": [1.0, 2.0, 3.0],
        "nesterov": [True, False],
        "batch_size": [32, 64],
        "units": [8, 12, 16],
    } == values
    expected = {
        "momentum": float,
        "learning_rate": float,
        "nesterov": bool,
        "batch_size": int,
        "units": int,
    }
    assert expected == {name: type(listed[0]) for name, listed in values.items()}
    assert 1.0 == file.spec.fixed_params["clipnorm"]
    assert isinstance(file.spec.fixed_params["clipnorm"], float)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("batch_size: [32, 0]", "batch_size: got 0; allowed: a whole number >= 1"),
        ("batch_size: 31.5", "batch_size: got 31.5; allowed: a whole number >= 1"),
        ("batch_size: '32'", "batch_size: got '32'; allowed: a whole number >= 1"),
        ("batch_size: true", "batch_size: got true; allowed: a whole number >= 1"),
        ("epochs: [2, 0]", "epochs: got 0; allowed: a whole number >= 1"),
        ("layers: [1, -1]", "layers: got -1; allowed: a whole number >= 0 (mlp reads it)"),
        ("units: [off, -4]", "units: got 'off'; allowed: a whole number >= 1"),
        ("units: {type: float, low: 4, high: 8}", "units: got a range of real numbers"),
        ("units: {type: int, low: 0, high: 8}", "units: got 0; allowed"),
        ("dropout: 1.5", "dropout: got 1.5; allowed: a number >= 0 and < 1"),
        ("dropout: 1", "dropout: got 1.0; allowed: a number >= 0 and < 1"),
        ("dropout: [0.5, .nan]", "dropout: got nan; allowed"),
        ("l2: {type: float, low: -1, high: 1}", "l2: got -1.0; allowed: a number >= 0"),
        ("learning_rate: 0", "learning_rate: got 0.0; allowed: a number > 0"),
        ("learning_rate: null", "learning_rate: got null; allowed: a number > 0"),
        ("momentum: 1.5", "momentum: got 1.5; allowed: a number >= 0 and <= 1"),
        ("nesterov: maybe", "nesterov: got 'maybe'; allowed: true or false"),
        ("nesterov: {type: int, low: 0, high: 1}", "nesterov: got a range from 0 to 1; allowed"),
        ("normalization: off", "normalization: got 'off'; allowed: none, batch, layer"),
        ("activation: rellu", "activation: got 'rellu'; allowed: celu, elu"),
        ("label_smoothing: 2", "label_smoothing: got 2.0; allowed: a number >= 0 and <= 1"),
        ("optimizer: [sgd, 3]", "optimizer: got 3; allowed: sgd, rmsprop"),
        ("loss: [3]", "loss: got 3; allowed: a text"),
        ("class_weight: [none, heavy]", "class_weight: got 'heavy'; allowed: none, balanced"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_its_line(tmp_path: Path, line: str, told: str):
    path = tmp_path / "study.yaml"
    default = "" if line.startswith("optimizer") else "  optimizer: sgd\n"
    path.write_text(
        f"data: {{source: 'sklearn:wine'}}\nsearch_space:\n  l1: [0, 1e-3]\n  {line}\n{default}"
    )
    with pytest.raises(SpecError) as refused:
        read_spec(path)
    assert f"{path}:4: search_space.{told}" in str(refused.value)


def test_the_bounds_are_those_of_the_optimizer_under_which_a_parameter_exists():
    only_sgd = {"type": "categorical", "choices": [0.5, 1], "when": {"optimizer": "sgd"}}
    study({"optimizer": ["sgd", "rmsprop"], "momentum": only_sgd})
    with pytest.raises(SpecError, match=r"momentum: got 1.0; .*optimizer rmsprop reads it"):
        study({"optimizer": ["sgd", "rmsprop"], "momentum": [0.5, 1]})


def test_two_ways_to_clip_exclude_each_other():
    with pytest.raises(SpecError, match="clipnorm and clipvalue exclude each other in Keras"):
        study({"clipnorm": 1.0, "clipvalue": [0.5, 1.0]})
    choices = {"clipnorm": [None, 1], "clipvalue": [None, 1]}
    study(choices, constraints=["clipnorm == null or clipvalue == null"])


def test_what_decides_the_epochs_is_asked_alone():
    with pytest.raises(SpecError, match="keras_tuner_hyperband decides how many epochs"):
        study({"units": [4], "epochs": [3, 9]}, sampler={"kind": "keras_tuner_hyperband"})


def test_names_of_a_function_of_the_users_own_are_free(tmp_path: Path):
    (tmp_path / "mine.py").write_text("def build(params, inputs, outputs): ...\n")
    (tmp_path / "study.yaml").write_text(
        "data: {source: 'sklearn:wine'}\nmodel: mine.py:build\n"
        "search_space: {units: [-1, off, 2.5], alpha: [1, 2], learning_rate: [1, 0.1]}\n"
    )
    spec = read_spec(tmp_path / "study.yaml").spec
    assert [(-1, "off", 2.5), (1, 2), (1.0, 0.1)] == [p.choices for p in spec.space]
    assert [int, float] == [type(spec.space.parameters[i].choices[0]) for i in (1, 2)]
    with pytest.raises(SpecError, match="batch_size: got 0"):
        read_spec(tmp_path / "study.yaml", ["search_space.batch_size=0"])


def test_a_value_on_the_command_line_is_typed_and_refused_alike(tmp_path: Path):
    path = tmp_path / "study.yaml"
    path.write_text("data: {source: 'sklearn:wine'}\nsearch_space: {units: [4, 8]}\n")
    rate = load_file(path, ["search_space.learning_rate=1"]).spec.fixed_params["learning_rate"]
    assert (1.0, float) == (rate, type(rate))
    with pytest.raises(SpecError, match=r"--set search_space.dropout: got 2"):
        read_spec(path, ["search_space.dropout=2"])


def test_a_declaration_that_was_typed_stays_as_it_is():
    space = {"optimizer": "sgd", "nesterov": "no", "momentum": {"type": "int", "low": 0, "high": 1}}
    once = load_dict({"data": {}, "search_space": space})
    assert once.raw == load_dict(once.raw).raw


def test_a_trial_is_resolved_to_the_types_of_the_table_or_refused():
    given = {"optimizer": "sgd", "momentum": 0, "nesterov": "no", "units": 4.0, "batch_size": 8.0}
    typed = {"optimizer": "sgd", "momentum": 0.0, "nesterov": False, "units": 4, "batch_size": 8}
    found = resolve_params(given, "mlp")
    assert typed == found
    assert [type(v) for v in typed.values()] == [type(v) for v in found.values()]
    with pytest.raises(TrainingError, match=r"units: got 4\.5; allowed: a whole number"):
        resolve_params({"units": 4.5}, "mlp")
    assert {"units": 4.5, "batch_size": 8} == resolve_params(
        {"units": 4.5, "batch_size": 8.0}, "mine.py:build"
    )
