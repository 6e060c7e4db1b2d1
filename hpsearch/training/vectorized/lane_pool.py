"""Threads that run the tasks of earlier populations first.

Those of the next population fill the time in which the running one waits for a verdict, or for its
last lanes.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")
Task = tuple[int, int, Future[Any], Callable[[], Any]]  # turn, count, answer, call


class LanePool:
    """A `ThreadPoolExecutor` with turns.

    Examples:
        >>> pool = LanePool(1)
        >>> [pool.submit(turn, pow, 2, 3).result() for turn in (1, 0)]
        [8, 8]
    """

    def __init__(self, n_threads: int) -> None:
        """Start threads as they are needed."""
        self._threads = ThreadPoolExecutor(n_threads, thread_name_prefix="lane")
        self._waiting: list[Task] = []  # a heap
        self._count = itertools.count()
        self._lock = threading.Lock()

    def submit(self, turn: int, function: Callable[..., T], *given: Any) -> Future[T]:
        """Run a task when all waiting ones of earlier turns, and earlier ones of its own, run."""
        future: Future[T] = Future()
        with self._lock:
            task: Task = (turn, next(self._count), future, partial(function, *given))
            heapq.heappush(self._waiting, task)
        self._threads.submit(self._run_next)
        return future

    def _run_next(self) -> None:
        with self._lock:
            _, _, future, task = heapq.heappop(self._waiting)
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(task())
        except BaseException as error:
            future.set_exception(error)
