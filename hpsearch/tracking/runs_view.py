"""The view of a study's trials in MLflow's page of runs.

MLflow stores the views of that page ("Views" beside its search field) as tags of the experiment: a
name, two times and the page's state as JSON. This view lists the trials without nesting, best
first, with scores, states, hyperparameters and charts.

States are a column: MLflow draws FINISHED, of pruned trials too, as a green tick, and KILLED as a
failure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..history import History
from .mlflow_layout import FINALIST_SCORE, GREATER_IS_BETTER_TAG, KEY_TAG, metric_name

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from .study_runs import StudyRun

VIEW_TAG = "mlflow.sharedViewState."  # the prefix of the tags that hold views
MAX_VIEW_PARAMS = 16  # columns of hyperparameters; MLflow's limit of a tag is 5,000 characters
SECTION = "hpsearch"  # the id of the charts' section
MODEL_TRAINING = "workflowType=machine_learning"  # the other kind is for generative AI
EXPERIMENTS_PAGE = f"#/experiments?{MODEL_TRAINING}"


def view_id(key: str) -> str:
    """Return the id, used in page addresses, of the view of the study with this key.

    Short enough not to be redacted as a secret.
    """
    return f"trials-{key[:8]}"


def view_tag(history: History) -> tuple[str, str]:
    """Return name and value of the experiment's tag with the view of a study."""
    created = history.study.time
    view = {
        "name": f"{history.name}: trials, the best first",
        "createdAt": created,
        "updatedAt": created,
        "state": json.dumps(_page_state(history), separators=(",", ":")),
    }
    return VIEW_TAG + view_id(history.key), json.dumps(view)


def find_runs_page(client: MlflowClient, run: StudyRun) -> str:
    """Return the address after `/` that shows the trials of a study, best first.

    A study sent by an earlier version has no view; the page then shows the whole experiment, sorted
    by score.
    """
    experiment = client.get_experiment(run.experiment_id)
    query = f"viewStateShareKey={view_id(run.key)}"
    if VIEW_TAG + view_id(run.key) not in experiment.tags:
        greater = experiment.tags.get(GREATER_IS_BETTER_TAG) != "False"
        query = f"orderByKey=metrics.%60score%60&orderByAsc={str(not greater).lower()}"
    return f"#/experiments/{run.experiment_id}/runs?{query}&{MODEL_TRAINING}"


def run_page(experiment: str, run: str) -> str:
    """The part of an address after `/` that shows a run, in the pages for model training."""
    return f"#/experiments/{experiment}/runs/{run}?{MODEL_TRAINING}"


def _page_state(history: History) -> dict[str, Any]:
    space = _search_space(history)
    metrics = ["score", "score_std", FINALIST_SCORE, "best_epoch", "seconds"]
    columns = [
        "tags.`state`",
        "tags.`winner`",
        *(f"metrics.`{name}`" for name in metrics),
        *(f"params.`{metric_name(name)}`" for name in space),
    ]
    return {
        "searchFilter": f"tags.`{KEY_TAG}` LIKE '{history.key}/%'",
        "orderByKey": "metrics.`score`",
        "orderByAsc": not history.maximize,
        "selectedColumns": columns,
        "columnOrder": columns,
        "compareRunCharts": _charts(history, space),
        "compareRunSections": [
            {"uuid": SECTION, "name": "Search", "display": True, "isReordered": True}
        ],
        "isAccordionReordered": True,
    }


def _search_space(history: History) -> dict[str, Any]:
    """Return the first hyperparameters, with their declarations if they have any.

    Hyperparameters that a custom model requests are taken from the first trials.
    """
    study = history.study
    declared = dict((study.resolved or study.spec).get("search_space") or {})
    asked: dict[str, Any] = {name: {} for trial in history.trials[:10] for name in trial.params}
    searched = {name: how for name, how in (asked | declared).items() if not _is_fixed(how)}
    return dict(list(searched.items())[:MAX_VIEW_PARAMS])


def _is_fixed(declared: Any) -> bool:
    if isinstance(declared, Mapping):
        return declared.get("type") == "fixed"
    return not isinstance(declared, list)  # a bare value; a list is a choice


def _charts(history: History, space: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Build charts: score by trial, curves of the objective and the loss, and parallel coordinates.

    MLflow only draws runs with all coordinates, so conditional hyperparameters are left out.
    """
    curves = dict.fromkeys([f"val/{history.metric}", "val/loss"])
    charts: list[dict[str, Any]] = [
        {"type": "BAR", "metricKey": "score"},  # its title in MLflow is the metric
        *({"type": "LINE", "metricKey": metric_name(name), "displayName": name} for name in curves),
    ]
    shared = [
        metric_name(name)
        for name, declared in space.items()
        if not (isinstance(declared, Mapping) and declared.get("when"))
    ]
    charts.append({"type": "PARALLEL", "selectedParams": shared, "selectedMetrics": ["score"]})
    common = {
        "metricSectionId": SECTION,
        "deleted": False,
        "isGenerated": False,
        "runsCountToCompare": 10,
    }
    return [{"uuid": f"{SECTION}-{i}", **common, **chart} for i, chart in enumerate(charts)]
