"""The layout of a study in MLflow: names, tags, params and points.

Pure functions from a `History` to plain values, without a client. `docs/tracking.md` describes the
layout for users.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..events import SourceVersion
from ..history import History, total_violation
from ..platforms.files import DRAFT
from ..redaction import redact, redact_named
from ..trial import Trial, is_score, mean
from ..verdict import describe_members, describe_verdict

KEY_TAG = "hpsearch.key"  # <study's key> of the study's run, <study's key>/<trial>/<attempt>
GREATER_IS_BETTER_TAG = "mlflow.experiment.primaryMetric.greaterIsBetter"  # of the experiment
SENT_TAG = "hpsearch.sent"  # of the study's run: the acknowledged position in the journal
SOURCE_DIFF = "source.diff"  # in the study's folder: uncommitted changes
REPLACED = "/replaced"  # suffix of the key of a run of a replaced journal
FINALIST_SCORE = "finalist_score"  # a metric
MAX_TAG_LENGTH = 8000  # characters, MLflow's limit, as are the next two
MAX_PARAM_LENGTH = 6000
MAX_DIGEST_LENGTH = 36
WEB_SCHEMES = ("http", "https")
ARTIFACT_SCHEMES = ("abfss", "gs", "hdfs", "s3", "viewfs")  # MLflow's types of a dataset's source

_SOURCE = {"mlflow.source.name": "hpsearch", "mlflow.source.type": "LOCAL"}
# A pruned trial has not failed: its run is FINISHED, with the tag PRUNED.
RUN_STATUS = {"COMPLETE": "FINISHED", "PRUNED": "FINISHED", "FAILED": "FAILED", "LOST": "KILLED"}


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One value of a metric."""

    name: str
    value: float
    time: int  # milliseconds since the epoch, from the journal: a replay repeats it
    step: int


def final_files(folder: Path, history: History) -> list[Path]:
    """List the files of the final fit to upload."""
    final = folder / "final"
    known = history.final.digests if history.final else None
    return [
        path
        for path in _files_of(final.rglob("*"))
        if known is None or path.relative_to(final).as_posix() in known
    ]


STUDY_TAG = "hpsearch.study"  # of a renamed study's run: its present name


def plot_files(folder: Path) -> list[Path]:
    """List the plots, pages and report to upload."""
    return _files_of([*(folder / "plots").glob("*"), *folder.glob("report.html")])


def _files_of(paths: Iterable[Path]) -> list[Path]:
    """Return the files among `paths`, without drafts left by a crash."""
    return [path for path in sorted(paths) if path.is_file() and DRAFT not in path.name]


def trial_key(history: History, trial: Trial) -> str:
    """Return the key that identifies a trial's run."""
    return f"{history.key}/{trial.number}/{trial.attempt}"


def winner_tags(history: History) -> dict[str, str]:
    """Return the tag `winner` by run: "true" of the winner's, "false" of an earlier winner's."""
    former = (f"{history.key}/{each.trial}/{each.attempt}" for each in history.former_winners)
    tags = dict.fromkeys(former, "false")
    if chosen := history.winning_trial():
        tags[trial_key(history, chosen)] = "true"
    return tags


def run_name(history: History, key: str) -> str:
    """Return the name of the run with this key."""
    key = key.removesuffix(REPLACED)
    number, _, attempt = key.removeprefix(f"{history.key}/").rpartition("/")
    if not number:
        return history.name
    return f"trial-{int(number):03d}" + (f"-retry-{attempt}" if attempt != "0" else "")


def experiment_tags(history: History) -> dict[str, str]:
    """Return the tags that configure the experiment's table of runs."""
    return {
        "mlflow.experimentKind": "custom_model_development",
        "mlflow.experiment.primaryMetric.name": "score",
        GREATER_IS_BETTER_TAG: str(history.maximize),
    }


def study_tags(history: History) -> dict[str, str]:
    """Return the tags of the study's run."""
    study = history.study
    shown = {
        "task": study.task,
        "sampler": study.sampler,
        "pruner": study.pruner,
        "trainer": study.trainer,
        "seed": study.seed,
        "fingerprint": study.fingerprint,
    }
    return {
        KEY_TAG: history.key,
        "hpsearch.kind": "study",
        "objective": f"{history.metric} ({history.direction})",
        **{name: tag_value(value) for name, value in shown.items() if value not in (None, "")},
        **owner_tags(history),
        **source_tags(history),
    }


def owner_tags(history: History) -> dict[str, str]:
    """Return the tags of user and machine, which distinguish studies with the same name."""
    named = {"mlflow.user": history.study.owner, "host": history.study.host}
    return {tag: tag_value(value) for tag, value in named.items() if value}


def source_tags(history: History) -> dict[str, str]:
    """Return the tags of hpsearch and of the study file's commit."""
    source = history.study.source or SourceVersion()
    found = {"mlflow.source.git.commit": source.commit, "mlflow.source.git.branch": source.branch}
    return {**_SOURCE, **{tag: value for tag, value in found.items() if value}}


