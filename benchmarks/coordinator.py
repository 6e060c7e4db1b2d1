"""Does the coordinator keep up? Trials that cost nothing, and 1,000 workers on a simulated clock.

    python benchmarks/coordinator.py rate [--sampler random] [--trials 20000] [--epochs 1]
    python benchmarks/coordinator.py ask [--samplers random,tpe,gp] [--history 10000] [--pruned]
    python benchmarks/coordinator.py batch [--samplers random,tpe,gp] [--history 1000] [--asks 1000]
    python benchmarks/coordinator.py simulate [--workers 1000] [--minutes 5,1,0.25] [--trials 10000]

`rate` runs the real loop with a journal on disk, a real sampler and the uploader's queue over an
executor that answers at once: finished trials a second and resident memory, window by window.
`ask` tells a sampler of so many finished trials and times what it proposes then, with `--pruned`
after trials of which a bracket of `halving` would have pruned eight of nine; `batch` asks it
for many at once. `simulate` gives trials log-normal durations (sigma 0.5), makes 2% of them ten
times as long and lets 1% of the workers die under theirs; the simulated clock also moves by what
the coordinator really needs, so a saturated one shows as workers that wait. Each run
prints one line of JSON.
"""

import argparse
import heapq
import itertools
import json
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from hpsearch.events import Event, Objective, StudyCreated
from hpsearch.execution.executor import Lost, Report, Started
from hpsearch.history import History
from hpsearch.search.event_writer import EventWriter
from hpsearch.search.loop import Search, StoppingCriteria
from hpsearch.search.sampler import Sampler, ask_many
from hpsearch.search.samplers import make_sampler
from hpsearch.spec.search_space import Categorical, Float, Int, SearchSpace
from hpsearch.tracking.uploader import Uploader
from hpsearch.trial import EpochReport, Trial, TrialResult, TrialSpec

FOLDS = 5
WINDOW = 2000  # trials of one figure
STRAGGLERS, SLOWER, DEATHS, SIGMA = 0.02, 10.0, 0.01, 0.5
RESTART = 15.0  # simulated seconds until a dead worker's successor trains
SPACE = SearchSpace(
    (
        Categorical("optimizer", ("adam", "sgd")),
        Float("learning_rate", 1e-4, 1e-1, log=True),
        Float("momentum", 0.0, 0.99, when={"optimizer": ("sgd",)}),
        Int("units", 8, 256, log=True),
        Float("dropout", 0.0, 0.5),
        Float("l2", 1e-6, 1e-2, log=True),
    )
)


def score_of(trial: TrialSpec) -> np.ndarray:
    """The five fold scores of a trial that was never trained."""
    rate = np.log10(float(trial.params["learning_rate"] or 1.0))
    noise = np.random.default_rng(trial.seed).normal(0, 0.01, FOLDS)
    return 0.9 - 0.02 * (rate + 2.5) ** 2 + noise


def reports_of(trial: TrialSpec) -> list[Report]:
    """What a worker says of a trial."""
    scores = score_of(trial)
    metrics = {"train/loss": 1 - scores, "val/loss": 1 - scores, "val/roc_auc": scores}
    epochs = [EpochReport(trial.number, epoch, scores, metrics) for epoch in range(trial.epochs)]
    result = TrialResult(
        trial.number,
        "COMPLETE",
        0.0,
        trial.attempt,
        score=float(scores.mean()),
        spread=float(scores.std()),
        best_epoch=trial.epochs - 1,
        fold_scores=scores,
    )
    return [Started(trial.number), *epochs, result]


class Free:
    """An executor whose trials cost nothing."""

    population = 1

    def __init__(self, capacity: int) -> None:
        """Holds so many trials at once."""
        self.capacity = capacity
        self._said: deque[Report] = deque()

    def submit(self, *trials: TrialSpec) -> None:
        for trial in trials:
            self._said.extend(reports_of(trial))

    def wait(self, timeout: float | None = None) -> Report | None:
        return self._said.popleft() if self._said else None

    def recall(self) -> list[int]:
        return []


