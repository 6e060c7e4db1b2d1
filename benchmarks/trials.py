"""What a cross-validated trial costs: four ways, the same configurations, the same folds.

    python benchmarks/trials.py [--quick] [--only loop,vectorized] [--data telco] [--mode study]
        [--keep FILE.jsonl]
    python benchmarks/trials.py --show FILE.jsonl

Contestants: `loop`, scikit-learn's folds around `keras.Model.fit` on TensorFlow, as a user would
write it; `keras_tuner`, its Tuner with the same loop in `run_trial`; `keras_fit` and `vectorized`,
hpsearch's two trainers; `hpsearch`, the whole product by `hpsearch.tune`.

Modes: `steady` trains one fixed configuration again and again and leaves imports, the first trial
and MLflow out. `study` is the whole wall clock of a study in a fresh process: imports, compiling,
30 different configurations, MLflow. Each contestant has its own process, and an empty cache of
compiled programs unless `--warm` is given. `--keep` adds each answer to a file, a line of JSON
each, from which `--show` makes the table, so that the parts can be run one by one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
FOLDS = 5
CONTESTANTS = ("loop", "keras_tuner", "keras_fit", "vectorized", "hpsearch")
MODEL = f"{Path(__file__).resolve()}:build"
OPTIMIZERS = ("adam", "adamw", "rmsprop", "sgd", "nadam")  # of a study
Config = dict[str, Any]

# data -> the configuration that is trained again and again; units are those of each layer
STEADY: dict[str, Config] = {
    "breast_cancer": {"units": "64-32", "batch_size": 32, "dropout": 0.2, "epochs": 20},
    "telco": {"units": "64-32", "batch_size": 64, "dropout": 0.2, "epochs": 20},
    "bank": {"units": "64-32", "batch_size": 256, "dropout": 0.2, "epochs": 10},
    "wide": {"units": "512-256", "batch_size": 512, "epochs": 2},
    "wide_dropout": {"units": "512-256", "batch_size": 512, "dropout": 0.2, "epochs": 2},
}


def build(params: Config, inputs: tuple[int, ...], outputs: Any) -> Any:
    """The network of every contestant."""
    import keras

    x = first = keras.Input(inputs)
    for units in str(params["units"]).split("-"):
        x = keras.layers.Dense(int(units), activation="relu")(x)
        if params.get("dropout"):
            x = keras.layers.Dropout(params["dropout"])(x)
    return keras.Model(first, keras.layers.Dense(outputs.units, outputs.activation)(x))


def configurations(n: int, epochs: int) -> list[Config]:
    """Different configurations of a study: optimizer, batch size, layers and units all vary."""
    rng = np.random.default_rng(7)
    widths = [16, 24, 32, 48, 64, 96, 128]
    return [
        {
            "optimizer": str(rng.choice(OPTIMIZERS)),
            "learning_rate": float(10 ** rng.uniform(-4, -2)),
            "batch_size": int(rng.choice([32, 64, 128, 256])),
            "units": "-".join([str(rng.choice(widths))] * int(rng.integers(1, 4))),
            "dropout": float(rng.uniform(0.05, 0.5)),
            "epochs": epochs,
        }
        for _ in range(n)
    ]


def table(data: str) -> tuple[np.ndarray, np.ndarray]:
    """Features, one-hot and unscaled, float32, and a 0/1 target, shape (n_rows,)."""
    import pandas as pd

    if data == "breast_cancer":
        from sklearn.datasets import load_breast_cancer

        return tuple(a.astype("float32") for a in load_breast_cancer(return_X_y=True))  # type: ignore[return-value]
    if data.startswith("wide"):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(60_000, 60)).astype("float32")
        signal = np.tanh(x[:, :20] @ rng.normal(size=(20, 8))) @ rng.normal(size=8)
        return x, (signal + 0.5 * rng.normal(size=len(x)) > 0).astype("float32")
    folder = Path(os.environ["HPSEARCH_DATA"])
    if data == "telco":
        frame = pd.read_csv(folder / "telco_churn" / "Telco-Customer-Churn.csv")
        frame = frame.drop(columns="customerID")
        frame["TotalCharges"] = pd.to_numeric(frame["TotalCharges"], errors="coerce").fillna(0)
        target = frame.pop("Churn") == "Yes"
    else:
        frame = pd.read_csv(folder / "bank_marketing" / "bank-full.csv.gz", sep=";")
        target = frame.pop("y") == "yes"
    return pd.get_dummies(frame).to_numpy("float32"), target.to_numpy("float32")


def splits(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The folds of every contestant."""
    from sklearn.model_selection import StratifiedKFold

    yield from StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(x, y)


