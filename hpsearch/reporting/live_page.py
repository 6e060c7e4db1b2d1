"""Serve the page of a study on loopback, rendered anew when its journal has grown.

The browser asks with the tag of the version it shows and gets an answer without a body while
nothing has changed. Nothing is written and no other file is served.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ..errors import JournalError
from .html import render_page
from .study_follower import StudyFollower
from .study_status import study_status

RENDER_SECONDS = 0.5  # minimum time between two reads of the journal, for all browsers together
HOSTS = ("127.0.0.1", "localhost")  # allowed Host headers: protects from DNS rebinding


class LivePage:
    """The page of one study in its present version."""

    def __init__(self, journal: Path) -> None:
        """Read the journal.

        Raises:
            JournalError: If the journal is missing or damaged.
        """
        self._follower = StudyFollower(journal)
        self._lock = threading.Lock()
        self._looked = 0.0
        self._tag, self._page = "", b""

    def current(self) -> tuple[str, bytes]:
        """Return the tag and the content of the present version.

        Raises:
            JournalError: If the journal is damaged.
        """
        with self._lock:
            if not self._page or time.monotonic() - self._looked > RENDER_SECONDS:
                self._follower.update()
                status = study_status(self._follower)
                tag = f'"{self._follower.history.key[:8]}-{self._follower.offset}-{status.state}"'
                if tag != self._tag:
                    page = render_page(self._follower, status, live_tag=tag)
                    self._tag, self._page = tag, page.encode()
                self._looked = time.monotonic()
            return self._tag, self._page


class LivePageServer(ThreadingHTTPServer):
    """Serve a page on 127.0.0.1 until the server is closed."""

    daemon_threads = True

    def __init__(self, journal: Path, port: int) -> None:
        """Listen at `port`; at a free one if it is 0.

        Raises:
            JournalError: If the journal is missing or damaged.
            OSError: If the port is taken.
        """
        self.page = LivePage(journal)
        super().__init__(("127.0.0.1", port), _PageHandler)

    @property
    def address(self) -> str:
        """Return the address of the page."""
        return f"http://127.0.0.1:{self.server_address[1]}/"


class _PageHandler(BaseHTTPRequestHandler):
    server: LivePageServer
    timeout = 30  # seconds until an idle connection is closed

    def do_GET(self) -> None:
        host = (self.headers.get("Host") or "").partition(":")[0]
        if host not in HOSTS or self.path.partition("?")[0] != "/":
            self._answer(404, b"no such page\n", "text/plain; charset=utf-8")
            return
        try:
            tag, page = self.server.page.current()
        except (JournalError, OSError) as error:
            self._answer(503, f"{error}\n".encode(), "text/plain; charset=utf-8")
            return
        if self.headers.get("If-None-Match") == tag:
            self._answer(304, b"", "", tag)
        else:
            self._answer(200, page, "text/html; charset=utf-8", tag)

    def _answer(self, status: int, body: bytes, kind: str, tag: str = "") -> None:
        self.send_response(status)
        headers = {"Content-Type": kind, "ETag": tag, "Cache-Control": "no-store"}
        headers |= {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        with suppress(ConnectionError):  # the browser went away
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log no request."""
