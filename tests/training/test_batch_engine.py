"""Lanes as one batch: shared programs, work of the host, and isolation of trials.

Counted, not timed, so it holds on any device.
"""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training.trainer_contract import curves_of_fit, first_fold, run, separable, spec

from hpsearch.errors import DeviceLostError
from hpsearch.execution.messages import DEVICE_LOST_EXIT_CODE
from hpsearch.execution.worker import Worker
from hpsearch.training.problem import Problem
from hpsearch.training.trial_progress import TrialProgress
from hpsearch.training.vectorized import (
    VectorizedTrainer,
    batch_engine,
    device_health,
    group_factory,
    tile_group,
)
from hpsearch.training.vectorized.group_factory import GroupFactory
from hpsearch.training.vectorized.tile_entry import GroupSize, TileEntry
from hpsearch.training.vectorized.tile_group import TileGroup
from hpsearch.training.vectorized.tile_slots import LaneUse, TileSlots
from hpsearch.trial import TrialResult, TrialSpec

OPTIMIZERS = ("sgd", "adam", "rmsprop")
SIZES = {"layers": (1, 2, 3), "units": (4, 64), "batch_size": (16, 25)}


def mixed_problem() -> Problem:
    """A space of several optimizers, batch sizes, depths and widths; one fold."""
    problem = first_fold(separable())
    return replace(problem, optimizers=OPTIMIZERS, batch_sizes_vary=True, sizes=SIZES)


def mixed_trials(n: int, epochs: Sequence[int]) -> list[TrialSpec]:
    """Trials that differ in all that may share a program."""
    return [
        spec(
            number,
            number,
            epochs[number % len(epochs)],
            optimizer=OPTIMIZERS[number % 3],
            batch_size=SIZES["batch_size"][number % 2],
            layers=1 + number % 3,
            units=(4, 64, 17, 30)[number % 4],
            learning_rate=0.01 * (1 + number),
            l2=0.001 * number,
        )
        for number in range(n)
    ]


def engine_of(trainer: VectorizedTrainer) -> batch_engine.BatchEngine:
    """The engine of a trainer of batches."""
    assert isinstance(trainer._engine, batch_engine.BatchEngine)
    return trainer._engine


@pytest.fixture(scope="module")
def shared() -> tuple[VectorizedTrainer, dict[int, TrialResult]]:
    """Seven mixed trials, of which three wait until another's slot is free."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GroupFactory, "_size", lambda *_: GroupSize(2, 2, orders=2))
        trainer = VectorizedTrainer(mixed_problem(), placement="batch")
        results = run(trainer, mixed_trials(7, epochs=(1, 3, 2)))[1]
    return trainer, results


def test_lanes_of_other_optimizers_batch_sizes_depths_and_widths_are_fit(
    shared: tuple[VectorizedTrainer, dict[int, TrialResult]],
) -> None:
    """Also in the slot of one that ended, beside one at a later epoch, as the last of these."""
    assert {(None, "COMPLETE")} == {(r.error, r.state) for r in shared[1].values()}
    trials = mixed_trials(7, epochs=(1, 3, 2))
    for trial in (trials[0], trials[1], trials[5]):
        result = shared[1][trial.number]
        for name, expected in curves_of_fit(mixed_problem(), trial).items():
            np.testing.assert_allclose(expected, result.curves[name], rtol=1e-4, err_msg=name)


def assert_same_result(result: TrialResult, expected: TrialResult) -> None:
    """Compare curves and predictions within rounding."""
    pairs = [(curve, expected.curves[name]) for name, curve in result.curves.items()]
    for found, known in [*pairs, (result.predictions, expected.predictions)]:
        assert found is not None
        assert known is not None
        np.testing.assert_allclose(found, known, rtol=2e-5, atol=1e-6)


def test_a_trial_in_the_slot_of_one_that_ended_is_the_same_alone(
    shared: tuple[VectorizedTrainer, dict[int, TrialResult]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within rounding: trial 5 started beside trial 1, which was at its second epoch."""
    monkeypatch.setattr(GroupFactory, "_size", lambda *_: GroupSize(2, 2, orders=2))
    trainer, together = shared
    alone = run(trainer, [mixed_trials(7, epochs=(1, 3, 2))[5]])[1][5]
    assert_same_result(alone, together[5])