# ---------------------------------------------------------------- as a user would write it


def loop_trial(config: Config, x: np.ndarray, y: np.ndarray) -> float:
    """Cross-validated AUC at the best epoch of the mean curve, a `fit` for each fold."""
    import keras
    from sklearn.preprocessing import StandardScaler

    from hpsearch.models import make_outputs
    from hpsearch.training.optimizers import make_optimizer

    curves = []
    for train, validation in splits(x, y):
        scaler = StandardScaler().fit(x[train])
        model = build(config, x.shape[1:], make_outputs("binary", 1))
        model.compile(
            make_optimizer(
                {k: v for k, v in config.items() if k in ("optimizer", "learning_rate")}
            ),
            loss="binary_crossentropy",
            metrics=["accuracy", keras.metrics.AUC(name="auc")],
        )
        history = model.fit(
            scaler.transform(x[train]),
            y[train],
            validation_data=(scaler.transform(x[validation]), y[validation]),
            batch_size=config["batch_size"],
            epochs=config["epochs"],
            verbose=0,
        )
        curves.append(history.history["val_auc"])
    return float(np.mean(curves, axis=0).max())


def loop_study(configs: list[Config], x: np.ndarray, y: np.ndarray) -> list[float]:
    """Optuna asks, the loop answers, MLflow hears of each trial."""
    import mlflow
    import optuna

    _open_mlflow()
    study = optuna.create_study(direction="maximize")
    for config in configs:
        study.enqueue_trial(config)

    def objective(trial: Any) -> float:
        config = {
            "optimizer": trial.suggest_categorical("optimizer", OPTIMIZERS),
            "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
            "batch_size": trial.suggest_categorical("batch_size", [32, 64, 128, 256]),
            "units": trial.suggest_categorical("units", sorted({c["units"] for c in configs})),
            "dropout": trial.suggest_float("dropout", 0.05, 0.5),
            "epochs": configs[0]["epochs"],
        }
        with mlflow.start_run():
            mlflow.log_params(config)
            score = loop_trial(config, x, y)
            mlflow.log_metric("auc", score)
        return score

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study.optimize(objective, n_trials=len(configs))
    return [trial.value for trial in study.trials]


def keras_tuner_study(configs: list[Config], x: np.ndarray, y: np.ndarray) -> list[float]:
    """Keras Tuner's Tuner, the loop over folds in its `run_trial`."""
    import keras_tuner
    import mlflow

    _open_mlflow()
    scores: list[float] = []

    class Given(keras_tuner.Oracle):  # type: ignore[misc]
        """Hands out the given configurations."""

        def populate_space(self, trial_id: str) -> dict[str, Any]:
            place = len(self.start_order) - 1
            if place >= len(configs):
                return {"status": "STOPPED", "values": None}
            return {"status": "RUNNING", "values": configs[place]}

    class CrossValidated(keras_tuner.Tuner):  # type: ignore[misc]
        """A trial is five fits."""

        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            config = configs[len(scores)]
            with mlflow.start_run():
                mlflow.log_params(config)
                scores.append(loop_trial(config, x, y))
                mlflow.log_metric("auc", scores[-1])
            return scores[-1]

    space = keras_tuner.HyperParameters()
    for name in configs[0]:
        space.Choice(name, sorted({c[name] for c in configs}))
    oracle = Given(keras_tuner.Objective("auc", "max"), len(configs), hyperparameters=space)
    tuner = CrossValidated(
        oracle, lambda hp: None, directory=tempfile.mkdtemp(), project_name="t", overwrite=True
    )
    tuner.search(verbose=0)
    return scores


# ---------------------------------------------------------------- hpsearch


def problem_of(x: np.ndarray, y: np.ndarray, **varied: Any) -> Any:
    """The same rows and folds as hpsearch's trainers take them, and what varies in a study."""
    from hpsearch.data.split import Split
    from hpsearch.data.statistics import Statistics
    from hpsearch.training.problem import Problem

    folds, statistics = [], []
    for train, validation in splits(x, y):
        center, scale = x[train].mean(0), x[train].std(0)
        scale = np.where(scale > 0, 1 / np.where(scale > 0, scale, 1), 1).astype("float32")
        zero, one = np.zeros(1, "float32"), np.ones(1, "float32")
        folds.append(Split(train, validation))
        statistics.append(Statistics(center, center, scale, zero, one))
    metrics = ("accuracy", "roc_auc")
    given = (x, y[:, None], tuple(folds), tuple(statistics), "roc_auc", metrics)
    return Problem("binary", *given, model=MODEL, **varied)


