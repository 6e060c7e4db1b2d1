"""The vectorized trainer: its protocol, shared programs, and supported models."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from long_cases import long_unless
from training.trainer_contract import (
    TrainerContract,
    answer_of,
    first_fold,
    problem_of,
    run,
    same,
    separable,
    spec,
    statistics_of,
    three_classes,
)

from hpsearch.data.split import Split
from hpsearch.errors import TrainingError, UnsuitableError
from hpsearch.training.problem import Problem
from hpsearch.training.trainer import Trainer
from hpsearch.training.vectorized import VectorizedTrainer, explain_unsuitable, session
from hpsearch.training.vectorized.vectorized_trainer import Placement

ROOT = Path(__file__).parents[2]


@pytest.mark.usefixtures("optimized_programs")
class TestVectorizedTrainer(TrainerContract):
    """Lanes on threads, as on a CPU."""

    def make_trainer(self, problem: Problem) -> Trainer:
        return VectorizedTrainer(problem, placement="threads")


@pytest.mark.long  # of this placement others test bits, scores, memory and custom models
@pytest.mark.usefixtures("optimized_programs")
class TestBatchedTrainer(TrainerContract):
    """All lanes in one program, as on an accelerator."""

    def make_trainer(self, problem: Problem) -> Trainer:
        return VectorizedTrainer(problem, placement="batch")


def model_file(folder: Path, body: str) -> str:
    """A user's function whose body makes `x` of the inputs `first`."""
    path = folder / "mine.py"
    path.write_text(
        "import keras\nfrom keras import layers as k\n"
        "def build(params, inputs, outputs):\n"
        "    p = {'units': 8, 'rate': 0.1, **params}\n"
        "    x = first = keras.Input(inputs)\n"
        + "".join(f"    {line}\n" for line in body.splitlines())
        + "    x = k.Dense(outputs.units, outputs.activation)(x)\n"
        "    return keras.Model(first, x)\n"
    )
    return f"{path}:build"


def compilations(problem: Problem, params: list[dict[str, Any]]) -> list[int]:
    """Programs compiled so far after each of several trials."""
    trainer = VectorizedTrainer(problem, placement="threads")
    seen = []
    for number, given in enumerate(params):
        result = run(trainer, [spec(number=number, epochs=1, **given)])[1][number]
        assert (None, "COMPLETE") == (result.error, result.state)
        seen.append(trainer.compilations)
    return seen


def test_trials_that_differ_in_numbers_share_their_programs() -> None:
    rng = np.random.default_rng(0)
    names = ("learning_rate", "beta_1", "weight_decay", "dropout", "l1", "l2", "label_smoothing")
    trials = [{name: float(rng.uniform(0.01, 0.1)) for name in names} for _ in range(10)]
    assert [2] * 10 == compilations(separable(), trials)  # to train, and to evaluate


def test_widths_share_their_programs() -> None:
    assert [2] * 4 == compilations(separable(), [{"units": n} for n in (20, 33, 50, 64)])


def test_only_an_elementwise_activation_through_zero_is_padded() -> None:
    import keras
    from keras.src.activations import ALL_OBJECTS_DICT

    from hpsearch.models import load_family, make_outputs
    from hpsearch.training.vectorized.padding import padded_widths

    x = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    told = set()
    for name in sorted(set(ALL_OBJECTS_DICT) - {"glu"}):  # which halves a layer's width
        activation = keras.activations.get(name)
        params = {"units": 6, "layers": 1, "activation": name}
        network = load_family("mlp").build(params, (6,), make_outputs("binary", 1))
        if padded_widths(network):
            wide = np.asarray(activation(np.pad(x, [(0, 0), (0, 2)])))
            np.testing.assert_array_equal(0, wide[:, 6:], err_msg=name)
            np.testing.assert_allclose(np.asarray(activation(x)), wide[:, :6], err_msg=name)
            told.add(name)
    assert {"relu", "tanh", "gelu", "silu"} <= told
    assert not {"sigmoid", "softmax", "softplus", "log_softmax"} & told


@pytest.mark.parametrize("model", ["mlp", pytest.param("wide_and_deep", marks=pytest.mark.long)])
def test_networks_with_embeddings_share_their_programs(model: str) -> None:
    problem = replace(separable(), model=model, category_ranges=((1, 3),))
    trials = [{"encoding": "embedding", "learning_rate": rate} for rate in (0.1, 0.01, 0.001)]
    assert [2] * 3 == compilations(problem, trials)


def test_another_optimizer_shares_the_program_that_evaluates() -> None:
    assert [2, 3] == compilations(separable(), [{"optimizer": "adam"}, {"optimizer": "sgd"}])


