"""Memory use of a long study, by counting the bytes of its objects."""

import gc
import tracemalloc
from collections import deque

import numpy as np
import optuna
import pytest
import synthetic

from hpsearch.event_codec import HEAD
from hpsearch.events import Objective, StudyCreated
from hpsearch.execution.executor import Started
from hpsearch.history import History, load_condensed_history, load_history, restore_curves
from hpsearch.journal import Journal, lines, reader, stream_scores, writer
from hpsearch.reporting import terminal_tables
from hpsearch.search.event_writer import EventWriter
from hpsearch.search.loop import Search
from hpsearch.search.samplers import make_sampler
from hpsearch.search.stopping_criteria import StoppingCriteria
from hpsearch.spec.search_space import Categorical, Float, SearchSpace
from hpsearch.trial import EpochReport, TrialResult

SPACE = SearchSpace((Categorical("kind", ("a", "b")), Float("x", -1.0, 1.0), Float("y", 0.1, 10.0)))
FEW, MANY = 200, 400  # trials; whole blocks of what a sampler sees


class Free:
    """Trials that cost nothing: three folds, epoch by epoch."""

    population, capacity = 1, 1

    def __init__(self) -> None:
        self._said: deque = deque()

    def submit(self, *trials):
        for trial in trials:
            self._said.append(Started(trial.number))
            for epoch in range(trial.epochs):
                scores = np.random.default_rng([trial.seed, epoch]).normal(size=3)
                metrics = {"train/loss": -scores, "val/loss": -scores}
                self._said.append(EpochReport(trial.number, epoch, scores, metrics))
            self._said.append(
                TrialResult(
                    trial.number,
                    "COMPLETE",
                    0.0,
                    score=float(scores.mean()),
                    spread=float(scores.std()),
                    best_epoch=trial.epochs - 1,
                    fold_scores=scores,
                )
            )

    def wait(self, timeout=None):
        return self._said.popleft() if self._said else None

    def recall(self):
        return []


def search(path, *, trials, epochs, listen=lambda event: None) -> History:
    with EventWriter(path) as writer:
        if writer.journal.first is None:
            goal = Objective("roc_auc", "maximize")
            writer.write(StudyCreated(study="s", key="k", objective=goal))
        writer.listen(listen)
        return Search(
            writer=writer,
            make_sampler=lambda: make_sampler("random", SPACE, direction="maximize", seed=0),
            executor=Free(),
            limits=StoppingCriteria(trials),
            seed=0,
            epochs=epochs,
            fixed={},
        ).run()


def held() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def bytes_of_a_trial(path, *, epochs: int) -> float:
    marks = []

    def listen(event):
        if event.kind == "result" and event.trial + 1 in (FEW, MANY):
            marks.append(held())

    tracemalloc.start()
    try:
        search(path, trials=MANY, epochs=epochs, listen=listen)
    finally:
        tracemalloc.stop()
    return (marks[1] - marks[0]) / (MANY - FEW)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


@pytest.mark.long
def test_an_ended_trial_leaves_a_kibibyte_behind_and_an_epoch_a_number(tmp_path):
    """Its params, times and fold scores; of its curves the mean over the folds."""
    short = bytes_of_a_trial(tmp_path / "short.jsonl", epochs=1)
    long = bytes_of_a_trial(tmp_path / "long.jsonl", epochs=11)
    assert short < 1200
    assert (long - short) / 10 < 16


def test_a_study_that_goes_on_holds_no_more_than_one_that_never_stopped(path):
    search(path, trials=FEW, epochs=10)
    tracemalloc.start()
    try:
        history = search(path, trials=FEW + 1, epochs=10)
        assert held() / FEW < 1600
        # The trials that the sampler sees are half of it; all records at once would be 2.4 MB.
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert FEW + 1 == len(history.ended)


def test_optuna_holds_only_the_trials_that_are_seen(path):
    search(path, trials=MANY, epochs=1)
    before = frozen_trials()
    sampler = make_sampler("tpe", SPACE, direction="maximize", seed=0)
    for trial in load_history(path).trials:
        sampler.tell(trial)
    assert frozen_trials() - before < 250


