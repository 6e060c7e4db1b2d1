"""What a trial costs as a population grows, on whatever device is there.

    python benchmarks/population.py [--populations 1,8,64,256,1000] [--rows 5600] [--epochs 20]
        [--only loop,bare,uniform,mixed,apart,halving,shifted,grouped,recurrent,precision]
        [--budget SECONDS]
        [--keep FILE.jsonl]
    python benchmarks/population.py --quick [--keep FILE.jsonl]
    python benchmarks/population.py --show FILE.jsonl

`uniform` trains trials of one structure (two layers of 64 units, Adam, batches of 64, dropout) that
differ in numbers; `mixed` such of five optimizers, four batch sizes, one to three layers and widths
from 16 to 128. Both run lanes as one batch, as on an accelerator, also where there is none. `bare`
is a JAX program of the same uniform lanes without anything around it: the limit. `loop` is one
trial of `keras.Model.fit` on the JAX backend, a fold after the other. `shifted` are small
convolutions of images as sums of products, `grouped` the same as XLA's grouped convolutions.
`recurrent` is an LSTM of 16 units over 23 steps of two columns.
`precision`, which is run by name alone, trains one configuration with as many seeds as the
population is large in each `training.precision`: the default is to stay within the seeds' spread.

Every population is trained twice by one trainer: the first time compiles, the second is what a
trial costs. One line of JSON each: seconds a trial of either, programs compiled, megabytes that
passed between host and device, the milliseconds of an epoch in which the host did not wait for
the device, and the share of the lanes' epochs that were reported. `apart` trains uniform trials,
but each ends after an epoch of its own, as with early stopping; `halving` stops the worse half of
mixed trials at two rungs, and others early. Both are four populations after one another.

`--budget` begins no measurement after so many seconds, and none that would not end within them by
what the population before took; each of them is named. `--quick` is for two cores: 600 rows, 3
epochs and populations of 1, 8, 64 and 256 in 440 s.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "jax")

FOLDS, FEATURES = 5, 46
OPTIMIZERS = ("sgd", "rmsprop", "adagrad", "adam", "nadam")
BATCH_SIZES = (32, 64, 128, 256)
WIDTHS = (16, 24, 32, 48, 64, 96, 128)
KINDS = (  # in order
    *("loop", "bare", "uniform", "mixed", "apart", "halving", "shifted", "grouped", "recurrent"),
)
FOLLOWED = ("apart", "halving")  # four populations, each known while the one before trains
RUNGS = (1, 3)  # of `halving`
IMAGE = (12, 12, 1)
QUICK = {"populations": "1,8,64,256", "rows": 600, "epochs": 3, "budget": 440.0}
PRECISIONS = ("float32", "tensorfloat32", "bfloat16")
Row = dict[str, Any]


def problem_of(rows: int) -> Any:
    """A made binary task, five folds."""
    from hpsearch.data.split import Split
    from hpsearch.data.statistics import Statistics
    from hpsearch.training.problem import Problem

    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, FEATURES)).astype(np.float32)
    signal = np.tanh(x[:, :12] @ rng.normal(size=(12, 6))) @ rng.normal(size=6)
    y = (signal + rng.normal(size=rows) > 0).astype(np.float32)[:, None]
    index = np.arange(rows)
    folds = tuple(Split(index[index % FOLDS != f], index[f::FOLDS]) for f in range(FOLDS))
    ones, zeros = np.ones(FEATURES, np.float32), np.zeros(FEATURES, np.float32)
    unit = (np.zeros(1, np.float32), np.ones(1, np.float32))
    statistics = (Statistics(zeros, zeros, ones, *unit),) * FOLDS
    return Problem("binary", x, y, folds, statistics, "roc_auc", ("roc_auc", "log_loss"))


def as_images(problem: Any) -> Any:
    """The same rows as small images for the family `cnn`, of noise but for the first columns."""
    from hpsearch.data.statistics import Statistics

    n = len(problem.features)
    pixels = np.random.default_rng(1).normal(size=(n, *IMAGE)).astype(np.float32)
    pixels[:, :4, :10, 0] = problem.features[:, :40].reshape(n, 4, 10)
    one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
    statistics = (Statistics(zero, zero, one, zero, one),) * FOLDS
    return replace(problem, features=pixels, statistics=statistics, model="cnn")


def as_sequences(problem: Any) -> Any:
    """The same rows as steps of two columns each, for the family `recurrent`."""
    steps = problem.features.reshape(len(problem.features), -1, 2)
    statistics = tuple(
        replace(s, impute=s.impute[:2], center=s.center[:2], scale=s.scale[:2])
        for s in problem.statistics
    )
    return replace(problem, features=steps, statistics=statistics, model="recurrent")


def trials_of(kind: str, n: int, epochs: int, *, first: int) -> list[Any]:
    """Trials that differ in numbers, and mixed ones in their structure too."""
    from hpsearch.trial import TrialSpec

    trials = []
    for number in range(first, first + n):
        rng = np.random.default_rng(number)
        params: Row = {"layers": 2, "units": 64, "batch_size": 64, "optimizer": "adam"}
        params |= {"learning_rate": float(10 ** rng.uniform(-4, -2))}
        params |= {"dropout": float(rng.uniform(0.05, 0.5))}
        if kind in ("shifted", "grouped"):
            params = {**params, "filters": 8, "blocks": 2}
            del params["layers"]
        if kind == "recurrent":
            params |= {"layers": 1, "units": 16}
        if kind in ("mixed", "halving"):
            params["optimizer"] = str(rng.choice(OPTIMIZERS))
            params["batch_size"] = int(rng.choice(BATCH_SIZES))
            params |= {"layers": int(rng.integers(1, 4)), "units": int(rng.choice(WIDTHS))}
        own = epochs if kind != "apart" else int(rng.integers(1, epochs + 1))
        rungs = RUNGS if kind == "halving" else ()
        trials.append(TrialSpec(number, params, number, own, rungs=rungs))
    return trials


class Watch:
    """What passes between a trainer's host and its device."""

    def __init__(self, trainer: Any) -> None:
        """Watch `trainer` from now on."""
        import jax

        from hpsearch.training.vectorized.tile_group import TileGroup

        self.reset()
        get, finish = trainer._programs.get, TileGroup.finish

        def watched(*given: Any) -> Callable[..., Any]:
            program = get(*given)

            def call(*arguments: Any) -> Any:
                leaves = jax.tree.leaves(arguments)
                self.bytes += sum(np.asarray(a).nbytes for a in leaves if not is_resident(a))
                return program(*arguments)

            return call

        def timed(group: Any) -> Any:
            began = time.perf_counter()
            if group._asked:
                jax.block_until_ready(group._figures)
                self.bytes += group._figures.nbytes
            self.waited += time.perf_counter() - began
            return finish(group)

        def is_resident(array: Any) -> bool:
            return isinstance(array, jax.Array)

        trainer._programs.get, TileGroup.finish = watched, timed
        self._finish = finish

    def reset(self) -> None:
        """Count anew."""
        self.bytes, self.waited = 0, 0.0

    def stop(self) -> None:
        """Watch no longer."""
        from hpsearch.training.vectorized.tile_group import TileGroup

        TileGroup.finish = self._finish  # type: ignore[method-assign]


