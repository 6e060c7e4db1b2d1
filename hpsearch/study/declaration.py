"""Record what a study's results depend on, and find what has changed when it continues.

This includes every key of the study file with its default, defaults defined elsewhere, user code,
and the versions of packages for training and sampling. It is written to the journal when the study
starts, and when a change is accepted.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from ..events import StudyCreated
from ..models import FAMILIES, find_family, make_training_defaults
from ..plugins import find_plugin
from ..search.pruners import PRUNERS, find_pruner
from ..search.samplers import SAMPLERS
from ..search.samplers import sampler_packages as packages_of_sampler
from ..spec.parameter_domains import format_value
from ..spec.study_file import StudyFile
from ..spec.study_spec import StudySpec
from ..training import batching, losses, optimizers, schedules
from ..training.metrics import METRICS
from .resolved_study import CheckedStudy, ResolvedStudy
from .weight_files import compute_user_digests, is_weight_file

PACKAGES = (
    *("hpsearch", "keras", "jax", "jaxlib", "tensorflow", "numpy"),
    *("scikit-learn", "optuna", "keras-tuner", "cmaes", "torch", "mlflow"),
)
TRAINED_BY = {"vectorized": ("jax", "jaxlib"), "keras_fit": ("tensorflow",)}
# Parts of a declaration that may change; a study is renamed by `hpsearch rename`.
MAY_CHANGE = ("budget", "execution", "selection", "serve", "study")
WITHOUT_EFFECT = ("training.checkpoint",)  # keys of other parts that change no result
SPACE = ("search_space", "constraints")  # trials outside an edited space are not ranked
# Changes that can be accepted: new trials may differ from earlier ones, but rows, folds and
# objective are equal, so that all trials of the space can be ranked together.
ACCEPTABLE = ("training", "model", "defaults", "code", "version", *SPACE)


@dataclass(frozen=True, slots=True)
class Declaration:
    """Fields of the journal's first line and of its `changed` events."""

    resolved: Mapping[str, Any]  # all keys of the study file, with defaults
    defaults: Mapping[str, Any]  # defaults that are not keys of the file
    files: Mapping[str, str]  # user code: path -> SHA-256
    environment: Mapping[str, str]  # versions and machine

    def to_record(self) -> dict[str, Any]:
        """Return the fields as stored in the journal."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Change:
    """One difference."""

    key: str
    then: str
    now: str
    is_default: bool = False  # the current value is a default

    @property
    def is_acceptable(self) -> bool:
        """Whether the study can continue with the change."""
        return self._part in ACCEPTABLE

    @property
    def is_of_space(self) -> bool:
        """Whether the search space has changed."""
        return self._part in SPACE

    @property
    def _part(self) -> str:
        return self.key.split(".")[0].split(" ")[0]

    def __str__(self) -> str:
        default = " (a default)" if self.is_default else ""
        return f"{self.key}: {self.then} then, {self.now} now{default}"


def build_declaration(study: ResolvedStudy) -> Declaration:
    """Collect what a study's results depend on besides its data."""
    file = study.file
    return Declaration(
        resolved=file.dump_written(),
        defaults=_default_arguments(study),
        files=compute_user_digests(file),
        environment=describe_environment() | plugin_versions(study),
    )


