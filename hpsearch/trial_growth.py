"""Apply events to a trial. Pure data, like the trial itself."""

from __future__ import annotations

from .events import EpochFinished, FoldFinished, TrialFinished, TrialStarted
from .trial import Trial


def apply_event(
    trial: Trial, event: EpochFinished | TrialStarted | FoldFinished | TrialFinished
) -> bool:
    """Apply one event; returns whether it was new. Applying it again has no effect."""
    match event:
        case EpochFinished():
            return _add_epoch(trial, event)
        case TrialStarted():
            return _start(trial, event)
        case FoldFinished():
            return _add_fold(trial, event)
        case TrialFinished():
            return _finish(trial, event)


def _start(trial: Trial, event: TrialStarted) -> bool:
    if trial.state != "WAITING":
        return False
    if trial.started is None:  # else it is trained further
        trial.started = event.time
    trial.state = "RUNNING"
    return True


def _add_epoch(trial: Trial, event: EpochFinished) -> bool:
    if trial.state not in ("WAITING", "RUNNING") or event.epoch != trial.n_epochs:
        return False  # a repeated event, or of an abandoned attempt
    trial.state = "RUNNING"
    trial.times.append(event.time)
    trial.scores.append(event.scores)
    if event.values is not None:
        trial.epoch_values = [*(trial.epoch_values or ()), event.values]
    for name, values in event.metrics.items():
        trial.curves.setdefault(name, []).append(values)
    return True


def _add_fold(trial: Trial, event: FoldFinished) -> bool:
    if trial.state not in ("WAITING", "RUNNING") or event.fold != len(trial.folds):
        return False
    trial.state = "RUNNING"
    trial.folds.append(event.scores)
    return True


def _finish(trial: Trial, event: TrialFinished) -> bool:
    if trial.state not in ("WAITING", "RUNNING"):
        return False
    trial.ended, trial.state = event.time, event.state
    trial.score, trial.spread, trial.best_epoch = event.score, event.spread, event.best_epoch
    trial.fold_scores, trial.values = event.fold_scores, event.values
    trial.measured = event.measured
    trial.seconds, trial.latency_ms = event.seconds, event.latency_ms
    trial.n_parameters, trial.trainer = event.n_parameters, event.trainer
    trial.error, trial.traceback = event.error, event.traceback
    trial.predictions, trial.predictions_crc32 = event.predictions, event.predictions_crc32
    return True