class Simulated(Free):
    """Workers on a simulated clock, which also moves by what the coordinator really needs."""

    def __init__(self, workers: int, seconds: float, seed: int = 0) -> None:
        """So many workers, each with one trial waiting beside the running one."""
        super().__init__(2 * workers)
        self.now = 0.0  # simulated seconds
        self.spent = 0.0  # seconds that the coordinator really needed
        self._median = seconds
        self._rng = np.random.default_rng(seed)
        self._order = itertools.count()
        self._spans: list[tuple[float, float]] = []  # when some worker trained
        self._events: list[tuple[float, int, Report]] = []
        self._free = [0.0] * workers  # when each worker can begin another
        self._left = time.perf_counter()

    def utilisation(self, until: float) -> float:
        """The share of the workers' time until then in which they trained."""
        busy = sum(min(end, until) - min(begin, until) for begin, end in self._spans)
        return busy / (until * len(self._free))

    def _tick(self) -> None:
        spent = time.perf_counter() - self._left
        self.now += spent
        self.spent += spent
        self._left = time.perf_counter()

    def submit(self, *trials: TrialSpec) -> None:
        self._tick()
        for trial in trials:
            self._plan(trial)
        self._left = time.perf_counter()

    def _plan(self, trial: TrialSpec) -> None:
        begin = max(self.now, heapq.heappop(self._free))
        seconds = self._median * float(self._rng.lognormal(0, SIGMA))
        seconds *= SLOWER if self._rng.random() < STRAGGLERS else 1.0
        said = reports_of(trial)
        if dies := self._rng.random() < DEATHS:
            seconds *= float(self._rng.random())
            said = [said[0], Lost(trial.number, "the worker died")]
        self._spans.append((begin, begin + seconds))
        heapq.heappush(self._free, begin + seconds + (RESTART if dies else 0.0))
        for place, report in enumerate(said):
            at = begin + seconds * place / (len(said) - 1)
            heapq.heappush(self._events, (at, next(self._order), report))

    def wait(self, timeout: float | None = None) -> Report | None:
        self._tick()
        if not self._events:
            return None
        at, _, report = heapq.heappop(self._events)
        self.now = max(self.now, at)
        self._left = time.perf_counter()
        return report


def run(
    executor: Any, sampler: str, trials: int, epochs: int, listen: Callable[[Event], None]
) -> History:
    """The real loop over `executor`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        uploader = Uploader(path, f"sqlite:///{folder}/mlflow.db")  # not started: its queue alone
        with EventWriter(path, [lambda record: uploader.wake(), listen]) as writer:
            goal = Objective("roc_auc", "maximize")
            writer.write(StudyCreated(study="free", key="free", objective=goal))
            return Search(
                writer=writer,
                make_sampler=lambda: make_sampler(sampler, SPACE, direction="maximize", seed=0),
                executor=executor,
                limits=StoppingCriteria(trials),
                seed=0,
                epochs=epochs,
                fixed={},
            ).run()


def rate(sampler: str, trials: int, epochs: int) -> dict[str, Any]:
    """Finished trials a second and resident memory, window by window."""
    process = psutil.Process()
    times, memory = [time.perf_counter()], [process.memory_info().rss]
    ended, cpu = itertools.count(1), time.process_time()

    def listen(event: Event) -> None:
        if event.kind == "result" and next(ended) % WINDOW == 0:
            times.append(time.perf_counter())
            memory.append(process.memory_info().rss)

    run(Free(4), sampler, trials, epochs, listen)
    rates = [WINDOW / (b - a) for a, b in itertools.pairwise(times)]
    return {
        "sampler": sampler,
        "trials": trials,
        "epochs": epochs,
        "cpu_ms": round(1000 * (time.process_time() - cpu) / trials, 2),  # of one trial
        "per_second": [round(r) for r in rates],
        "memory_mib": [m >> 20 for m in memory],
    }


def trial_of(number: int, params: Any, *, pruned: bool = False) -> Trial:
    """A trial that has ended; with `pruned`, as the number's one in a bracket of nine would."""
    scores = list(map(float, score_of(TrialSpec(number, params, number, 1))))
    n_epochs = (27, 9, 9, 3, 3, 3, 3, 3, 3)[number % 9] if pruned else 1
    return Trial(
        number=number,
        attempt=0,
        params=params,
        seed=number,
        epochs=27 if pruned else 1,
        asked=0,
        state="PRUNED" if pruned and n_epochs < 27 else "COMPLETE",
        score=statistics.fmean(scores),
        fold_scores=scores,
        scores=[scores] * n_epochs if pruned else [],
    )