def test_another_batch_size_shares_the_program_that_evaluates() -> None:
    assert [2, 3] == compilations(separable(), [{"batch_size": 25}, {"batch_size": 40}])


def test_a_models_file_is_run_as_often_for_many_folds_as_for_one(tmp_path: Path) -> None:
    model = model_file(tmp_path, "x = k.Dense(p['units'])(x)\n")
    runs = tmp_path / "runs"
    file = tmp_path / "mine.py"
    count = f"with open({str(runs)!r}, 'a') as file:\n    file.write('.')\n"
    file.write_text(file.read_text() + count)
    counts = []
    for problem in (first_fold(separable()), separable()):
        trainer = VectorizedTrainer(replace(problem, model=model), placement="threads")
        runs.unlink(missing_ok=True)
        result = run(trainer, [spec(epochs=1)])[1][0]
        assert (None, "COMPLETE") == (result.error, result.state)
        counts.append(len(runs.read_text()))
    assert 0 < counts[0] == counts[1]


@pytest.mark.usefixtures("optimized_programs")
def test_a_recipe_that_is_traced_again_computes_the_same() -> None:
    import jax

    from hpsearch.training.trial_progress import TrialProgress
    from hpsearch.training.vectorized.device_data import make_device_data
    from hpsearch.training.vectorized.lane_recipe import make_lane_recipe
    from hpsearch.training.vectorized.program import train_function
    from hpsearch.training.vectorized.templates import Templates
    from hpsearch.training.vectorized.trial_run import TrialRun

    problem, trial = separable(), spec(optimizer="adam")
    templates = Templates(problem, batched=False)
    data, template, params = (
        make_device_data(problem),
        templates.get(trial),
        templates.resolve(trial),
    )
    recipe = make_lane_recipe(problem, template, trial.params, params)
    progress = TrialProgress(problem, trial, "vectorized", "maximize")
    draw = partial(template.draw_lane, problem, trial, params, recipe)
    trial_run = TrialRun(progress, trial.params, recipe, (None,) * len(problem.folds), draw)
    epoch = trial_run.make_epoch(problem, data, 0, 0, steps=range(4))
    given = (trial_run.initial_state(0), trial_run.make_lane(0, data), epoch, data.rows)
    first, second = (jax.jit(train_function(recipe))(*given).state.vector for _ in range(2))
    assert not np.array_equal(given[0].vector, first)
    np.testing.assert_array_equal(first, second)


def test_an_operation_of_one_lane_is_not_cut_into_shares() -> None:
    import jax.numpy as jnp

    from hpsearch.training.vectorized.program_cache import ProgramCache

    cut = []
    for threads in (True, False):
        cache = ProgramCache(threads=threads)
        program = cache._compile(lambda: jnp.exp, (np.zeros(1_000_000, np.float32),))
        cut.append("outer_dimension_partitions" in program.as_text())
    assert [len(os.sched_getaffinity(0)) > 1, False] == cut


@pytest.mark.parametrize("placement", ["threads", pytest.param("batch", marks=pytest.mark.long)])
@pytest.mark.parametrize("n_folds", [pytest.param(2, marks=pytest.mark.long), 8])
def test_rows_are_held_once_whatever_the_number_of_folds(
    n_folds: int, placement: Placement
) -> None:
    import jax

    rng = np.random.default_rng(5)
    features = rng.normal(size=(60_000, 100)).astype(np.float32)
    target = (features[:, :1] > 0).astype(np.float32)
    rows = np.arange(len(target))
    problem = replace(
        problem_of("binary", "roc_auc", features, target),
        folds=tuple(Split(rows[rows % n_folds != f], rows[f::n_folds]) for f in range(n_folds)),
        statistics=(statistics_of(features, target, "binary"),) * n_folds,
    )
    gc.collect()  # an earlier trainer's rows
    before = sum(a.nbytes for a in jax.live_arrays())
    trainer = VectorizedTrainer(problem, placement=placement)
    run(trainer, [spec(epochs=1, batch_size=500)])
    held = sum(a.nbytes for a in jax.live_arrays()) - before
    programs = [future.result() for future in trainer._programs._futures.values()]
    within = max(p.memory_analysis().temp_size_in_bytes for p in programs)
    assert features.nbytes <= held < 1.3 * features.nbytes
    assert within < features.nbytes


def test_a_prepared_trial_compiles_nothing_when_it_trains() -> None:
    trainer = VectorizedTrainer(separable(), placement="threads")
    run(trainer, [spec(number=0, epochs=1)])
    trainer.prepare([spec(number=1, epochs=1, layers=3)])
    result = run(trainer, [spec(number=1, epochs=1, layers=3)])[1][1]
    assert ("COMPLETE", 4) == (result.state, trainer.compilations)
    run(trainer, [spec(number=2, epochs=1, layers=3)])
    assert 4 == trainer.compilations


