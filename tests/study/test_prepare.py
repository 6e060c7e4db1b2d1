"""Preparation of the problem shared by all trials."""

from functools import partial
from typing import Any

import numpy as np
import pytest

from hpsearch.errors import SpecError
from hpsearch.execution import devices
from hpsearch.execution.devices import Machine
from hpsearch.study.prepare import build_problem, load_data, resolve_study
from hpsearch.study.tune import read_spec


@pytest.mark.parametrize(
    ("space", "optimizers", "batch_sizes_vary"),
    [
        ({"optimizer": ["adam", "sgd"], "batch_size": [32, 64]}, ("adam", "sgd"), True),
        ({"optimizer": "lion", "batch_size": 64}, ("lion",), False),
        ({"batch_size": {"type": "int", "low": 16, "high": 99}}, (), True),
        ({"units": [4, 8]}, (), False),
    ],
)
def test_trials_know_what_others_may_choose(
    space: dict[str, object], optimizers: tuple[str, ...], batch_sizes_vary: bool
) -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    search_space = {"learning_rate": [0.1, 0.01], **space}
    study = read_spec({"data": {}, "search_space": search_space})
    dataset = load_data(study, (x, (x[:, 0] > 0).astype(int)))
    problem = build_problem(resolve_study(study, dataset), dataset)
    assert (optimizers, batch_sizes_vary) == (problem.optimizers, problem.batch_sizes_vary)


def test_a_population_is_chosen_on_an_accelerator_unless_it_is_declared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from hpsearch.study import population

    def chosen(trainer: str = "vectorized", threads: int = 1, **sections: Any) -> int:
        space = {"units": [4, 8], "batch_size": {"type": "int", "low": 10, "high": 200}}
        declared = {"data": {}, "search_space": space, "pruner": {"kind": "none"}, **sections}
        return population.population_of(read_spec(declared), trainer, threads=threads)

    many = {"trials": 1000}
    monkeypatch.setattr(population, "has_accelerator", lambda: False)
    assert 1 == chosen(budget=many)
    monkeypatch.setattr(population, "has_accelerator", lambda: True)
    assert 64 == chosen(budget=many)
    assert 3 == chosen(budget={"trials": 30})
    assert 1000 == chosen(budget=many, sampler={"kind": "random"})
    assert 30 == chosen(budget={"trials": 30}, sampler={"kind": "random"})
    assert 7 == chosen(budget=many, training={"population": 7})
    assert 1 == chosen("keras_fit", budget=many)