def told_sampler(sampler: str, known: int, *, pruned: bool = False) -> Sampler:
    """A sampler that knows so many random trials."""
    asked = make_sampler(sampler, SPACE, direction="maximize", seed=0)
    points = make_sampler("random", SPACE, direction="maximize", seed=1)
    for number in range(known):
        params = points.ask(number)
        assert params is not None
        points.tell(trial_of(number, params))
        asked.tell(trial_of(number, params, pruned=pruned))
    return asked


def ask(sampler: str, known: int, asks: int = 30, *, pruned: bool = False) -> dict[str, Any]:
    """Milliseconds of `ask` and `tell` once a sampler knows so many trials."""
    began = time.perf_counter()
    asked = told_sampler(sampler, known, pruned=pruned)
    told = time.perf_counter() - began
    asking, telling = [], []
    cpu = time.process_time()
    for number in range(known, known + asks):
        began = time.perf_counter()
        params = asked.ask(number)
        middle = time.perf_counter()
        asked.tell(trial_of(number, params, pruned=pruned))
        asking.append(1000 * (middle - began))
        telling.append(1000 * (time.perf_counter() - middle))
    return {
        "sampler": sampler,
        "known": known,
        "ask_ms": round(statistics.median(asking), 2),
        "slowest_ask_ms": round(max(asking), 2),
        "cpu_ms": round(1000 * (time.process_time() - cpu) / asks, 2),  # of both
        "tell_ms": round(statistics.median(telling), 2),
        "told_seconds": round(told, 1),
    }


def batch(sampler: str, known: int, asks: int) -> dict[str, Any]:
    """Seconds of one call that asks for many trials, after so many."""
    asked = told_sampler(sampler, known)
    began, cpu = time.perf_counter(), time.process_time()
    points = ask_many(asked, known, asks)
    return {
        "sampler": sampler,
        "known": known,
        "asked": len(points),
        "different": len({repr(params) for params in points}),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "seconds": round(time.perf_counter() - began, 2),
    }


def simulate(sampler: str, workers: int, minutes: float, trials: int, epochs: int) -> dict:
    """How busy the workers are while trials are still asked for, and the coordinator's own load."""
    executor = Simulated(workers, minutes * 60)
    asked, marks = itertools.count(1), []

    def listen(event: Event) -> None:
        if event.kind == "asked" and next(asked) == trials:
            marks.append((executor.now, executor.spent))

    history = run(executor, sampler, trials, epochs, listen)
    until, spent = marks[0]
    return {
        "sampler": sampler,
        "workers": workers,
        "median_minutes": minutes,
        "trials": trials,
        "utilisation": round(executor.utilisation(until), 3),
        "coordinator_load": round(spent / until, 3),
        "finished_per_second": round(trials / executor.now, 2),
        "attempts_lost": sum(t.attempt for t in history.trials),
        "states": {s: history.count(s) for s in ("COMPLETE", "FAILED")},  # type: ignore[arg-type]
    }


def main() -> None:
    """Run one of the four and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("rate", "ask", "batch", "simulate"))
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--samplers", default="random,tpe,gp")
    parser.add_argument("--trials", type=int, default=None)
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--history", type=int, default=10_000)
    parser.add_argument("--pruned", action="store_true", help="`ask` after pruned trials")
    parser.add_argument("--asks", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--minutes", default="5,1,0.25")
    given = parser.parse_args()
    if given.what == "rate":
        print(json.dumps(rate(given.sampler, given.trials or 20_000, given.epochs or 1)))
    elif given.what == "ask":
        for name in given.samplers.split(","):
            print(json.dumps(ask(name, given.history, pruned=given.pruned)), flush=True)
    elif given.what == "batch":
        for name in given.samplers.split(","):
            print(json.dumps(batch(name, given.history, given.asks)), flush=True)
    else:
        for minutes in map(float, given.minutes.split(",")):
            given_trials, epochs = given.trials or 10_000, given.epochs or 10
            answer = simulate(given.sampler, given.workers, minutes, given_trials, epochs)
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