def test_a_space_is_one_program_and_its_network_is_built_once(
    shared: tuple[VectorizedTrainer, dict[int, TrialResult]],
) -> None:
    trainer, results = shared
    engine = engine_of(trainer)
    assert 1 == trainer._programs.count("segment")
    assert 1 == engine.templates.built
    problem = mixed_problem()
    for trial in mixed_trials(7, epochs=(1,)):
        network = problem.make_builder(trial.params, 0)()
        assert network.count_params() == results[trial.number].n_parameters


def test_a_program_of_a_space_of_any_widths_is_one_of_three() -> None:
    from hpsearch.training.vectorized.templates import Templates

    sizes = {"layers": (1, 2, 3), "units": tuple(range(16, 513, 16))}
    templates = Templates(replace(mixed_problem(), sizes=sizes, optimizers=()))
    seen = {
        templates.get(spec(units=units, layers=layers, dropout=rate, l2=rate / 10)).key
        for units in sizes["units"]
        for layers in sizes["layers"]
        for rate in (0.0, 0.3)
    }
    assert 3 == len(seen) == templates.built


@pytest.mark.parametrize(
    ("sizes", "branches"),
    [
        ((32, 256), (32, 256)),
        ((10, 16, 32, 64, 100), (10, 16, 32, 64, 100)),  # a range's ends and powers of two
        (tuple(range(16, 257, 16)), (16, 32, 64, 128, 256)),
    ],
)
def test_batch_sizes_of_a_space_are_a_few_branches_of_one_program(
    sizes: tuple[int, ...], branches: tuple[int, ...]
) -> None:
    problem = replace(mixed_problem(), sizes={"batch_size": sizes})
    factory = engine_of(VectorizedTrainer(problem, placement="batch")).factory
    assert {branches} == {factory.branch_sizes(rows) for rows in range(sizes[0], sizes[-1] + 1)}


