"""Tables of the sampler benchmark: regret and rank of samplers, and of batches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

CHECKPOINTS = (30, 100)  # trials at which the incumbent is judged, unless the records tell


@dataclass(frozen=True, slots=True)
class Key:
    """One run of the benchmark."""

    sampler: str
    task: str
    batch: int  # trials asked before any of them is told
    seed: int


def average_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks along axis 0, 1 the smallest, ties share their mean; NaN stays NaN."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(values, axis=0, nan_policy="omit"))


def standard_error(values: np.ndarray) -> float:
    """Of the mean of values, NaN where there is one alone."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.nan


Cells = dict[tuple[str, int], dict[str, dict[str, Any]]]  # (task, seed) -> sampler -> record


def cells_of(results: dict[Key, dict[str, Any]], samplers: Sequence[str], batch: int) -> Cells:
    """The runs of these rows by task and seed, where every row ran."""
    cells: Cells = defaultdict(dict)
    for key, record in results.items():
        if key.batch == batch and key.sampler in samplers:
            cells[key.task, key.seed][key.sampler] = record
    return {c: rows for c, rows in sorted(cells.items()) if len(rows) == len(samplers)}


def runs_of(results: dict[Key, dict[str, Any]], sampler: str, batch: int) -> int:
    """How many tasks and seeds a row ran."""
    return sum(k.sampler == sampler and k.batch == batch for k in results)


def summary(
    cells: Cells, samplers: Sequence[str], checkpoint: int
) -> dict[str, tuple[float, float, float, float]]:
    """Mean regret and mean rank of each row, each with its standard error over (task, seed)."""
    grid = np.array([[rows[s]["regret"][checkpoint] for rows in cells.values()] for s in samplers])
    ranks = average_ranks(grid)
    return {
        s: (g.mean(), standard_error(g), r.mean(), standard_error(r))
        for s, g, r in zip(samplers, grid, ranks, strict=True)
    }


def milliseconds(cells: Cells, sampler: str) -> list[float]:
    """CPU time of an ask before each checkpoint: wall clock depends on what else runs."""
    runs = [rows[sampler].get("cpu_ms", rows[sampler]["ms"]) for rows in cells.values()]
    return [float(v) for v in np.median(runs, axis=0)]


def families(results: dict[Key, dict[str, Any]]) -> dict[str, dict[Key, dict[str, Any]]]:
    """All runs, and those of each family of tasks."""
    groups = {"all tasks": results}
    for family in ("fcnet", "lcbench"):
        groups[family] = {k: r for k, r in results.items() if k.task.startswith(family)}
    return groups


def checkpoints_of(results: dict[Key, dict[str, Any]]) -> Sequence[int]:
    """The checkpoints of a results file."""
    found: Sequence[int] = next(iter(results.values())).get("checkpoints", CHECKPOINTS)
    return found


def print_samplers(
    title: str, results: dict[Key, dict[str, Any]], rows: Sequence[str], batch: int
) -> None:
    """One table, best regret at the last checkpoint first."""
    cells = cells_of(results, rows, batch)
    if not cells:
        return
    print(f"\n### {title}: {describe(cells)}\n")
    checkpoints = checkpoints_of(results)
    heads = " | ".join(f"regret at {c} | rank at {c}" for c in checkpoints)
    print(f"| sampler | {heads} | CPU ms an ask at {' / '.join(map(str, checkpoints))} |")
    print("|---" * (2 * len(checkpoints) + 2) + "|")
    found = [summary(cells, rows, i) for i in range(len(checkpoints))]
    for s in sorted(rows, key=lambda s: found[-1][s][0]):
        parts = " | ".join(
            f"{at[s][0]:.3f} ± {at[s][1]:.3f} | {at[s][2]:.2f} ± {at[s][3]:.2f}" for at in found
        )
        times = " / ".join(f"{ms:.1f}" for ms in milliseconds(cells, s))
        print(f"| {s} | {parts} | {times} |")


def describe(cells: Cells) -> str:
    """How much a table rests on."""
    tasks, seeds = ({c[i] for c in cells} for i in (0, 1))
    return f"{len(tasks)} tasks, {len(seeds)} seeds, {len(cells)} runs"


Regrets = Mapping[int, Mapping[tuple[str, int], Sequence[float]]]  # batch -> (task, seed) -> each


def print_batches(sampler: str, regrets: Regrets, checkpoints: Sequence[int]) -> None:
    """Print a table; a task and seed counts where every batch ran.

    A ratio is that of the mean regrets, a difference is paired.
    """
    runs = sorted(set.intersection(*(set(found) for found in regrets.values())))
    if len(regrets) < 2 or len(runs) < 2:
        return
    grids = {b: np.array([regrets[b][run] for run in runs]) for b in sorted(regrets)}
    smallest, single = next(iter(grids.items()))
    print(f"\n### {sampler}, batches beside batches of {smallest}: {len(runs)} runs\n")
    heads = (f"regret at {c} | ratio | difference" for c in checkpoints)
    print(f"| batch | {' | '.join(heads)} |\n|---{'|---' * 3 * len(checkpoints)}|")
    for batch, grid in grids.items():
        cells = []
        for regret, own in zip(grid.T, single.T, strict=True):
            apart = regret - own
            error = apart.std(ddof=1) / len(runs) ** 0.5
            cells.append(
                f"{regret.mean():.3f} | {regret.mean() / own.mean():.2f} "
                f"| {apart.mean():+.3f} ± {error:.3f}"
            )
        print(f"| {batch} | {' | '.join(cells)} |")
