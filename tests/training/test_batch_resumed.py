"""A study with batched lanes that is killed at any epoch continues identically."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from hpsearch.tracking.store import journal_path
from tests import synthetic
from tests.training import batch_study

ROOT = Path(__file__).parents[2]


def results_of(root: Path) -> dict[int, tuple[Any, ...]]:
    records = synthetic.read_records(journal_path(root, batch_study.NAME))
    params = {r["trial"]: r["params"] for r in records if r["event"] == "asked"}
    results = [r for r in records if r["event"] == "result"]
    assert len(results) == len({r["trial"] for r in results}), "a result twice"
    return {
        r["trial"]: (params[r["trial"]], r["state"], r["best_epoch"], r["fold_scores"])
        for r in results
    }


@cache
def never_stopped(root: Path, pruner: str) -> dict[int, tuple[Any, ...]]:
    batch_study.main(root / pruner, pruner, 0)
    return results_of(root / pruner)


@pytest.mark.parametrize(
    ("pruner", "kill_after"),
    [
        ("none", 30),
        *(pytest.param("none", n, marks=pytest.mark.long) for n in (1, 12, 40)),
        *(pytest.param("asha", n, marks=pytest.mark.long) for n in (3, 8, 14, 22)),
    ],
)
def test_killed_at_any_epoch_it_goes_on_as_one_never_stopped(
    pruner: str, kill_after: int, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = never_stopped(tmp_path_factory.getbasetemp() / "whole", pruner)
    assert batch_study.TRIALS == len(whole)
    command = [sys.executable, "-m", "tests.training.batch_study", str(tmp_path), pruner]
    killed = subprocess.run(
        [*command, str(kill_after)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "tests"},
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert -signal.SIGKILL == killed.returncode, killed.stderr.decode()[-2000:]
    assert len(results_of(tmp_path)) < len(whole)
    batch_study.main(tmp_path, pruner, 0)
    assert whole == results_of(tmp_path)


@pytest.mark.long
def test_verdicts_and_scores_do_not_depend_on_the_population(tmp_path: Path) -> None:
    """Brackets of four trials, alone and with 31 others, each population beside the next one."""
    found = []
    for together in (4, 8, 32):
        root = tmp_path / str(together)
        batch_study.main(root, "halving", 0, sampler="random", trials=32, together=together)
        found.append(results_of(root))
    for others in found[1:]:
        for number, (params, state, best_epoch, scores) in found[0].items():
            assert (params, state, best_epoch) == others[number][:3]
            assert scores == pytest.approx(others[number][3], abs=1e-6)
    assert {"PRUNED", "COMPLETE"} == {result[1] for result in found[0].values()}