class Counted:
    """What passes between the host and the device."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()  # of compiled programs, by their kind
        self.given = 0  # arrays of the host that went along
        self.python = 0  # Python calls while a call was made ready
        self.fetched: Counter[str] = Counter()  # from the device, by how


def count_in(patch: pytest.MonkeyPatch, trainer: VectorizedTrainer) -> Counted:
    """Count what a trainer does from now on."""
    import jax

    counted, get, start = Counted(), trainer._programs.get, TileGroup.start

    def counting(key: str, *given: Any) -> Callable[..., Any]:
        program = get(key, *given)

        def call(*arguments: Any) -> Any:
            counted.calls[key.split()[0]] += 1
            leaves = jax.tree.leaves(arguments)
            counted.given += sum(not isinstance(leaf, jax.Array) for leaf in leaves)
            return program(*arguments)

        return call

    def profiled(group: TileGroup, epochs: int) -> None:
        def event(frame: Any, kind: str, argument: Any) -> None:
            counted.python += kind == "call" and "hpsearch" in frame.f_code.co_filename

        sys.setprofile(event)
        try:
            start(group, epochs)
        finally:
            sys.setprofile(None)

    array, as_array = type(jax.numpy.zeros(1)), np.asarray
    value = array._value  # type: ignore[attr-defined]

    def convert(given: Any, *options: Any, **named: Any) -> np.ndarray:
        caller = sys._getframe(1).f_code.co_filename
        counted.fetched["array"] += isinstance(given, jax.Array) and "hpsearch" in caller
        return as_array(given, *options, **named)

    def fetch(self: Any) -> np.ndarray:
        counted.fetched["value"] += self._npy_value is None
        fetched: np.ndarray = value.fget(self)
        return fetched

    patch.setattr(trainer._programs, "get", counting)
    patch.setattr(tile_group.TileGroup, "start", profiled)
    patch.setattr(array, "_value", property(fetch))  # by `float`, `int`, `tolist`
    patch.setattr(np, "asarray", convert)
    return counted


@pytest.mark.parametrize(
    ("tile", "many"), [(64, 50), pytest.param(512, 400, marks=pytest.mark.long)]
)
def test_the_host_does_as_much_for_100_or_800_lanes_as_for_8(
    monkeypatch: pytest.MonkeyPatch, tile: int, many: int
) -> None:
    problem = replace(
        separable(), folds=separable().folds[:2], statistics=separable().statistics[:2]
    )
    seen = []
    for n in (4, many):
        monkeypatch.setattr(group_factory, "TILE_TRIALS", tile)
        monkeypatch.setattr(batch_engine.BatchEngine, "_epochs_per_call", lambda self: 2)
        trainer = VectorizedTrainer(problem, placement="batch")
        with pytest.MonkeyPatch.context() as patch:
            counted = count_in(patch, trainer)
            results = run(trainer, [spec(i, i, 6, units=4) for i in range(n)])[1]
        assert {"COMPLETE"} == {result.state for result in results.values()}
        assert 1 == engine_of(trainer).templates.built
        seen.append((counted.calls, counted.given, counted.python, counted.fetched))
    assert seen[0] == seen[1]
    assert {"empty": 1, "fill": 1, "segment": 3, "predictions": 1} == seen[0][0]
    assert seen[0][-1]["array"] > 0


def test_a_lane_alone_is_the_lane_among_64_others() -> None:
    problem = first_fold(separable())
    trials = [spec(n, n, 3, units=4 + n % 9, layers=1 + n % 2, dropout=0.2) for n in range(65)]
    sizes = {"layers": (1, 2), "units": (4, 12)}
    trainer = VectorizedTrainer(replace(problem, sizes=sizes), placement="batch")
    together = run(trainer, trials)[1]
    alone = run(trainer, [trials[37]])[1][37]
    assert_same_result(alone, together[37])


def test_a_population_that_the_device_refuses_is_halved_and_tells_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its second call runs out of memory, after the first epoch was reported."""
    import jax

    problem = first_fold(separable())
    trials = [replace(spec(n, n, 4, units=4), rungs=(1,)) for n in range(4)]
    expected = run(VectorizedTrainer(problem, placement="batch"), trials)
    start, calls = TileGroup.start, []

    def refused(group: TileGroup, epochs: int) -> None:
        calls.append((group.size.tiles, group.size.trials))
        if len(calls) == 2:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes")
        start(group, epochs)

    monkeypatch.setattr(TileGroup, "start", refused)
    found = run(VectorizedTrainer(problem, placement="batch"), trials)
    assert [(1, 4), (1, 4), (1, 2)] == calls[:3]
    assert sorted((r.trial, r.epoch) for r in expected[0]) == sorted(
        (r.trial, r.epoch) for r in found[0]
    )
    for n in range(4):
        for name, curve in expected[1][n].curves.items():
            np.testing.assert_allclose(curve, found[1][n].curves[name], rtol=2e-5, atol=1e-6)


def test_trials_for_which_memory_has_no_room_come_to_a_rung_before_any_passes_it() -> None:
    problem = first_fold(separable())
    trials = [replace(spec(n, n, 5, units=4), rungs=(1, 3)) for n in range(5)]

    def worst(report: Any) -> bool:
        return (report.epoch, report.trial) in [(0, 0), (2, 3)]

    expected = run(VectorizedTrainer(problem, placement="batch"), trials, worst)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GroupFactory, "_size", lambda *_: GroupSize(1, 2))
        found = run(VectorizedTrainer(problem, placement="batch"), trials, worst)
    assert [(r.epoch, r.trial) for r in expected[0]] == [(r.epoch, r.trial) for r in found[0]]
    assert ["PRUNED", "COMPLETE", "COMPLETE", "PRUNED", "COMPLETE"] == [
        found[1][n].state for n in range(5)
    ]
    for n in range(5):
        for name, curve in expected[1][n].curves.items():
            np.testing.assert_allclose(curve, found[1][n].curves[name], rtol=2e-5, atol=1e-6)


