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
