"""Pause a call of `fit` between its epochs, so that folds advance together.

The call runs in a thread of its own; only one thread works at a time. A callback returns an epoch's
results and waits until the next epoch is requested.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

EpochResult = tuple[Mapping[str, Any], np.ndarray]  # Keras's logs, and validation predictions


class _AbandonedError(BaseException):
    """Ends an abandoned `fit`; not caught by `except Exception`."""


class FitThread:
    """One call of `fit`."""

    def __init__(self, fit: Callable[[Callable[[EpochResult], None]], None]) -> None:
        """Prepare the call, which `run_epoch` starts.

        Args:
            fit: Trains, and calls its argument at the end of each epoch.
        """
        self._fit = fit
        self._turn = threading.Semaphore(0)  # of the thread
        self._reply = threading.Semaphore(0)
        self._result: EpochResult | None = None
        self._error: BaseException | None = None
        self._is_abandoned = False
        self._thread: threading.Thread | None = None
        self.has_ended = False

    def run_epoch(self) -> EpochResult | None:
        """Wait for the next epoch's results; None if `fit` has ended.

        Raises:
            BaseException: Any exception of `fit`.
        """
        if self.has_ended:
            return None
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        self._result = None
        self._turn.release()
        self._reply.acquire()
        if self._error is not None:
            raise self._error
        return self._result

    def close(self) -> None:
        """End a waiting `fit`."""
        if self._thread is None:
            self.has_ended = True
        if self.has_ended or self._thread is None:
            return
        self._is_abandoned = True
        self._turn.release()
        self._thread.join()

    def finish(self) -> None:
        """Let `fit` return after its last epoch."""
        while self.run_epoch() is not None:
            pass

    def _run(self) -> None:
        self._turn.acquire()
        try:
            if not self._is_abandoned:
                self._fit(self._hand_over)
        except _AbandonedError:
            pass
        except BaseException as error:
            self._error = error
        finally:
            self.has_ended = True
            self._reply.release()

    def _hand_over(self, result: EpochResult) -> None:
        self._result = result
        self._reply.release()
        self._turn.acquire()
        if self._is_abandoned:
            raise _AbandonedError