def test_trials_train_at_once_where_folds_are_fewer_than_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As many folds as threads at least, so that all cores are busy."""
    from hpsearch.study import population

    monkeypatch.setattr(population, "has_accelerator", lambda: False)
    for threads in (1, 2, 5, 8, 16, 64):
        for folds in (2, 3, 5, 10):
            declared = {"data": {}, "search_space": {"units": [4, 8]}, "pruner": {"kind": "none"}}
            study = read_spec({**declared, "cross_validation": {"folds": folds}})
            together = population.population_of(study, "vectorized", threads=threads)
            assert threads <= folds * together < threads + folds or together == 1
            assert 1 == population.population_of(study, "keras_fit", threads=threads)
            assert (together > 1) == (threads > folds)
            machine = Machine(threads)
            monkeypatch.setattr(devices, "detect_machine", lambda trainer, m=machine: m)
            assert "population: " in population.describe_training(study)
    one_fold = read_spec({**declared, "cross_validation": {"kind": "holdout"}})
    assert 1 == population.population_of(one_fold, "vectorized", threads=16)


@pytest.mark.parametrize(
    ("ahead", "sections", "workers"),
    [
        (4, {"sampler": {"kind": "random"}}, 1),
        (4, {"sampler": {"kind": "grid"}}, 1),
        (1, {}, 1),  # its sampler learns
        (1, {"sampler": {"kind": "random"}}, 2),  # one could wait while the other has many
        (1, {"sampler": {"kind": "random"}, "budget": {"target": 0.9}}, 1),
        (1, {"sampler": {"kind": "random"}, "budget": {"minutes": 1}}, 1),
        (0, {"sampler": {"kind": "random"}, "training": {"deterministic": True}}, 1),
        (0, {"sampler": {"kind": "random"}, "pruner": {"kind": "halving"}}, 1),
    ],
)
def test_several_trials_are_compiled_ahead_where_no_result_changes_them(
    ahead: int, sections: dict[str, Any], workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hpsearch.study import population

    declared = {"data": {}, "search_space": {"units": [4, 8]}, "pruner": {"kind": "none"}}
    study = read_spec({**declared, **sections})
    monkeypatch.setattr(population, "has_accelerator", lambda: False)
    assert ahead == population.count_ahead(study, "vectorized", workers=workers)
    assert 0 == population.count_ahead(study, "keras_fit", workers=workers)
    monkeypatch.setattr(population, "has_accelerator", lambda: True)
    assert min(ahead, 1) == population.count_ahead(study, "vectorized", workers=workers)


def test_a_population_of_keras_fit_is_said_to_take_turns() -> None:
    from hpsearch.study.population import describe_population

    said = partial(describe_population, trainer="keras_fit", threads=2)
    assert "4 trials take turns, no faster than one after another" == said(4, pruner="asha")
    assert "4 trials of a worker one after another" == said(4, pruner="fold_race")
    assert "" == said(1, pruner="fold_race")


def test_convergence_without_an_error_over_folds_is_refused() -> None:
    x, rows = np.random.default_rng(0).normal(size=(60, 2)), np.arange(60)
    study = read_spec(
        {"data": {}, "search_space": {"units": [4, 8]}, "budget": {"until": "converged"}}
    )
    dataset = load_data(study, (x, (x[:, 0] > 0).astype(int)), given_folds=[(rows[:40], rows[40:])])
    with pytest.raises(SpecError, match=r"budget\.until: compares the .*, and there is one fold"):
        resolve_study(study, dataset)


def test_a_study_tells_how_many_trials_fit_in_the_memory_of_an_accelerator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from hpsearch.study import device_memory, population

    x = np.random.default_rng(0).normal(size=(60, 2))
    study = read_spec({"data": {}, "search_space": {"units": [4, 8]}, "budget": {"trials": 160}})
    dataset = load_data(study, (x, (x[:, 0] > 0).astype(int)))
    problem = build_problem(resolve_study(study, dataset), dataset)
    assert device_memory.describe_memory(study, problem) is None
    for module in (population, device_memory):
        monkeypatch.setattr(module, "has_accelerator", lambda: True)
    asked = []

    def count(problem: object, trials: Any, environment: dict[str, str]) -> int:
        asked.append((len(trials), environment["KERAS_BACKEND"]))
        return 5

    monkeypatch.setattr(device_memory, "count_fitting_in_process", count)
    said = device_memory.describe_memory(study, problem) or ""
    assert said.startswith("5 of a population's 20 trials fit in the device's memory")
    assert [(20, "jax")] == asked


@pytest.mark.long
def test_a_processor_reports_no_memory_for_trials() -> None:
    from hpsearch.execution.inspection_process import count_fitting_in_process
    from hpsearch.testing.executors import small_problem, small_trial

    assert count_fitting_in_process(small_problem(), [small_trial(epochs=1)], {}) is None


def test_whole_numbers_of_a_space_are_listed_or_bounded() -> None:
    from hpsearch.study.prepare import whole_numbers

    space = {
        "units": [64, 16],
        "layers": {"type": "int", "low": 1, "high": 3},
        "batch_size": {"type": "int", "low": 10, "high": 200},
        "activation": ["relu", "tanh"],
    }
    spec = read_spec({"data": {}, "search_space": space}).spec
    expected = {"units": (16, 64), "layers": (1, 2, 3), "batch_size": (10, 16, 32, 64, 128, 200)}
    assert expected == whole_numbers(spec)
