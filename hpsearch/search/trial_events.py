"""The events of the loop: how reports of an executor are recorded in the journal."""

from __future__ import annotations

from ..events import EpochFinished, FoldFinished, TrialFinished, TrialStarted
from ..execution.executor import Started
from ..history import History
from ..trial import EpochReport, FoldReport, TrialResult
from .event_writer import EventWriter, to_list
from .objectives import measure_quantities, objective_values, values_after_epoch


def make_progress_event(
    report: Started | EpochReport | FoldReport, history: History
) -> TrialStarted | EpochFinished | FoldFinished:
    """Convert a report about a running trial to its event."""
    trial = history.latest(report.trial)
    attempt = trial.attempt
    match report:
        case Started(number):
            return TrialStarted(trial=number, attempt=attempt)
        case EpochReport():
            return EpochFinished(
                trial=report.trial,
                attempt=attempt,
                epoch=report.epoch,
                scores=to_list(report.scores),
                values=values_after_epoch(trial, report, history.objectives),
                metrics={name: to_list(values) for name, values in report.metrics.items()},
            )
        case FoldReport():
            return FoldFinished(
                trial=report.trial,
                attempt=attempt,
                fold=report.fold,
                scores=to_list(report.scores),
            )


def make_result_event(result: TrialResult, writer: EventWriter) -> TrialFinished:
    """Convert a result to its event; predictions are written to a file."""
    history = writer.history
    names = [name for name, _ in history.objectives]
    has_several = len(names) > 1
    trial, limited = history.latest(result.number), {limit.name for limit in history.limits}
    was_complete = history.last[result.number].state == "COMPLETE"  # and is extended
    predictions, crc32 = writer.write_predictions(result)
    return TrialFinished(
        trial=result.number,
        attempt=result.attempt,
        state="COMPLETE" if was_complete and result.state == "PRUNED" else result.state,
        score=result.score,
        spread=result.spread,
        best_epoch=result.best_epoch,
        fold_scores=None if result.fold_scores is None else to_list(result.fold_scores),
        seconds=result.seconds,
        n_parameters=result.n_parameters,
        values=objective_values(trial, result, names) if has_several else None,
        measured=measure_quantities(trial, result, sorted(limited)) if limited else None,
        latency_ms=result.latency_ms if has_several or limited else None,
        trainer=result.trainer,
        error=result.error,
        traceback=result.traceback,
        predictions=predictions,
        predictions_crc32=crc32,
    )
