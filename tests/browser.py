"""Debian's chromium, headless, for the tests of pages and for the images in docs/images."""

import os
import shutil
from pathlib import Path
from typing import Any


def find_browser() -> tuple[str, str] | None:
    """Return the paths of chromium and its driver; None if one is missing."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    return (binary, driver) if binary and driver else None


def start_browser(found: tuple[str, str], folder: Path) -> Any:
    """Start the browser through its driver; its profile stays in `folder`."""
    from selenium import webdriver

    binary, driver = found
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in (
        "headless=new",
        "no-sandbox",
        "disable-dev-shm-usage",
        "window-size=1400,1000",
    ):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    own = {**os.environ, "TMPDIR": str(folder)}
    return webdriver.Chrome(options, webdriver.ChromeService(driver, env=own))