def study_params(history: History) -> dict[str, str]:
    """Return the declaration without its search space as `section.key` params."""
    spec = {k: v for k, v in history.study.spec.items() if k != "search_space"}
    return dict(_flatten(spec))


def trial_tags(history: History, trial: Trial, parent: str) -> dict[str, str]:
    """Return the initial tags of a trial's run."""
    return {
        KEY_TAG: trial_key(history, trial),
        "mlflow.parentRunId": parent,
        "hpsearch.kind": "trial",
        "number": str(trial.number),
        "attempt": str(trial.attempt),
        "revision": str(trial.revision),
        "seed": str(trial.seed),
        "sampler": tag_value(history.study.sampler),
        **owner_tags(history),
        **source_tags(history),
    }


def start_time(trial: Trial) -> int:
    """Return the start of a trial's run in milliseconds since the epoch."""
    return trial.started or trial.asked


def trial_params(trial: Trial) -> dict[str, str]:
    """Return the hyperparameters as MLflow params."""
    return {metric_name(name): _param_value(value) for name, value in trial.params.items()}


def result_tags(trial: Trial) -> dict[str, str]:
    """Return the tags that change during a trial."""
    tags = {"state": str(trial.state)}
    if trial.trainer:
        tags["trainer"] = trial.trainer
    if trial.error:
        tags["error"] = tag_value(trial.error)
    return tags


def curve_points(history: History, trial: Trial, sent: int) -> Iterator[MetricPoint]:
    """Return the curves after `sent` epochs: means, and each fold's loss and objective."""
    for name, rows in trial.curves.items():
        per_fold = name in ("val/loss", f"val/{history.metric}")
        for epoch in range(max(sent, trial.n_dropped), trial.n_epochs):
            time, values = trial.times[epoch - trial.n_dropped], rows[epoch - trial.n_dropped]
            step = epoch + history.study.first_epoch
            yield MetricPoint(metric_name(name), mean(values), time, step)
            if per_fold:
                for fold, value in enumerate(values):
                    label = f"fold_{fold}/{name.replace('/', '_')}"
                    yield MetricPoint(metric_name(label), float(value), time, step)


def result_points(history: History, trial: Trial) -> Iterator[MetricPoint]:
    """Return the points of a trial's result, at step 0."""
    best = trial.best_epoch
    values = {
        "score": trial.score,
        "score_std": trial.spread,
        "best_epoch": None if best is None else best + history.study.first_epoch,
        "n_parameters": trial.n_parameters,
        "seconds": trial.seconds,
        FINALIST_SCORE: trial.finalist_score,
    }
    values |= {"latency_ms": trial.latency_ms}
    for name, value in values.items():
        if value is not None and trial.ended is not None:
            yield MetricPoint(name, float(value), trial.ended, 0)
    if (violations := history.violations(trial)) is not None and trial.ended is not None:
        time = max(trial.ended, history.limits_began)  # the latest one counts
        yield MetricPoint("violation", total_violation(violations), time, 0)


def is_trial_metric(name: str) -> bool:
    """Whether hpsearch writes this metric of a trial; others were logged by a user."""
    results = (
        "score",
        "score_std",
        "best_epoch",
        "n_parameters",
        "seconds",
        "latency_ms",
        "violation",
    )
    return name in results or name.startswith(("train/", "val/", "fold_"))


def is_study_metric(name: str) -> bool:
    """Whether hpsearch writes this metric of a study, system metrics excluded."""
    return name in ("best_score", "ms_per_row") or name.startswith(
        ("winner_", "finalist_score", "ensemble_", "test/", "baseline/", "single/")
    )


def best_points(history: History) -> Iterator[tuple[Trial, MetricPoint]]:
    """Return the best score so far, by number of the trial that ended."""
    for trial, best in history.improvements():
        yield trial, MetricPoint("best_score", best, trial.ended or 0, trial.number)


def outcome_tags(history: History) -> dict[str, str]:
    """Return the result as tags of the study's run."""
    tags = {}
    if history.winner is not None and (chosen := history.winning_trial()):
        tags["winner"] = chosen.name
        if history.winner.is_ensemble:
            tags["ensemble"] = tag_value(describe_members(history.winner.members))
    if history.end is not None:
        tags["ended"] = tag_value(history.end.reason)
    if notes := history.notes_of_changes():
        tags["changes"] = tag_value("\n".join(notes))
    if history.final is not None and (verdict := describe_verdict(history.final.baselines)):
        tags["verdict"] = verdict
    if history.promotions:
        last = history.promotions[-1]
        tags["promoted"] = f"{last.name} version {last.version} @{last.alias}"
    return tags


