"""Make the images in docs/images from a study: `make screenshots`.

A study of breast cancer runs in a temporary folder. While it runs its live page is opened, at its
end the report, in light and dark, and MLflow's table of runs by `hpsearch ui`. What commands print
becomes terminal.png. What a kernel displays below a cell becomes notebook.png. Needs chromium and
chromedriver. `python tests/make_screenshots.py notebook` only makes the last one.
"""

from __future__ import annotations

import fcntl
import html
import io
import math
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from browser import find_browser, start_browser

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
STUDY, SPEC = "breast-cancer", Path("search_spaces") / "breast_cancer.yaml"
STUDY_FOLDER = Path("mlruns") / "studies" / STUDY
TRIALS, SEEN_LIVE = 12, 8  # of the study; the one that the live page is waited for
OPTIONS = ("--trials", str(TRIALS), "--set", "pruner.kind=hyperband")
PATIENCE = 120.0  # seconds, for a page on a busy machine
MAX_BYTES = 250_000
WIDTH = 116  # characters of the terminal
MLFLOW_IN_THE_WAY = ("assistant.chat_panel.close", "experiment_page.shared_view.dismiss")


def start_command(folder: Path, *arguments: str, **streams: Any) -> subprocess.Popen[str]:
    code = "import sys; sys.argv[0] = 'hpsearch'; from hpsearch.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "", "PYTHONPATH": str(ROOT)},
        text=True,
        start_new_session=True,
        **streams,
    )


class Terminal:
    """Run a command in a terminal, and read its screen at the end."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        """Start the command."""
        self._arguments = arguments
        self._side, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 60, WIDTH, 0, 0))
        self._command = start_command(folder, *arguments, stdin=side, stdout=side, stderr=side)
        os.close(side)
        self._printed = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with suppress(OSError):  # the other side is closed: the command has ended
            while block := os.read(self._side, 65_536):
                self._printed += block
        os.close(self._side)

    def read_lines(self) -> list[str]:
        """Return the command and the lines that it leaves on the screen, with their colours."""
        self._command.wait()
        self._reader.join()
        lines = draw_screen(self._printed.decode())
        if self._command.returncode:
            raise SystemExit("\n".join(lines))
        return [f"$ hpsearch {' '.join(self._arguments)}", *lines]


def draw_screen(printed: str) -> list[str]:
    """Return the lines on the screen; a progress bar moves up and erases whole lines."""
    lines, row = [""], 0
    for part in re.split(r"(\r?\n|\x1b\[2K|\x1b\[1A|\x1b\[\?25[lh]|\r)", printed):
        if part.endswith("\n"):
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part == "\x1b[1A":
            row = max(0, row - 1)
        elif part == "\x1b[2K":
            lines[row] = ""
        elif not part.startswith(("\r", "\x1b[?25")):
            lines[row] += part
    return lines


@contextmanager
def served(folder: Path, *arguments: str) -> Iterator[str]:
    """Run a command that serves pages; yields the address that it prints."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    server = start_command(folder, *arguments, **pipes)
    assert server.stdout is not None
    try:
        yield server.stdout.readline().strip()
    finally:
        os.killpg(server.pid, signal.SIGINT)
        server.communicate()


def wait_for(browser: Any, condition: Callable[[Any], Any]) -> Any:
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, PATIENCE, 0.1, [Exception]).until(condition)


def read_page(browser: Any) -> str:
    return browser.execute_script("return document.body.innerText")


def save_image(browser: Any, name: str) -> None:
    path = IMAGES / f"{name}.png"
    browser.save_screenshot(str(path))
    size = path.stat().st_size
    print(f"{path.relative_to(ROOT)}: {size:,} bytes")
    if size > MAX_BYTES:
        raise SystemExit(f"more than {MAX_BYTES:,} bytes")


