"""A study reads no file twice, runs no check twice and builds nothing twice."""

import ast
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hpsearch
from hpsearch.data import file_readers
from hpsearch.events import TrialAsked
from hpsearch.history import load_history
from hpsearch.spec import function_reference, study_file, yaml_lines
from hpsearch.study import resolved_study, task_validation, validation
from hpsearch.tracking.store import journal_path

OWN = """\
def closeness(truth, prediction, weights):
    return -float(abs(truth - prediction).mean())

def allowed(params):
    return True
"""
SPEC = """\
study: once
data: {source: table.csv, target: y, test_source: test.csv}
objective: {metric: "own.py:closeness", direction: maximize}
cross_validation: {folds: 2}
training: {epochs: 1, trainer: vectorized}
search_space: {units: [4, 8], batch_size: 16}
constraints: ["own.py:allowed"]
sampler: {kind: random}
budget: {trials: 1}
selection: {finalists: 0}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "study.yaml").write_text(SPEC)
    for name, rows in (("table", 40), ("test", 20)):
        x = np.random.default_rng(rows).uniform(size=(rows, 2))
        lines = [f"{a:.3f},{b:.3f},{'yes' if a > 0.5 else 'no'}" for a, b in x]
        (tmp_path / f"{name}.csv").write_text("\n".join(["a,b,y", *lines]) + "\n")
    return tmp_path


class Calls:
    """Counts calls of real functions, wherever in the package they are looked up."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.counts: Counter[str] = Counter()
        self._patch = patch

    def count(
        self, function: Callable[..., Any], of: Callable[..., bool] = lambda *_: True
    ) -> None:
        """Count the calls of `function` with the arguments that `of` picks."""

        def counted(*args: Any, **more: Any) -> Any:
            if of(*args):
                self.counts[function.__name__] += 1
            return function(*args, **more)

        for name, module in list(sys.modules.items()):
            if name.startswith("hpsearch") or module is ast:
                for key, value in list(vars(module).items()):
                    if value is function:
                        self._patch.setattr(module, key, counted)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Calls:
    found = Calls(monkeypatch)
    found.count(yaml_lines.parse_yaml)
    found.count(study_file._validate_study)
    found.count(ast.parse, lambda text, *_: "closeness" in str(text))
    found.count(function_reference._import_file)
    found.count(file_readers.read_into_memory)
    for function in (
        *(validation._find_problems, validation._check_pruner, validation._check_pruner_options),
        *(task_validation.find_task_problems, resolved_study.choose_pruner),
        *(resolved_study.make_pruner, resolved_study.with_task),
    ):
        found.count(function)
    return found


ONCE = {
    **dict.fromkeys(("parse_yaml", "_validate_study"), 1),
    **dict.fromkeys(("parse", "_import_file"), 1),  # own.py, though it is named twice
    "read_into_memory": 2,  # the table and the test rows
    **dict.fromkeys(("_find_problems", "_check_pruner", "_check_pruner_options"), 1),
    "find_task_problems": 1,  # once the rows have told the task
    **dict.fromkeys(("choose_pruner", "make_pruner", "with_task"), 1),
}


@pytest.mark.usefixtures("inline_workers_with_plots")
def test_a_study_and_its_resume_read_check_and_build_everything_once(
    folder: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch, figure: Any
) -> None:
    from hpsearch.journal import lines, reader, writer

    reads: list[str] = []
    stream = lines.stream_lines

    def counted(path: Path, offset: int) -> Any:
        reads.append("read")
        return stream(path, offset)

    for module in (reader, writer):
        monkeypatch.setattr(module, "stream_lines", counted)

    def listen(event: Any) -> None:
        if isinstance(event, TrialAsked):
            reads.append(f"trial {event.trial}")

    def run(trials: int) -> None:
        calls.counts.clear()
        reads.clear()
        overrides = [f"budget.trials={trials}"]
        where = {"root": folder, "offline": True, "listeners": [listen]}
        hpsearch.tune(folder / "study.yaml", overrides=overrides, **where)
        assert ONCE == calls.counts

    run(1)
    # What a study has let go of is read at its end: the curves of the trials to be fitted again,
    # and those that its report draws.
    assert ["trial 0", "read", "read"] == reads
    run(2)
    assert ["read", "trial 0", "trial 1", "read", "read"] == reads
    assert 2 == len(load_history(journal_path(folder, "once")).ended)
    figure(files_read_twice=0, checks_run_twice=0, journal_reads_to_go_on=1)


@pytest.mark.usefixtures("inline_workers_with_plots")
def test_the_command_reads_the_file_once(folder: Path, calls: Calls) -> None:
    from tests.study.conftest import invoke

    invoke(folder, "tune", "study.yaml", "--offline", "--quiet")
    assert ONCE == calls.counts


def test_a_file_that_was_edited_is_read_and_run_again_by_the_next_study(folder: Path) -> None:
    path = f"{folder}/own.py:closeness"

    def run() -> float:
        study_file.load_file(folder / "study.yaml")
        metric = function_reference.load_function_once(path)
        assert metric is function_reference.load_function_once(path)
        return float(metric(np.ones(2), np.zeros(2), None))

    assert -1.0 == run()
    before = function_reference.read_file(folder / "own.py").digest
    (folder / "own.py").write_text(OWN.replace("-float", "+float"))
    assert 1.0 == run()
    assert before != function_reference.read_file(folder / "own.py").digest
