"""Reading a finished study from Python: trials, curves, figures, predictions."""

import numpy as np
import pytest
import synthetic

import hpsearch
from hpsearch.errors import JournalError, PromotionError
from hpsearch.history import load_history


@pytest.fixture(scope="module")
def study(finished):
    return hpsearch.load("cancer", finished.root)


@pytest.fixture
def drawn(tmp_path):
    """A study of thirty trials that were never trained."""
    synthetic.write(tmp_path / "mlruns/studies/drawn/journal.jsonl", synthetic.study(30))
    return hpsearch.load("drawn", tmp_path)


def test_trials_and_the_best_are_those_of_the_journal(study, finished):
    best = finished.answer["best"]
    assert 5 == len(study.trials)
    assert (best["trial"], best["params"]) == (study.best.number, study.best.params)
    assert "cancer" in repr(study)


def test_the_frame_has_a_row_a_trial_the_best_first(drawn):
    table = drawn.frame()
    history = load_history(drawn.journal)
    assert [t.number for t in history.ranked_trials()] == list(
        table["trial"][table["rank"].notna()]
    )
    assert len(history.trials) == len(table)
    assert {"state", "score", "std", "seconds", "param_units"} <= set(table)
    n_epochs = {trial.number: trial.n_epochs for trial in history.trials}
    assert n_epochs == dict(zip(table["trial"], table["epochs"], strict=True))
    assert max(n_epochs.values()) > 0
    assert "split0_test_score" in drawn.frame(cv_results=True)


def test_curves_have_a_row_an_epoch_and_a_column_a_fold(drawn):
    trial = load_history(drawn.journal).trials[0]
    table = drawn.curves(0)
    assert [*range(1, trial.n_epochs + 1)] == [*table.index]
    frame = drawn.frame().set_index("trial")
    best = table["score"].loc[frame["best_epoch"][0]]
    assert trial.score == pytest.approx(best.mean())
    np.testing.assert_array_equal(trial.scores, table["score"].to_numpy())
    np.testing.assert_array_equal(trial.curves["val/loss"], table["val/loss"].to_numpy())
    with pytest.raises(JournalError, match=r"has no trial 99\. Trials: 0 to 29"):
        drawn.curves(99)


@pytest.mark.parametrize(
    "name", ["history", "parallel", "importance", "contour", "curves", "timeline"]
)
def test_figures_are_plotlys(drawn, name):
    figure = getattr(drawn.plot, name)()
    assert len(figure.data)
    assert figure.layout.title.text


def test_a_figure_of_too_little_says_so(tmp_path):
    synthetic.write(tmp_path / "mlruns/studies/one/journal.jsonl", synthetic.study(1))
    with pytest.raises(ValueError, match="too few trials for contour"):
        hpsearch.load("one", tmp_path).plot.contour()


def test_a_notebook_shows_the_best_trials_and_no_markup_of_the_study(tmp_path):
    records = synthetic.study(6)
    records[0]["study"] = "<script>alert(1)</script>"
    synthetic.write(tmp_path / "mlruns/studies/x/journal.jsonl", records)
    shown = hpsearch.load("x", tmp_path)._repr_html_()
    assert "<table" in shown
    assert "<script" not in shown


def test_the_winner_answers_raw_rows_as_it_was_scored(study, finished):
    from hpsearch.study.prepare import load_data
    from hpsearch.study.tune import read_spec

    rows = load_data(read_spec(finished.spec)).locked_rows.read().table.to_pandas()
    chances = study.predict_proba(rows)
    with np.load(finished.folder / "final" / "predictions.npz") as kept:
        scored = kept["prediction"][:, 0]
    np.testing.assert_allclose(scored, chances.iloc[:, 1], atol=1e-6)
    labels = study.predict(rows)
    assert set(labels) <= set(study.model.schema.target.classes)
    assert study.keras_model().count_params() > 0


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(JournalError, match="There is none yet"):
        hpsearch.load("nothing", tmp_path)
    synthetic.write(
        tmp_path / "mlruns/studies/begun/journal.jsonl", synthetic.study(3, finished=False)
    )
    begun = hpsearch.load("begun", tmp_path)
    with pytest.raises(JournalError, match="Known: begun"):
        hpsearch.load("nothing", tmp_path)
    with pytest.raises(PromotionError, match="has no fitted winner: let the study end first"):
        begun.predict([[1.0]])


def test_the_report_is_written_where_it_is_wanted(drawn, tmp_path):
    assert "<html" in drawn.report(tmp_path / "page.html").read_text()
    assert drawn.folder / "report.html" == drawn.report()
