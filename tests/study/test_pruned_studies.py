"""Studies of real networks with pruning, early stopping, or several objectives."""

from collections import Counter
from dataclasses import asdict, replace

import numpy as np
import pytest
import synthetic
from long_cases import long_unless

from hpsearch.errors import SpecError
from hpsearch.execution.inline_executor import InlineExecutor
from hpsearch.history import History
from hpsearch.journal import read_page
from hpsearch.reporting import terminal_tables
from hpsearch.search.event_writer import EventWriter
from hpsearch.search.loop import Search
from hpsearch.search.pruners import PRUNERS
from hpsearch.search.samplers import make_sampler
from hpsearch.search.stopping_criteria import StoppingCriteria
from hpsearch.spec.study_file import load_dict
from hpsearch.study.prepare import build_problem, load_data, resolve_study
from hpsearch.study.resolved_study import choose_pruner
from hpsearch.study.validation import check_study
from hpsearch.tracking.plots import SEARCH
from hpsearch.tracking.study_note import render_study_note
from hpsearch.training.trainer_factory import make_trainer
from hpsearch.trial import FoldReport, TrialResult, TrialSpec

EPOCHS = 12
SPACE = {
    "layers": 1,
    "units": [4, 8],
    "batch_size": 128,
    "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
}
OPTIONS = {"threshold": {"lower": 0.9}, "median": {"startup": 2}, "percentile": {"startup": 2}}


def declared(**more):
    return check_study(
        load_dict(
            {
                "study": "cancer",
                "seed": 5,
                "data": {"source": "sklearn:breast_cancer"},
                "cross_validation": {"folds": 2},
                "training": {"epochs": EPOCHS, "early_stopping": None},
                "search_space": SPACE,
                "sampler": {"kind": "random"},
                **more,
            }
        )
    )


@pytest.mark.parametrize(("kind", "fewest"), [("halving", 9), ("hyperband", 4), ("patience", 2)])
def test_a_pruner_that_would_never_prune_is_refused_with_the_fewest_epochs(kind, fewest):
    more = {"pruner": {"kind": kind}, "training": {"epochs": 1}}
    with pytest.raises(SpecError, match=f"of 1 epochs: train longer, {fewest} epochs at least"):
        declared(**more)


@pytest.mark.parametrize(
    ("metric", "bound", "reason"),
    [
        ("roc_auc", {"lower": 2}, "no trial is within roc_auc >= 2: the best roc_auc is 1"),
        ("log_loss", {"upper": -1}, "no trial is within log_loss <= -1: the best log_loss is 0"),
    ],
)
def test_a_threshold_that_would_prune_every_trial_is_refused(metric, bound, reason):
    pruner = {"kind": "threshold", **bound}
    with pytest.raises(SpecError, match=f"threshold would prune every trial: {reason}"):
        declared(pruner=pruner, objective={"metric": metric})
    with pytest.raises(SpecError, match=r"pruner\.lower: input should be a finite number"):
        declared(pruner={**pruner, "lower": float("nan")})


@pytest.fixture(scope="module")
def dataset():
    file = load_dict({"data": {"source": "sklearn:breast_cancer"}, "search_space": {"units": 8}})
    return load_data(choose_pruner(file))


@pytest.fixture(scope="module")
def trainers():
    """The trainers by what they measure: studies that measure alike share one's programs."""
    return {}


@pytest.fixture
def study(dataset, trainers, tmp_path):
    """A function that runs a study to its end and gives its history."""

    def run(name, trials=10, listeners=(), **more):
        resolved = resolve_study(declared(**more), dataset)
        spec, problem = resolved.spec, build_problem(resolved, dataset)
        key = problem.objective, problem.cost_objectives
        if key not in trainers:
            trainers[key] = make_trainer("vectorized", problem)
        pruner = resolved.pruner
        with EventWriter(tmp_path / f"{name}.jsonl") as writer:
            objectives = [asdict(objective) for objective in resolved.objectives]
            if writer.journal.first is None:
                writer.write(
                    synthetic.event(
                        "study",
                        study=name,
                        objective=objectives[0],
                        objectives=objectives,
                        spec={"search_space": SPACE},
                    )
                )
            for listener in listeners:
                writer.listen(listener)
            return Search(
                writer=writer,
                make_sampler=lambda: make_sampler(
                    "random", spec.space, direction="maximize", seed=5
                ),
                executor=InlineExecutor(
                    lambda _: trainers[key], problem, population=pruner.bracket
                ),
                limits=StoppingCriteria(trials, None, spec.budget.stagnation, spec.budget.target),
                pruner=pruner,
                seed=5,
                epochs=EPOCHS,
                fixed=spec.fixed_params,
            ).run()

    return run