def frozen_trials() -> int:
    gc.collect()
    return sum(type(thing) is optuna.trial.FrozenTrial for thing in gc.get_objects())


def test_curves_that_were_let_go_of_come_back_from_the_journal(path):
    condensed, full = search(path, trials=5, epochs=3), load_history(path)
    assert condensed.trials != full.trials
    assert [t.mean_scores() for t in full.trials] == [
        list(t.mean_scores()) for t in condensed.trials
    ]
    restore_curves(condensed, path, {1, 4})
    for number in (1, 4):
        assert full.last[number].curves == condensed.last[number].curves
        assert full.last[number].refit_spec(7) == condensed.last[number].refit_spec(7)
    with pytest.raises(AssertionError, match="trial-002 has let go of its curves"):
        condensed.last[2].refit_spec(7)


def test_of_a_long_journal_only_what_is_shown_is_parsed(path, monkeypatch, figure):
    search(path, trials=FEW, epochs=20)
    parsed = []

    def count(text, where, event=lines.decode_line):
        parsed.append(event(text, where))
        return parsed[-1]

    for module in (reader, writer):
        monkeypatch.setattr(module, "decode_line", count)
    uses = {
        "top": lambda: terminal_tables.top_table(path),
        "show": lambda: terminal_tables.trial_details(path, FEW - 1),
        "compare": lambda: terminal_tables.comparison_table(path, [0, 1]),
        "open": lambda: Journal(path).close(),
    }
    epochs, others = {}, {}
    for name, use in uses.items():
        parsed.clear()
        use()
        epochs[name] = sum(e.kind == "epoch" for e in parsed)
        others[name] = len(parsed) - epochs[name]
    assert {"top": 0, "show": 20, "compare": 0, "open": 0} == epochs
    assert 1 == others["open"]  # the study's first record
    figure(epochs_parsed=f"{epochs['show']} of {20 * FEW}")


def test_a_history_for_a_report_holds_the_curves_of_the_winner_alone(path):
    search(path, trials=20, epochs=3)
    whole, condensed = load_history(path), load_condensed_history(path)
    best = whole.best.number
    assert whole.last[best].curves == condensed.last[best].curves
    assert {best} == {t.number for t in condensed.trials if t.curves}
    assert [list(t.mean_scores()) for t in whole.trials] == [
        list(t.mean_scores()) for t in condensed.trials
    ]


def test_going_on_parses_no_metric_of_an_epoch_and_knows_the_same(path, monkeypatch):
    search(path, trials=20, epochs=3)
    sizes = []

    def count(text, where, event=lines.decode_line):
        if b'"event":"epoch"' in text[:HEAD]:
            sizes.append(len(text))  # each epoch once
            assert {} == event(text, where).metrics
        return event(text, where)

    whole = load_history(path)
    for trial in whole.trials:
        trial.drop_curves()
    for module in (reader, writer):
        monkeypatch.setattr(module, "decode_line", count)
    resumed = History(stream_scores(path))
    for trial in resumed.trials:
        trial.drop_curves()
    assert 60 == len(sizes)
    assert whole.trials == resumed.trials


def test_going_on_with_epochs_of_many_metrics_parses_what_few_metrics_cost(tmp_path):
    record = {"seq": 1, "time": 1, "event": "epoch", "trial": 0, "attempt": 0, "epoch": 0}
    found = []
    for n in (0, 100):
        metrics = {f'val/{i},"metrics":{{': [0.1, 0.2] for i in range(n)}
        lines = [{"seq": 0, "time": 0, "event": "study"}, record | {"scores": [0.5, 0.25]}]
        lines[1]["metrics"] = metrics
        path = tmp_path / f"{n}.jsonl"
        path.write_bytes(b"".join(map(synthetic.line, lines)))
        found.append(list(stream_scores(path)))
    assert found[0] == found[1]
    assert [0.5, 0.25] == found[0][1].scores
