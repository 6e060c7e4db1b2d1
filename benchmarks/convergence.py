"""What `budget.until: converged` spends, and what it loses, beside a fixed budget of trials.

    python benchmarks/convergence.py --seeds 10

The sampler is `gp`; the tasks are the tables of FCNet (Klein and Hutter, 2019), where a
configuration was trained with four seeds: they stand for folds, and the score is their mean.
`PATIENCE` was chosen among five numbers on the first eight seeds of each table.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from hpsearch.event_codec import from_json
from hpsearch.history import History
from hpsearch.search.convergence import Convergence
from hpsearch.search.samplers import make_sampler
from hpsearch.spec.search_space import Categorical, Int, SearchSpace

TABLES = ("protein_structure", "naval_propulsion")


class Study:
    """A study whose trials are read from a table."""

    def __init__(self, path: Path, seed: int) -> None:
        with np.load(path, allow_pickle=False) as archive:
            self._table, meta = archive["table"], json.loads(str(archive["meta"]))
        self._choices = dict(zip(meta["params"], meta["choices"], strict=True))
        parameters = [
            Categorical(name, tuple(choices))
            if isinstance(choices[0], str)
            else Int(name, 0, len(choices) - 1)
            for name, choices in self._choices.items()
        ]
        self.space = SearchSpace(tuple(parameters))
        self.history = History()
        self._seq = 0
        self._sampler = make_sampler("gp", self.space, direction="minimize", seed=seed)
        self._record("study", objective={"metric": "error", "direction": "minimize"})

    def _record(self, event: str, **fields: Any) -> None:
        event_fields = {"seq": self._seq, "time": self._seq, "event": event, **fields}
        self.history.apply(from_json(event_fields))
        self._seq += 1

    def run_trial(self) -> None:
        """Ask for a trial, look up its scores and tell the sampler."""
        number = self.history.next_number
        params = self._sampler.ask(number)
        assert params is not None
        self._record("asked", trial=number, attempt=0, params=dict(params), seed=0, epochs=1)
        scores = self._scores(params)
        self._record("epoch", trial=number, attempt=0, epoch=0, scores=scores, metrics={})
        result = {"state": "COMPLETE", "score": float(np.mean(scores)), "best_epoch": 0}
        spread = float(np.std(scores))
        self._record("result", trial=number, attempt=0, spread=spread, fold_scores=scores, **result)
        self._sampler.tell(self.history.last[number])

    def _scores(self, params: Any) -> list[float]:
        cell = tuple(
            choices.index(params[name]) if isinstance(choices[0], str) else params[name]
            for name, choices in self._choices.items()
        )
        worst = float(np.nanmax(self._table))
        return [float(score) for score in np.nan_to_num(self._table[cell], nan=worst)]


def measure(path: Path, seed: int, budget: int) -> tuple[int, float]:
    """Return the trials until convergence, and the loss in standard errors of the final score."""
    study = Study(path, seed)
    convergence = Convergence(study.space, seed)
    stopped = None
    for _ in range(budget):
        study.run_trial()
        if stopped is None and convergence.describe(study.history):
            stopped = (len(study.history.ended), study.history.best)
    final = study.history.best
    n_trials, best = stopped or (budget, final)
    assert best is not None
    assert final is not None
    assert best.score is not None
    assert final.score is not None
    error = (best.spread or 0.0) / math.sqrt(len(best.fold_scores or ()))
    return n_trials, (best.score - final.score) / error


def main() -> None:
    """Print a row for each table and seed, and the means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=Path, help="default: $HPSEARCH_DATA/hpo_tables")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--budget", type=int, default=100, help="trials of the fixed budget")
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    tables = args.tables or Path(os.environ["HPSEARCH_DATA"]) / "hpo_tables"
    print("| table | seed | trials | loss in standard errors |\n|---|---|---|---|")
    rows = []
    for name in TABLES:
        for seed in range(args.seeds):
            rows.append(measure(tables / "fcnet_hpolib" / f"{name}.npz", seed, args.budget))
            print(f"| {name} | {seed} | {rows[-1][0]} | {rows[-1][1]:.2f} |", flush=True)
    trials, losses = np.array(rows).T
    within = np.mean(losses <= 1)
    print(
        f"\n{trials.mean() / args.budget:.0%} of the budget; loss {losses.mean():.2f} standard "
        f"errors in the mean, {np.median(losses):.2f} in the median; at most one in {within:.0%}"
    )


if __name__ == "__main__":
    main()