@pytest.mark.parametrize(  # tests/search proves what each decides, without networks
    "kind",
    long_unless(("hyperband", "patience").__contains__, [k for k in PRUNERS if k != "fold_race"]),
)
def test_a_study_of_each_pruner_trains_the_epochs_that_its_journal_holds(study, kind):
    history = study(kind, pruner={"kind": kind, **OPTIONS.get(kind, {})})
    assert 10 == history.count("COMPLETE") + history.count("PRUNED")
    assert history.best is not None
    for trial in history.trials:
        assert (trial.n_epochs == EPOCHS) == (trial.state == "COMPLETE")
    if kind in ("none", "patience"):
        return
    assert history.count("PRUNED") > 0
    assert min(t.n_epochs for t in history.trials) >= 3


def test_halving_of_real_networks_trains_three_for_every_one_that_goes_on(study):
    history = study("halved", trials=6, pruner={"kind": "halving"})
    assert [4, 4, 4, 4, 12, 12] == sorted(t.n_epochs for t in history.trials)
    unpruned = study("whole", trials=6, pruner={"kind": "none"})
    for trial, whole in zip(history.trials, unpruned.trials, strict=True):
        np.testing.assert_allclose(trial.scores, whole.scores[: trial.n_epochs], rtol=1e-6)


class StopError(Exception):
    """The study's process is killed, as far as the journal can tell."""


def scores(history):
    return [(t.number, t.state, dict(t.params), t.scores) for t in history.trials]


@pytest.mark.parametrize("kind", ["asha", pytest.param("halving", marks=pytest.mark.long)])
def test_a_pruned_study_killed_and_resumed_equals_one_never_stopped_bit_for_bit(study, kind):
    whole = study("whole", pruner={"kind": kind})
    for stop_after in (9, 40):
        seen = []

        def kill(record, seen=seen, stop_after=stop_after):
            seen.append(record)
            if len(seen) == stop_after:
                raise StopError

        name = f"killed-{stop_after}"
        with pytest.raises(StopError):
            study(name, pruner={"kind": kind}, listeners=[kill])
        assert scores(whole) == scores(study(name, pruner={"kind": kind}))


@pytest.fixture
def several(study):
    objectives = ["roc_auc", "parameters", "latency_ms"]
    return study("several", trials=6, objectives=[{"metric": name} for name in objectives])


def test_several_objectives_end_in_a_front_of_trials_that_none_is_better_than(several):
    assert 6 == several.count("COMPLETE")
    front = several.pareto_front()
    for trial in several.trials:
        score, parameters, latency = trial.values
        assert (trial.score, trial.n_parameters) == (score, parameters)
        assert 0 < latency < 10_000
        beaten = [
            member
            for member in front
            if member.values[0] >= score
            and member.values[1] <= parameters
            and member.values[2] <= latency
            and member is not trial
        ]
        assert (trial in front) == (not beaten)
    assert several.best is front[0]
    assert max(t.score for t in several.trials) == several.best.score


def test_trials_with_several_objectives_are_pruned_by_the_values_that_the_journal_holds(study):
    objectives = [{"metric": name} for name in ("roc_auc", "parameters", "latency_ms")]
    whole = study("fronts", trials=6, objectives=objectives, pruner={"kind": "halving"})
    assert {"COMPLETE": 2, "PRUNED": 4} == Counter(t.state for t in whole.trials)
    for trial in whole.trials:
        score, parameters, latency = trial.epoch_values[-1]
        assert (trial.score, trial.n_parameters, trial.latency_ms) == (score, parameters, latency)
    assert scores(whole) == scores(
        study("fronts", trials=6, objectives=objectives, pruner={"kind": "halving"})
    )  # read without curves, as by a resumed study


def test_the_front_is_shown_in_the_table_the_note_and_a_figure(several, tmp_path, capsys):
    from rich.console import Console

    Console(width=200).print(terminal_tables.top_table(tmp_path / "several.jsonl"))
    shown = capsys.readouterr().out
    assert "latency_ms" in shown
    assert len(several.pareto_front()) == shown.count("◆") - 1  # and the caption's
    assert "| Pareto front | roc_auc | parameters | latency_ms |" in render_study_note(several)
    assert SEARCH["pareto_front"](several) is not None


def test_a_real_study_stops_at_its_target(study):
    history = study("target", trials=50, budget={"target": 0.9}, pruner={"kind": "none"})
    assert history.best.score >= 0.9
    assert history.end.cause == "target"
    assert len(history.ended) < 50