def test_a_network_that_no_memory_holds_fails_with_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tile_group, "device_memory", lambda: 1000)
    problem = first_fold(separable())
    result = run(VectorizedTrainer(problem, placement="batch"), [spec(units=4)])[1][0]
    assert "FAILED" == result.state
    assert "not even one trial at a time fits" in (result.error or "")


def test_trials_that_fit_in_the_memory_are_counted_before_any_is_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the figures of the program with which they are trained."""
    trials = [replace(spec(n, n, 4, units=4), rungs=(1,)) for n in range(4)]
    trainer = VectorizedTrainer(first_fold(separable()), placement="batch")
    engine, needed, within = engine_of(trainer), [], TileGroup._size_within_memory

    def measured(group: TileGroup, program: Any) -> Any:
        figures = program.memory_analysis()
        needed.append(figures.argument_size_in_bytes + figures.temp_size_in_bytes)
        return within(group, program)

    monkeypatch.setattr(TileGroup, "_size_within_memory", measured)
    monkeypatch.setattr(tile_group, "device_memory", lambda: 10**12)
    assert 4 == engine.count_fitting(trials)
    fitting = []
    for share in (1.0, 0.6, 0.3, 0.0):
        monkeypatch.setattr(tile_group, "device_memory", lambda share=share: share * needed[0])
        fitting.append(engine.count_fitting(trials))
    assert [4, 2, 1, 0] == fitting
    assert 1 == trainer.compilations
    assert not engine._groups


def entry_of(problem: Problem, number: int, epoch: int, **options: Any) -> TileEntry:
    """A running trial that has trained some epochs of ten."""
    trial = replace(spec(number, number, 10), **options)
    progress = TrialProgress(problem, trial, "vectorized", "maximize")
    return TileEntry(progress, trial.params, None, None, epoch=epoch)  # type: ignore[arg-type]


def test_trials_of_a_tile_that_stand_at_too_many_epochs_wait_for_the_first_ones() -> None:
    problem = first_fold(separable())
    slots = TileSlots(GroupSize(2, 4, orders=2), LaneUse())
    waiting = deque(entry_of(problem, n, epoch) for n, epoch in enumerate((5, 3, 0, 3)))
    assert 4 == len(slots.assign(waiting))
    assert [[0, 4, 4, 4], [0, 0, 0, 0]] == slots.plan_epochs(4).tolist()
    assert [3, 0] == slots.least_active(slots.plan_epochs(4)).tolist()


def test_a_tile_whose_trials_stand_at_enough_epochs_takes_no_new_ones() -> None:
    problem = first_fold(separable())
    slots = TileSlots(GroupSize(1, 4, orders=2), LaneUse())
    slots.assign(deque(entry_of(problem, n, epoch) for n, epoch in enumerate((1, 1, 2))))
    assert not slots.has_free
    slots.release(slots.entries[2])
    assert slots.has_free


def test_paused_trials_of_a_tile_that_trains_train_on() -> None:
    problem = first_fold(separable())
    slots = TileSlots(GroupSize(2, 4, orders=2), LaneUse())
    entries = [entry_of(problem, n, epoch) for n, epoch in enumerate((5, 2, 2, 3))]
    for entry in entries[1:3]:
        entry.progress.trial = replace(entry.trial, rungs=(2,))
    slots.assign(deque(entries))
    slots._paused = dict.fromkeys(entries[1:3])
    planned = slots.plan_epochs(4)
    slots.add_paused(planned)
    assert [[4, 0, 0, 4], [0, 0, 0, 0]] == planned.tolist()  # they stand at a third epoch
    slots.release(entries[3])
    planned = slots.plan_epochs(4)
    slots.add_paused(planned)
    assert [[4, 4, 4, 0], [0, 0, 0, 0]] == planned.tolist()
    slots.release(entries[0])
    planned = slots.plan_epochs(4)
    slots.add_paused(planned)
    assert not planned.any()  # no tile trains for them alone


def test_trials_that_train_are_packed_before_those_at_a_rung() -> None:
    problem = first_fold(separable())
    slots = TileSlots(GroupSize(3, 2, orders=2), LaneUse())
    entries = [entry_of(problem, n, 2, rungs=(2,) if n % 2 else ()) for n in range(6)]
    slots.assign(deque(entries))
    slots.release(entries[0])
    slots.release(entries[5])
    sources = slots.pack()  # 1 and 3 pause; 2 and 4 train in two tiles
    assert sources is not None
    assert [2, 4, 1, 3, 0, 0] == sources.tolist()
    assert [(0, 0), (0, 1), (1, 0), (1, 1)] == [entries[n].slot for n in (2, 4, 1, 3)]
    assert slots.pack() is None


def lane_use_of(size: GroupSize, n: int) -> LaneUse:
    """The use of lanes when n trials of 1 to 9 epochs train in calls of at most four epochs."""
    problem, use = first_fold(separable()), LaneUse()
    slots = TileSlots(size, use)
    waiting = deque(entry_of(problem, i, 0, epochs=1 + 7 * i % 9) for i in range(n))
    while slots.assign(waiting) or slots.entries:
        slots.pack()
        epochs = slots.plan_epochs(4)
        least = slots.least_active(epochs)
        for tile in np.flatnonzero(epochs.any(axis=1)):
            trains = np.arange(4)[:, None] < epochs[tile]
            figures = np.where(trains & (trains.sum(axis=1) >= least[tile])[:, None], 1.0, 0.0)
            slots.record(int(tile), figures[:, None, None])
        for entry in slots.entries:
            if entry.epoch == entry.trial.epochs:
                slots.release(entry)
    return use


def test_new_trials_take_the_slots_of_ended_ones_beside_trials_at_later_epochs() -> None:
    """If all trials of a tile stand at one epoch, half of the lanes stay empty."""
    one, some = (lane_use_of(GroupSize(4, 16, orders=orders), 500) for orders in (1, 8))
    assert one.trained == some.trained == sum(1 + 7 * i % 9 for i in range(500))
    assert one.trained / one.computed < 0.75
    assert some.trained / some.computed > 0.9


def refill_trials(numbers: range) -> list[TrialSpec]:
    """Of a population that ends one after another, some of them at a rung."""
    trials = [spec(n, n, 3 + 2 * (n % 4), units=4, dropout=0.2) for n in numbers]
    return [replace(t, rungs=(4,) if t.number % 3 == 0 and t.epochs > 4 else ()) for t in trials]


def stops_every_second(report: Any) -> bool:
    return report.epoch == 3 and report.trial % 6 == 0


def test_the_next_population_starts_in_free_tiles_without_changing_reports() -> None:
    """Its reports come as without it, and its lanes measure the same."""
    problem = first_fold(separable())
    populations = [refill_trials(range(start, start + 16)) for start in (0, 16, 32)]
    told: list[Any] = []
    begun: list[int] = []
    uses = []
    for ahead in (False, True):
        trainer = VectorizedTrainer(problem, placement="batch")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(batch_engine.BatchEngine, "_epochs_per_call", lambda self: 2)
            parts = []
            for trials, following in zip(populations, [*populations[1:], []], strict=True):
                trainer.prepare(trials)  # a worker does so as soon as it is given trials
                if ahead and following:
                    trainer.prepare(following)
                parts.append(run(trainer, trials, stops_every_second))
                engine = engine_of(trainer)
                found = engine._next[1] if engine._next else []
                begun.append(sum(isinstance(e, TileEntry) and e.epoch > 0 for e in found))
        told.append(parts)
        uses.append(engine_of(trainer).factory.lane_use)
    assert uses[1].computed <= uses[0].computed  # no epoch is trained twice
    assert [0, 0, 0] == begun[:3]
    assert all(begun[3:5])
    for (reports, results), (others, expected) in zip(told[1], told[0], strict=True):
        assert [(r.trial, r.epoch) for r in others] == [(r.trial, r.epoch) for r in reports]
        assert expected.keys() == results.keys()
        for number, result in results.items():
            assert (expected[number].state, expected[number].best_epoch) == (
                result.state,
                result.best_epoch,
            )
            for name, curve in expected[number].curves.items():
                np.testing.assert_allclose(curve, result.curves[name], rtol=2e-5, atol=1e-6)


def stops_half(report: Any) -> bool:
    """Stop half of `halved_trials` at each rung."""
    return report.epoch in (0, 2) and report.trial % 4 >= (2 if report.epoch == 0 else 1)


def halved_trials(numbers: range) -> list[TrialSpec]:
    """Trials with two rungs."""
    return [replace(spec(n, n, 9, units=4, dropout=0.2), rungs=(1, 3)) for n in numbers]


def test_trials_pass_a_rung_before_its_verdict_without_changing_reports() -> None:
    """So more of the trained lanes are needed, and the device trains fewer for the same study."""
    populations = [halved_trials(range(start, start + 8)) for start in range(0, 48, 8)]
    told, shares = [], []
    for passes in (False, True):
        trainer = VectorizedTrainer(first_fold(separable()), placement="batch")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(batch_engine.BatchEngine, "_epochs_per_call", lambda self: 2)
            if not passes:
                patch.setattr(TileSlots, "add_paused", lambda self, epochs: None)
            parts = []
            for trials, following in zip(populations, [*populations[1:], []], strict=True):
                trainer.prepare(trials)
                trainer.prepare(following)
                parts.append(run(trainer, trials, stops_half))
        told.append(parts)
        reported = sum(len(reports) for reports, _ in parts)
        shares.append(reported / engine_of(trainer).factory.lane_use.computed)
    assert shares[0] < 0.4
    assert shares[1] > 0.65
    for (reports, results), (others, expected) in zip(told[1], told[0], strict=True):
        assert [(r.trial, r.epoch) for r in others] == [(r.trial, r.epoch) for r in reports]
        assert expected.keys() == results.keys()
        for number, result in results.items():
            assert expected[number].state == result.state
            for name, curve in expected[number].curves.items():
                np.testing.assert_allclose(curve, result.curves[name], rtol=2e-5, atol=1e-6)


@pytest.mark.long
def test_a_population_that_was_taken_back_leaves_its_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_engine.BatchEngine, "_epochs_per_call", lambda self: 2)
    trainer = VectorizedTrainer(first_fold(separable()), placement="batch")
    first, taken_back, other = (refill_trials(range(n, n + 16)) for n in (0, 16, 32))
    trainer.prepare(taken_back)
    run(trainer, first)
    assert engine_of(trainer)._next is not None
    results = run(trainer, other)[1]
    assert set(range(32, 48)) == results.keys()
    assert engine_of(trainer)._next is None
    assert not engine_of(trainer)._groups


def test_a_population_that_is_given_up_leaves_nothing_on_the_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_engine.BatchEngine, "_epochs_per_call", lambda self: 2)
    trainer = VectorizedTrainer(first_fold(separable()), placement="batch")
    reports = trainer.train(refill_trials(range(16)))
    next(reports)
    reports.close()
    assert not engine_of(trainer)._groups
    assert 16 == len(run(trainer, refill_trials(range(16)))[1])


def test_a_device_that_vanishes_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import jax

    def vanished(group: TileGroup, epochs: int) -> None:
        raise jax.errors.JaxRuntimeError("INTERNAL: CUDA_ERROR_ILLEGAL_ADDRESS\nand more")

    monkeypatch.setattr(TileGroup, "start", vanished)
    trainer = VectorizedTrainer(first_fold(separable()), placement="batch")
    assert "FAILED" == run(trainer, [spec(units=4)])[1][0].state  # the device still computes
    monkeypatch.setattr(device_health, "device_answers", lambda: False)
    with pytest.raises(DeviceLostError) as told:
        run(trainer, [spec(units=4)])
    assert "the cpu device no longer answers: INTERNAL: CUDA_ERROR_ILLEGAL_ADDRESS" == str(
        told.value
    )


def test_a_worker_whose_device_vanishes_ends_so_that_another_may_find_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its trials are lost, not failed, and are tried again."""
    worker = Worker(None)  # type: ignore[arg-type]

    def vanished(order: object) -> None:
        raise DeviceLostError("the gpu device no longer answers")

    def leave(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(worker, "_run_order", vanished)
    monkeypatch.setattr("os._exit", leave)
    worker._orders.put("an order")
    with pytest.raises(SystemExit) as ended:
        worker.run_orders()
    assert DEVICE_LOST_EXIT_CODE == ended.value.code
    assert "the gpu device no longer answers\n" == capfd.readouterr().err


RAISING = """
import keras

class Fragile(keras.layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
    def call(self, x, training=False):
        if training and self.units == 9:
            raise RuntimeError("no nines in training")
        return x
    def get_config(self):
        return {**super().get_config(), "units": self.units}

def build(params, inputs, outputs):
    x = first = keras.Input(inputs)
    x = Fragile(params["units"])(keras.layers.Dense(params["units"])(x))
    return keras.Model(first, keras.layers.Dense(outputs.units, outputs.activation)(x))
"""


def test_a_lane_whose_model_raises_while_it_is_traced_fails_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(RAISING)
    problem = replace(first_fold(separable()), model=f"{tmp_path / 'mine.py'}:build")
    trials = [spec(n, n, 2, units=units) for n, units in enumerate((8, 9, 8))]
    results = run(VectorizedTrainer(problem, placement="batch"), trials)[1]
    assert ["COMPLETE", "FAILED", "COMPLETE"] == [results[n].state for n in range(3)]
    assert "no nines in training" in (results[1].error or "")
    assert "\n" not in (results[1].error or "")


HIDING = """
import math
import keras

def build(params, inputs, outputs):
    x = first = keras.Input(inputs)
    x = keras.layers.Dense(int(math.sqrt(params["units"])), "relu")(x)
    return keras.Model(first, keras.layers.Dense(outputs.units, outputs.activation)(x))
"""


def test_batch_sizes_share_a_program_also_where_each_trial_has_a_network_of_its_own(
    tmp_path: Path,
) -> None:
    (tmp_path / "mine.py").write_text(HIDING)
    problem = replace(mixed_problem(), model=f"{tmp_path / 'mine.py'}:build")
    engine = engine_of(VectorizedTrainer(problem, placement="batch"))
    trials = [spec(n, units=8, batch_size=size) for n, size in enumerate(SIZES["batch_size"])]
    assert 1 == len({engine.factory.key(engine._make_entry(trial, 1)) for trial in trials})
    assert 2 == engine.templates.built


@pytest.mark.long
def test_smaller_populations_share_the_program_of_larger_ones() -> None:
    trainer = VectorizedTrainer(first_fold(separable()), placement="batch")
    for n in (9, 1, 4, 3):
        assert n == len(run(trainer, [spec(i, i, 1, units=4) for i in range(n)])[1])
    assert 1 == trainer._programs.count("segment")
