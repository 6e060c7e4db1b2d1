"""Study files: accepted declarations, and the message for each mistake."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.errors import SpecError
from hpsearch.spec.search_space import Categorical, Float, Int
from hpsearch.spec.study_file import load_dict, load_file

HEAD = "data: {source: 'sklearn:iris'}\n"


def load(tmp_path: Path, text: str, *overrides: str):
    path = tmp_path / "my study.yaml"
    path.write_text(text, encoding="utf-8")
    return load_file(path, overrides)


def mistakes(tmp_path: Path, text: str, *overrides: str) -> list[str]:
    """The lines of the error, without the folder."""
    with pytest.raises(SpecError) as caught:
        load(tmp_path, text, *overrides)
    return [line.removeprefix(f"{tmp_path}/") for line in str(caught.value).splitlines()]


def test_a_file_of_two_keys_is_a_study(tmp_path):
    spec = load(tmp_path, HEAD + "search_space: {units: [8, 16]}").spec
    assert ("my-study", 30, "mlp", "gp") == (
        spec.study,
        spec.budget.trials,
        spec.model,
        spec.sampler.kind,
    )


def test_short_forms_are_a_choice_and_a_fixed_value(tmp_path):
    spec = load(tmp_path, HEAD + "search_space: {units: [8, 16], optimizer: adam}").spec
    assert (Categorical("units", (8, 16)),) == spec.space.parameters
    assert {"optimizer": "adam"} == spec.fixed_params


def test_yaml_1_2_reads_exponents_as_numbers_and_no_as_text(tmp_path):
    text = HEAD + "search_space: {a: [no, on, off], l2: 1e-5, b: {type: float, low: 1e-4, high: 1}}"
    spec = load(tmp_path, text).spec
    assert Categorical("a", ("no", "on", "off")) == spec.space.parameters[0]
    assert 1e-5 == spec.fixed_params["l2"]
    assert Float("b", 1e-4, 1.0) == spec.space.parameters[1]


def test_a_parent_comes_before_its_children_wherever_it_is_written(tmp_path):
    text = (
        HEAD
        + """
search_space:
  c: {type: int, low: 1, high: 3, when: {b: 2}}
  b: {type: int, low: 1, high: 3, when: {a: x}}
  a: [x, y]
"""
    )
    assert ["a", "b", "c"] == [p.name for p in load(tmp_path, text).spec.space]


def test_all_mistakes_are_told_at_once_with_their_lines(tmp_path):
    text = """\
study: ../escape
data:
  source: a.csv
  tarket: y
  test_fraction: 1.5
search_space:
  l2: {type: float, low: 0.5, high: 0.1}
  l1: {type: float, low: 0, high: 0.1, log: true}
  x: {type: flot, low: 1}
  n: {type: int, low: 1.5, high: 3}
  v: {type: float, low: .nan, high: .inf}
  c: []
