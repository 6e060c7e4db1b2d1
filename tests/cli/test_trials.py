"""The commands that show trials: how arguments select a study and its trials."""

import os

import pytest
import synthetic
from click.testing import CliRunner

from hpsearch.cli import main
from hpsearch.events import (
    DataSummary,
    DeclarationChanged,
    EpochFinished,
    FinalistScored,
    LockedRowsRead,
    SearchEnded,
    StudyCreated,
    TrialAsked,
    TrialFinished,
    WinnerChosen,
    WinnerEvaluated,
)
from hpsearch.history import load_history
from hpsearch.reporting.progress import LineDisplay, Progress
from hpsearch.reporting.study_follower import PHASES
from hpsearch.trial import Limit


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A command in a folder with the studies `older` and `newer`: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    for age, name in enumerate(("newer", "older")):
        records = synthetic.study(12)
        records[0]["study"] = name
        journal = tmp_path / "mlruns" / "studies" / name / "journal.jsonl"
        synthetic.write(journal, records)
        os.utime(journal, (1_700_000_000 - age, 1_700_000_000 - age))

    def invoke(*arguments):
        result = CliRunner().invoke(main, arguments)
        return result.exit_code, result.stdout, result.stderr

    return invoke


def winner(folder, name="newer"):
    return load_history(folder / "mlruns/studies" / name / "journal.jsonl").winning_trial()


@pytest.mark.parametrize(
    ("arguments", "study", "trials"),
    [
        (["show"], "newer", ["best"]),
        (["show", "3"], "newer", ["trial-003"]),
        (["show", "trial-3"], "newer", ["trial-003"]),
        (["show", "trial-003"], "newer", ["trial-003"]),
        (["show", "older"], "older", ["best"]),
        (["show", "older", "best"], "older", ["best"]),
        (["compare", "best", "3"], "newer", ["best", "trial-003"]),
        (["compare", "older", "2", "trial-3"], "older", ["trial-002", "trial-003"]),
    ],
    ids=" ".join,
)
def test_the_newest_study_and_the_best_trial_are_taken_if_none_is_named(
    run, tmp_path, arguments, study, trials
):
    code, shown, _ = run(*arguments)
    assert 0 == code
    assert shown.lstrip().startswith(study)
    for trial in trials:
        assert (winner(tmp_path, study).name if trial == "best" else trial) in shown