def population(kind: str, n: int, rows: int, epochs: int) -> Row:
    """A population of `n` trials, twice; several populations of `FOLLOWED`."""
    from hpsearch.training.problem import EarlyStopping
    from hpsearch.training.vectorized import VectorizedTrainer, lane_convolution

    problem = problem_of(rows)
    if kind in ("shifted", "grouped"):
        problem = as_images(problem)
        lane_convolution.MAX_PRODUCTS = 49 if kind == "shifted" else 0
    if kind == "recurrent":
        problem = as_sequences(problem)
    if kind in ("mixed", "halving"):
        sizes = {"layers": (1, 2, 3), "units": WIDTHS, "batch_size": BATCH_SIZES}
        problem = replace(problem, optimizers=OPTIMIZERS, batch_sizes_vary=True, sizes=sizes)
    if kind == "halving":
        problem = replace(problem, early_stopping=EarlyStopping(3))
    trainer = VectorizedTrainer(problem, placement="batch")
    count = 4 if kind in FOLLOWED else 1
    populations = [trials_of(kind, n, epochs, first=n * i) for i in range(count)]
    seconds, watch, needed = [], Watch(trainer), 0
    for _ in range(2):
        watch.reset()
        began = time.perf_counter()
        results = list(train_populations(trainer, populations))
        seconds.append((time.perf_counter() - began) / count)
        assert n * count == len(results)
        needed += sum(len(r.curves["val/loss"]) for r in results)
        assert all(r.state != "FAILED" for r in results), results[0].error
        watch.bytes += sum(r.predictions.nbytes for r in results if r.predictions is not None)
    watch.stop()
    lanes: Any = trainer._engine
    return {
        "first_s": seconds[0] / n,
        "trial_s": seconds[1] / n,
        "programs": trainer._programs.count("segment"),
        "megabytes": watch.bytes / 1e6 / count,
        "host_ms_an_epoch": (seconds[1] - watch.waited / count) / epochs * 1e3,
        "lanes_full": needed / lanes.factory.lane_use.computed,
    }


