"""The private parts of Optuna and Keras Tuner that hpsearch uses work in the installed version."""

import numpy as np
import optuna
import pytest

from hpsearch.compat import keras_tuner as kt_compat
from hpsearch.compat import optuna as compat

pytestmark = pytest.mark.filterwarnings(
    "ignore:(currentThread|getName):DeprecationWarning"  # Keras Tuner 1.4.8, at every ask
)


def study_of(n: int) -> tuple[optuna.Study, optuna.storages.InMemoryStorage]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage)
    distributions = {"x": optuna.distributions.FloatDistribution(0, 1)}
    for i in range(n):
        study.add_trial(
            optuna.trial.create_trial(
                params={"x": i / n}, distributions=distributions, value=float(i)
            )
        )
    return study, storage


class Odd(compat.StudyView):
    """The trials of odd number."""

    def visible(self, trials):
        return trials[1::2]


def test_samplers_see_the_trials_of_a_view():
    study, _ = study_of(6)
    view = Odd(study)
    assert [1, 3, 5] == [t.number for t in compat.trials_of(view)]
    assert 6 == len(compat.trials_of(study))
    asked = optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING)
    seen = optuna.samplers.TPESampler(seed=1).infer_relative_search_space(view, asked)
    assert {} == seen or ["x"] == list(seen)


def test_forgotten_trials_keep_their_number():
    study, storage = study_of(4)
    compat.forget_trials(storage, [0, 2])
    assert [1, 3] == [t.number for t in study.get_trials() if t.state.name == "COMPLETE"]
    new = storage.create_new_trial(compat.study_id(study))
    assert 4 == storage.get_trial(new).number


def test_trials_of_two_studies_have_different_keys():
    (first, _), (second, _) = study_of(1), study_of(1)
    keys = {compat.unique_trial_id(compat.trials_of(s)[0]) for s in (first, second)}
    assert 2 == len(keys)


def test_a_point_of_the_sequence_depends_on_its_index_alone():
    study, _ = study_of(0)
    space = {"x": optuna.distributions.FloatDistribution(0, 1)}
    trial = optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING)

    def points(indices):
        return [
            compat.qmc_sampler(i, space, 7).sample_relative(study, trial, space)["x"]
            for i in indices
        ]

    assert points([0, 1, 2, 3]) == points([3, 2, 1, 0])[::-1]
    assert 4 == len(set(points(range(4))))


def oracle_of(kind: str):
    import keras_tuner as kt

    hp = kt.HyperParameters()
    hp.Float("x", 0.0, 1.0)
    oracle = getattr(kt.oracles, kind)(
        objective=kt.Objective("score", "max"), hyperparameters=hp, max_trials=50, seed=1
    )
    kt_compat.keep_in_memory(oracle)
    return oracle


@pytest.mark.parametrize("kind", ["RandomSearchOracle", "BayesianOptimizationOracle"])
def test_a_seed_decides_an_oracles_next_draw(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def draw(seed):
        oracle = oracle_of(kind)
        for i in range(4):
            trial = kt_compat.add_trial(oracle, {"x": i / 4}, f"t{i}")
            oracle.update_trial(trial.trial_id, {"score": float(i)})
            trial.status = "COMPLETED"
            oracle.end_trial(trial)
        kt_compat.set_seed(oracle, seed)
        return oracle.create_trial("next").hyperparameters.values["x"]

    assert draw(5) == draw(5)
    assert [] == list(tmp_path.iterdir())


def test_a_grid_goes_on_while_its_trials_run():
    oracle = oracle_of("GridSearchOracle")
    found = []
    for i in range(3):
        trial = oracle.create_trial(f"t{i}")
        kt_compat.go_on_from(oracle, trial)
        found.append(trial.hyperparameters.values["x"])
    assert 3 == len(set(found))


def test_a_process_that_checks_nothing_answers_the_same():
    from sklearn.gaussian_process import GaussianProcessRegressor

    rng = np.random.default_rng(0)
    rows, scores = rng.random((20, 3)), rng.random(20)
    checked = GaussianProcessRegressor(alpha=1e-4, normalize_y=True, optimizer=None).fit(
        rows, scores
    )
    fast = kt_compat.without_checks(checked).fit(rows, scores)
    asked = rng.random((5, 3))
    for theirs, ours in zip(
        checked.predict(asked, return_std=True), fast.predict(asked, return_std=True), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_conditions_stand_side_by_side():
    import keras_tuner as kt

    hp = kt.HyperParameters()
    for name in ("a", "b"):
        hp.Choice(name, [0, 1])
    kt_compat.set_conditions(hp, [("a", [0]), ("b", [1])])
    hp.Float("x", 0.0, 1.0)
    kt_compat.set_conditions(hp, [])
    (x,) = (p for p in hp.space if p.name == "x")
    assert [("a", [0]), ("b", [1])] == [(c.name, list(c.values)) for c in x.conditions]


def test_what_is_asked_for_is_noted_with_its_scope():
    noted = []

    class Asking(kt_compat.recording_hyperparameters_class()):
        def note(self, hp, exists):
            noted.append((hp.name, exists))
            self.values.setdefault(hp.name, hp.default)

    hp = Asking()
    hp.Choice("kind", ["a", "b"])
    with hp.conditional_scope("kind", ["b"]):
        hp.Int("units", 1, 4)
    assert [("kind", True), ("units", False)] == noted
