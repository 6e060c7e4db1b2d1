"""A study is followed while its journal grows: in a browser, and on a terminal."""

import io
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import synthetic
from rich.console import Console

from hpsearch.journal import take_lock
from hpsearch.reporting.html import write_report
from hpsearch.reporting.live_page import LivePageServer
from hpsearch.reporting.study_follower import StudyFollower
from hpsearch.reporting.study_status import study_status
from hpsearch.reporting.watch_view import build_watch_view

PATIENCE = 60  # seconds on a busy machine


class GrowingJournal:
    """A journal that the test writes, as a study in another process would."""

    def __init__(self, path: Path, records: list[synthetic.Record]) -> None:
        self.path, self.records, self.written = path, records, 0
        path.parent.mkdir(parents=True, exist_ok=True)

    def write_until(self, kind: str, trial: int | None = None, epoch: int | None = None) -> None:
        """Append records up to the first of this kind, with it."""
        with self.path.open("ab") as file:
            while True:
                record = self.records[self.written]
                file.write(synthetic.line(record))
                self.written += 1
                wanted = (kind, trial, epoch)
                found = (record["event"], record.get("trial"), record.get("epoch"))
                if all(w in (None, f) for w, f in zip(wanted, found, strict=True)):
                    return


@pytest.fixture
def journal(tmp_path: Path) -> GrowingJournal:
    records = synthetic.study(8, folds=3, epochs=4)
    records[0]["resolved"] = {
        **records[0]["spec"],
        "budget": {"trials": 8},
        "enqueue": [{"units": 99}],
    }
    return GrowingJournal(tmp_path / "journal.jsonl", records)