def train_populations(trainer: Any, populations: list[list[Any]]) -> Any:
    """Train populations, each known while the one before trains; yields the trials' results.

    The worse half of the trials at a rung is stopped.
    """
    from hpsearch.trial import TrialResult

    for trials, following in zip(populations, [*populations[1:], []], strict=True):
        trainer.prepare(trials)
        if following:
            trainer.prepare(following)
        said, stopped = trainer.train(trials), None
        while (word := next_word(said, stopped)) is not None:
            stopped = None
            if isinstance(word, TrialResult):
                yield word
            elif word[0].epoch + 1 in RUNGS and trials[0].rungs:
                ranked = sorted(word, key=lambda report: -report.scores.mean())
                stopped = [report.trial for report in ranked[(len(ranked) + 1) // 2 :]]


def next_word(said: Any, stopped: Any) -> Any:
    """The next reports or result of a population; None: it has ended."""
    try:
        return next(said) if stopped is None else said.send(stopped)
    except StopIteration:
        return None


def precisions(n: int, rows: int, epochs: int) -> Row:
    """Mean and standard deviation over `n` seeds of a score in each precision.

    A processor computes in float32 whatever is declared, so that the scores are the same there.
    """
    from hpsearch.training.vectorized import VectorizedTrainer, session
    from hpsearch.trial import TrialResult

    [trial] = trials_of("uniform", 1, epochs, first=0)
    figures: Row = {}
    for precision in PRECISIONS:
        trainer = VectorizedTrainer(replace(problem_of(rows), precision=precision))
        said = trainer.train([replace(trial, number=seed, seed=seed) for seed in range(n)])
        scores = [word.score for word in said if isinstance(word, TrialResult)]
        figures[precision] = [float(np.mean(scores)), float(np.std(scores))]
        figures[f"{precision} products"] = session.product_precision(precision)
    return figures


def bare(n: int, rows: int, epochs: int) -> Row:
    """Train the uniform lanes in JAX alone: what any trainer could reach at best."""
    import jax
    import jax.numpy as jnp

    problem, size = problem_of(rows), 64
    x, y = jnp.asarray(problem.features), jnp.asarray(problem.target[:, 0])
    train = jnp.asarray(np.stack([f.train[: rows * 4 // 5 - 1] for f in problem.folds]))
    rng = np.random.default_rng(0)
    rate, drop = (jnp.asarray(rng.uniform(*r, n), jnp.float32) for r in ((1e-4, 1e-2), (0.05, 0.5)))
    widths = (FEATURES, 64, 64, 1)
    weights = [
        (
            jnp.asarray(rng.normal(size=(FOLDS, n, a, b)) * a**-0.5, jnp.float32),
            jnp.zeros((FOLDS, n, b)),
        )
        for a, b in itertools.pairwise(widths)
    ]
    gradients = jax.vmap(jax.grad(bare_loss), (0, None, None, None, 0))
    gradients = jax.vmap(gradients, (0, 0, 0, None, None))
    steps = train.shape[1] // size

    def epoch(state: Any, number: Any) -> Any:
        keys = jax.random.split(jax.random.PRNGKey(number), FOLDS)
        order = jax.vmap(jax.random.permutation)(keys, train)[:, : steps * size]

        def step(state: Any, at: Any) -> Any:
            batch = jax.lax.dynamic_slice_in_dim(order, at * size, size, 1)
            slopes = gradients(state[0], x[batch], y[batch], at.astype(jnp.uint32), drop)
            return adam_step(state, slopes, rate), None

        return jax.lax.scan(step, state, jnp.arange(steps))[0]

    zeros = jax.tree.map(jnp.zeros_like, weights)
    program, state = jax.jit(epoch), (weights, zeros, zeros, jnp.float32(0))
    began = time.perf_counter()
    jax.block_until_ready(program(state, 0))
    first, began = time.perf_counter() - began, time.perf_counter()
    for number in range(epochs):
        state = program(state, number)
    jax.block_until_ready(state)
    seconds = time.perf_counter() - began
    return {"first_s": (first + seconds) / n, "trial_s": seconds / n, "programs": 1}


def bare_loss(weights: Any, x: Any, y: Any, key: Any, drop: Any) -> Any:
    """Compute the log loss of one lane of `bare`, with dropout by a hash of counters."""
    import jax
    import jax.numpy as jnp

    h = x
    for i, (w, b) in enumerate(weights[:-1]):
        h = jax.nn.relu(h @ w + b)
        z = (jax.lax.iota(jnp.uint32, h.size).reshape(h.shape) ^ key + i) * jnp.uint32(0x9E3779B9)
        z = (z ^ z >> 16) * jnp.uint32(0x85EBCA6B)
        h = jnp.where((z ^ z >> 13).astype(jnp.float32) * 2.0**-32 < drop, 0, h / (1 - drop))
    z = (h @ weights[-1][0] + weights[-1][1])[:, 0]
    return jnp.mean(jnp.maximum(z, 0) - z * y + jnp.log1p(jnp.exp(-jnp.abs(z))))


def adam_step(state: Any, gradients: Any, rate: Any) -> Any:
    """Update weights, both moments and the step number of the lanes of `bare`."""
    import jax
    import jax.numpy as jnp

    weights, m, v, t = state
    t = t + 1
    m = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, m, gradients)
    v = jax.tree.map(lambda a, b: 0.999 * a + 0.001 * b * b, v, gradients)
    scaled = rate * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)

    def move(w: Any, a: Any, b: Any) -> Any:
        return w - scaled.reshape(-1, *[1] * (w.ndim - 2)) * a / (jnp.sqrt(b) + 1e-7)

    return jax.tree.map(move, weights, m, v), m, v, t


def loop(rows: int, epochs: int) -> Row:
    """One trial of `keras.Model.fit`."""
    problem, [trial] = problem_of(rows), trials_of("uniform", 1, epochs, first=0)
    began = time.perf_counter()
    for fold in problem.folds:
        model = problem.make_builder(trial.params, 0)()
        model.compile("adam", "binary_crossentropy", metrics=["AUC"])
        x, y = problem.features, problem.target
        model.fit(
            x[fold.train],
            y[fold.train],
            batch_size=64,
            epochs=epochs,
            validation_data=(x[fold.validation], y[fold.validation]),
            verbose=0,
        )
    return {"trial_s": time.perf_counter() - began}


def show(rows: list[Row]) -> None:
    """The table, as `benchmarks/population.md` has it."""
    names = "what | population | device | first, a trial | then, a trial | programs | MB | host"
    print(f"| {names} | lanes in use |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        cells = [row["kind"], row["population"], row["device"]]
        cells += [f"{row[k] * 1e3:.4g} ms" if k in row else "" for k in ("first_s", "trial_s")]
        cells += [row.get("programs", "")]
        cells += [f"{row['megabytes']:.3g}" if "megabytes" in row else ""]
        host = "host_ms_an_epoch"
        cells += [f"{row[host]:.3g} ms an epoch" if host in row else ""]
        cells += [f"{row['lanes_full']:.0%}" if "lanes_full" in row else ""]
        print("|", " | ".join(map(str, cells)), "|")


def main() -> None:
    """Measure, and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--populations", default="1,8,64,256,1000")
    parser.add_argument("--rows", type=int, default=5600)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--only", default=",".join(KINDS))
    parser.add_argument("--budget", type=float, default=float("inf"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--show", type=Path)
    given = parser.parse_args()
    if given.show:
        show([json.loads(line) for line in given.show.read_text().splitlines()])
        return
    if given.quick:
        vars(given).update(QUICK)
    import jax

    device, began = f"{jax.devices()[0].device_kind}, {os.cpu_count()} cores", time.monotonic()
    sizes = [int(n) for n in given.populations.split(",")]
    for kind in given.only.split(","):
        compiling, trial = 0.0, 0.0
        for n in [1] if kind == "loop" else sizes:
            left = given.budget - (time.monotonic() - began)
            if left < compiling + 2 * trial * n:
                print(f"left out for want of time: {kind}, population of {n}", flush=True)
                continue
            if kind == "precision":
                print(json.dumps(precisions(n, given.rows, given.epochs)), flush=True)
                continue
            figures = measure(kind, n, given.rows, given.epochs)
            trial = figures["trial_s"]
            compiling = (figures.get("first_s", trial) - trial) * n
            row = {"kind": kind, "population": n, "device": device, "rows": given.rows, **figures}
            line = json.dumps({**row, "epochs": given.epochs})
            print(line, flush=True)
            if given.keep:
                with given.keep.open("a") as file:
                    file.write(line + "\n")


def measure(kind: str, n: int, rows: int, epochs: int) -> Row:
    """The figures of a population of `n`."""
    if kind == "loop":
        return loop(rows, epochs)
    return bare(n, rows, epochs) if kind == "bare" else population(kind, n, rows, epochs)


if __name__ == "__main__":
    main()