def test_what_evaluates_is_compiled_ahead_too() -> None:
    trainer = VectorizedTrainer(separable(), placement="threads")
    trainer.prepare([spec(epochs=1)])
    [prepared] = trainer._engine._prepared.values()
    prepared.result()
    assert 2 == trainer.compilations


def test_programs_that_were_used_longest_ago_are_removed(tmp_path: Path) -> None:
    for age, name in enumerate("abcd"):
        (tmp_path / name).write_bytes(bytes(100))
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    session.remove_oldest_programs(tmp_path, 250)
    assert ["a", "b"] == sorted(path.name for path in tmp_path.iterdir())
    session.remove_oldest_programs(tmp_path / "not there", 250)


@pytest.mark.parametrize("placement", ["threads", pytest.param("batch", marks=pytest.mark.long)])
def test_a_second_process_compiles_nothing(placement: str, tmp_path: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from training.trainer_contract import run, separable, spec\n"
        "from hpsearch.training.vectorized import VectorizedTrainer\n"
        "import jax\n"
        "hits = []\n"
        "jax.monitoring.register_event_listener(lambda name, **_: hits.append(name))\n"
        f"trainer = VectorizedTrainer(separable(), placement='{placement}')\n"
        # This small program compiles in less than the 0.1 s below which none is stored.
        "jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)\n"
        "run(trainer, [spec(epochs=1)])\n"
        "print(sum('cache_hits' in name for name in hits))\n"
    )
    cache = {**os.environ, "HPSEARCH_CACHE": str(tmp_path)}
    said, kept = [], []
    for _ in range(2):
        command = [sys.executable, "-c", script]
        said.append(subprocess.run(command, cwd=ROOT, env=cache, capture_output=True))
        trained = f"jit_{'train' if placement == 'threads' else 'segment'}-*-cache"
        kept.append([path.name for path in (tmp_path / "programs").glob(trained)])
    assert [0, 0] == [s.returncode for s in said], said[0].stderr.decode()[-2000:]
    first, second = (int(s.stdout.split()[-1]) for s in said)
    assert first < second
    assert 1 == len(kept[0])
    assert kept[0] == kept[1]


def test_dropout_of_nothing_is_no_dropout(tmp_path: Path) -> None:
    with_dropout = replace(
        separable(), model=model_file(tmp_path, "x = k.Dense(8)(x)\nx = k.Dropout(p['rate'])(x)")
    )
    trials = [spec(number=0, epochs=2, rate=0.0)]
    without = replace(separable(), model=model_file(tmp_path, "x = k.Dense(8)(x)"))
    curves = []
    for problem in (with_dropout, without):
        result = run(VectorizedTrainer(problem, placement="threads"), trials)[1][0]
        curves.append(result.curves["train/loss"])
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-6)


def test_dropout_masks_have_their_rate_and_are_independent() -> None:
    from hpsearch.training.counter_random import hash_bits
    from hpsearch.training.vectorized import layers

    def mask(key: Any, stream: int) -> np.ndarray:
        return np.asarray(layers.random_mask((500, 400), limit, key, stream))

    [limit], key = layers.make_masks(np.float32([0.3]), 0).limits, np.uint32(12345)
    first, second, other = (
        mask(key, 0),
        mask(key, 1),
        mask(hash_bits(np.array([key + 1], np.uint32))[0], 0),
    )
    assert 0.7 == pytest.approx(first.mean(), abs=0.005)
    np.testing.assert_allclose(first.mean(axis=0), 0.7, atol=0.1)
    for another in (second, other, np.roll(first, 1, axis=0), np.roll(first, 1, axis=1)):
        assert 0.49 == pytest.approx((first & another).mean(), abs=0.005)


def noisy(kind: str, strength: float, inputs: np.ndarray) -> np.ndarray:
    """What the layer that stands in for Keras's `kind` makes of `inputs` in training."""
    import keras

    from hpsearch.training.vectorized import layers

    strengths = np.array([strength], np.float32)
    masks = layers.make_masks(strengths, 0)
    step = layers.TracedStep(strengths, masks, key=np.uint32(77), valid=None)
    layer = layers.Noise(getattr(keras.layers, kind), 0, None)
    with layers.tracing(step, None):
        return np.asarray(layer(inputs, training=True))