def resolve_defaults(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return a declaration with all defaults, and paths as written."""
    return StudySpec.model_validate(raw).model_dump(mode="json")


def describe_environment() -> dict[str, str]:
    """Return versions and machine, without environment variables."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # TensorFlow need not be installed for JAX
    return {"python": platform.python_version(), "machine": platform.machine(), **versions}


def plugin_versions(study: CheckedStudy) -> dict[str, str]:
    """Return the versions of plugin packages that the study uses."""
    spec = study.spec
    named = [
        *(("samplers", spec.sampler.kind), ("pruners", study.pruner_kind)),
        *(("metrics", o.metric) for o in [spec.objective, *(spec.objectives or ())] if o),
        ("families", spec.model_name),
    ]
    built_in = {*SAMPLERS, *PRUNERS, *METRICS, *FAMILIES}
    found = [find_plugin(kind, name) for kind, name in named if name not in built_in]
    return {plugin.package: plugin.version for plugin in found if plugin}


def _default_arguments(study: ResolvedStudy) -> dict[str, Any]:
    """Return hpsearch's defaults of hyperparameters that the study file does not declare."""
    spec = study.spec
    family = find_family(spec.model_name)
    loss = spec.data.pinball_metric or next(iter(losses.LOSSES[study.task]), None)
    training = {
        "optimizer": optimizers.DEFAULT_OPTIMIZER,
        "learning_rate": schedules.DEFAULT_LEARNING_RATE,
        "batch_size": batching.DEFAULT_BATCH_SIZE,
        "schedule": schedules.DEFAULT_SCHEDULE,
        "loss": loss,
    }
    usual = make_training_defaults(spec.model_name, study.task)
    hyperparameters = {**training, **usual, **((family.defaults if family else None) or {})}
    silent = {k: v for k, v in hyperparameters.items() if k not in spec.search_space}
    kind = study.pruner_kind
    found = find_pruner(kind)
    options = (found[1] if found else {}).items()
    declared = {"kind", *spec.pruner.options} if spec.pruner else set()
    pruner = {k: v for k, v in (("kind", kind), *options) if k not in declared}
    return {**silent, "pruner": pruner}


def packages_of(study: CheckedStudy, trainer: str) -> tuple[str, ...]:
    """Return the packages whose versions can change a study's results."""
    spec = study.spec
    pruned_by_optuna = study.pruner_kind in ("median", "percentile", "patience", "threshold")
    folds = spec.cross_validation
    return (
        *("hpsearch", "keras", "numpy"),
        *TRAINED_BY[trainer],
        *packages_of_sampler(spec.sampler.kind),
        *(["optuna"] if pruned_by_optuna else []),
        *(["scikit-learn"] if folds and folds.kind == "stratified_group" else []),
        *plugin_versions(study),
    )


def find_changes(
    before: StudyCreated, now: Declaration, *, file: StudyFile, packages: tuple[str, ...]
) -> list[Change]:
    """Find the differences from the journal's declaration.

    Args:
        before: The journal's first event, with the last accepted change.
        now: The declaration for the next trials.
        file: The study file.
        packages: Packages whose versions are compared.
    """
    return [
        *_changed_values(before, now, _flatten(file.raw)),
        *_changed_defaults(before.defaults, now.defaults),
        *_changed_files(before.files, now.files),
        *_changed_versions(before.environment or {}, now.environment, packages),
    ]


def _changed_values(
    before: StudyCreated, now: Declaration, declared: Mapping[str, Any]
) -> Iterator[Change]:
    """Compare the keys of the study file; keys newer than the journal count only if declared.

    An option of the pruner that only one of the files declares is compared with its default.
    """
    then = _flatten(before.resolved or resolve_defaults(before.spec))
    here = _flatten(now.resolved)
    usual_then, usual_now = (_flatten_pruner(d.defaults) for d in (before, now))
    for key in sorted(then.keys() | here.keys()):
        is_declared = any(_is_within(key, name) or _is_within(name, key) for name in declared)
        is_news = key in then or is_declared
        is_free = key.split(".")[0] in MAY_CHANGE or key in WITHOUT_EFFECT
        was, value = then.get(key), here.get(key)
        if was is None:
            was = None if value is None else usual_then.get(key)
        elif value is None:
            value = usual_now.get(key)
        if is_free or was == value or not is_news:
            continue
        is_default = key in here and not is_declared
        yield Change(key, _format_value(was), _format_value(value), is_default)


def _flatten_pruner(defaults: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the defaults of the pruner, by keys of the study file."""
    return _flatten((defaults or {}).get("pruner") or {}, "pruner")


def _is_within(key: str, section: str) -> bool:
    return key == section or key.startswith(f"{section}.")


def _format_value(value: Any) -> str:
    """Format a value of a study file, as YAML has it."""
    if isinstance(value, list):
        return f"[{', '.join(map(format_value, value))}]"
    return "not given" if value is None else format_value(value)


def _changed_defaults(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> Iterator[Change]:
    """Compare the defaults stored in the journal."""
    then, here = _flatten(before or {}), _flatten(now)
    for key in sorted(then.keys() & here.keys()):
        if then[key] != here[key]:
            yield Change(f"defaults.{key}", repr(then[key]), repr(here[key]), is_default=True)


def _changed_files(before: Mapping[str, str] | None, now: Mapping[str, str]) -> Iterator[Change]:
    """Find edited, added and removed files; a moved file counts as equal."""
    if before is None:
        return
    moved = set(before.values()) & set(now.values())
    for name in sorted(before.keys() | now.keys()):
        then, here = before.get(name), now.get(name)
        if then == here or (then in moved and here is None) or (then is None and here in moved):
            continue
        if then is None and is_weight_file(name):
            continue  # an earlier version recorded none; code that is new to load them has changed
        yield Change(f"code {name}", _format_digest(then), _format_digest(here))


def _format_digest(sha256: str | None) -> str:
    return "not used" if sha256 is None else f"SHA-256 {sha256[:12]}"


def _changed_versions(
    before: Mapping[str, str], now: Mapping[str, str], packages: tuple[str, ...]
) -> Iterator[Change]:
    for name in packages:
        if name in before and before[name] != now.get(name):
            yield Change(f"version of {name}", before[name], now.get(name, "not installed"))


def _flatten(value: Any, key: str = "") -> dict[str, Any]:
    """Flatten `{"a": {"b": 1}}` to `{"a.b": 1}`."""
    if not isinstance(value, Mapping) or not value:
        return {key: value}
    prefix = f"{key}." if key else ""
    return {
        k: v for name, child in value.items() for k, v in _flatten(child, f"{prefix}{name}").items()
    }
