"""The JSON schema of the study file: accepted and refused files, and its output file.

`study_file_schema.py` compares it with the loader in every test that loads a declaration.
"""

import json
from pathlib import Path

import jsonschema
import pytest
from study_file_schema import find_schema_problems, schema_agrees_with_the_loader  # noqa: F401

from hpsearch.errors import SpecError
from hpsearch.spec.study_file import load_dict, load_file
from hpsearch.spec.yaml_lines import parse_yaml
from hpsearch.study.file_schema import build_schema
from hpsearch.study.tune import read_spec

from .conftest import invoke

ROOT = Path(__file__).parents[2]
SPECS = sorted((ROOT / "search_spaces").glob("*.yaml"))
SPACE = {"units": [8, 16], "optimizer": ["sgd", "adam"]}
STUDY = {"data": {"source": "a.csv"}, "search_space": SPACE}
FLOAT = {"type": "float", "low": 0.0, "high": 0.9}


def test_it_is_a_schema_of_the_draft_that_it_names():
    schema = build_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    assert jsonschema.Draft7Validator is jsonschema.validators.validator_for(schema)


def test_shipped_files_are_accepted_as_they_are_written():
    assert {} == {p.stem: found for p in SPECS if (found := find_schema_problems(parse_yaml(p)[0]))}


VALID = {
    "bare values": {"search_space": {**SPACE, "l2": 1e-4, "use_ema": True, "activation": None}},
    "when": {"search_space": {**SPACE, "momentum": {**FLOAT, "when": {"optimizer": "sgd"}}}},
    "when a range": {"search_space": {"layers": {"type": "int", "low": 1, "high": 3},
                                      "dropout": {**FLOAT, "when": {"layers": {"min": 2}}}}},
    "ranges": {"search_space": {**SPACE, "learning_rate": [
        {**FLOAT, "low": 0.1, "when": {"optimizer": "sgd"}},
        {**FLOAT, "low": 0.2, "when": {"optimizer": ["adam"]}}]}},
    "null sections": {"pruner": None, "training": {"early_stopping": None}},
    "an option that is null": {"sampler": {"kind": "random", "startup": None}},
    "a word for a boolean": {"training": {"deterministic": "yes"}},
    "a number in quotes": {"training": {"epochs": "40"}, "budget": {"minutes": "1e1"}},
    "one point": {"enqueue": {"units": 8, "optimizer": "sgd"}},
    "the defaults": {"enqueue": "defaults"},
    "options of a sampler": {"sampler": {"kind": "keras_tuner_hyperband", "eta": 4}},
    "options of a pruner": {"pruner": {"kind": "percentile", "percentile": 30, "startup": 2}},
    "two objectives": {"task": "binary",
                       "objectives": [{"metric": "roc_auc"}, {"metric": "parameters"}]},
    "folds of groups": {"cross_validation": {"kind": "group", "group": "patient"}},
    "folds in time": {"cross_validation": {"kind": "time_series", "time": "day", "gap": 2}},
    "a text": {"data": {"source": "a.csv", "columns": {"x": {"kind": "text", "tokens": 9}}}},
    "keys of columns": {"data": {"source": "a.csv", "columns": {"x": {"replace": {"1": 2}}}}},
}  # fmt: skip


@pytest.mark.parametrize("name", VALID)
def test_a_valid_declaration_is_accepted(name):
    declared = {**STUDY, **VALID[name]}
    assert read_spec(declared)  # and the fixture compares, too
    assert [] == find_schema_problems(declared)