@pytest.mark.parametrize("kind", ["Dropout", "SpatialDropout1D"])
def test_dropout_keeps_its_share_and_the_mean(kind: str) -> None:
    n, features, rate = 4000, 8, 0.25
    out = noisy(kind, rate, np.ones((n, 5, features), np.float32))
    seen = np.unique(out)
    np.testing.assert_allclose([0, 1 / (1 - rate)], seen, rtol=1e-6)
    draws = n * features * (1 if kind.startswith("Spatial") else 5)
    bound = 4.5 * np.sqrt(rate * (1 - rate) / draws)  # of a binomial's share
    assert 1 - rate == pytest.approx((out > 0).mean(), abs=bound)
    assert 1 == pytest.approx(out.mean(), abs=bound / (1 - rate))
    whole = (out == out[:, :1]).all(axis=1)  # a feature of a row is dropped in all places or none
    assert whole.all() == kind.startswith("Spatial")


@pytest.mark.parametrize(
    ("kind", "strength", "deviation"),
    [("GaussianNoise", 0.4, 0.4), ("GaussianDropout", 0.2, 0.5)],  # sqrt(0.2 / 0.8)
)
def test_gaussian_noise_has_its_mean_and_deviation(
    kind: str, strength: float, deviation: float
) -> None:
    out = noisy(kind, strength, np.ones((500, 400), np.float32)).astype(np.float64)
    error = deviation / np.sqrt(out.size)
    assert 1 == pytest.approx(out.mean(), abs=4.5 * error)
    assert deviation == pytest.approx(out.std(), abs=4.5 * error / np.sqrt(2))
    within = (np.abs(out - 1) < deviation).mean()  # as of a normal distribution
    assert 0.682689 == pytest.approx(within, abs=4.5 * np.sqrt(0.683 * 0.317 / out.size))


def test_alpha_dropout_keeps_mean_and_variance_of_normal_inputs() -> None:
    inputs = np.random.default_rng(1).normal(size=(500, 400)).astype(np.float32)
    out = noisy("AlphaDropout", 0.2, inputs).astype(np.float64)
    assert 0 == pytest.approx(out.mean(), abs=4.5 * np.sqrt(2 / out.size))
    assert 1 == pytest.approx(out.var(), abs=4.5 * np.sqrt(2 * 3 / out.size))
    values, counts = np.unique(out, return_counts=True)
    dropped = counts.max() / out.size  # all of them have one value
    assert 0.2 == pytest.approx(dropped, abs=4.5 * np.sqrt(0.2 * 0.8 / out.size))
    assert values[counts.argmax()] < -1


LAYERS = {
    "noise": "x = k.GaussianNoise(p['rate'])(x)\nx = k.GaussianDropout(p['rate'])(x)\n"
    "x = k.AlphaDropout(p['rate'])(k.Dense(8, 'selu')(x))",
    "embedding": "x = keras.ops.cast(x > 0, 'float32')\n"
    "x = k.Flatten()(k.SpatialDropout1D(p['rate'])(k.Embedding(3, 4)(x)))",
    "attention": "x = k.Reshape((-1, 1))(x)\nx = k.MultiHeadAttention(2, 3, dropout=0.1)(x, x)\n"
    "x = k.Flatten()(x)",
    "recurrent": "x = k.LSTM(3, return_sequences=True)(k.Reshape((-1, 1))(x))\n"
    "x = k.GRU(4, recurrent_dropout=0.1)(x)\n"
    "x = k.BatchNormalization()(x)",
    "branches": "a = k.Dense(8, 'relu')(x)\nx = k.Concatenate()([a, k.Dense(4)(x)])\n"
    "x = k.Dropout(p['rate'])(k.LayerNormalization()(x))",
    "nested": "inner = keras.Sequential([keras.Input((5,)), k.Dense(8), k.Dropout(p['rate'])])\n"
    "x = inner(x)",
}


@pytest.mark.parametrize("kind", long_unless(("noise", "attention").__contains__, LAYERS))
def test_layers_of_a_users_model_can_be_vectorised(kind: str, tmp_path: Path) -> None:
    problem = replace(separable(), model=model_file(tmp_path, LAYERS[kind]))
    trainer = VectorizedTrainer(problem, placement="threads")
    _, results = run(trainer, [spec(number=n, seed=4, rate=0.1 + n / 10) for n in range(2)])
    assert [None, None] == [results[n].error for n in range(2)], results[0].traceback
    assert 2 == trainer.compilations


