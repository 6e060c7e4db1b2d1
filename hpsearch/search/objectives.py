"""The values of a trial for several objectives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..trial import Direction, EpochReport, Trial, TrialResult, is_better, is_score, mean

COSTS = ("parameters", "latency_ms")  # objectives that are not metrics; minimized


def objective_values(trial: Trial, result: TrialResult, names: Sequence[str]) -> list[float] | None:
    """Return the value of each objective in `names`; None for a trial without a score.

    A metric is the mean over the folds at the trial's best epoch, which is that of the first
    metric among the objectives.
    """
    if result.state != "COMPLETE" or result.best_epoch is None:
        return None
    values = [_quantity(trial, result, name) for name in names]
    return None if None in values else [float(v) for v in values if v is not None]


def measure_quantities(
    trial: Trial, result: TrialResult, names: Iterable[str]
) -> dict[str, float] | None:
    """Return the values of what limits are on; without those that a pruned trial does not have.

    A metric is the mean over the folds at the trial's best epoch. None for a trial that failed.
    """
    if result.state == "FAILED" or result.best_epoch is None:
        return None
    found: dict[str, float] = {}
    for name in names:
        value = _quantity(trial, result, name)
        if value is not None and is_score(value):
            found[name] = float(value)
    return found


def _quantity(trial: Trial, result: TrialResult, name: str) -> float | None:
    """Return the value of a metric or a cost at the best epoch."""
    if name == "parameters":
        return result.n_parameters
    if name == "latency_ms":
        return result.latency_ms
    curve = result.curves.get(f"val/{name}", trial.curves.get(f"val/{name}", ()))
    assert result.best_epoch is not None
    return mean([float(score) for score in curve[result.best_epoch]])


def values_after_epoch(
    trial: Trial, report: EpochReport, objectives: Sequence[tuple[str, Direction]]
) -> list[float | None] | None:
    """Return the objectives' values at the best epoch so far; None with a single objective.

    Args:
        trial: The trial without the reported epoch.
        report: Its next epoch.
        objectives: Names and directions.
    """
    if len(objectives) == 1:
        return None
    before = trial.epoch_values[-1] if trial.epoch_values else [None] * len(objectives)
    score, best = mean([float(s) for s in report.scores]), before[0]
    is_best = best is None or not is_score(best) or is_better(score, best, objectives[0][1])
    values: list[float | None] = []
    for (name, _), known in zip(objectives, before, strict=True):
        if name in COSTS:
            values.append(report.costs.get(name, known))
        elif is_best:
            values.append(mean([float(v) for v in report.metrics[f"val/{name}"]]))
        else:
            values.append(known)
    return values