def set_view(browser: Any, width: int, height: int, scheme: str = "light") -> None:
    """Give the page this size, and the colours of a light or dark desktop."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def take_live_page(browser: Any, folder: Path) -> None:
    """Open the page of a study that runs, and take it when some trials have ended."""
    wait_for(browser, lambda _: (folder / STUDY_FOLDER / "journal.jsonl").exists())
    set_view(browser, 1240, 1000)
    with served(folder, "watch", STUDY, "--page") as address:
        browser.get(address)
        wait_for(browser, lambda b: f"trial-{SEEN_LIVE:03}" in read_page(b))
        save_image(browser, "live_page")


def take_report(browser: Any, folder: Path) -> None:
    """Take its beginning in light colours, and the parallel coordinates in dark ones."""
    set_view(browser, 1240, 1000)
    browser.get((folder / STUDY_FOLDER / "report.html").as_uri())
    save_image(browser, "report")
    set_view(browser, 1080, 530, "dark")
    browser.refresh()  # figures are drawn for the width of the window
    browser.execute_script("""
        const heads = [...document.querySelectorAll('h2')];
        heads.find(head => head.textContent === 'Parallel coordinates').scrollIntoView();
    """)
    save_image(browser, "report_dark")


def take_runs(browser: Any, folder: Path) -> None:
    """Take MLflow's table of runs without its assistant and its note on shared views."""
    from selenium.webdriver.common.by import By

    set_view(browser, 1800, 720)
    with served(folder, "ui", STUDY) as address:
        browser.get(address)
        wait_for(browser, lambda b: f"{TRIALS} matching runs" in read_page(b))
        for name in MLFLOW_IN_THE_WAY:
            selector = f"[data-component-id='mlflow.{name}']"
            wait_for(browser, lambda b, s=selector: b.find_element(By.CSS_SELECTOR, s)).click()
            wait_for(browser, lambda b, s=selector: not b.find_elements(By.CSS_SELECTOR, s))
        save_image(browser, "mlflow")


def take_terminal(browser: Any, folder: Path, lines: list[str]) -> None:
    """Take what commands left on the screen, in a monospaced font on dark ground."""
    from rich.console import Console
    from rich.terminal_theme import MONOKAI
    from rich.text import Text

    console = Console(record=True, width=WIDTH, file=io.StringIO())
    for line in lines:
        console.print(Text.from_ansi(line), no_wrap=True, crop=True, highlight=False)
    page = folder / "terminal.html"
    page.write_text(console.export_html(theme=MONOKAI, inline_styles=True), encoding="utf-8")
    browser.get(page.as_uri())
    width, height = browser.execute_script("""
        document.body.style.width = 'fit-content';
        const text = document.body.getBoundingClientRect();
        return [text.right + text.left, text.bottom + text.top];
    """)
    set_view(browser, math.ceil(width), math.ceil(height))
    save_image(browser, "terminal")


CELL = """\
import hpsearch

result = hpsearch.tune("search_spaces/breast_cancer.yaml", overrides=["budget.trials=12"])"""
CELL_STYLE = """
body { margin: 0; padding: 16px 20px; width: 900px; font: 14px/1.5 sans-serif; color: #222; }
pre { margin: 0 0 10px; padding: 8px 12px; border: 1px solid #ddd; background: #f7f7f7;
      font: 13px/1.5 monospace; }"""


def watch_cell(folder: Path) -> Iterator[str]:
    """Execute a cell in a kernel; yields each HTML that it displays."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(cwd=str(folder), startup_timeout=PATIENCE)
    try:
        asked = client.execute(CELL)
        while True:
            message = client.get_iopub_msg(timeout=PATIENCE)
            content = message["content"]
            if message["parent_header"].get("msg_id") != asked:
                continue
            if message["msg_type"] == "error":
                raise SystemExit("\n".join(content["traceback"]))
            if block := content.get("data", {}).get("text/html"):
                yield block
            if content.get("execution_state") == "idle":
                return
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def take_notebook(browser: Any, folder: Path) -> None:
    """Take the block below a cell, while its study trains the trial SEEN_LIVE."""
    blocks = watch_cell(folder)
    block = next(block for block in blocks if f"{SEEN_LIVE}/{TRIALS} trials" in block)
    blocks.close()
    page = folder / "notebook.html"
    page.write_text(
        f"<!doctype html><meta charset='utf-8'><style>{CELL_STYLE}</style>"
        f"<pre>{html.escape(CELL)}</pre>{block}",
        encoding="utf-8",
    )
    browser.get(page.as_uri())
    height = browser.execute_script("return document.documentElement.offsetHeight")
    set_view(browser, 940, math.ceil(height))
    save_image(browser, "notebook")


def main(only_notebook: bool) -> None:
    found = find_browser()
    if not found:
        raise SystemExit("chromium and chromedriver are not installed: no browser to take images")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / SPEC.parent).mkdir()
        shutil.copy(ROOT / SPEC, folder / SPEC)
        browser = start_browser(found, folder)
        try:
            take_notebook(browser, folder)
            if only_notebook:
                return
            shutil.rmtree(folder / "mlruns")
            study = Terminal(folder, "tune", SPEC.as_posix(), *OPTIONS)
            take_live_page(browser, folder)
            lines = study.read_lines()
            lines = lines[: next(k for k, line in enumerate(lines) if line.startswith("model:"))]
            lines += Terminal(folder, "top", "-n", "4").read_lines()
            take_terminal(browser, folder, lines)
            take_report(browser, folder)
            take_runs(browser, folder)
        finally:
            browser.quit()


if __name__ == "__main__":
    main(only_notebook=sys.argv[1:] == ["notebook"])
