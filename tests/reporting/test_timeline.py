"""The timeline of trials: rows, pauses, and what is still running."""

from hpsearch.reporting.page_timeline import MAX_ROWS, build_timeline
from hpsearch.trial import Trial


def ran(number: int, started: int, ended: int | None) -> Trial:
    return Trial(number, 0, {}, seed=0, epochs=1, asked=0, started=started, ended=ended)


def test_trials_that_overlap_are_in_different_rows_and_followers_share_one() -> None:
    found = build_timeline([ran(0, 1000, 3000), ran(1, 2000, 4000), ran(2, 3000, 5000)], now=9000)
    assert [(0, 0.0, 2.0, 0), (1, 1.0, 3.0, 1), (2, 2.0, 4.0, 0)] == found.spans
    assert (2, [], 0) == (found.rows, found.pauses, found.left_out)


def test_the_pause_between_two_runs_is_shortened() -> None:
    later = 10_000_000
    found = build_timeline([ran(0, 1000, 11_000), ran(1, later, later + 10_000)], now=0)
    assert [(0, 0.0, 10.0, 0), (1, 11.0, 21.0, 0)] == found.spans
    assert [10.5] == found.pauses


def test_a_running_trial_reaches_to_now_and_a_waiting_one_is_not_shown() -> None:
    waiting = Trial(1, 0, {}, seed=0, epochs=1, asked=0)
    found = build_timeline([ran(0, 1000, None), waiting], now=4000)
    assert [(0, 0.0, 3.0, 0)] == found.spans
    assert [] == build_timeline([waiting], now=4000).spans


def test_of_more_rows_than_fit_the_rest_is_counted() -> None:
    trials = [ran(number, 1000 + number, 9000) for number in range(MAX_ROWS + 3)]
    found = build_timeline(trials, now=9000)
    assert (MAX_ROWS, 3) == (len(found.spans), found.left_out)
