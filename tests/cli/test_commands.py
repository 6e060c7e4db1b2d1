"""The commands, without training: their output and their error messages."""

import re
import subprocess
import sys

import pytest
from click.testing import CliRunner
from study_file_schema import schema_agrees_with_the_loader  # noqa: F401  # used by every test

from hpsearch.cli import main

GOOD = 'data: {source: "sklearn:wine"}\nsearch_space: {units: [8, 16], l2: 1e-4}\n'


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A command in an empty folder: its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments):
        result = CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)
        return result.exit_code, result.stdout, result.stderr

    return invoke


def test_check_draws_the_space_and_the_data(run, tmp_path):
    (tmp_path / "a.yaml").write_text(GOOD)
    code, out, _ = run("check", "a.yaml")
    assert 0 == code
    assert "a: 1 hyperparameters, 2 points" in out
    assert "8, 16" in out
    assert "alcohol" in out
    assert "development rows in 5 folds (stratified)" in out


def test_check_shows_conditions_constraints_and_how_many_points_are_feasible(run, tmp_path):
    (tmp_path / "a.yaml").write_text(
        "data: {source: a.csv}\n"
        "search_space:\n"
        "  layers: {type: int, low: 1, high: 3}\n"
        "  units: [8, 16]\n"
        "  learning_rate: [0.1, 0.01]\n"
        "  dropout: {type: float, low: 0, high: 0.2, step: 0.1, when: {layers: {min: 2}}}\n"
        "constraints: ['units in [8] or layers < 3']\n"
    )
    code, out, _ = run("check", "a.yaml", "--no-data")
    assert 0 == code
    # 2 rates; one layer: 2 units; two: 2 units, 3 dropouts; three: 1 unit, 3 dropouts
    assert "a: 4 hyperparameters, 22 points" in out
    assert re.search(r"dropout +float +0 to 0.2 +linear, steps of 0.1 +layers is at least 2", out)
    assert "constraint: units in [8] or layers < 3" in out


def test_check_shows_every_range_of_a_hyperparameter(run, tmp_path):
    (tmp_path / "a.yaml").write_text(
        "data: {source: a.csv}\n"
        "search_space:\n"
        "  optimizer: [sgd, adam]\n"
        "  learning_rate:\n"
        "    - {type: float, low: 0.1, high: 0.3, step: 0.1, when: {optimizer: sgd}}\n"
        "    - {type: float, low: 0.01, high: 0.02, step: 0.01, when: {optimizer: adam}}\n"
    )
    code, out, _ = run("check", "a.yaml", "--no-data")
    assert 0 == code
    assert "a: 2 hyperparameters, 5 points" in out
    for values, name in (("0.1 to 0.3", "sgd"), ("0.01 to 0.02", "adam")):
        assert re.search(rf"learning_rate +float +{values} +linear, .* optimizer is {name}", out)


@pytest.mark.parametrize(
    ("constraint", "told"),
    [
        ("units > 16", "a.yaml:3: constraints: none of the 2 points of the space meets units > 16"),
        (
            "unit > 8",
            "a.yaml:3: constraints.0: there is no parameter 'unit'. Did you mean 'units'?",
        ),
        ("units * 2", "a.yaml:3: constraints.0: units * 2 is not a condition"),
        ("rules.py:none", "a.yaml:3: constraints.0: there is no file"),
    ],
)
def test_unsatisfiable_or_invalid_constraints_are_refused(run, tmp_path, constraint, told):
    (tmp_path / "a.yaml").write_text(f"{GOOD}constraints: ['{constraint}']\n")
    code, _, err = run("check", "a.yaml", "--no-data")
    assert 2 == code
    assert err.startswith(told)


def test_mistakes_in_a_file_end_with_2_one_line_each_and_no_traceback(run, tmp_path):
    (tmp_path / "a.yaml").write_text(GOOD + "modle: mlp\nbudget: {trials: 0}\n")
    code, out, err = run("tune", "a.yaml")
    assert (2, "") == (code, out)
    assert [
        "a.yaml:3: modle: unknown key. Did you mean 'model'?",
        "a.yaml:4: budget.trials: input should be greater than or equal to 1. Received: 0",
    ] == sorted(line.partition(" Allowed")[0] for line in err.splitlines())


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("model: foo", "a.yaml:3: model: model 'foo' does not exist. Known: cnn, conv1d, mlp"),
        ("model: gone.py:build", "there is no file"),
        ("sampler: {kind: magic}", "a.yaml:3: sampler.kind: 'magic' does not exist. Known: "),
        ("objective: {metric: auc}", "a.yaml:3: objective.metric: 'auc' does not exist"),
        (
            "objective: {metric: rmse, direction: maximize}",
            "a.yaml:3: objective.direction: rmse is to be minimized: leave it out",
        ),
    ],
)
def test_names_that_nothing_knows_are_told_with_those_there_are(run, tmp_path, lines, told):
    (tmp_path / "a.yaml").write_text(f"{GOOD}{lines}\n")
    code, _, err = run("tune", "a.yaml")
    assert 2 == code
    assert told in err


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ("{optimizer: adm}", "search_space.optimizer: got 'adm'; allowed: sgd"),
        ("{learning_rat: 0.1}", "nothing reads this parameter. Did you mean 'learning_rate'?"),
        ("{optimizer: adam, momentum: 0.9}", "search_space.momentum: nothing reads"),
        ("{loss: hinges}", "search_space.loss: 'hinges' does not exist"),
    ],
)
def test_a_parameter_that_nothing_reads_is_refused(run, tmp_path, space, told):
    (tmp_path / "a.yaml").write_text(f"data: {{source: x.csv}}\nsearch_space: {space}\n")
    code, _, err = run("check", "a.yaml")
    assert 2 == code
    assert told in err


def test_a_flag_is_short_for_a_key_of_the_file(run, tmp_path):
    (tmp_path / "a.yaml").write_text(GOOD)
    code, _, err = run("tune", "a.yaml", "--trials", 0, "--sampler", "magic")
    assert 2 == code
    assert "--set budget.trials: input should be greater" in err


@pytest.mark.parametrize("command", ["top", "report", "export"])
def test_a_study_that_is_not_there_is_told_with_the_nearest(run, tmp_path, command):
    folder = tmp_path / "mlruns" / "studies" / "breast-cancer"
    folder.mkdir(parents=True)
    (folder / "journal.jsonl").write_text("")
    more = () if command == "top" else ("-o", "x")
    code, _, err = run(command, "brest-cancer", *more)
    assert 2 == code
    assert "there is no study 'brest-cancer'" in err
    assert "Did you mean 'breast-cancer'?" in err


@pytest.mark.parametrize("name", ["../../etc", "a/b", "a\nb", ""])
def test_a_hostile_study_name_reaches_no_file(run, name):
    code, _, err = run("top", name)
    assert 2 == code
    assert "there is no study" in err


def test_our_own_bug_keeps_its_traceback(monkeypatch):
    from hpsearch.cli import study_paths

    def broken(study):
        raise ZeroDivisionError

    monkeypatch.setattr(study_paths, "require_journal", broken)
    with pytest.raises(ZeroDivisionError):
        CliRunner().invoke(main, ["top", "x"], catch_exceptions=False)


def test_the_version_is_printed():
    code = "from hpsearch.cli import main; main(['--version'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "0.1.0" in done.stdout