@pytest.fixture
def served(journal: GrowingJournal) -> Iterator[LivePageServer]:
    journal.write_until("asked", 1)
    with LivePageServer(journal.path, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def view(follower: StudyFollower) -> str:
    console = Console(width=160, file=io.StringIO(), color_system=None)
    console.print(build_watch_view(follower, study_status(follower)))
    return console.file.getvalue()


def test_the_terminal_tells_phase_running_trials_queue_rungs_cost_and_the_end(journal) -> None:
    journal.write_until("epoch", 5, 1)
    follower = StudyFollower(journal.path)
    assert "stopped in phase 1 of 6: search" in view(follower)
    follower.history.is_paused = True
    assert "stopped and paused: hpsearch unpause, then tune" in view(follower)
    follower.history.is_paused = False
    assert "Stopped: 5 of 8 trials have ended; hpsearch tune continues it." in view(follower)
    lock = take_lock(journal.path)
    try:
        shown = view(follower)
        assert "phase 1 of 6: search" in shown
        assert re.search(r"^best: trial-\d+ optimizer=", shown, re.MULTILINE)
        assert re.search(r"trial-005 +2 of 4 +0\.\d+ +optimizer=", shown)
        assert "is the best so far: roc_auc" in shown
        assert re.search(r"enqueued +units=99", shown)
        assert "pruned: 1 of 4 after 2 epochs" in shown
        assert re.search(r"trial-003 +failed", shown)
        assert re.search(r"cost: .* so far, .* of training, [\d.e-]+ trials a minute", shown)
        assert not follower.update()
        journal.write_until("winner")
        assert follower.update()
        assert "phase 3 of 6: final fit on all development rows" in view(follower)
    finally:
        lock.release()
    journal.write_until("final")
    follower.update()
    shown = view(follower)
    assert "finished" in shown
    assert "it scores 0.8500" in shown
    assert "enqueued" not in shown


def test_a_line_that_is_being_written_is_left_for_later(journal) -> None:
    journal.write_until("result", 0)
    follower = StudyFollower(journal.path)
    whole = synthetic.line(journal.records[journal.written])
    with journal.path.open("ab", buffering=0) as file:
        file.write(whole[:30])
        assert not follower.update()
        file.write(whole[30:])
    assert follower.update()
    assert {0, 1} == follower.history.last.keys()


def test_a_study_that_begins_anew_is_followed_from_its_beginning(journal, tmp_path: Path) -> None:
    journal.write_until("result", 4)
    follower = StudyFollower(journal.path)
    assert 5 == len(follower.history.last)
    other = synthetic.write(tmp_path / "new" / "journal.jsonl", journal.records[:3])
    journal.path.unlink()
    assert not follower.update()
    other.replace(journal.path)
    assert follower.update()
    assert {0} == follower.history.last.keys()


def test_the_best_trials_keep_their_curves_and_the_others_their_means(tmp_path: Path) -> None:
    path = synthetic.write(tmp_path / "journal.jsonl", synthetic.study(40))
    follower = StudyFollower(path)
    ranked = follower.history.ranked_trials()
    assert ranked[:10] == follower.trials_with_curves
    assert all(trial.scores and trial.curves for trial in ranked[:10])
    assert all(not trial.scores and len(trial.mean_scores()) for trial in ranked[10:])


def test_an_extended_trial_that_scores_as_before_takes_its_own_place(tmp_path: Path) -> None:
    records = synthetic.study(8)
    ended = next(r for r in records if r["event"] == "result" and r["state"] == "COMPLETE")
    number = ended["trial"]
    extended = {"event": "extended", "trial": number, "epochs": 9, "request": "a"}
    records += [
        dict(r, seq=len(records) + i) for i, r in enumerate([extended | {"time": 1}, ended])
    ]
    follower = StudyFollower(synthetic.write(tmp_path / "journal.jsonl", records))
    assert 1 == [trial.number for trial in follower.trials_with_curves].count(number)
    assert follower.history.last[number] in follower.trials_with_curves


def ask(url: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def test_the_server_answers_for_the_page_alone_and_only_when_it_has_changed(
    served, journal
) -> None:
    status, headers, page = ask(served.address)
    assert (200, True) == (status, page.startswith(b"<!doctype html>"))
    tag = headers["ETag"]
    assert (304, b"") == ask(served.address, **{"If-None-Match": tag})[::2]
    journal.write_until("result", 1)
    deadline = time.monotonic() + PATIENCE
    while ask(served.address, **{"If-None-Match": tag})[0] == 304:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert 404 == ask(f"{served.address}journal.jsonl")[0]
    assert 404 == ask(served.address, Host="evil.example")[0]
    journal.path.write_bytes(b"0000 damaged\n" + journal.path.read_bytes() * 2)
    deadline = time.monotonic() + PATIENCE
    while ask(served.address)[0] != 503:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert b"damaged" in ask(served.address)[2]


def wait_for(browser: Any, *texts: str) -> str:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    def body(driver: Any) -> str:
        return driver.find_element(By.TAG_NAME, "main").text

    def has_all(driver: Any) -> bool:
        return all(text in body(driver) for text in texts)

    WebDriverWait(browser, PATIENCE, ignored_exceptions=[Exception]).until(has_all, str(texts))
    return body(browser)


def test_a_browser_follows_the_study_to_its_end_and_keeps_what_was_set(
    served, journal, browser
) -> None:
    from selenium.webdriver.common.by import By

    lock = take_lock(journal.path)
    try:
        browser.get_log("browser")
        browser.get(served.address)
        wait_for(browser, "Running (phase 1 of 6: search): 1 of 8 trials have ended")
        browser.find_element(By.ID, "filter").send_keys("state=complete")
        journal.write_until("epoch", 5, 1)
        wait_for(browser, "5 of 8 trials", "trial-005", "2 of 4", "enqueued", "3 of 6 trials")
        names = [
            line.get_attribute("data-series")
            for line in browser.find_elements(By.CSS_SELECTOR, "#curves path.series")
        ]
        assert "trial-005, running" in names
        cells = browser.find_elements(By.CSS_SELECTOR, ".described td:last-child")
        assert 2 == len(cells)  # of the running trial and of the queue: long texts are wrapped
        assert {"normal"} == {cell.value_of_css_property("white-space") for cell in cells}
        field = browser.find_element(By.ID, "filter")
        assert "state=complete" == field.get_attribute("value")
        assert field == browser.switch_to.active_element
        journal.write_until("result", 6)
        wait_for(browser, "phase 1 of 6", "7 of 8 trials")
    finally:
        lock.release()
    wait_for(browser, "Stopped: 7 of 8 trials have ended")  # as after a kill
    journal.write_until("final")
    wait_for(browser, "is the winner", "it scores 0.8500", "6 of 8 trials")
    lines = browser.find_elements(By.CSS_SELECTOR, "#parallel path.line")
    assert 7 == len(lines)
    assert [] == [e for e in browser.get_log("browser") if "favicon" not in e["message"]]
    served.shutdown()
    served.server_close()
    wait_for(browser, "This page is no longer live")


def test_the_report_is_the_frozen_form_of_the_page(journal) -> None:
    journal.write_until("final")
    write_report(journal.path)
    report = journal.path.with_name("report.html").read_text()
    with LivePageServer(journal.path, 0) as server:
        live = server.page.current()[1].decode()
    data = '<script type="application/json".*?</script>'
    for part in ("<main>.*</main>", data):
        assert re.search(part, report, re.S)[0] == re.search(part, live, re.S)[0]
    assert "connect-src" not in report
