"""The values of a trial for several objectives."""

from __future__ import annotations

from collections.abc import Sequence

from ..trial import Trial, TrialResult, mean

COSTS = ("parameters", "latency_ms")  # objectives that are not metrics; minimized


def objective_values(trial: Trial, result: TrialResult, names: Sequence[str]) -> list[float] | None:
    """Return the value of each objective in `names`; None for a trial without a score.

    A metric is the mean over the folds at the trial's best epoch, which is that of the first
    metric among the objectives.
    """
    if result.state != "COMPLETE" or result.best_epoch is None:
        return None
    values: list[float | None] = []
    for name in names:
        if name == "parameters":
            values.append(result.n_parameters)
        elif name == "latency_ms":
            values.append(result.latency_ms)
        else:
            curve = result.curves.get(f"val/{name}", trial.curves.get(f"val/{name}", ()))
            values.append(mean([float(score) for score in curve[result.best_epoch]]))
    return None if None in values else [float(v) for v in values if v is not None]
