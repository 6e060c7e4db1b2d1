"""Files that extend others."""

import pytest

from hpsearch.errors import SpecError
from hpsearch.spec.search_space import Categorical, Int
from hpsearch.spec.study_file import load_dict, load_file

BASE = """\
study: base
data: {source: rows.csv, target: y}
training: {epochs: 5, early_stopping: {patience: 3}}
search_space:
  units: {type: int, low: 8, high: 64, log: true}
  layers: [1, 2]
  l2: 1e-4
  momentum: {type: float, low: 0, high: 0.9}
constraints: [units > 8]
"""


def write(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


def child(tmp_path, text):
    return load_file(write(tmp_path, base=BASE, child="extends: base.yaml\n" + text) / "child.yaml")


def test_what_a_file_does_not_say_is_the_other_ones(tmp_path):
    spec = child(tmp_path, "budget: {trials: 3}").spec
    assert ("y", 5, 3, ["units > 8"]) == (
        spec.data.target,
        spec.training.epochs,
        spec.budget.trials,
        spec.constraints,
    )


def test_sections_are_merged_and_values_replaced(tmp_path):
    training = child(tmp_path, "training: {epochs: 9}\nconstraints: []").spec.training
    assert (9, 3) == (training.epochs, training.early_stopping.patience)


def test_a_study_is_called_after_its_own_file(tmp_path):
    assert "child" == child(tmp_path, "").spec.study


def test_a_parameter_without_a_type_changes_the_keys_it_names(tmp_path):
    spec = child(tmp_path, "search_space: {units: {high: 32}}").spec
    assert Int("units", 8, 32, log=True) in spec.space.parameters


def test_a_parameter_with_a_type_replaces_the_other_ones(tmp_path):
    text = "search_space: {layers: {type: int, low: 1, high: 9}, units: [8, 16]}"
    spec = child(tmp_path, text).spec
    expected = [Int("layers", 1, 9), Categorical("units", (8, 16))]
    assert all(p in spec.space.parameters for p in expected)


def test_null_takes_a_parameter_away_and_elsewhere_is_a_value(tmp_path):
    text = "search_space: {momentum: null}\ntraining: {early_stopping: null}"
    spec = child(tmp_path, text).spec
    assert "momentum" not in spec.search_space
    assert spec.training.early_stopping is None


def test_a_mistake_names_the_file_and_line_where_its_value_stands(tmp_path):
    with pytest.raises(SpecError) as caught:
        child(tmp_path, "search_space:\n  units: {low: 99}\n  l1: {type: flot}\nbudget: 3")
    lines = [line.removeprefix(f"{tmp_path}/") for line in str(caught.value).splitlines()]
    assert ["child.yaml:3: search_space.units", "child.yaml:4: search_space.l1"] == [
        ": ".join(line.split(": ")[:2]) for line in lines if "search_space" in line
    ]
    write(tmp_path, base=BASE.replace("epochs: 5", "epochs: many"))
    with pytest.raises(SpecError, match=r"base.yaml:3: training.epochs"):
        load_file(tmp_path / "child.yaml")


def test_grandparents_are_extended_too(tmp_path):
    child(tmp_path, "training: {epochs: 7}")
    write(tmp_path, grandchild="extends: child.yaml\nseed: 4")
    spec = load_file(tmp_path / "grandchild.yaml").spec
    assert (4, 7, 8) == (spec.seed, spec.training.epochs, spec.space.parameters[0].low)


def test_files_that_the_other_one_names_stay_relative_to_it(tmp_path):
    base = write(tmp_path / "base", base=BASE + "model: nets.py:build\n")
    (base / "rows.csv").write_text("y\n1\n")
    (base / "nets.py").write_text("def build(params, inputs, outputs): ...\n")
    write(tmp_path, child="extends: base/base.yaml")
    spec = load_file(tmp_path / "child.yaml").spec
    assert str(base / "rows.csv") == spec.data.source
    assert f"{base / 'nets.py'}:build" == spec.model_name


def test_a_space_that_is_shipped_is_extended_by_its_name(tmp_path):
    text = "extends: hpsearch://tabular\ndata: {source: a.csv}\nsearch_space: {layers: 2}"
    file = load_file(write(tmp_path, mine=text) / "mine.yaml")
    assert ("mine", "a.csv", 40) == (
        file.spec.study,
        file.spec.data.source,
        file.spec.budget.trials,
    )
    assert Categorical("normalization", ("none", "batch")) in file.spec.space.parameters
    assert 2 == file.spec.fixed_params["layers"]
    assert "tabular.yaml:" in file.format_location("budget.trials")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "extends: hpsearch://tabluar",
            "child.yaml:1: extends: hpsearch://tabluar does not exist. Known: hpsearch://tabular.",
        ),
        ("extends: hpsearch://../tabular", "hpsearch://../tabular does not exist. Known:"),
        ("extends: none.yaml", "child.yaml:1: extends: there is no file"),
        (
            "seed: 1\nextends: 3",
            "child.yaml:2: extends: give a file, or a list of files. Received: 3",
        ),
        ("extends: child.yaml", "child.yaml:1: extends: the files extend each other"),
        ("extends: other.yaml", "other.yaml:2: extends: the files extend each other"),
    ],
)
def test_what_cannot_be_extended_is_refused(tmp_path, text, why):
    write(tmp_path, child=text, other="seed: 3\nextends: child.yaml")
    with pytest.raises(SpecError) as caught:
        load_file(tmp_path / "child.yaml")
    assert why in str(caught.value)


def test_of_several_files_the_later_ones_and_the_file_itself_win(tmp_path):
    own = "extends: [hpsearch://tabular, base.yaml, more.yaml]\nsearch_space: {units: 9}\n"
    more = "seed: 8\ntraining: {epochs: 3}\nsearch_space: {momentum: 0.5, units: 5}\n"
    write(tmp_path, base=BASE, more=more, child=own)
    file = load_file(tmp_path / "child.yaml")
    assert (8, 3, 9) == (file.spec.seed, file.spec.training.epochs, file.spec.fixed_params["units"])
    assert str(file.spec.data.source) == str(load_file(tmp_path / "base.yaml").spec.data.source)
    assert "more.yaml:1: seed: x" == file.format_location("seed").rpartition("/")[2] + ": x"


def test_a_dict_may_extend_a_file_of_its_folder(tmp_path):
    write(tmp_path, base=BASE)
    declared = {"extends": "base.yaml", "search_space": {"units": 16}}
    file = load_dict(declared, ["seed=5"], folder=tmp_path)
    assert (16, 5) == (file.spec.fixed_params["units"], file.spec.seed)
    assert "extends" not in file.raw