def winner_points(history: History) -> Iterator[MetricPoint]:
    """Return the winner's points on the study's run."""
    winner = history.winner
    if winner is None:
        return
    values = {
        "winner_score": winner.score,
        "winner_score_std": winner.spread,
        "winner_epochs": winner.epochs,
        "finalist_score": winner.finalist_score,
        "finalist_score_std": winner.finalist_spread,
    }
    if winner.ensemble is not None:
        values["ensemble_score"] = winner.ensemble.score
        values["ensemble_advantage"] = winner.ensemble.advantage
        values["ensemble_advantage_error"] = winner.ensemble.error
    for name, value in values.items():
        if value is not None:
            yield MetricPoint(name, float(value), winner.time, 0)


def final_points(history: History) -> Iterator[MetricPoint]:
    """Return the locked scores on the study's run, and the time of serving."""
    final = history.final
    if final is None:
        return
    values = {f"test/{k}": v for k, v in final.test.items()}
    for name, (low, high) in final.intervals.items():
        values[f"test/{name}_low"], values[f"test/{name}_high"] = low, high
    for baseline in final.baselines:
        values |= {f"baseline/{baseline.name}/{k}": v for k, v in baseline.metrics.items()}
    if history.fitted is not None and history.fitted.ms_per_row is not None:
        values["ms_per_row"] = history.fitted.ms_per_row
    if final.single is not None:
        values |= {f"single/{k}": v for k, v in final.single.metrics.items()}
    for name, value in values.items():
        if is_score(value):
            yield MetricPoint(metric_name(name), float(value), final.time, 0)


def dataset_fields(history: History) -> dict[str, str]:
    """Build the fields of the runs' dataset; its digest is hpsearch's fingerprint."""
    data = history.study.data
    rows, columns = data.rows, data.columns
    width = len(columns) if isinstance(columns, list | dict) else columns
    profile = {
        k: v
        for k, v in asdict(data).items()
        if k not in ("name", "columns", "versions") and v is not None
    }
    if isinstance(rows, int) and isinstance(width, int):
        profile |= {"num_rows": rows, "num_columns": width, "num_elements": rows * width}
    name = str(data.name or history.name)
    return {
        "name": _clean_text(name)[:500],
        "digest": history.study.fingerprint[:MAX_DIGEST_LENGTH] or "unknown",
        **describe_source(name, data.versions),
        "profile": _clean_text(json.dumps(profile, default=str)),
    }


def describe_source(name: str, versions: Mapping[str, str]) -> dict[str, str]:
    """Describe the source of the dataset with MLflow's class for it."""
    for location, version in versions.items():
        found = re.fullmatch(r"delta version (\d+)", version)
        if found:
            delta = {"path": location, "delta_table_version": int(found[1])}
            return {"source_type": "delta_table", "source": _clean_text(json.dumps(delta))}
        source = {"uri": location}
        found = re.fullmatch(r"iceberg snapshot (\d+)", version)
        if found:  # for which MLflow has no class of its own
            source["iceberg_snapshot_id"] = found[1]
        scheme = location.partition("://")[0]
        if scheme in WEB_SCHEMES:
            return {"source_type": "http", "source": _clean_text(json.dumps({"url": location}))}
        if scheme in ARTIFACT_SCHEMES:
            return {"source_type": scheme, "source": _clean_text(json.dumps(source))}
        if found:
            return {"source_type": "local", "source": _clean_text(json.dumps(source))}
    return {"source_type": "local", "source": _clean_text(json.dumps({"uri": name}))}


def spec_yaml(history: History) -> str:
    """Format the declaration as YAML."""
    from ruamel.yaml import YAML

    text = io.StringIO()
    yaml = YAML()  # keeps the user's order
    yaml.default_flow_style = False
    yaml.dump(history.study.spec, text)
    return redact(text.getvalue())


def environment_json(history: History) -> str:
    """Format the versions and the machine of a study."""
    environment = history.study.environment or {}
    return redact(json.dumps(environment, indent=2, default=str)) + "\n"


def metric_name(name: str) -> str:
    """Replace the characters that MLflow does not allow in the name of a metric or param."""
    return re.sub(r"[^\w\-. :/]", "_", name)[:250]


def tag_value(value: Any) -> str:
    """Truncate a tag's value to MLflow's limit."""
    text = _clean_text(value if isinstance(value, str) else json.dumps(value, default=str))
    return text if len(text) <= MAX_TAG_LENGTH else text[: MAX_TAG_LENGTH - 1] + "…"


def _flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        is_told = not isinstance(value, str) or prefix.startswith("data.")  # columns' names
        yield metric_name(prefix), _param_value(value if is_told else redact_named(prefix, value))


def _param_value(value: Any) -> str:
    return _clean_text(str(value))[:MAX_PARAM_LENGTH]


def _clean_text(text: str) -> str:
    """Remove secrets, and characters that a database may refuse."""
    return redact(text).replace("\0", "\ufffd")