def trial_of(number: int, config: Config) -> Any:
    """A configuration as a trainer takes it."""
    from hpsearch.trial import TrialSpec

    params = {k: v for k, v in config.items() if k != "epochs"}
    return TrialSpec(number, params, seed=number, epochs=config["epochs"])


def trainer_scores(trainer: Any, configs: list[Config], done: Callable[..., None]) -> list[float]:
    """One trial after another, the next one prepared; `done` hears of each result."""
    from hpsearch.trial import TrialResult

    trials = [trial_of(i, c) for i, c in enumerate(configs)]
    scores = []
    for trial, following in zip(trials, [*trials[1:], None], strict=True):
        if following is not None and hasattr(trainer, "prepare"):
            trainer.prepare([following])
        for word in trainer.train([trial]):
            if isinstance(word, TrialResult):
                assert word.score is not None, word.traceback or word.error
                scores.append(word.score)
                done(trial, word)
    return scores


class Given:
    """The sampler of hpsearch's search that hands out given configurations."""

    def __init__(self, configs: list[Config]) -> None:
        self._configs = configs

    def ask(self, number: int) -> Config:
        """The hyperparameters of trial `number`."""
        return {k: v for k, v in self._configs[number].items() if k != "epochs"}

    def tell(self, trial: Any) -> None:
        """Nothing: what comes next is given."""

    def epochs(self, number: int) -> None:
        """What the study says."""


def trainer_study(kind: str, configs: list[Config], data: str) -> list[float]:
    """hpsearch's search as `tune` runs it, with the given configurations and folds.

    A worker process trains, the next trial prepared; it starts while this one reads the table. This
    one writes the journal, and a thread of it sends every curve to MLflow. What `tune` does before
    and after is left to `product_study`.
    """
    from hpsearch.events import Objective, StudyCreated
    from hpsearch.execution import devices
    from hpsearch.execution.process_executor import ProcessExecutor
    from hpsearch.search.event_writer import EventWriter
    from hpsearch.search.loop import Search
    from hpsearch.search.stopping_criteria import StoppingCriteria
    from hpsearch.tracking.store import artifact_location, default_uri, journal_path
    from hpsearch.tracking.uploader import Uploader

    root, machine = Path.cwd(), devices.detect_machine(kind)
    path, uri = journal_path(root, "trials"), default_uri(root)
    executor = ProcessExecutor(
        trainer=kind,
        ahead=1 if kind == "vectorized" else 0,
        threads=devices.threads_per_worker(machine, 1),
        logs=path.parent / "logs",
    )
    try:
        x, y = table(data)
        executor.set_up(problem_of(x, y, optimizers=OPTIMIZERS, batch_sizes_vary=True))
        with EventWriter(path) as writer:
            objective = Objective("roc_auc", "maximize")
            writer.write(StudyCreated(study="trials", key="trials", objective=objective))
            uploader = Uploader(path, uri, artifacts=artifact_location(uri, root))
            writer.listen(lambda record: uploader.wake())
            with uploader:
                history = Search(
                    writer=writer,
                    sampler=Given(configs),
                    executor=executor,
                    limits=StoppingCriteria(len(configs)),
                    seed=0,
                    epochs=configs[0]["epochs"],
                    fixed={},
                ).run()
            assert not uploader.pending, uploader.problem
    finally:
        executor.close()
    scores = [trial.score for trial in sorted(history.trials, key=lambda trial: trial.number)]
    assert None not in scores, [trial.error for trial in history.trials]
    return [score for score in scores if score is not None]


def product_study(configs: list[Config], x: np.ndarray, y: np.ndarray) -> list[float]:
    """`hpsearch.tune`: its own sampler over the same space, as many trials."""
    import hpsearch

    def choice(values: list[Any]) -> dict[str, Any]:
        return {"type": "categorical", "choices": values}

    spec = {
        "study": "trials",
        "data": {"test_fraction": 0.2},
        "task": "binary",
        "objective": {"metric": "roc_auc"},
        "cross_validation": {"kind": "stratified", "folds": FOLDS},
        "model": MODEL,
        "training": {"epochs": configs[0]["epochs"], "early_stopping": None},
        "search_space": {
            "optimizer": choice(list(OPTIMIZERS)),
            "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
            "batch_size": choice([32, 64, 128, 256]),
            "units": choice(sorted({c["units"] for c in configs})),
            "dropout": {"type": "float", "low": 0.05, "high": 0.5},
        },
        "sampler": {"kind": "random"},
        "pruner": {"kind": "none"},  # every trial trains to its last epoch, as the others do
        "budget": {"trials": len(configs)},
    }
    records: list[Any] = []
    hpsearch.tune(spec, (x, y), root=Path.cwd(), listeners=[records.append])
    results = [r for r in records if r.kind == "result"]
    trainers = {r.trainer for r in results}
    assert trainers == {"vectorized"}, f"trained by {trainers}"
    return [float(r.score) for r in results]


