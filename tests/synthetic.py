"""Journals with known contents, for tests of their readers."""

import json
import math
from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.event_codec import as_text, encode_event, from_json
from hpsearch.events import Event
from hpsearch.history import History
from hpsearch.journal import encode_line

Record = dict[str, Any]
START = 1_760_000_000_000  # milliseconds since the epoch
SPACE = {
    "optimizer": {"type": "categorical", "choices": ["sgd", "adam"]},
    "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
    "momentum": {"type": "float", "low": 0.0, "high": 0.99, "when": {"optimizer": "sgd"}},
    "units": {"type": "int", "low": 16, "high": 128, "log": True},
    "dropout": {"type": "float", "low": 0.0, "high": 0.5},
}


class Records:
    """Numbers records and gives them times, as a journal does."""

    def __init__(self) -> None:
        self.all: list[Record] = []
        self.time = START

    def add(self, event: str, *, after: int = 0, **fields: Any) -> None:
        """One record, `after` milliseconds later than the one before."""
        self.time += after
        self.all.append({"seq": len(self.all), "time": self.time, "event": event, **fields})


def study(
    trials: int = 6,
    *,
    folds: int = 3,
    epochs: int = 4,
    finished: bool = True,
    metric: str = "roc_auc",
) -> list[Record]:
    """A study of a binary task; trial 2 is pruned, trial 3 fails, trial 4 needs two attempts."""
    records = Records()
    _begin(records)
    random = np.random.default_rng(0)
    best = (-math.inf, 0)
    for number in range(trials):
        params = _params(random)
        if number == 4:
            _ask(records, number, 0, params, epochs)
            _epoch(records, number, 0, 0, folds, 0.5, random)
        attempt = int(number == 4)
        _ask(records, number, attempt, params, epochs)
        quality = _quality(params)
        if number % 10 == 3:
            _fail(records, number)
            continue
        length = max(1, epochs // 2) if number % 10 == 2 else epochs
        for epoch in range(length):
            scores = _epoch(records, number, attempt, epoch, folds, quality, random)
        pruned = number % 10 == 2
        _end(records, number, attempt, scores, length - 1, "PRUNED" if pruned else "COMPLETE")
        if not pruned:
            best = max(best, (float(np.mean(scores)), number))
    if finished:
        _finish(records, best, epochs)
    for record in records.all:
        if record["event"] == "epoch" and metric != "roc_auc":
            record["metrics"][f"val/{metric}"] = record["metrics"].pop("val/roc_auc")
    return records.all


def write(path: Path, records: Iterable[Record]) -> Path:
    """The journal of `records` at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(line(record) for record in records))
    return path


def line(record: Any) -> bytes:
    """The line of a journal that holds `record`, of whatever form it is."""
    return encode_line(as_text(record).encode())


def read_records(path: Path, offset: int = 0) -> list[Record]:
    """What the lines of a journal hold from `offset` on, as it stands there."""
    lines = path.read_bytes()[offset:].splitlines()
    return [json.loads(line.partition(b" ")[2]) for line in lines]


def events(records: Iterable[Record]) -> list[Event]:
    """The events of records."""
    return [from_json(record) for record in records]


def event(kind: str, *, time: int = 0, **fields: Any) -> Event:
    """An event of a kind, from the fields that a journal would hold."""
    return from_json({"event": kind, "time": time, **fields})


def json_of(event: Event) -> Record:
    """What a journal would hold of an event."""
    return json.loads(encode_event(event))


def history(trials: int = 6, **how: Any) -> History:
    """The history of a `study`."""
    return History(events(study(trials, **how)))


def _begin(records: Records) -> None:
    spec = {
        "study": "churn",
        "seed": 7,
        "data": {"source": "churn.csv", "target": "Churn"},
        "cross_validation": {"kind": "stratified", "folds": 3},
        "search_space": deepcopy(SPACE),  # some tests change what they get
    }
    records.add(
        "study",
        study="churn",
        spec=spec,
        fingerprint="0123456789abcdef" * 4,
        data={"name": "churn.csv", "rows": 5634, "columns": 19, "test_rows": 1409, "notes": []},
        objective={"metric": "roc_auc", "direction": "maximize"},
        task="binary",
        seed=7,
        sampler="tpe",
        trainer="vectorized",
        environment={"python": "3.11", "keras": "3.15.1", "machine": "2 cores"},
        key="c0ffee00c0ffee00",
    )


def _params(random: np.random.Generator) -> dict[str, Any]:
    params: dict[str, Any] = {
        "optimizer": str(random.choice(["sgd", "adam"])),
        "learning_rate": float(10 ** random.uniform(-4, -1)),
        "units": int(random.integers(16, 129)),
        "dropout": float(random.uniform(0, 0.5)),
    }
    if params["optimizer"] == "sgd":
        params["momentum"] = float(random.uniform(0, 0.99))
    return params


def _quality(params: dict[str, Any]) -> float:
    """The score that a trial tends to: best at a learning rate of 0.01 without dropout."""
    distance = (math.log10(params["learning_rate"]) + 2) ** 2 / 4 + params["dropout"] ** 2
    return 0.9 - 0.15 * min(1.0, distance) - (0.02 if params["optimizer"] == "sgd" else 0)


def _ask(records: Records, number: int, attempt: int, params: Any, epochs: int) -> None:
    records.add(
        "asked", after=20, trial=number, attempt=attempt, params=params, seed=number, epochs=epochs
    )
    records.add("started", after=5, trial=number, attempt=attempt)


def _epoch(
    records: Records,
    number: int,
    attempt: int,
    epoch: int,
    folds: int,
    quality: float,
    random: np.random.Generator,
) -> list[float]:
    scores = quality - 0.2 * math.exp(-0.7 * (epoch + 1)) + random.normal(0, 0.008, folds)
    train = 0.35 + 0.4 * math.exp(-0.5 * (epoch + 1)) + random.normal(0, 0.004, folds)
    val = 1.25 - scores + 0.004 * epoch
    records.add(
        "epoch",
        after=400,
        trial=number,
        attempt=attempt,
        epoch=epoch,
        scores=scores.tolist(),
        metrics={
            "train/loss": train.tolist(),
            "val/loss": val.tolist(),
            "val/roc_auc": scores.tolist(),
            "val/accuracy": (scores - 0.06).tolist(),
        },
    )
    return scores.tolist()


def _end(
    records: Records, number: int, attempt: int, scores: list[float], epoch: int, state: str
) -> None:
    records.add(
        "result",
        after=30,
        trial=number,
        attempt=attempt,
        state=state,
        score=float(np.mean(scores)),
        spread=float(np.std(scores)),
        best_epoch=epoch,
        fold_scores=scores,
        seconds=0.4 * (epoch + 1),
        n_parameters=1234 + number,
        trainer="vectorized",
        error=None,
        traceback=None,
        predictions=None,
    )


def _fail(records: Records, number: int) -> None:
    records.add(
        "result",
        after=40,
        trial=number,
        attempt=0,
        state="FAILED",
        score=None,
        spread=None,
        best_epoch=None,
        fold_scores=None,
        seconds=0.04,
        n_parameters=None,
        trainer="vectorized",
        error="the loss of fold 1 became NaN in epoch 0",
        traceback="Traceback (most recent call last):\n  ...\nValueError: NaN\n",
        predictions=None,
    )


def _finish(records: Records, best: tuple[float, int], epochs: int) -> None:
    score, number = best
    attempt = int(number == 4)
    records.add(
        "winner", after=10, trial=number, attempt=attempt, epochs=epochs, score=score, spread=0.008
    )
    records.add(
        "final",
        after=900,
        test={"roc_auc": 0.85, "accuracy": 0.81},
        intervals={"roc_auc": [0.83, 0.87], "accuracy": [0.79, 0.83]},
        baselines=[
            {
                "name": "logistic_regression",
                "metrics": {"roc_auc": 0.84, "accuracy": 0.8},
                "advantage": [0.01, 0.03],
            }
        ],
        seconds=0.9,
        files="final/",
    )
