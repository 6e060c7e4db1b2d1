"""The description of a registered version: scores, verdict, and a link to the study's run."""

from hpsearch.promotion.version_note import render_version_note

LINEAGE = {
    "study": "churn_*", "trial": "7", "metric": "roc_auc", "score": "0.991234567",
    "spread": "0.0123", "test.roc_auc": "0.98765432", "verdict": "better than ridge",
    "experiment": "3", "run": "abc",
}  # fmt: skip


def test_scores_come_first_and_the_run_is_linked():
    first, *_, last = render_version_note(LINEAGE).split("\n\n")
    assert "**`roc_auc` 0.98765** on the locked test rows." == first
    assert (
        r"From [churn\_\*](#/experiments/3/runs/abc?workflowType=machine_learning), trial 7."
        == last
    )


def test_what_an_older_model_does_not_say_is_left_out():
    note = render_version_note({"experiment": "3", "run": "abc"})
    assert "From [its study](#/experiments/3/runs/abc?workflowType=machine_learning)." == note


def test_an_ensemble_is_named_and_the_score_of_the_search_is_its_best_trials():
    note = render_version_note({**LINEAGE, "ensemble": "2 trials (7: 0.6, 3: 0.4)"})
    assert "0.99123 ± 0.012 over the folds of the search, of its best trial alone." in note
    assert note.endswith(", an ensemble of 2 trials (7: 0.6, 3: 0.4).")