# ---------------------------------------------------------------- one contestant's process


def contest(name: str, data: str, mode: str, trials: int) -> dict[str, Any]:
    """Run one contestant in this process, which was started for it."""
    times: list[tuple[float, float]] = []
    if mode == "steady":
        x, y = table(data)
        config = {"optimizer": "adam", "learning_rate": 1e-3, **STEADY[data]}
        scores = _steady(name, [config] * trials, x, y, times)
    else:
        configs = configurations(trials, STEADY[data]["epochs"])
        others = {"loop": loop_study, "keras_tuner": keras_tuner_study, "hpsearch": product_study}
        if name in others:
            scores = others[name](configs, *table(data))
        else:
            scores = trainer_study(name, configs, data)
        return {"scores": scores, "trials": trials}
    seconds, cpu = (float(np.median(column)) for column in zip(*times, strict=True))
    speeds = {"flops": flops(data, *x.shape), "peak": matmul_peak()}
    return {"seconds": seconds, "steady_cpu": cpu, "scores": scores, **speeds}


def _steady(
    name: str, configs: list[Config], x: np.ndarray, y: np.ndarray, times: list[tuple[float, float]]
) -> list[float]:
    """Scores; wall clock and processor seconds of all trials but the first go to `times`."""
    before = time.perf_counter(), time.process_time()

    def lap(*_: Any) -> None:
        nonlocal before
        now = time.perf_counter(), time.process_time()
        times.append((now[0] - before[0], now[1] - before[1]))
        before = now

    if name in ("loop", "keras_tuner"):
        scores = [(loop_trial(c, x, y), lap())[0] for c in configs]
    else:
        from hpsearch.training.trainer_factory import make_trainer

        scores = trainer_scores(make_trainer(name, problem_of(x, y)), configs, lap)
    del times[0]
    return scores


def _open_mlflow() -> None:
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{Path.cwd()}/mlflow.db")


def matmul_peak() -> float:
    """GFLOP/s of a large product on all cores, the best of several."""
    a = np.ones((3000, 3000), "float32")
    best = 0.0
    for _ in range(6):
        clock = time.perf_counter()
        a @ a
        best = max(best, 2 * 3000**3 / (time.perf_counter() - clock))
    return best / 1e9


def flops(data: str, rows: int, features: int) -> float:
    """Floating-point operations of a steady trial's products, forward, backward and judging."""
    config = STEADY[data]
    dims = [features, *map(int, config["units"].split("-")), 1]
    products = [2 * a * b for a, b in itertools.pairwise(dims)]
    training = (FOLDS - 1) * rows * (3 * sum(products) - products[0])
    return float(config["epochs"] * (training + rows * sum(products)))


# ---------------------------------------------------------------- the table