# ---- fold by fold ----

FOLDS = 5
RACE = {
    "cross_validation": {"folds": FOLDS},
    "training": {
        "epochs": 4,
        "trainer": "keras_fit",
        "early_stopping": {"patience": 1, "scope": "fold"},
    },
    "pruner": {"kind": "fold_race"},
}


@pytest.fixture(scope="module")
def raced():
    """The declaration, its problem, and a trainer whose folds take turns."""
    study = declared(**RACE)
    data = load_data(
        choose_pruner(
            load_dict({"data": {"source": "sklearn:breast_cancer"}, "search_space": SPACE})
        )
    )
    problem = build_problem(resolve_study(study, data), data)
    return study, problem, make_trainer("keras_fit", problem)


def said(trainer, trial, prune_after=None):
    """The folds, the epochs and the result that a trainer tells of a trial."""
    folds, epochs, answer = [], [], None
    reports = trainer.train([trial])
    while True:
        word = reports.send(answer)
        if isinstance(word, TrialResult):
            return folds, epochs, word
        kept = folds if isinstance(word[0], FoldReport) else epochs
        kept += word
        answer = {trial.number} if kept is folds and len(folds) == prune_after else set()


def test_folds_in_turn_end_where_folds_in_lockstep_do(raced):
    study, problem, in_turn = raced
    spec = study.spec
    together = make_trainer("keras_fit", replace(problem, fold_schedule="together"))
    params = {**spec.fixed_params, "units": 8, "learning_rate": 0.03}
    trial = TrialSpec(0, params, seed=3, epochs=4)
    folds, epochs, result = said(in_turn, trial)
    _, expected_epochs, expected = said(together, trial)
    assert list(range(FOLDS - 1)) == [report.fold for report in folds]
    assert len(expected_epochs) == len(epochs)
    for ours, theirs in zip(epochs, expected_epochs, strict=True):
        np.testing.assert_array_equal(theirs.scores, ours.scores)
    assert (expected.state, expected.score) == (result.state, result.score)
    np.testing.assert_array_equal(expected.predictions, result.predictions)


def test_a_trial_pruned_after_a_fold_is_scored_by_the_folds_it_trained(raced):
    study, problem, in_turn = raced
    spec = study.spec
    trial = TrialSpec(0, {**spec.fixed_params, "units": 8, "learning_rate": 0.03}, seed=3, epochs=4)
    folds, epochs, result = said(in_turn, trial, prune_after=2)
    assert ("PRUNED", 2, 2) == (result.state, len(folds), len(result.fold_scores))
    assert {(2,)} == {report.scores.shape for report in epochs}
    trained = np.concatenate([fold.validation for fold in problem.folds[:2]])
    assert set(trained) == set(np.flatnonzero(np.isfinite(result.predictions[:, 0])))


def test_a_race_prunes_what_is_worse_and_its_journal_holds_the_folds(raced, tmp_path):
    study, problem, trainer = raced
    spec = study.spec
    with EventWriter(tmp_path / "race.jsonl") as writer:
        writer.write(
            synthetic.event("study", objective={"metric": "roc_auc", "direction": "maximize"})
        )
        history = Search(
            writer=writer,
            make_sampler=lambda: make_sampler("random", spec.space, direction="maximize", seed=5),
            executor=InlineExecutor(lambda _: trainer, problem),
            limits=StoppingCriteria(8),
            pruner=study.pruner,
            seed=5,
            epochs=4,
            fixed=spec.fixed_params,
        ).run()
    assert 8 == len(history.ended)
    pruned = [t for t in history.trials if t.state == "PRUNED"]
    assert pruned
    again = History(read_page(tmp_path / "race.jsonl").events)
    for trial in pruned:
        assert 4 == len(again.last[trial.number].folds) == len(trial.fold_scores)
        assert trial.score < history.best.score
        assert trial.mean_scores()  # a sampler sees what it was worth
    for trial in again.ended:
        trial.drop_curves()
    assert again.trials == history.trials


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cross_validation": {"folds": 3}}, "with 3 folds a race can never reject at alpha 0.1"),
        ({"cross_validation": {"folds": 4}}, "It takes 5 folds"),
        ({"training": {"epochs": 4}}, "training.trainer: keras_fit"),
        ({"training": {"epochs": 4, "trainer": "keras_fit"}}, "scope: fold"),
    ],
)
def test_a_race_that_cannot_be_run_or_won_is_refused_before_anything_is_trained(change, message):
    with pytest.raises(SpecError, match=message):
        declared(**{**RACE, **change})
