"""A history is determined by its events; repeated events have no effect."""

import math
from pathlib import Path

import pytest
import synthetic

from hpsearch.errors import JournalError, redact_text
from hpsearch.events import CURVES, DeclarationChanged, ModelPromoted, SearchEnded, StudyResumed
from hpsearch.history import History, load_history
from hpsearch.tracking.mlflow_layout import curve_points, metric_name, result_points, tag_value
from hpsearch.tracking.store import artifact_location
from hpsearch.tracking.study_note import render_study_note


def test_events_applied_twice_change_nothing() -> None:
    records = synthetic.study(6)
    events = synthetic.events(records)
    once, twice = History(events), History(e for event in events for e in (event, event))
    assert once.attempts == twice.attempts
    assert once.ended == twice.ended


def test_a_later_attempt_takes_the_place_of_a_lost_one() -> None:
    history = synthetic.history(6)
    assert "LOST" == history.attempts[4].state
    assert [0, 0, 0, 0, 1, 0] == [trial.attempt for trial in history.trials]


def test_an_epoch_of_a_lost_attempt_is_not_taken() -> None:
    records = synthetic.study(6, epochs=2)
    late = next(r for r in records if r["event"] == "epoch" and r["trial"] == 4)
    history = History(synthetic.events([*records, {**late, "epoch": 1}]))
    assert 1 == history.attempts[4].n_epochs


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_ranking_follows_the_direction_and_leaves_out_what_has_no_score(direction: str) -> None:
    records = synthetic.study(8)
    records[0]["objective"]["direction"] = direction
    next(r for r in records if r["event"] == "result" and r["trial"] == 0)["score"] = math.inf
    ranked = History(synthetic.events(records)).ranked_trials()
    scores = [trial.score for trial in ranked]
    assert sorted(scores, reverse=direction == "maximize") == scores
    assert {1, 4, 5, 6, 7} == {trial.number for trial in ranked}


def test_a_history_without_epochs_has_the_same_results(tmp_path: Path) -> None:
    records = synthetic.study(12)
    records[0]["spec"]["study"] = '"event":"epoch"'  # only the event itself counts
    journal = synthetic.write(tmp_path / "journal.jsonl", records)
    whole, short = load_history(journal), load_history(journal, without=CURVES)
    assert whole.study == short.study
    assert [(t.number, t.score) for t in whole.ranked_trials()] == [
        (t.number, t.score) for t in short.ranked_trials()
    ]
    assert {0} == {t.n_epochs for t in short.trials}
    journal.write_bytes(journal.read_bytes().replace(b'"val/loss"', b'"val/lost"', 1))
    with pytest.raises(JournalError, match="damaged"):
        load_history(journal, without=CURVES)


def test_best_so_far_never_gets_worse() -> None:
    history = synthetic.history(30)
    best = [score for _, score in history.improvements()]
    assert sorted(best) == best
    assert history.ranked_trials()[0].score == best[-1]


def test_curves_go_on_where_they_were_left() -> None:
    history = synthetic.history(1, epochs=4)
    trial = history.trials[0]
    everything = list(curve_points(history, trial, 0))
    later = list(curve_points(history, trial, 3))
    assert [p for p in everything if p.step == 3] == later


def test_epochs_of_mlflow_count_from_1_and_from_0_in_studies_that_began_so() -> None:
    records = synthetic.study(1, epochs=4)
    for first in (None, 1):
        if first:
            records[0]["first_epoch"] = first
        history = History(synthetic.events(records))
        trial = history.trials[0]
        assert {p.step for p in curve_points(history, trial, 0)} == {
            k + (first or 0) for k in range(4)
        }
        (best,) = (p for p in result_points(history, trial) if p.name == "best_epoch")
        assert trial.best_epoch + (first or 0) == best.value


def test_the_note_names_the_winner_the_test_scores_and_ten_trials() -> None:
    records = synthetic.study(30)
    history = History(synthetic.events(records))
    note = render_study_note(history)
    assert f"Chosen: **{history.winning_trial().name}**" in note
    assert "| roc_auc | 0.85 | 0.83 to 0.87 | 0.84 |" in note
    assert 10 == note.count("| trial-")


def test_names_and_values_fit_into_mlflow() -> None:
    assert "val/f1_a=b_".replace("=", "_") == metric_name("val/f1\na=b\t")
    assert 8000 == len(tag_value("x" * 9000))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://ann:secret@host:5000", "http://***@host:5000"),
        ("postgresql://ann:p%40ss@db/runs", "postgresql://***@db/runs"),
        ("https://host/?token=secret&x=1", "https://host/?token=***&x=1"),
        ("sqlite:////data/mlruns/mlflow.db", "sqlite:////data/mlruns/mlflow.db"),
    ],
)
def test_passwords_are_redacted(text: str, expected: str) -> None:
    assert expected == redact_text(text)


def test_a_server_decides_where_its_artifacts_lie(tmp_path: Path) -> None:
    assert artifact_location("https://host", tmp_path) is None
    assert str(tmp_path / "mlruns" / "artifacts") == artifact_location("sqlite:///x.db", tmp_path)


@pytest.mark.parametrize("jump", [-86_400_000, 0, 86_400_000])
def test_a_clock_that_is_set_between_two_runs_adds_nothing_to_the_studys_time(jump: int) -> None:
    records = synthetic.study(3, finished=False)
    history = History(synthetic.events(records))
    first = history.seconds
    for number in range(3):  # runs of 2 s, and a promotion days later
        time = records[-1]["time"] + jump * (number % 2 or -1)
        later = time + 3 * 86_400_000
        history.apply(DeclarationChanged(time=time - 1, changes=[]))
        history.apply(StudyResumed(time=time))
        history.apply(SearchEnded(time=time + 2000, reason=""))
        history.apply(ModelPromoted(time=later, name="m", version=1, alias="champion"))
        assert first + 2 * (number + 1) == pytest.approx(history.seconds)


def test_a_study_that_went_on_and_kept_its_winner_is_finished_again() -> None:
    history = synthetic.history(4)
    later = history.last_time + 1
    params = dict(history.trials[0].params)
    history.apply(
        synthetic.event("asked", time=later, trial=4, attempt=0, params=params, seed=1, epochs=2)
    )
    assert history.asked_since_final
    history.apply(synthetic.event("plots", time=later, failed={}))
    assert not history.asked_since_final
