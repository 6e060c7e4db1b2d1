"""`hpsearch.tune` and `check` called from a script: progress, interrupts, validation."""

import signal
import threading

import numpy as np
import pytest

import hpsearch
from hpsearch.api.display import SilentDisplay, TextDisplay, make_display
from hpsearch.api.interruption import Interrupt
from hpsearch.errors import DataError, SpecError
from hpsearch.events import TrialAsked, TrialFinished

X = np.random.default_rng(0).normal(size=(80, 3))
Y = (X[:, 0] > 0).astype(int)
SPEC = {
    "study": "called",
    "data": {},
    "cross_validation": {"folds": 2},
    "training": {"epochs": 1, "early_stopping": None},
    "search_space": {"units": [3, 4], "learning_rate": 0.01},
    "budget": {"trials": 2},
    "selection": {"finalists": 0},
}


def test_what_is_no_declaration_and_no_folds_is_refused(tmp_path):
    with pytest.raises(SpecError, match=r"a study file, a dict or an hpsearch\.Spec is needed"):
        hpsearch.tune(None, (X, Y))
    with pytest.raises(DataError, match=r"Their number: cross_validation=\{'folds': 5\}"):
        hpsearch.tune(SPEC, (X, Y), folds=5, root=tmp_path)


@pytest.mark.usefixtures("inline_workers")
def test_an_interrupted_call_goes_on_when_it_is_made_again(tmp_path, capsys):
    ended = []

    def interrupt(event):
        if isinstance(event, TrialFinished) and not ended:
            ended.append(event.trial)
            signal.raise_signal(signal.SIGINT)

    call = {"data": (X, Y), "offline": True, "root": tmp_path}
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(hpsearch.StudyInterrupted, match="The same call continues it") as told:
        hpsearch.tune(SPEC, **call, listeners=[interrupt])
    assert signal.getsignal(signal.SIGINT) is handler
    assert told.value._render_traceback_()[0].startswith("StudyInterrupted: study called was")
    assert hpsearch.load("called", tmp_path).history.final is None
    assert "stopping: running trials get 30 s" in capsys.readouterr().err

    result = hpsearch.tune(SPEC, **call)
    assert ["COMPLETE", "COMPLETE"] == [trial.state for trial in result.trials]
    lines = capsys.readouterr().err.splitlines()
    assert "called: reading the data and starting workers" == lines[0]
    assert any(line.startswith("resumed: ") for line in lines)
    assert any(line.startswith("winner: trial ") for line in lines)

    assert hpsearch.tune(SPEC, **call, progress=False).best == result.best
    assert "" == capsys.readouterr().err


def test_a_second_interrupt_does_not_wait():
    def interrupt_twice():
        with Interrupt(grace=600) as interrupt:
            signal.raise_signal(signal.SIGINT)
            assert interrupt.is_requested()
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("the second one was not heard")

    with pytest.raises(hpsearch.StudyInterrupted, match="nothing is lost"):
        interrupt_twice()


def test_an_interrupt_of_other_code_remains_what_it_is():
    with pytest.raises(KeyboardInterrupt) as told, Interrupt():
        raise KeyboardInterrupt
    assert type(told.value) is KeyboardInterrupt


def test_a_call_in_another_thread_handles_no_signal():
    handler, seen = signal.getsignal(signal.SIGINT), []

    def call():
        with Interrupt():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert [handler] == seen


@pytest.mark.parametrize(
    ("progress", "kind"), [(None, TextDisplay), (True, TextDisplay), (False, SilentDisplay)]
)
def test_progress_is_shown_as_lines_outside_a_notebook_unless_refused(progress, kind):
    assert type(make_display("study", 3, progress)) is kind


def test_lines_of_progress_escape_what_a_study_is_called(capsys):
    with TextDisplay("red\x1b[31m", make_display("", 1, True)._progress) as shown:
        shown.listen(TrialAsked(trial=0, attempt=0, params={}, seed=1, epochs=5))
    assert capsys.readouterr().err.startswith("red\\x1b[31m: reading")


def test_a_check_describes_the_study_and_trains_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = hpsearch.check(SPEC, (X, Y))
    assert ("binary", 64, 2) == (found.task, found.dataset.n_rows, len(found.dataset.folds))
    lines = str(found).splitlines()
    assert "called: 1 hyperparameters, 2 points" == lines[0]
    assert "  units  categorical  3, 4  choice" in lines
    assert any("64 development rows in 2 folds" in line for line in lines)
    assert [] == list(tmp_path.iterdir())
    assert hpsearch.check(SPEC, (X, Y), read_data=False).task is None
    with pytest.raises(DataError, match="every class needs at least 2"):
        hpsearch.check(SPEC, (X, np.arange(80) == 3))
