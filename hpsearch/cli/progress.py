"""What a person sees while a study runs: one live block on a terminal, plain lines elsewhere.

It only listens to the journal's records.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from ..history import History
from ..journal import Record
from .terminal import console, say


def duration(seconds: float) -> str:
    """`0:07`, `12:30` or `3:04:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def shown(params: Mapping[str, Any]) -> str:
    """Hyperparameters in a line."""
    short = {k: f"{v:.3g}" if isinstance(v, float) else v for k, v in params.items()}
    return " ".join(f"{k}={v}" for k, v in short.items())


class Progress:
    """Trials done of total, best so far, the running trial's epoch, time left."""

    def __init__(self, total: int) -> None:
        """A display of a study of `total` trials."""
        self.total = total
        self.done = 0
        self.states: dict[str, int] = {}
        self.best: Record | None = None
        self.maximize = True
        self.metric = "score"
        self.front = 0  # members of the Pareto front, where there are several objectives
        self.ended = ""  # why the search has ended
        self.running: tuple[int, int, int] | None = None  # trial, epoch, of epochs
        self._epochs: dict[int, int] = {}
        self._params: dict[int, Mapping[str, Any]] = {}
        self._first: float | None = None  # when the first trial of this run ended
        self._done_before = 0
        self._history = History()  # kept where there is a front
        self.began = time.monotonic()

    def listen(self, record: Record) -> None:
        """Take one record of the journal in."""
        if len(self._history.objectives) > 1:
            self._history.apply(record)
        match record["event"]:
            case "study":
                objective = record["objective"]
                self.metric = objective["metric"]
                self.maximize = objective["direction"] == "maximize"
                self._history = History([record])
            case "resumed":
                self._done_before = self.done
            case "asked":
                self._epochs[record["trial"]] = record["epochs"]
                self._params[record["trial"]] = record["params"]
            case "epoch":
                number = record["trial"]
                self.running = (number, record["epoch"] + 1, self._epochs[number])
            case "result":
                self._take_result(record)
            case "ended":
                self.ended = record["reason"]

    def _take_result(self, record: Record) -> None:
        self.done += 1
        self.running = None
        self.front = len(self._history.front())
        self.states[record["state"]] = self.states.get(record["state"], 0) + 1
        if record["state"] == "COMPLETE" and self._is_better(record["score"]):
            self.best = record

    def _is_better(self, score: float) -> bool:
        if self.best is None:
            return True
        best: float = self.best["score"]
        return score > best if self.maximize else score < best

    @property
    def left(self) -> float:
        """Seconds to go, by the pace of this run; NaN before its first trial has ended."""
        done = self.done - self._done_before
        if not done:
            return math.nan
        return (time.monotonic() - self.began) / done * (self.total - self.done)

    def headline(self) -> str:
        """The state of the study in a line."""
        parts = [f"{self.done}/{self.total} trials"]
        if self.best is not None:
            spread = f" ± {self.best['spread']:.4f}"
            score = f"{self.best['score']:.4f}{spread}"
            parts.append(f"best {self.metric} {score} (trial {self.best['trial']})")
        if self.front:
            parts.append(f"{self.front} on the front")
        for state in ("PRUNED", "FAILED"):
            if n := self.states.get(state, 0):
                parts.append(f"{n} {state.lower()}")
        if self.running:
            parts.append("trial {} epoch {}/{}".format(*self.running))
        if not math.isnan(self.left):
            parts.append(f"{duration(self.left)} left")
        return " · ".join(parts)

    def best_params(self) -> str:
        """The best trial's hyperparameters in a line."""
        return shown(self._params[self.best["trial"]]) if self.best else ""


class Display(Protocol):
    """Something that shows a study's progress while it is entered."""

    def listen(self, record: Record) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Quiet:
    """Shows nothing."""

    def listen(self, record: Record) -> None:
        """Nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Lines(Quiet):
    """A plain line a finished trial, for logs."""

    def __init__(self, progress: Progress) -> None:
        """Print what `progress` knows."""
        self._progress = progress
        self._began = time.time() * 1000  # records of an earlier run are not news

    def listen(self, record: Record) -> None:
        """Print a finished trial."""
        self._progress.listen(record)
        if record["time"] < self._began:
            return
        if record["event"] == "study":
            self._say(f"trainer: {record['trainer']} ({record['trainer_reason']})")
        elif record["event"] == "changed":
            for key, then, now in record["changes"]:
                self._say(f"accepted: {key}: {then} then, {now} now")
        elif record["event"] == "resumed":
            self._say(f"going on: {self._progress.headline()}")
        elif record["event"] == "result":
            score = "" if record["score"] is None else f" {record['score']:.4f}"
            error = f" {record['error']}" if record["error"] else ""
            ended = f"trial {record['trial']} {record['state']}{score}{error}"
            self._say(f"{ended} · {self._progress.headline()}")
        elif record["event"] == "trainer":
            self._say(f"trainer: {record['trainer']} ({record['reason']})")
        elif record["event"] == "ended":
            self._say(f"the search has ended: {record['reason']}")
        elif record["event"] == "winner":
            self._say(f"winner: trial {record['trial']}, fitted for {record['epochs']} epochs")

    def _say(self, text: str) -> None:
        say(text, err=True)


class Live(Quiet):
    """A block on the terminal that is redrawn in place."""

    def __init__(self, progress: Progress) -> None:
        """Show what `progress` knows."""
        from rich.live import Live as RichLive

        self._progress = progress
        self._note = "starting"
        self._live = RichLive(
            get_renderable=self._draw,
            console=console(stderr=True),
            refresh_per_second=5,
            transient=True,
        )

    def listen(self, record: Record) -> None:
        """Take one record in; the screen follows by itself."""
        self._progress.listen(record)
        notes = {"asked": "searching", "winner": "fitting the winner on all development rows"}
        self._note = notes.get(record["event"], self._note)

    def _draw(self) -> Any:
        """The block; empty where it cannot be made, since Rich calls from a thread of its own."""
        try:
            return self._block()
        except Exception:
            return ""

    def _block(self) -> Any:
        from rich.console import Group
        from rich.padding import Padding
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        p = self._progress
        bar = Padding(
            ProgressBar(total=p.total, completed=p.done, width=50), 0
        )  # a line of its own
        head = Text(p.headline(), style="bold")
        passed = duration(time.monotonic() - p.began)
        foot = Text(f"{self._note} · {passed} · {p.best_params()}", style="dim")
        return Group(bar, head, foot)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()


def display(total: int, *, quiet: bool) -> Display:
    """The display that suits stderr."""
    if quiet:
        return Quiet()
    progress = Progress(total)
    return Live(progress) if sys.stderr.isatty() else Lines(progress)
