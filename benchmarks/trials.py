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
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from trial_loops import keras_tuner_study, loop_study, loop_trial
from trial_report import HEAD, format_row, format_table
from trial_tasks import STEADY, Config, count_flops, draw_configurations, load_table
from trial_trainers import make_problem, product_study, train_in_turn, trainer_study

ROOT = Path(__file__).parents[1]
CONTESTANTS = ("loop", "keras_tuner", "keras_fit", "vectorized", "hpsearch")


def run_contestant(name: str, data: str, mode: str, trials: int) -> dict[str, Any]:
    """Run one contestant in this process, which was started for it."""
    times: list[tuple[float, float]] = []
    if mode == "steady":
        x, y = load_table(data)
        config = {"optimizer": "adam", "learning_rate": 1e-3, **STEADY[data]}
        scores = _train_repeatedly(name, [config] * trials, x, y, times)
    else:
        configs = draw_configurations(trials, STEADY[data]["epochs"])
        others = {"loop": loop_study, "keras_tuner": keras_tuner_study, "hpsearch": product_study}
        if name in others:
            scores = others[name](configs, *load_table(data))
        else:
            scores = trainer_study(name, configs, data)
        return {"scores": scores, "trials": trials}
    seconds, cpu = (float(np.median(column)) for column in zip(*times, strict=True))
    speeds = {"flops": count_flops(data, *x.shape), "peak": measure_peak()}
    return {"seconds": seconds, "steady_cpu": cpu, "scores": scores, **speeds}


def _train_repeatedly(
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

        scores = train_in_turn(make_trainer(name, make_problem(x, y)), configs, lap)
    del times[0]
    return scores


def measure_peak() -> float:
    """GFLOP/s of a large product on all cores, the best of several."""
    a = np.ones((3000, 3000), "float32")
    best = 0.0
    for _ in range(6):
        clock = time.perf_counter()
        a @ a
        best = max(best, 2 * 3000**3 / (time.perf_counter() - clock))
    return best / 1e9


def run_in_process(name: str, data: str, mode: str, trials: int, cache: str) -> dict[str, Any]:
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
        done = subprocess.run(
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
    if done.returncode:
        raise SystemExit(f"{name} on {data}, {mode}:\n{done.stderr[-3000:]}")
    return {**json.loads(done.stdout.splitlines()[-1]), "wall": wall, "cpu": cpu}


def parse_arguments() -> argparse.Namespace:
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
    given = parse_arguments()
    if given.child:
        name, data, mode, trials = given.child
        print(json.dumps(run_contestant(name, data, mode, int(trials))))
        return
    if given.show:
        print(format_table([json.loads(line) for line in given.show.read_text().splitlines()]))
        return
    print(f"matrix product: {measure_peak():.0f} GFLOP/s on {os.cpu_count()} cores\n\n{HEAD}")
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
            answer = run_in_process(name, data, mode, trials, cache)
        answer |= {"mode": mode, "data": data, "name": name, "cores": os.cpu_count()}
        if name == "loop":
            loop = answer
        if given.keep:
            with given.keep.open("a", encoding="utf-8") as file:
                file.write(json.dumps(answer) + "\n")
        print(format_row(answer, loop), flush=True)


if __name__ == "__main__":
    main()
