"""Show a study in optuna-dashboard: copies trials from the journal to an Optuna storage in memory.

Nothing is written; the storage ends with the process.
"""

from __future__ import annotations

import threading
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from ..errors import HpsearchError, JournalError
from ..tracking.optuna_study import add_ended_trials, build_optuna_study
from .study_follower import StudyFollower

POLL_SECONDS = 1.0
INSTALL = (
    "optuna-dashboard is not installed: pip install 'hpsearch[dashboard]'. Without it: "
    "`hpsearch watch STUDY --page`"
)


class DashboardStudy:
    """The Optuna study that optuna-dashboard reads, updated from the journal."""

    def __init__(self, journal: Path) -> None:
        """Read the journal.

        Raises:
            JournalError: If it is missing or damaged.
        """
        from optuna.storages import InMemoryStorage

        self.storage = InMemoryStorage()
        self._follower = StudyFollower(journal)
        self._sent = 0  # number of finished trials that were sent
        self._study: Any = build_optuna_study(self._follower.history, self.storage, trials=())
        self.update()

    def update(self) -> None:
        """Send the trials that have finished since the last call.

        Raises:
            JournalError: If the journal is damaged.
        """
        self._follower.update()
        history = self._follower.history
        add_ended_trials(self._study, history, history.results[self._sent :])
        self._sent = len(history.results)


def serve_dashboard(journal: Path, port: int) -> None:
    """Serve optuna-dashboard on loopback until the process ends.

    Raises:
        HpsearchError: If it is not installed.
        JournalError: If the journal is missing or damaged.
    """
    make_app = import_dashboard()
    study = DashboardStudy(journal)
    with make_server(
        "127.0.0.1", port, make_app(study.storage), _ThreadingServer, _QuietHandler
    ) as server:
        threading.Thread(target=_follow, args=(study,), daemon=True).start()
        server.serve_forever()


class _ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Log no request."""


def import_dashboard() -> Any:
    """Import the function that makes the WSGI application of a storage.

    Raises:
        HpsearchError: If optuna-dashboard is not installed.
    """
    try:
        from optuna_dashboard import wsgi
    except ImportError:
        raise HpsearchError(INSTALL) from None
    return wsgi


def _follow(study: DashboardStudy) -> None:
    waiting = threading.Event()
    while not waiting.wait(POLL_SECONDS):
        try:
            study.update()
        except (JournalError, OSError):  # shown as it was
            return