training: {epochs: many, patience: 3}
"""
    told = mistakes(tmp_path, text)
    starts = {
        1: "study: '../escape' may hold letters",
        4: "data.tarket: unknown key. Did you mean 'target'?",
        5: "data.test_fraction: input should be less than 1",
        7: "search_space.l2: low=0.5 must not be greater than high=0.1",
        8: "search_space.l1: a log scale needs low > 0, got low=0.0",
        9: "search_space.x: type 'flot' does not exist. Known: float, int,",
        10: "search_space.n.low: input should be a valid integer. Received: 1.5",
        11: "search_space.v: low=nan must be a finite number",
        12: "search_space.c: choices is empty",
    }
    for line, start in starts.items():
        assert any(t.startswith(f"my study.yaml:{line}: {start}") for t in told), (line, told)
    last = [t for t in told if t.startswith("my study.yaml:13: ")]
    assert ["training.epochs", "training.patience"] == sorted(t.split(": ")[1] for t in last)
    assert len(starts) + 2 == len(told)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: {source: a}\ndata: {source: b}", "2: data: stands twice; first in line 1"),
        ("a: &x [1]\nb: *x", "2: b: aliases (*name) are not allowed"),
        ("a: !!python/object:os.system ls", "1: a: not a plain value"),
        ("a: [1\nb: 2", "2: not valid YAML"),
        ("- 1", "1: a study is a mapping of keys"),
        ("a: " + "[" * 40 + "]" * 40, "1: a.0.0: nested deeper than 12 levels"),
        ("[1, 2]: x", "1: the file: a key must be a plain word"),
    ],
)
def test_yaml_that_is_damaged_or_hostile_is_refused_with_its_line(tmp_path, text, message):
    assert mistakes(tmp_path, text)[0].startswith(f"my study.yaml:{message}")


def test_a_bomb_of_aliases_is_refused_without_being_expanded(tmp_path):
    levels = "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]\n" for i in range(1, 30))
    assert "aliases" in mistakes(tmp_path, "l0: &l0 [x]\n" + levels)[0]


def test_files_that_are_no_text_or_too_large_are_refused(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"study: \xff\xfe")
    with pytest.raises(SpecError, match="not UTF-8 at byte 7"):
        load_file(path)
    path.write_bytes(b"#" * 2_000_000)
    with pytest.raises(SpecError, match="2,000,000 bytes; the maximum is"):
        load_file(path)
    with pytest.raises(SpecError, match="cannot be read: No such file"):
        load_file(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("training", {"checkpoint": 0}, "'auto', 'off' or a number of at least 1 is needed. R"),
        ("training", {"checkpoint": "on"}, "'auto', 'off' or a whole number is needed. Received"),
        ("training", {"epochs": [1]}, "training.epochs: a whole number is needed. Received: [1]"),
        ("budget", {"checkpoint_gib": math.inf}, "input should be a finite number. Received: inf"),
        ("warm_start", [], "warm_start: a text or a list of at least 1 values is needed. Rec"),
        ("objectives", [], "objectives: a list of at least 2 values is needed. Received: []"),
        ("warm_start", ["a b"], "warm_start.0: 'a b' may hold letters, digits"),
        ("search_space", {"units": [[1]]}, "units.0: a text, a number, true or false is needed. R"),
    ],
)
def test_a_value_of_none_of_several_types_has_one_line_that_names_them(key, value, message):
    with pytest.raises(SpecError) as caught:
        load_dict({"data": {}, "search_space": {"units": 8}, key: value})
    (line,) = str(caught.value).splitlines()
    assert message in line


def test_numbers_and_arrays_of_numpy_are_values_of_a_dict():
    low = {"type": "int", "low": np.int64(2), "high": np.int32(8)}
    space = {"units": list(np.array([4, 8])), "layers": low, "batch_size": range(16, 18)}
    space["dropout"] = np.array([0.1, 0.5])
    spec = load_dict({"data": {}, "search_space": space, "seed": np.int64(3)}).spec
    found = {p.name: getattr(p, "choices", None) for p in spec.space}
    expected = {"units": (4, 8), "layers": None, "batch_size": (16, 17), "dropout": (0.1, 0.5)}
    assert expected == found
    assert {int} == {type(choice) for choice in found["units"]}


def test_a_mistake_in_a_dict_is_located_by_its_key_alone():
    with pytest.raises(SpecError, match=r"^spec: constraints\.0: there is no parameter 'x'"):
        load_dict({"data": {}, "search_space": {"units": 8}, "constraints": ["x < 2"]})


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("{optimzer: sgd}", "there is no parameter 'optimzer'"),
        ("{optimizer: adagrad}", "optimizer never takes the value 'adagrad'"),
        ("{loss: huber}", "loss is fixed, so the condition has no effect"),
        ("{momentum: 0.5}", "their conditions form a cycle"),
        ("{layers: {min: 5}}", "momentum.when: layers is never at least 5"),
        ("{layers: {min: 3, max: 2}}", "momentum.when.layers: min=3 must not be greater"),
        ("{layers: {}}", "momentum.when.layers: give min, max or both"),
        ("{layers: {mim: 2}}", "momentum.when.layers.mim: unknown key"),
        ("{layers: []}", "momentum.when.layers: a list of at least 1 values is needed"),
        ("{optimizer: {min: 2}}", "optimizer is never at least 2"),
        ("{rate: 0.5}", "rate is continuous and never meets 0.5: give a range"),
    ],
)
def test_conditions_that_cannot_hold_are_refused(tmp_path, condition, message):
    text = HEAD + (
        "search_space:\n  optimizer: [sgd, adam]\n  loss: huber\n"
        "  layers: {type: int, low: 1, high: 4}\n  rate: {type: float, low: 0, high: 1}\n"
        f"  momentum: {{type: float, low: 0, high: 1, when: {condition}}}\n"
    )
    assert message in mistakes(tmp_path, text)[0]


RANGES = HEAD + (
    "search_space:\n  optimizer: [sgd, adam, adamw]\n  units: {type: int, low: 1, high: 4}\n"
    "  rate: {type: float, low: 0, high: 1}\n"
    "  learning_rate:\n    - {type: float, low: 0.01, high: 0.1, when: {optimizer: sgd}}\n"
)


def test_a_list_of_ranges_is_one_parameter_with_a_range_for_each_condition(tmp_path):
    text = RANGES + "    - {type: float, low: 1e-4, high: 1e-2, when: {optimizer: [adam, adamw]}}\n"
    space = load(tmp_path, text).spec.space
    sgd, adam = (p for p in space if p.name == "learning_rate")
    assert ((0.01, 0.1), (1e-4, 1e-2)) == ((sgd.low, sgd.high), (adam.low, adam.high))
    point = {"optimizer": "adam", "units": 1, "rate": 0.5, "learning_rate": 0.001}
    assert space.why_invalid(point) is None
    assert "learning_rate: 0.001 is not allowed. Allowed: 0.01 to 0.1." == space.why_invalid(
        {**point, "optimizer": "sgd"}
    )


@pytest.mark.parametrize("when", ["{optimizer: adam, units: 1}", "{momentum: 0}", "{fine: 1}"])
def test_ranges_whose_conditions_exclude_each_other_through_any_parent_are_taken(tmp_path, when):
    text = RANGES + (
        f"    - {{type: int, low: 1, high: 2, when: {when}}}\n"
        "  momentum: {type: int, low: 0, high: 1, when: {optimizer: adam}}\n"
        "  fine: {type: int, low: 0, high: 1, when: {momentum: 1}}\n"
    )
    assert 7 == len(load(tmp_path, text).spec.space)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("low: 1, high: 2, when: {optimizer: [adam, sgd]}", "6: search_space.learning_rate: ranges "
            "1 (optimizer is sgd) and 2 (optimizer is adam or sgd) can hold in the same trial"),
        ("low: 1, high: 2, when: {units: 3}", "(units is 3) can hold in the same trial"),
        ("low: 1, high: 2, when: {rate: {max: 0.5}}", "can hold in the same trial: give them"),
        ("low: 1, high: 2", "6: search_space.learning_rate: range 2 of 2 has no when: give it one"),
        ("low: 3, high: 2, when: {optimizer: adam}", "8: search_space.learning_rate.1: low=3.0"),
        ("low: 1, high: 2, when: {optimiser: adam}", "there is no parameter 'optimiser'"),
        ("choices: [1], when: {optimizer: adam}", "ranges mix numbers and choices"),
    ],
)  # fmt: skip
def test_ranges_of_one_name_that_cannot_be_told_apart_are_refused(tmp_path, second, message):
    kind = "categorical" if "choices" in second else "float"
    told = mistakes(tmp_path, RANGES + f"    - {{type: {kind}, {second}}}\n")
    assert message in told[0]


def test_one_range_needs_no_list_and_a_parameter_of_several_is_no_parent(tmp_path):
    assert "one range needs no list" in mistakes(tmp_path, RANGES)[0]
    text = RANGES + (
        "    - {type: float, low: 0, high: 1, when: {optimizer: adam}}\n"
        "  warmup: {type: int, low: 0, high: 1, when: {learning_rate: {max: 0.1}}}\n"
    )
    assert "learning_rate has several ranges, so nothing can" in mistakes(tmp_path, text)[0]


def test_set_replaces_any_key_and_its_mistakes_name_it(tmp_path):
    text = HEAD + "search_space: {units: [8, 16]}\nbudget: {trials: 3}"
    spec = load(tmp_path, text, "budget.trials=7", "training.early_stopping=null").spec
    assert (7, None) == (spec.budget.trials, spec.training.early_stopping)
    told = mistakes(tmp_path, text, "budget.trials=none")
    assert told[0].startswith("--set budget.trials: input should be a valid integer")
    assert "write key.path=value" in mistakes(tmp_path, text, "budget.trials")[0]


def test_a_source_given_by_set_is_relative_to_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "rows.csv").write_text("a\n1\n")
    monkeypatch.chdir(tmp_path / "here")
    spec = load(tmp_path, HEAD + "search_space: {units: 8}", "data.source=rows.csv").spec
    assert str(tmp_path / "here" / "rows.csv") == spec.data.source


def test_a_models_file_is_relative_to_the_file_that_names_it(tmp_path):
    spec = load(tmp_path, HEAD + "model: nets/mine.py:build\nsearch_space: {width: 8}").spec
    assert f"{tmp_path / 'nets' / 'mine.py'}:build" == spec.model


names = st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True)
floats = st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)).map(sorted)
ints = st.tuples(st.integers(-999, 999), st.integers(-999, 999)).map(sorted)
choices = st.lists(st.one_of(st.integers(), st.text("abc", min_size=1)), min_size=1, unique=True)
declared = st.one_of(
    floats.map(lambda b: {"type": "float", "low": b[0], "high": b[1]}),
    ints.map(lambda b: {"type": "int", "low": b[0], "high": b[1]}),
    choices.map(lambda c: {"type": "categorical", "choices": c}),
)


@given(st.dictionaries(names, declared, min_size=1))
def test_every_declared_parameter_stands_in_the_space_as_it_was_declared(space):
    spec = load_dict({"data": {"source": "a.csv"}, "search_space": space}).spec
    kinds = {"float": Float, "int": Int, "categorical": Categorical}
    assert space.keys() == {p.name for p in spec.space}
    for p in spec.space:
        wanted = space[p.name]
        assert isinstance(p, kinds[wanted["type"]])
        if isinstance(p, Categorical):
            assert tuple(wanted["choices"]) == p.choices
        else:
            assert (wanted["low"], wanted["high"]) == (p.low, p.high)