INVALID = {
    "an unknown key": {"trainning": {}},
    "an unknown key within": {"training": {"epoch": 3}},
    "a boolean for a number": {"budget": {"trials": True}},
    "a boolean for a number of a column": {"data": {"source": "a.csv", "test_fraction": False}},
    "no such sampler": {"sampler": {"kind": "gpp"}},
    "an option of another sampler": {"sampler": {"kind": "tpe", "eta": 3}},
    "an option that the default sampler does not read": {"sampler": {"eta": 3}},
    "no such pruner": {"pruner": {"kind": "ashaa"}},
    "an option of another pruner": {"pruner": {"kind": "asha", "percentile": 30}},
    "an option that the default pruner does not read": {"pruner": {"percentile": 30}},
    "no such metric": {"objective": {"metric": "auc"}},
    "no metric": {"objective": {"direction": "maximize"}},
    "no such model": {"model": "mpl"},
    "two models": {"model": {"optuna": "a.py:f", "keras_tuner": "a.py:f"}},
    "no such executor": {"execution": {"executor": "dask"}},
    "an empty space": {"search_space": {}},
    "an empty choice": {"search_space": {"units": []}},
    "an unknown type": {"search_space": {"units": {"type": "integer", "low": 1, "high": 3}}},
    "a bound that is missing": {"search_space": {"units": {"type": "int", "low": 1}}},
    "a bound in quotes": {"search_space": {"l2": {"type": "float", "low": "1e-4", "high": 1.0}}},
    "a name with a sign": {"search_space": {"units!": 3}},
    "one range": {"search_space": {**SPACE, "l2": [{**FLOAT, "when": {"optimizer": "sgd"}}]}},
    "a range without when": {"search_space": {**SPACE, "l2": [FLOAT, FLOAT]}},
    "a condition without values": {"search_space": {**SPACE, "l2": {**FLOAT,
                                                                    "when": {"optimizer": []}}}},
    "a share above one": {"data": {"source": "a.csv", "test_fraction": 1.5}},
    "both kinds of objectives": {"objective": {"metric": "mse"},
                                 "objectives": [{"metric": "mse"}, {"metric": "mae"}]},
    "groups without a column": {"cross_validation": {"kind": "group"}},
    "a group for other folds": {"cross_validation": {"kind": "kfold", "group": "patient"}},
    "a gap without time": {"cross_validation": {"gap": 2}},
    "a text for a section": {"budget": "30 trials"},
}  # fmt: skip


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_declaration_is_refused_by_both(name):
    declared = {**STUDY, **INVALID[name]}
    assert [] != find_schema_problems(declared)
    with pytest.raises(SpecError):
        read_spec(declared)


def test_a_search_space_is_required_of_a_file_that_extends_none():
    without = {k: v for k, v in STUDY.items() if k != "search_space"}
    assert [] != find_schema_problems(without)
    assert [] == find_schema_problems({**without, "extends": "base.yaml"})


def test_a_declaration_without_a_search_space_is_refused():
    with pytest.raises(SpecError, match="search_space: is required"):
        load_dict({"data": STUDY["data"]})


BASE = """\
data: {source: a.csv}
objective: {metric: f1}
search_space: {units: [8, 16], l2: {type: float, low: 0, high: 1}}
"""
OWN = "extends: base.yaml\nobjective: {%s: 0.3}\nsearch_space: {l2: {%s: 2}, units: null}\n"


def test_a_file_that_extends_another_says_what_it_changes(tmp_path):
    (tmp_path / "base.yaml").write_text(BASE)
    path = tmp_path / "own.yaml"
    path.write_text(OWN % ("threshold", "high"))
    assert 2.0 == load_file(path).spec.search_space["l2"].high
    assert [] == find_schema_problems(parse_yaml(path)[0])
    path.write_text(OWN % ("treshold", "high"))
    assert [] != find_schema_problems(parse_yaml(path)[0])
    path.write_text(OWN % ("threshold", "hihg"))
    assert [] != find_schema_problems(parse_yaml(path)[0])


def test_the_command_prints_it_and_writes_it(tmp_path):
    assert build_schema() == json.loads(invoke(tmp_path, "schema").stdout)
    invoke(tmp_path, "schema", "-o", "s.json")
    assert build_schema() == json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))
    assert "--overwrite" in invoke(tmp_path, "schema", "-o", "s.json", code=2).stderr


def first_schema(path: Path) -> str | None:
    """The schema that the first line of a file names."""
    first = path.read_text(encoding="utf-8").splitlines()[0]
    return first.partition("$schema=")[2] if first.startswith("# yaml-language-server: ") else None


def test_init_writes_the_schema_beside_the_file_and_names_it(tmp_path):
    rows = "".join(f"{i},{i % 7},{i % 2}\n" for i in range(60))
    (tmp_path / "a.csv").write_text(f"x,y,z\n{rows}")
    invoke(tmp_path, "init", "a.csv", "--target", "z")
    named = first_schema(tmp_path / "study.yaml")
    schema = json.loads((tmp_path / named).read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(schema).validate(parse_yaml(tmp_path / "study.yaml")[0])
    (tmp_path / named).write_text('{"title": "hpsearch study file", "of": "an earlier version"}')
    invoke(tmp_path, "init", "a.csv", "--target", "z", "-o", "second.yaml")
    assert schema == json.loads((tmp_path / named).read_text(encoding="utf-8"))


def test_init_leaves_a_file_of_the_users_alone(tmp_path):
    rows = "".join(f"{i},{i % 7},{i % 2}\n" for i in range(60))
    (tmp_path / "a.csv").write_text(f"x,y,z\n{rows}")
    (tmp_path / "study.schema.json").write_text("{}")
    invoke(tmp_path, "init", "a.csv", "--target", "z")
    assert "{}" == (tmp_path / "study.schema.json").read_text()
    assert first_schema(tmp_path / "study.yaml") is None