def test_a_layer_that_raises_when_it_is_traced_fails_its_trial_alone(tmp_path: Path) -> None:
    body = (
        "class Touchy(k.Layer):\n"
        "    def call(self, x):\n"
        "        if x.shape[0] is not None and params['units'] == 13: raise KeyError('13')\n"
        "        return x\n"
        "x = Touchy()(k.Dense(params['units'])(x))"
    )
    problem = replace(separable(), model=model_file(tmp_path, body))
    trials = [spec(number=n, units=units, epochs=2) for n, units in enumerate((8, 13))]
    trainer = VectorizedTrainer(problem, placement="threads")
    trainer.prepare([trials[1]])
    _, results = run(trainer, trials)
    assert ["COMPLETE", "FAILED"] == [results[n].state for n in range(2)]
    assert "KeyError" in (results[1].error or "")


def test_a_convolution_is_left_to_keras_on_a_cpu(tmp_path: Path) -> None:
    body = "x = k.Flatten()(k.Conv1D(4, 2)(k.Reshape((-1, 1))(x)))"
    problem = replace(separable(), model=model_file(tmp_path, body))
    assert "conv1d is a convolution" in (explain_unsuitable(problem, {}) or "")
    assert explain_unsuitable(separable(), {}) is None
    with pytest.raises(UnsuitableError, match="use trainer: keras_fit"):
        run(VectorizedTrainer(problem), [spec()])


def test_a_model_that_sets_its_weights_itself_is_left_to_keras(tmp_path: Path) -> None:
    body = "layer = k.Dense(3)\nx = layer(x)\nlayer.bias.assign([1.0, 2.0, 3.0])"
    problem = replace(separable(), model=model_file(tmp_path, body))
    assert "sets weights itself" in (explain_unsuitable(problem, {}) or "")


def test_a_batch_of_trials_ends_as_they_would_alone() -> None:
    trials = [spec(number=n, seed=n, epochs=4, dropout=0.2, units=8 + n) for n in range(3)]
    batch = VectorizedTrainer(three_classes(), placement="batch")
    _, together = run(batch, trials, lambda r: (r.trial, r.epoch) == (1, 1))
    assert 1 == batch._programs.count("segment")
    assert ["COMPLETE", "PRUNED", "COMPLETE"] == [together[n].state for n in range(3)]
    _, alone = run(VectorizedTrainer(three_classes(), placement="threads"), trials)
    for number in (0, 2):
        for name, curve in alone[number].curves.items():
            np.testing.assert_allclose(curve, together[number].curves[name], rtol=1e-3, atol=1e-5)


@pytest.mark.long
def test_tensorflow_predicts_the_same_and_is_refused_as_a_backend(tmp_path: Path) -> None:
    kinds = {"family": "mlp"}
    for kind, body in LAYERS.items():
        (tmp_path / kind).mkdir()
        kinds[kind] = model_file(tmp_path / kind, body)
    trial = spec(epochs=2, units=20, normalization="batch", dropout=0.1)
    expected = {}
    for kind, model in kinds.items():
        problem = replace(separable(), model=model)
        weights = VectorizedTrainer(problem).fit(trial)
        network = problem.make_builder(trial.params, trial.seed)()
        network.set_weights(weights)
        network.save(tmp_path / f"{kind}.keras")
        expected[kind] = answer_of(problem, trial, weights)
    problem = separable()
    rows = problem.folds[0].validation
    np.save(tmp_path / "x.npy", problem.statistics[0].apply(problem.features[rows]))
    script = (
        "import pathlib, keras, numpy as np\n"
        "assert keras.backend.backend() == 'tensorflow'\n"
        "for path in pathlib.Path().glob('*.keras'):\n"
        "    model = keras.models.load_model(path)\n"
        "    np.save(path.stem, model.predict(np.load('x.npy'), verbose=0))\n"
        "from hpsearch.training.vectorized import session\n"
        "session.start_session()\n"
    )
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script]
    child = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert "needs KERAS_BACKEND=jax, but this process has started Keras" in child.stderr
    for kind, answer in expected.items():
        seen = np.load(tmp_path / f"{kind}.npy")
        np.testing.assert_allclose(answer, seen, atol=1e-5, err_msg=kind)


def test_a_final_fit_that_diverges_is_an_error() -> None:
    with pytest.raises(TrainingError, match="final fit, epoch"):
        VectorizedTrainer(separable()).fit(spec(optimizer="sgd", learning_rate=1e30, l2=1.0))


@pytest.mark.usefixtures("optimized_programs")
def test_trials_side_by_side_are_the_trials_one_after_another() -> None:
    trials = [spec(number=n, seed=n, dropout=0.2) for n in range(2)]
    trainer = VectorizedTrainer(separable(), placement="threads")
    _, together = run(trainer, trials)
    for n in range(2):
        assert same(together[n], run(trainer, [trials[n]])[1][n])
