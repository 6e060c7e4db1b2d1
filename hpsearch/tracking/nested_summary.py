"""Send the summary of a nested cross-validation as one run in the study's experiment.

The outer folds are studies with their own experiments, to which the run links. Sending it again
updates the same run, as long as the studies are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..platforms.identity import host_name, user_name
from .mlflow_layout import KEY_TAG, MetricPoint, metric_name, tag_value
from .runs_view import run_page
from .store import get_experiment_id, limited_requests

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True, slots=True)
class OuterFoldResult:
    """The result of one outer fold's study."""

    study: str
    key: str  # the journal's key
    location: tuple[str, str] | None  # ids of its experiment and run; None: not in the store yet
    time: int  # of its final fit, milliseconds since the epoch
    search_score: float  # the search's score
    test: Mapping[str, float]  # on the locked rows, the objective first
    intervals: Mapping[str, Sequence[float]]  # 95%


def send_nested(
    client: MlflowClient, name: str, folds: Sequence[OuterFoldResult], *, artifacts: str | None
) -> str:
    """Send the summary; repeated calls update the same run.

    Args:
        client: Client of the store.
        name: Name of the study and its experiment.
        folds: The outer folds in order.
        artifacts: Artifact location of a new experiment (`store.artifact_location`).

    Returns:
        The run's id.

    Raises:
        TrackingError: If the experiment has been deleted.
    """
    from mlflow.entities import Metric, Param, RunTag

    with limited_requests(client.tracking_uri):
        run = _find_or_create_run(client, name, folds, artifacts)
        client.log_batch(
            run,
            metrics=[Metric(p.name, p.value, p.time, p.step) for p in _metric_points(folds)],
            params=[Param("folds", str(len(folds)))],
            tags=[RunTag("mlflow.note.content", tag_value(_format_note(name, folds)))],
        )
        client.set_terminated(run, "FINISHED", folds[-1].time)
    return run


def _find_or_create_run(
    client: MlflowClient, name: str, folds: Sequence[OuterFoldResult], artifacts: str | None
) -> str:
    """Find the run of an earlier call, or create it."""
    experiment = get_experiment_id(client, name, artifacts)
    tags = {KEY_TAG: "/".join(["nested", *(fold.key for fold in folds)]), "hpsearch.kind": "nested"}
    tags |= {"mlflow.user": user_name(), "host": host_name()}
    runs = client.search_runs([experiment], f"tags.`{KEY_TAG}` = '{tags[KEY_TAG]}'")
    made = (
        runs[0]
        if runs
        else client.create_run(experiment, folds[0].time, tags, f"nested-{len(folds)}")
    )
    return str(made.info.run_id)


def _metric_points(folds: Sequence[OuterFoldResult]) -> Iterator[MetricPoint]:
    """Build points: means as single values, outer folds by step from 1."""
    end = folds[-1].time
    measured = {"promised": [fold.search_score for fold in folds]}
    for metric in folds[0].test:
        measured[f"test/{metric}"] = [fold.test[metric] for fold in folds]
    for name, values in measured.items():
        yield MetricPoint(metric_name(name), float(np.mean(values)), end, 0)
        yield MetricPoint(metric_name(f"{name}_std"), float(np.std(values)), end, 0)
    for step, fold in enumerate(folds, start=1):
        each = {"promised": fold.search_score, **fold.test}
        for metric in fold.test:
            each[f"{metric}_low"], each[f"{metric}_high"] = fold.intervals[metric]
        for name, value in each.items():
            yield MetricPoint(metric_name(f"outer/{name}"), float(value), fold.time, step)


def _format_note(name: str, folds: Sequence[OuterFoldResult]) -> str:
    objective = next(iter(folds[0].test))
    scores = [fold.test[objective] for fold in folds]
    promised = np.mean([fold.search_score for fold in folds])
    lines = [
        f"**{name}**, nested cross-validation: `{objective}` {np.mean(scores):.4f} ± "
        f"{np.std(scores):.4f} over {len(folds)} outer folds, on rows that no part of the "
        f"procedure has seen. Its searches promised {promised:.4f}.",
        "",
        f"| outer fold | search | {objective} | 95% interval |",
        "|---|---|---|---|",
    ]
    for fold in folds:
        low, high = fold.intervals[objective]
        shown = fold.study
        if fold.location is not None:
            shown = f"[{shown}]({run_page(*fold.location)})"
        lines.append(
            f"| {shown} | {fold.search_score:.4f} | {fold.test[objective]:.4f} | "
            f"{low:.4f} to {high:.4f} |"
        )
    return "\n".join(lines)
