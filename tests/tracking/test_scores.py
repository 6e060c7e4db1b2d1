"""Comparison of the winner's scores, and its description."""

import math
from pathlib import Path

import pytest
import synthetic

from hpsearch.history import History
from hpsearch.reporting.html import render_report
from hpsearch.reporting.page_winner import render_scores
from hpsearch.tracking.scores import describe_difference, winner_scores
from hpsearch.tracking.study_note import render_study_note


def finished(*, gain: float) -> list[synthetic.Record]:
    """The records of a study whose winner scores `gain` worse on fresh folds than in the search."""
    records = synthetic.study(6)
    place, winner = next((i, r) for i, r in enumerate(records) if r["event"] == "winner")
    again = winner["score"] - gain
    folds = [again - 0.01, again, again + 0.01]
    winner |= {"finalist_score": again, "finalist_spread": 0.008}
    time = {"seq": 0, "time": winner["time"]}
    finalist = {"event": "finalist", "trial": winner["trial"], "score": again, "spread": 0.008}
    records.insert(place, {**time, **finalist, "fold_scores": folds})
    return records


def test_search_finalist_and_locked_rows_stand_side_by_side_with_their_intervals() -> None:
    history = History(synthetic.events(finished(gain=0.02)))
    search, again, locked = winner_scores(history)
    trial = history.winning_trial()
    assert trial is not None
    assert (trial.score, history.final.test["roc_auc"]) == (search.value, locked.value)
    assert tuple(history.final.intervals["roc_auc"]) == locked.interval
    assert again.interval is not None
    half = 1.959964 * 0.01 / math.sqrt(3)  # three folds 0.01 apart
    assert (again.value - half, again.value + half) == pytest.approx(again.interval)
    assert search.interval is not None
    assert search.interval[0] < search.value < search.interval[1]


@pytest.mark.parametrize(("gain", "words"), [(0.02, "0.02 too good"), (-0.01, "0.01 too low")])
def test_the_difference_is_named_wherever_the_study_is_described(
    gain: float, words: str, tmp_path: Path
) -> None:
    records = finished(gain=gain)
    history = History(synthetic.events(records))
    report = render_report(synthetic.write(tmp_path / "journal.jsonl", records))
    assert f"The search's roc_auc was {words}, by fresh folds and seeds." == describe_difference(
        history
    )
    for page in (render_study_note(history), report.replace("&#x27;", "'")):
        assert describe_difference(history) in page
        assert "fresh folds and seeds" in page


def test_a_loss_that_the_search_took_for_larger_is_called_too_high() -> None:
    records = finished(gain=0.02)
    records[0]["objective"] = {"metric": "log_loss", "direction": "minimize"}
    assert "log_loss was 0.02 too high" in describe_difference(History(synthetic.events(records)))


def test_without_a_winner_nothing_is_claimed() -> None:
    history = synthetic.history(4, finished=False)
    assert [] == winner_scores(history)
    assert "" == describe_difference(history)
    assert "" == render_scores(history)