def child(name: str, data: str, mode: str, trials: int, cache: str) -> dict[str, Any]:
    """A contestant's answer, and wall clock and processor seconds of its whole process."""
    backend = "tensorflow" if name in ("loop", "keras_tuner", "keras_fit") else "jax"
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "HPSEARCH_CACHE": cache,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": str(ROOT),
    }
    if name == "hpsearch":
        del environment["KERAS_BACKEND"]
    clock, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        said = subprocess.run(
            [
                sys.executable,
                str(Path(__file__).resolve()),
                "--child",
                name,
                data,
                mode,
                str(trials),
            ],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    wall, after = time.perf_counter() - clock, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = sum(getattr(after, k) - getattr(before, k) for k in ("ru_utime", "ru_stime"))
    if said.returncode:
        raise SystemExit(f"{name} on {data}, {mode}:\n{said.stderr[-3000:]}")
    return {**json.loads(said.stdout.splitlines()[-1]), "wall": wall, "cpu": cpu}


HEAD = """\
| mode | data | contestant | seconds (CPU) | against loop | AUC | beside loop's | products |
|---|---|---|---|---|---|---|---|"""


def row(answer: dict[str, Any], loop: dict[str, Any] | None) -> str:
    """A line of the table; `loop` is the loop's answer to the same, where it ran."""
    steady = answer["mode"] == "steady"
    wall, cpu = ("seconds", "steady_cpu") if steady else ("wall", "cpu")
    times = f"{answer[wall]:.2f} ({answer[cpu]:.2f})"
    ratios = f"{loop[wall] / answer[wall]:.1f}x ({loop[cpu] / answer[cpu]:.1f}x)" if loop else ""
    scores = answer["scores"]
    score = f"{np.mean(scores):.4f} ± {np.std(scores):.4f}, best {max(scores):.4f}"
    speed = ""
    if steady:
        reached = answer["flops"] / answer["seconds"] / 1e9
        speed = f"{reached:.0f} of {answer['peak']:.0f} GFLOP/s = {reached / answer['peak']:.0%}"
    cells = [answer["mode"], answer["data"], answer["name"], times, ratios, score]
    return f"| {' | '.join([*cells, beside(answer, loop), speed])} |"


def beside(answer: dict[str, Any], loop: dict[str, Any] | None) -> str:
    """How far the scores lie from the loop's, and whether its seeds lie as far apart.

    A steady contestant's mean may lie two standard errors and 0.001 away, because Keras reads the
    curve at 200 thresholds. In a study it is the differences of single trials whose mean is
    judged so; hpsearch itself draws configurations of its own.
    """
    if loop is None or answer["name"] in ("loop", "hpsearch"):
        return ""
    ours, theirs = (np.asarray(a["scores"]) for a in (answer, loop))
    if answer["mode"] == "study":
        apart = ours - theirs
        error = np.std(apart) / np.sqrt(len(apart))
        least = ""
        if len(apart) > 2:
            least = f", correlation {np.corrcoef(ours, theirs)[0, 1]:.3f}"
    else:
        apart, least = np.array([ours.mean() - theirs.mean()]), ""
        error = np.sqrt(sum(np.var(s) / max(1, len(s) - 1) for s in (ours, theirs)))
    difference = float(apart.mean())
    word = "equal" if abs(difference) <= 2 * error + 0.001 else "DIFFERS"
    return f"{difference:+.4f}, {word} within 2 x {error:.4f} + 0.001{least}"


def table_of(answers: list[dict[str, Any]]) -> str:
    """The whole table; of a contestant that ran more than once the last answer counts."""
    last = {(a["mode"], a["data"], a["name"]): a for a in answers}
    lines = [row(a, last.get((mode, data, "loop"))) for (mode, data, _), a in last.items()]
    return "\n".join([HEAD, *lines])


def arguments() -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--only", default=",".join(CONTESTANTS), help="contestants, by comma")
    parser.add_argument("--data", default=",".join(STEADY), help="tables, by comma")
    parser.add_argument("--mode", default="steady,study", help="steady, study or both")
    parser.add_argument("--trials", type=int, default=30, help="of a study")
    parser.add_argument("--repeats", type=int, help="of a steady configuration: 6, or 3")
    parser.add_argument("--warm", action="store_true", help="keep compiled programs")
    parser.add_argument("--quick", action="store_true", help="telco, 4 trials a study")
    parser.add_argument("--keep", type=Path, help="add the answers to this file")
    parser.add_argument("--show", type=Path, help="print the table of this file, run nothing")
    return parser.parse_args()


def main() -> None:
    """Run the contestants one after another and print a table."""
    given = arguments()
    if given.child:
        name, data, mode, trials = given.child
        print(json.dumps(contest(name, data, mode, int(trials))))
        return
    if given.show:
        print(table_of([json.loads(line) for line in given.show.read_text().splitlines()]))
        return
    print(f"matrix product: {matmul_peak():.0f} GFLOP/s on {os.cpu_count()} cores\n\n{HEAD}")
    for mode in given.mode.split(","):
        for data in ["telco"] if given.quick else given.data.split(","):
            if mode == "study" and data.startswith("wide"):
                continue  # its net is what is measured there
            _compare(given, mode, data)


def _compare(given: argparse.Namespace, mode: str, data: str) -> None:
    loop = None
    for name in given.only.split(","):
        if mode == "steady" and name in ("keras_tuner", "hpsearch"):
            continue  # the first is the same loop; the second trains as `vectorized`
        trials = 4 if given.quick else given.trials
        if mode == "steady":
            trials = given.repeats or (3 if name in ("loop", "keras_fit") else 6)
        with tempfile.TemporaryDirectory() as empty:
            cache = os.environ.get("HPSEARCH_CACHE", "") if given.warm else empty
            answer = child(name, data, mode, trials, cache)
        answer |= {"mode": mode, "data": data, "name": name, "cores": os.cpu_count()}
        if name == "loop":
            loop = answer
        if given.keep:
            with given.keep.open("a", encoding="utf-8") as file:
                file.write(json.dumps(answer) + "\n")
        print(row(answer, loop), flush=True)


if __name__ == "__main__":
    main()
