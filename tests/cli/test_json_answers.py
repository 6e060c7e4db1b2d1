"""`--json`: every command has it, and what it prints is what its schema describes."""

import json
import math
import re
from pathlib import Path

import pytest
import synthetic
from answer_check import read_answer
from click.testing import CliRunner

from hpsearch.answers.from_results import describe_rerun
from hpsearch.answers.result_answers import OuterScores
from hpsearch.answers.schemas import ANSWERS, format_reference
from hpsearch.cli import main
from hpsearch.cli.json_output import print_answer
from hpsearch.cli.ui import show_address
from hpsearch.history import load_history
from hpsearch.study.maintenance.rerun import Rerun
from hpsearch.trial import TrialResult

# Their output has a form of its own: a shell's script, a schema, and the protocol's messages.
OTHERS = {"cluster", "completion", "schema", "mcp"}
TESTS = Path(__file__).parents[1]


@pytest.fixture
def journal(tmp_path, monkeypatch):
    """The journal of a study of 12 trials; 2 is pruned, 3 has failed."""
    monkeypatch.chdir(tmp_path)
    records = synthetic.study(12)
    records.append({**records[-1], "seq": len(records), "event": "noted", "text": "n"})
    return synthetic.write(tmp_path / "mlruns/studies/churn/journal.jsonl", records)


def run(*arguments: str) -> dict:
    done = CliRunner().invoke(main, [*arguments, "--json"])
    assert 0 == done.exit_code, done.output
    return read_answer(arguments[0], done.stdout)


def test_every_command_prints_json_of_a_known_type():
    have = {
        name
        for name, command in main.commands.items()
        if any("--json" in option.opts for option in command.params)
    }
    assert set(main.commands) - OTHERS == have == set(ANSWERS)


def test_the_output_of_every_command_is_validated_by_a_test():
    text = "".join(path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py"))
    text += (TESTS / "study" / "conftest.py").read_text(encoding="utf-8")
    named = set(re.findall(r'(?:read_answer|\brun)\(\s*"([\w-]+)"', text))
    assert set() == set(ANSWERS) - named


def test_top_lists_trials_best_first_and_pruned_ones_on_request(journal):
    answer = run("top", "churn", "-n", "4")
    assert [1, 2, 3, 4] == [trial["rank"] for trial in answer["trials"]]
    assert load_history(journal).winning_trial().number == answer["trials"][0]["trial"]
    assert answer["trials"][0]["is_winner"]
    assert {"complete": 10, "pruned": 1, "failed": 1} == answer["counts"]
    assert None in {trial["rank"] for trial in run("top", "-n", "20", "--all")["trials"]}


def test_show_gives_folds_and_curves_or_the_reason_of_a_failure(journal):
    best = run("show")
    assert 4 == len(best["curves"]["val/loss"]) == best["epochs"]
    assert 3 == len(best["fold_scores"])
    assert best["score"] == pytest.approx(sum(best["fold_scores"]) / 3)
    failed = run("show", "churn", "3")
    assert ("FAILED", None, None) == (failed["state"], failed["score"], failed["best_epoch"])
    assert "NaN in epoch 0" in failed["error"]


def test_compare_names_the_hyperparameters_that_differ(journal):
    answer = run("compare", "churn", "0", "1")
    assert [0, 1] == [trial["trial"] for trial in answer["trials"]]
    assert "learning_rate" in answer["differing"]
    assert [] == run("compare", "0", "0")["differing"]


def test_studies_are_listed_and_a_damaged_one_is_told(journal):
    damaged = journal.parents[1] / "broken" / "journal.jsonl"
    damaged.parent.mkdir()
    damaged.write_bytes(journal.read_bytes()[100:])
    states = {study["study"]: study["state"] for study in run("studies")["studies"]}
    assert {"churn": "finished", "broken": "damaged"} == states


def test_files_and_notes_are_named(journal):
    exported = run("export", "churn", "-o", "trials.csv")
    assert ("churn", "trials.csv", "csv", 12) == tuple(exported.values())
    assert run("report")["file"] == str(journal.with_name("report.html"))
    assert "page.html" == run("report", "-o", "page.html")["file"]
    assert "good" == run("note", "churn", " good ")["note"]


def test_a_number_that_is_not_finite_is_null(capsys):
    print_answer(OuterScores(mean=math.nan, std=math.inf, folds=[math.nan, 1.0]))
    printed = json.loads(capsys.readouterr().out)
    assert {"mean": None, "std": None, "folds": [None, 1.0]} == printed


def test_a_trial_that_is_trained_again_is_compared_with_its_record(journal, capsys):
    trial = load_history(journal).trials[0]
    again = TrialResult(0, "COMPLETE", 0.5, score=0.25)
    changed = {"keras": ("3.15.1", "3.15.2")}
    done = Rerun(trial, again, is_same=False, difference=0.1, changed=changed)
    print_answer(describe_rerun(journal, done))
    answer = read_answer("rerun", capsys.readouterr().out)
    assert (False, trial.score, 0.25) == (
        answer["is_same"],
        answer["recorded_score"],
        answer["score"],
    )


def test_the_address_of_a_page_is_one_object(capsys):
    show_address("http://127.0.0.1:5000/", as_json=True)
    answer = read_answer("dashboard", capsys.readouterr().out)
    assert {"address": "http://127.0.0.1:5000/"} == answer


def test_a_trial_that_has_not_ended_is_stopped(journal):
    records = synthetic.study(3, finished=False)
    synthetic.write(journal, records[:-1])
    assert {"study": "churn", "trial": 2, "is_running": False} == run("stop", "churn", "2")


def test_an_error_leaves_stdout_empty(journal):
    done = CliRunner().invoke(main, ["show", "churn", "99", "--json"])
    assert (2, "") == (done.exit_code, done.stdout)
    assert "has no trial 99" in done.stderr


def test_the_schema_of_an_answer_is_printed_and_an_unknown_command_is_refused():
    done = CliRunner().invoke(main, ["schema", "--answer", "top"])
    assert {"study", "trials", "ended"} <= set(json.loads(done.stdout)["properties"])
    refused = CliRunner().invoke(main, ["schema", "--answer", "completion"])
    assert 2 == refused.exit_code
    assert "'completion' has no --json. These have: check, compare," in refused.stderr


def test_every_answer_is_documented_as_it_is():
    page = (TESTS.parent / "docs" / "json_output.md").read_text(encoding="utf-8")
    assert page.endswith(format_reference())


def test_watch_prints_the_status_or_serves_it(journal):
    assert "finished" == run("watch")["state"]
    refused = CliRunner().invoke(main, ["watch", "--page", "--json"])
    assert 2 == refused.exit_code
