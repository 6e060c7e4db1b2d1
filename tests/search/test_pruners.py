"""Pruners on curves with known decisions, compared with Optuna's."""

from collections import Counter

import numpy as np
import optuna
import pytest
import synthetic
from optuna.pruners import (
    MedianPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    ThresholdPruner,
)

from hpsearch.errors import SpecError
from hpsearch.search.pruners import PRUNERS, default_pruner, make_pruner
from hpsearch.search.pruners.asha import Hyperband
from hpsearch.search.pruners.fold_race import FoldRace, min_folds_to_reject
from hpsearch.search.pruners.halving import Halving
from hpsearch.testing import PrunerContract
from hpsearch.testing.pruners import EPOCHS, Replay
from hpsearch.testing.pruners import rising_curves as rising

OPTIONS = {"threshold": {"lower": -0.2}}  # what a kind cannot do without
EPOCHWISE = [kind for kind in PRUNERS if kind != "fold_race"]
RACES = [  # compare a trial with others
    *("asha", "halving", "hyperband", "rolling_halving", "median", "percentile")
]


def made(kind: str, **options):
    return make_pruner(kind, {**OPTIONS.get(kind, {}), **options}, epochs=EPOCHS, seed=5)


def optuna_lengths(pruner, curves, direction: str = "maximize") -> list[int]:
    """The epochs that each trial trains under a pruner of Optuna's own."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction=direction, pruner=pruner)
    lengths = []
    for curve in curves:
        trial = study.ask()
        for step, value in enumerate(curve, start=1):
            trial.report(float(value), step)
            if step < len(curve) and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, float(curve[-1]))
        lengths.append(step)
    return lengths


# ---- the contract ----


class TestEveryPruner(PrunerContract):
    """The suite that pruners of other packages are tested by, too."""

    @pytest.fixture(params=EPOCHWISE)
    def make_pruner(self, request):
        return lambda: made(request.param)


@pytest.mark.parametrize("kind", RACES)
def test_no_trial_is_pruned_before_epoch_three(kind):
    assert min(Replay(made(kind), rising(40)).lengths) >= 3


@pytest.mark.parametrize("kind", RACES)
def test_smaller_is_better_where_the_study_minimizes(kind):
    curves = rising(30)
    up, down = Replay(made(kind), curves), Replay(made(kind), -curves, "minimize")
    assert up.lengths == down.lengths


@pytest.mark.parametrize("kind", RACES)
def test_some_are_pruned_and_a_trial_that_always_leads_is_not(kind):
    curves = rising(30)
    curves[17] = 1.0
    replay = Replay(made(kind), curves)
    assert "COMPLETE" == replay.history.last[17].state
    assert replay.history.count("PRUNED") > 5


def test_without_a_pruner_no_trial_is_pruned():
    assert {EPOCHS} == set(Replay(made("none"), rising(10)).lengths)


@pytest.mark.parametrize("kind", PRUNERS)
def test_an_option_that_a_pruner_does_not_read_is_refused(kind):
    with pytest.raises(SpecError, match=f"tempo: {kind} does not read this option"):
        make_pruner(kind, {"tempo": 3}, epochs=EPOCHS)


def test_a_pruner_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(SpecError, match=r"Known: asha, fold_race, halving"):
        make_pruner("asah", {}, epochs=EPOCHS)


def test_hyperband_is_the_default_where_trials_are_long_enough_and_one_thing_is_wanted():
    assert "hyperband" == default_pruner(epochs=9, objectives=1)
    assert "none" == default_pruner(epochs=8, objectives=1)
    assert "none" == default_pruner(epochs=50, objectives=2)


# ---- beside Optuna ----

SEEDS = range(4)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("eta", "first"), [(3, 3), (2, 4), (4, 1)])
def test_asha_decides_as_optunas_successive_halving(seed, eta, first):
    curves = rising(60, seed)
    ours = Replay(made("asha", eta=eta, min_epochs=first), curves)
    theirs = SuccessiveHalvingPruner(min_resource=first, reduction_factor=eta)
    assert optuna_lengths(theirs, curves) == ours.lengths


@pytest.mark.parametrize("seed", SEEDS)
def test_hyperbands_brackets_are_optunas_halvings_with_later_first_rungs(seed):
    curves = rising(90, seed)
    pruner = Hyperband(epochs=EPOCHS, seed=seed)
    lengths = Replay(pruner, curves).lengths
    for bracket in range(3):
        numbers = [n for n in range(90) if pruner.bracket_of(n) == bracket]
        theirs = SuccessiveHalvingPruner(
            min_resource=3, reduction_factor=3, min_early_stopping_rate=bracket
        )
        assert optuna_lengths(theirs, curves[numbers]) == [lengths[n] for n in numbers]


def test_hyperband_gives_its_brackets_the_shares_of_the_paper():
    """Of 27 epochs from 3 on: 3 brackets of ceil(3 * 3^s / (s + 1)) trials, s from 2 to 0."""
    pruner = Hyperband(epochs=EPOCHS)
    counts = Counter(pruner.bracket_of(n) for n in range(17_000))
    for bracket, share in enumerate([9, 5, 3]):
        assert 1000 * share == pytest.approx(counts[bracket], rel=0.05)


@pytest.mark.filterwarnings("ignore:PatientPruner is experimental")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("kind", "options", "theirs"),
    [
        ("median", {}, lambda: MedianPruner(n_warmup_steps=3)),
        ("median", {"startup": 2, "min_epochs": 5}, lambda: MedianPruner(2, n_warmup_steps=5)),
        ("percentile", {"percentile": 40.0}, lambda: PercentilePruner(40.0, n_warmup_steps=3)),
        ("patience", {"patience": 2}, lambda: PatientPruner(None, 2)),
        ("patience", {"patience": 3, "min_delta": 0.1}, lambda: PatientPruner(None, 3, 0.1)),
        ("threshold", {"lower": -0.9}, lambda: ThresholdPruner(lower=-0.9, n_warmup_steps=3)),
        ("threshold", {"upper": -0.5}, lambda: ThresholdPruner(upper=-0.5, n_warmup_steps=3)),
    ],
)
def test_the_others_decide_as_optunas(seed, kind, options, theirs):
    random = np.random.default_rng(seed)
    curves = rising(30, seed) + random.normal(0, 0.1, (30, EPOCHS))
    pruner = make_pruner(kind, options, epochs=EPOCHS)
    lengths = Replay(pruner, curves).lengths
    assert optuna_lengths(theirs(), curves) == lengths
    assert len(set(lengths)) > 1


# ---- known answers ----


def flat(*scores: float) -> np.ndarray:
    """Curves that stay where they begin."""
    return np.repeat(np.array(scores)[:, None], EPOCHS, axis=1)


def test_asha_lets_the_first_pass_and_later_ones_that_are_among_the_best_third():
    lengths = Replay(made("asha"), flat(0.5, 0.4, 0.6, 0.5, 0.7, 0.55, 0.65, 0.1)).lengths
    # Of six and seven trials at the first rung two go on; of four at the second, one.
    assert [27, 3, 27, 3, 27, 3, 9, 3] == lengths


def test_a_trial_is_worth_its_best_epoch_so_far():
    """It would be scored by it; the last value may be a bad moment."""
    curves = flat(0.5, 0.6)
    curves[1, 2:9] = 0.0
    assert [27, 27] == Replay(made("asha"), curves).lengths


def test_a_trial_that_stopped_early_holds_its_place_on_later_rungs():
    curves = [*flat(0.5, 0.6)]
    curves[0] = curves[0][:5].copy()
    curves[0][:] = [0.1, 0.1, 0.1, 0.1, 0.8]  # better than the second, but only after rung 3
    assert [5, 9] == Replay(made("asha"), curves).lengths


def test_halving_keeps_the_best_third_of_a_bracket_at_each_rung():
    assert 9 == made("halving").bracket
    assert (3, 9) == made("halving").rungs(0, EPOCHS)
    scores = [0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.4, 0.6, 0.5]
    assert [3, 27, 3, 9, 3, 9, 3, 3, 3] == Replay(made("halving"), flat(*scores)).lengths


def test_halving_trains_the_epochs_it_should():
    """Nine to rung 3, three more to 9, one to 27; a bracket cut short by the budget likewise."""
    assert 9 * 3 + 3 * 6 + 18 == sum(Replay(made("halving"), rising(9)).lengths)
    assert 2 * 63 + (4 * 3 + 6 + 18) == sum(Replay(made("halving"), rising(22)).lengths)


def test_halving_prefers_the_earlier_of_equals():
    lengths = Replay(made("halving"), flat(*[0.5] * 9)).lengths
    assert [27, 9, 9, 3, 3, 3, 3, 3, 3] == lengths


def test_halving_suits_its_brackets_to_the_epochs():
    assert (3, (3,)) == (Halving(epochs=9).bracket, Halving(epochs=9).rungs(0, 9))
    assert (9, (5, 16)) == (Halving(epochs=50).bracket, Halving(epochs=50).rungs(0, 50))
    assert 1 == Halving(epochs=8).bracket


def test_halving_waits_for_the_last_trial_of_the_bracket():
    replay = Replay(made("none"), flat())
    for n in range(9):
        replay.add(synthetic.event("asked", trial=n, attempt=0, params={}, seed=n, epochs=EPOCHS))
    pruner, history = made("halving"), replay.history
    for n in range(9):
        for epoch in range(3):
            replay.add(
                synthetic.event(
                    "epoch", trial=n, attempt=0, epoch=epoch, scores=[float(n)], metrics={}
                )
            )
        told = pruner.verdicts([history.last[k] for k in range(n + 1)], history)
        assert told == ({} if n < 8 else {k: k < 6 for k in range(9)})


def test_a_failed_trial_is_not_waited_for_and_its_place_goes_to_the_next():
    replay = Replay(made("none"), flat())
    for n in range(3):
        replay.add(synthetic.event("asked", trial=n, attempt=0, params={}, seed=n, epochs=9))
    replay.add(synthetic.event("result", trial=2, attempt=0, state="FAILED"))
    for n in range(2):
        for epoch in range(3):
            replay.add(
                synthetic.event(
                    "epoch", trial=n, attempt=0, epoch=epoch, scores=[float(n)], metrics={}
                )
            )
    waiting = [replay.history.last[n] for n in range(2)]
    assert {0: True, 1: False} == Halving(epochs=9).verdicts(waiting, replay.history)


def test_rolling_halving_compares_with_the_latest_nine_trials_and_asha_with_all():
    bad = [0.3 - n / 100 for n in range(20)]
    good = [0.9, 0.8, 0.7, 0.5]  # the last is among the best third of 24, not of the latest 9
    curves = flat(*bad, *good)
    assert 9 == Replay(made("asha"), curves).lengths[23]
    assert 3 == Replay(made("rolling_halving"), curves).lengths[23]


def test_rolling_halving_has_the_rungs_of_halving_and_decides_one_by_one():
    assert 1 == made("rolling_halving").bracket
    for epochs in (8, 9, 27, 50, 52):
        ours, theirs = (make_pruner(k, {}, epochs=epochs) for k in ("rolling_halving", "halving"))
        assert theirs.rungs(0, epochs) == ours.rungs(0, epochs)


# ---- fold by fold ----


def race(*folds: float, alpha: float = 0.1, direction: str = "maximize") -> list[bool]:
    """The verdicts on a trial after each of its folds; the best trial has 0.5 to 0.54."""
    replay = Replay(made("none"), flat(), direction)
    replay.add(synthetic.event("asked", trial=0, attempt=0, params={}, seed=0, epochs=2))
    best = [0.5, 0.51, 0.52, 0.53, 0.54]
    replay.add(
        synthetic.event(
            "result", trial=0, attempt=0, state="COMPLETE", score=0.52, fold_scores=best
        )
    )
    replay.add(synthetic.event("asked", trial=1, attempt=0, params={}, seed=1, epochs=2))
    told = []
    for fold, score in enumerate(folds):
        worse = score - 0.1 if direction == "maximize" else score + 0.1
        replay.add(synthetic.event("fold", trial=1, attempt=0, fold=fold, scores=[worse, score]))
        waiting = [replay.history.last[1]]
        told.append(FoldRace(alpha=alpha).verdicts(waiting, replay.history)[1])
    return told


def test_a_race_rejects_once_four_folds_in_a_row_are_worse_and_never_before():
    assert [False, False, False, True] == race(0.4, 0.4, 0.4, 0.4)
    assert [False] * 4 == race(0.4, 0.4, 0.6, 0.4)
    assert [False] * 4 == race(0.6, 0.6, 0.6, 0.6)
    assert [False] * 4 == race(0.5, 0.51, 0.52, 0.53)


def test_a_race_follows_the_direction():
    assert [False, False, False, True] == race(0.6, 0.7, 0.8, 0.9, direction="minimize")
    assert [False] * 4 == race(0.4, 0.3, 0.2, 0.1, direction="minimize")


@pytest.mark.parametrize(("alpha", "folds"), [(0.1, 4), (0.125, 4), (0.13, 3), (0.05, 5), (0.5, 2)])
def test_a_race_knows_how_many_folds_its_first_verdict_takes(alpha, folds):
    assert folds == min_folds_to_reject(alpha)
    told = race(0.1, 0.2, 0.3, 0.31, 0.32, alpha=alpha)
    assert told == [n + 1 >= folds for n in range(5)]


def test_the_first_trial_is_not_compared_with_others():
    replay = Replay(made("none"), flat())
    replay.add(synthetic.event("asked", trial=0, attempt=0, params={}, seed=0, epochs=2))
    replay.add(synthetic.event("fold", trial=0, attempt=0, fold=0, scores=[0.1]))
    assert {0: False} == FoldRace().verdicts([replay.history.last[0]], replay.history)