def test_a_study_whose_name_is_written_like_a_trials_is_found(run, tmp_path):
    (tmp_path / "mlruns/studies/older").rename(tmp_path / "mlruns/studies/5")
    assert "trial-003" in run("show", "5", "3")[1]
    assert run("show", "5", "3")[1].startswith("older")  # as its journal calls it
    assert run("show", "5")[1].startswith("newer trial-005")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "newer", "fast"], "'fast' is not a trial: give a number, trial-NUMBER or best"),
        (["show", "newer", "1", "2"], "show takes one trial, not 2: hpsearch compare"),
        (["show", "newr"], "Did you mean 'newer'?"),
        (["show", "99"], "study newer has no trial 99. Trials: 0 to 11."),
        (["compare", "newer"], "which trials?"),
        (["top", "newr"], "Did you mean 'newer'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_told_with_what_is_allowed(run, arguments, said):
    code, _, error = run(*arguments)
    assert 2 == code
    assert said in error


def test_in_an_empty_folder_the_remedy_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in ("top", "show", "report"):
        output = ["-o", "page.html"] if command == "report" else []
        done = CliRunner().invoke(main, [command, *output])
        assert 2 == done.exit_code
        assert "Run one: hpsearch tune SPEC" in done.stderr


def test_studies_are_listed_the_newest_first_and_a_damaged_one_is_named(run, tmp_path):
    damaged = tmp_path / "mlruns/studies/damaged/journal.jsonl"
    damaged.parent.mkdir()
    damaged.write_text("no journal\nat all\n")
    code, shown, _ = run("studies")
    assert 0 == code
    rows = [line.split() for line in shown.splitlines() if "finished" in line or "damaged" in line]
    assert ["damaged", "newer", "older"] == [row[0] for row in rows]
    assert "hpsearch doctor" in shown
    assert f"{winner(tmp_path).score:.5f}"[:6] in shown


def test_top_shows_pruned_trials_if_asked(run, tmp_path):
    history = load_history(tmp_path / "mlruns/studies/newer/journal.jsonl")
    pruned = [t for t in history.trials if t.state == "PRUNED"]
    assert pruned
    assert "pruned" not in run("top")[1].split("\n", 3)[3].rsplit("\n", 3)[0]
    shown = run("top", "--all", "-n", "12")[1]
    lines = [line for line in shown.splitlines() if line.strip().startswith("pruned ")]
    assert len(pruned) == len(lines)
    assert "the winner is better than logistic regression, on the locked rows" in shown


def test_a_complete_trial_beyond_a_limit_says_so_where_it_ends():
    lines = []
    display = LineDisplay(Progress(2), lines.append)
    limits = [Limit("parameters", 900, is_upper=True)]
    display.listen(StudyCreated(limits=limits, time=10**13))
    for number, parameters in enumerate((1000, 900)):
        display.listen(
            TrialAsked(trial=number, attempt=0, params={}, seed=1, epochs=5, time=10**13)
        )
        result = {"state": "COMPLETE", "score": 0.5, "spread": 0.1, "trainer": "vectorized"}
        result["measured"] = {"parameters": parameters}
        display.listen(TrialFinished(trial=number, attempt=0, **result, time=10**13))
    over, within = lines[-2:]
    assert over.startswith("trial 0 COMPLETE 0.5000 ± 0.1000, violates parameters <= 900 · 1/2")
    assert within.startswith("trial 1 COMPLETE 0.5000 ± 0.1000 · 2/2 trials · best ")


def test_the_best_trial_of_the_progress_lies_in_the_edited_space():
    progress = Progress(3)
    progress.listen(StudyCreated(time=10**13))
    for number, score in enumerate((0.9, 0.8)):
        progress.listen(TrialAsked(trial=number, attempt=0, params={}, seed=1, epochs=5))
        result = {"state": "COMPLETE", "score": score, "spread": 0.1, "trainer": "vectorized"}
        progress.listen(TrialFinished(trial=number, attempt=0, **result))
    assert "(trial 0)" in progress.format_headline()
    progress.listen(DeclarationChanged(changes=[("search_space", "1", "2")], outside=[0]))
    assert "(trial 1)" in progress.format_headline()
    assert progress.format_best().startswith("best: trial 1 ")


def test_every_phase_of_a_study_is_named_and_counted():
    progress = Progress(1)
    lines = []
    display = LineDisplay(progress, lines.append)
    declared = {"selection": {"finalists": 2}, "budget": {"trials": 1}}
    display.listen(StudyCreated(resolved=declared, data=DataSummary(test_rows=9), time=10**13))
    display.listen(
        TrialAsked(trial=0, attempt=0, params={"units": 4}, seed=1, epochs=5, time=10**13)
    )
    assert f"phase 1 of {len(PHASES)}: search" == progress.format_phase()
    display.listen(EpochFinished(trial=0, attempt=0, epoch=1, scores=(0.5,), metrics={}))
    assert "now:  trial 0 epoch 2/5 units=4" == progress.format_running()
    result = {"state": "COMPLETE", "score": 0.5, "spread": 0.1, "trainer": "vectorized"}
    display.listen(TrialFinished(trial=0, attempt=0, **result, time=10**13))
    assert "compared on the locked rows" in progress.format_comparison()
    display.listen(SearchEnded(reason="1 of 1 trials", time=10**13))
    assert progress.format_phase().endswith("finalists on fresh folds, 0 of 1 scored")
    display.listen(FinalistScored(trial=0, score=0.5, time=10**13))
    assert progress.format_phase().endswith("finalists on fresh folds, 1 of 1 scored")
    display.listen(WinnerChosen(trial=0, epochs=3, time=10**13))
    display.listen(LockedRowsRead(time=10**13))
    display.listen(WinnerEvaluated(time=10**13))
    said = "\n".join(lines)
    names = [name for name, _ in PHASES[1:5]]
    found = [said.index(f"phase {i} of {len(PHASES)}: {n}") for i, n in enumerate(names, start=2)]
    assert sorted(found) == found
    assert "left" not in progress.format_headline()
    assert not progress.format_comparison()
