"""How well scores, and predictions of the end, rank the trials that wait at a rung.

    python benchmarks/rung_rankings.py [--seeds 2]        # LCBench's surrogates
    python benchmarks/rung_rankings.py --trainings FILE   # real sets; `pruners.py` keeps the file

Searches by `gp` with `halving` decide by the score, as a study does. At each rung the other ways
are asked, too, and judged by the errors of full trainings: how often the third that they would keep
has the trial with the least error, and how much regret is lost if it has not.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from pruners import Simulation
from sampler_tasks import LCBENCH_TASKS, Task, lcbench, load_surrogate
from simulated_study import our_space

from hpsearch.search.pruners.rungs import count_survivors
from hpsearch.search.samplers.gp_beliefs import fit_ended_trials
from hpsearch.trial import Trial

FIRST = 3  # complete trials before decisions are counted
Ranking = Callable[[np.ndarray], np.ndarray]
# By the curves up to the rung, shape (n_trials, n_epochs); smaller is better.
BY_CURVES: Mapping[str, Ranking] = {
    "best score so far": lambda curves: curves.min(axis=1),
    "latest score": lambda curves: curves[:, -1],
    "line through half, factor 0.5": lambda curves: extrapolate(curves, 0.5),
    "line through half, factor 1": lambda curves: extrapolate(curves, 1.0),
}
# By the model of `gp`, which knows the trials' scores at the rung: mean plus so many deviations.
BY_MODEL = {"model's end": 0.0, "model's end, optimistic": -1.0}


def extrapolate(curves: np.ndarray, factor: float) -> np.ndarray:
    """Go on from the latest score by `factor` times the gain since half of the epochs."""
    half = max(1, curves.shape[1] // 2)
    return np.asarray(curves[:, -1] - factor * (curves[:, half - 1] - curves[:, -1]))


class RankedStudy(Simulation):
    """A study by `gp` and `halving` that ranks the trials at its rungs in all ways."""

    def __init__(self, task: Task, seed: int) -> None:
        super().__init__("gp", "halving", task, seed)
        self.task = task
        self.judged: list[tuple[str, int, bool, float]] = []  # way, rung, best kept, loss

    def decide(self) -> None:
        """Judge the rankings when all trials of a bracket wait, then decide."""
        waiting = [self.history.last[n] for n in sorted(self.waiting)]
        members = [n for n in self.brackets[0] if not self.history.last[n].is_finished]
        complete = [t for t in self.history.trials if t.state == "COMPLETE"]
        if len(waiting) == len(members) > 1 and len(complete) >= FIRST:
            self.judge(waiting)
        super().decide()

    def judge(self, waiting: Sequence[Trial]) -> None:
        """Compare the survivors by each way with the trial whose end is best."""
        ends = np.array([self.curves[t.number].reshape(self.epochs, -1) for t in waiting])
        least = ends.mean(axis=2).min(axis=1)
        curves = np.array([t.mean_scores() for t in waiting])
        ranked = {name: rank(curves) for name, rank in BY_CURVES.items()}
        ranked |= self.predict(waiting)
        for name, values in ranked.items():
            kept = np.argsort(values, kind="stable")[: count_survivors(len(values), 3)]
            loss = float(least[kept].min() - least.min())
            self.judged.append((name, curves.shape[1], loss == 0.0, loss))

    def predict(self, waiting: Sequence[Trial]) -> dict[str, np.ndarray]:
        """Predict the ends of trials by the model that takes them for pruned ones."""
        ended = [t for t in self.history.trials if t.is_finished]
        cut = [replace(t, state="PRUNED") for t in waiting]
        model = fit_ended_trials(our_space(self.task.space), [*ended, *cut], "minimize")
        assert model is not None
        points = np.array([model.space.encode(dict(t.params)) for t in waiting])
        mean, variance = model.posterior.predict(model.features(points, model.space.active(points)))
        return {name: mean + d * np.sqrt(variance) for name, d in BY_MODEL.items()}


def make_tasks(trainings: Path | None) -> list[Task]:
    """LCBench's surrogates, or the real sets with their finished trainings."""
    if trainings:
        from real_tasks import OBJECTIVES, Trainings, real_task  # seconds, for Keras

        scales = {name: Trainings(name, trainings).find_scale() for name in OBJECTIVES}
        tasks = [real_task(name, trainings) for name in OBJECTIVES]
        return [replace(t, best=scales[t.name][0], median=scales[t.name][1]) for t in tasks]
    folder = Path(os.environ["HPSEARCH_DATA"]) / "hpo_tables" / "yahpo_surrogates"
    surrogate = load_surrogate(folder)
    return [lcbench(surrogate, task) for task in LCBENCH_TASKS]


def show(judged: Sequence[tuple[str, int, bool, float]]) -> None:
    """Print a Markdown table."""
    rungs = sorted({rung for _, rung, _, _ in judged})
    counts = [sum(j[0] == next(iter(BY_CURVES)) and j[1] == rung for j in judged) for rung in rungs]
    heads = " | ".join(
        f"best kept after {rung} epochs ({n} decisions) | loss"
        for rung, n in zip(rungs, counts, strict=True)
    )
    print(f"| ranked by | {heads} |\n|---|{'---|---|' * len(rungs)}")
    for name in (*BY_CURVES, *BY_MODEL):
        cells = []
        for rung in rungs:
            found = [(kept, loss) for way, at, kept, loss in judged if (way, at) == (name, rung)]
            kept, loss = np.mean(found, axis=0)
            cells.append(f"{100 * kept:.0f}% | {loss:.4f}")
        print(f"| {name} | {' | '.join(cells)} |")


def main() -> None:
    """Parse the command line, search, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--trainings", type=Path, help="of real sets, as `pruners.py` keeps them")
    args = parser.parse_args()
    judged = []
    for task in make_tasks(args.trainings):
        for seed in range(args.seeds):
            study = RankedStudy(task, seed)
            study.run()
            scale = task.median - task.best
            judged += [(way, rung, kept, loss / scale) for way, rung, kept, loss in study.judged]
    show(judged)


if __name__ == "__main__":
    main()
