"""The vectorised trainer: its protocol, the programs that trials share, and what it can train."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training.trainer_contract import (
    TrainerContract,
    answer_of,
    run,
    same,
    separable,
    spec,
    three_classes,
)

from hpsearch.errors import TrainingError, UnsuitableError
from hpsearch.training.problem import Problem
from hpsearch.training.trainer import Trainer
from hpsearch.training.vectorized import VectorizedTrainer, why_not

ROOT = Path(__file__).parents[2]


class TestVectorizedTrainer(TrainerContract):
    """Lanes on threads, as on a CPU."""

    def make_trainer(self, problem: Problem) -> Trainer:
        return VectorizedTrainer(problem, placement="threads")


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
    assert [3] * 10 == compilations(separable(), trials)  # to train, to evaluate, to measure


def test_widths_share_their_programs() -> None:
    assert [3] * 4 == compilations(separable(), [{"units": n} for n in (20, 33, 50, 64)])


def test_another_optimizer_shares_the_program_that_evaluates() -> None:
    assert [3, 4] == compilations(separable(), [{"optimizer": "adam"}, {"optimizer": "sgd"}])


def test_a_prepared_trial_compiles_nothing_when_it_trains() -> None:
    trainer = VectorizedTrainer(separable(), placement="threads")
    run(trainer, [spec(number=0, epochs=1)])
    trainer.prepare([spec(number=1, epochs=1, layers=3)])
    result = run(trainer, [spec(number=1, epochs=1, layers=3)])[1][1]
    assert ("COMPLETE", 5) == (result.state, trainer.compilations)
    run(trainer, [spec(number=2, epochs=1, layers=3)])
    assert 5 == trainer.compilations


def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from training.trainer_contract import run, separable, spec\n"
        "from hpsearch.training.vectorized import VectorizedTrainer\n"
        "import jax\n"
        "hits = []\n"
        "jax.monitoring.register_event_listener(lambda name, **_: hits.append(name))\n"
        "run(VectorizedTrainer(separable(), placement='threads'), [spec(epochs=1)])\n"
        "print(sum('cache_hits' in name for name in hits))\n"
    )
    cache = {**os.environ, "HPSEARCH_CACHE": str(tmp_path)}
    said = [
        subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=cache, capture_output=True)
        for _ in range(2)
    ]
    assert [0, 0] == [s.returncode for s in said], said[0].stderr.decode()[-2000:]
    first, second = (int(s.stdout.split()[-1]) for s in said)
    assert first < second


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
    from hpsearch.training.vectorized import layers

    key = np.uint32(12345)
    first, second = (np.asarray(layers.kept((500, 400), 0.3, key, s)) for s in (0, 1))
    other = np.asarray(layers.kept((500, 400), 0.3, layers.mixed(key + np.uint32(1)), 0))
    assert 0.7 == pytest.approx(first.mean(), abs=0.005)
    np.testing.assert_allclose(first.mean(axis=0), 0.7, atol=0.1)
    for mask in (second, other, np.roll(first, 1, axis=0), np.roll(first, 1, axis=1)):
        assert 0.49 == pytest.approx((first & mask).mean(), abs=0.005)


LAYERS = {
    "noise": "x = k.GaussianNoise(p['rate'])(x)\nx = k.GaussianDropout(p['rate'])(x)\n"
    "x = k.AlphaDropout(p['rate'])(k.Dense(8, 'selu')(x))",
    "embedding": "x = keras.ops.cast(x > 0, 'float32')\n"
    "x = k.Flatten()(k.SpatialDropout1D(p['rate'])(k.Embedding(3, 4)(x)))",
    "attention": "x = k.Reshape((-1, 1))(x)\nx = k.MultiHeadAttention(2, 3, dropout=0.1)(x, x)\n"
    "x = k.Flatten()(x)",
    "recurrent": "x = k.GRU(4, recurrent_dropout=0.1)(k.Reshape((-1, 1))(x))\n"
    "x = k.BatchNormalization()(x)",
    "branches": "a = k.Dense(8, 'relu')(x)\nx = k.Concatenate()([a, k.Dense(4)(x)])\n"
    "x = k.Dropout(p['rate'])(k.LayerNormalization()(x))",
    "nested": "inner = keras.Sequential([keras.Input((5,)), k.Dense(8), k.Dropout(p['rate'])])\n"
    "x = inner(x)",
}


@pytest.mark.parametrize("kind", LAYERS)
def test_layers_of_a_users_model_can_be_vectorised(kind: str, tmp_path: Path) -> None:
    problem = replace(separable(), model=model_file(tmp_path, LAYERS[kind]))
    trainer = VectorizedTrainer(problem, placement="threads")
    _, results = run(trainer, [spec(number=n, seed=4, rate=0.1 + n / 10) for n in range(2)])
    assert [None, None] == [results[n].error for n in range(2)], results[0].traceback
    assert 3 == trainer.compilations


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
    assert "conv1d is a convolution" in (why_not(problem, {}) or "")
    assert why_not(separable(), {}) is None
    with pytest.raises(UnsuitableError, match="use trainer: keras_fit"):
        run(VectorizedTrainer(problem), [spec()])


def test_a_model_that_sets_its_weights_itself_is_left_to_keras(tmp_path: Path) -> None:
    body = "layer = k.Dense(3)\nx = layer(x)\nlayer.bias.assign([1.0, 2.0, 3.0])"
    problem = replace(separable(), model=model_file(tmp_path, body))
    assert "sets weights itself" in (why_not(problem, {}) or "")


def test_a_batch_of_trials_ends_as_they_would_alone() -> None:
    trials = [spec(number=n, seed=n, epochs=4, dropout=0.2, units=8 + n) for n in range(3)]
    batch = VectorizedTrainer(three_classes(), placement="batch")
    _, together = run(batch, trials, lambda r: (r.trial, r.epoch) == (1, 1))
    assert 3 == batch.compilations
    assert ["COMPLETE", "PRUNED", "COMPLETE"] == [together[n].state for n in range(3)]
    _, alone = run(VectorizedTrainer(three_classes(), placement="threads"), trials)
    for number in (0, 2):
        for name, curve in alone[number].curves.items():
            np.testing.assert_allclose(curve, together[number].curves[name], rtol=1e-3, atol=1e-5)


def test_tensorflow_predicts_the_same_and_is_refused_as_a_backend(tmp_path: Path) -> None:
    from hpsearch.models import load_family, outputs_for

    problem, trial = separable(), spec(epochs=2, units=20, normalization="batch", dropout=0.1)
    weights = VectorizedTrainer(problem).fit(trial)
    network = load_family("mlp").build(trial.params, (5,), outputs_for("binary", 1))
    network.set_weights(weights)
    network.save(tmp_path / "network.keras")
    rows = problem.folds[0].validation
    np.save(tmp_path / "x.npy", problem.statistics[0].apply(problem.features[rows]))
    script = (
        "import keras, numpy as np\n"
        "assert keras.backend.backend() == 'tensorflow'\n"
        "model = keras.models.load_model('network.keras')\n"
        "np.save('p.npy', model.predict(np.load('x.npy'), verbose=0))\n"
        "from hpsearch.training.vectorized import session\n"
        "session.start()\n"
    )
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script]
    child = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert "needs KERAS_BACKEND=jax, but this process has started Keras" in child.stderr
    expected = answer_of(problem, trial, weights)
    np.testing.assert_allclose(expected, np.load(tmp_path / "p.npy"), atol=1e-5)


def test_a_final_fit_that_diverges_is_an_error() -> None:
    with pytest.raises(TrainingError, match="final fit, epoch"):
        VectorizedTrainer(separable()).fit(spec(optimizer="sgd", learning_rate=1e30, l2=1.0))


def test_trials_side_by_side_are_the_trials_one_after_another() -> None:
    trials = [spec(number=n, seed=n, dropout=0.2) for n in range(2)]
    trainer = VectorizedTrainer(separable(), placement="threads")
    _, together = run(trainer, trials)
    for n in range(2):
        assert same(together[n], run(trainer, [trials[n]])[1][n])
