"""The registry: which model versions there are and which of them are in use.

Every call names its client; nothing of MLflow's global state is read or set.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import faults
from ..errors import PromotionError
from ..platforms.locks import FileLock, LockHeldError
from .gate import Comparison, Gate, Judged, NotBetterError, compare, read_judged
from .package import as_saved, folder_sha256, sha256
from .reference import CHAMPION, PREVIOUS, Reference
from .turn import PATIENCE, turn

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

# Artifacts of a study's run: the folder of its final fit, which a study that goes on replaces, and
# below KEPT a copy of each that was registered.
FINAL, KEPT = "final", "promoted"
MODEL, PREDICTIONS = "model", "predictions.npz"  # in either
TAG = "hpsearch."


@dataclass(frozen=True, slots=True)
class Promotion:
    """What a promotion or a rollback left behind."""

    name: str
    version: int
    alias: str
    before: int | None  # the version that the alias left
    comparison: Comparison | None  # None: there was nobody to beat, or nobody was asked

    def event(self) -> dict[str, Any]:
        """The fields of the journal's `promoted` event."""
        return {
            "name": self.name,
            "version": self.version,
            "alias": self.alias,
            "before": self.before,
            "comparison": None if self.comparison is None else str(self.comparison),
        }


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """One line of `hpsearch models`."""

    name: str
    version: int
    aliases: tuple[str, ...]
    created: int  # milliseconds since the epoch
    lineage: Mapping[str, str]  # study, trial, run, fingerprint, metric, score, …

    @property
    def since(self) -> int:
        """When it got the first of its aliases, or was registered where it has none."""
        held = [self.lineage[key] for a in self.aliases if (key := f"since.{a}") in self.lineage]
        return min(map(int, held), default=self.created)


def promote(
    client: MlflowClient,
    run_id: str,
    reference: Reference,
    *,
    gate: Gate | None = None,
    force: bool = False,
) -> Promotion:
    """Register the model of a study's run and let the alias point to it.

    A run that was registered under the name before keeps its version.

    Args:
        client: Of the store that holds the run.
        run_id: The study's run, which holds the final fit.
        reference: Name and alias to be.
        gate: What the challenger must achieve against the version that has the alias.
        force: Promote whatever the comparison says; the version's tags tell.

    Raises:
        NotBetterError: If the challenger does not pass the gate.
        PromotionError: If the run has no model, or somebody else moved the alias meanwhile.
    """
    if reference.alias == PREVIOUS:
        raise PromotionError(f"alias {PREVIOUS!r} is kept by hpsearch: it is the last champion.")
    lineage = _lineage(client, run_id)
    holder = version_at(client, reference)
    if holder is not None and _is(holder, lineage):
        return Promotion(reference.name, int(holder.version), reference.alias, None, None)
    comparison = None
    if holder is not None and not force:
        comparison = _compare(client, run_id, holder, lineage["metric"], gate or Gate())
        if not comparison.passed:
            raise NotBetterError(f"{reference} stays version {holder.version}. {comparison}")
    with _one_at_a_time(client):
        _expect(client, reference, holder)
        version = _registered(client, run_id, reference.name, lineage)
        if force and holder is not None:
            client.set_model_version_tag(reference.name, str(version), f"{TAG}forced", "true")
        if comparison is not None:
            key = f"{TAG}comparison"
            client.set_model_version_tag(reference.name, str(version), key, str(comparison))
        faults.reach("before_promote")
        before = _move(client, reference, version, holder)
        faults.reach("after_promote")
    return Promotion(reference.name, version, reference.alias, before, comparison)


def rollback(client: MlflowClient, name: str) -> Promotion:
    """Let the last champion be the champion again; the two change places.

    Raises:
        PromotionError: If there was none.
    """
    reference = Reference(name)
    with _one_at_a_time(client):
        last = version_at(client, Reference(name, PREVIOUS))
        if last is None:
            raise PromotionError(
                f"{name} has no version before its champion: nothing to go back to."
            )
        holder = version_at(client, reference)
        before = _move(client, reference, int(last.version), holder)
    return Promotion(name, int(last.version), reference.alias, before, None)


def models(client: MlflowClient, name: str | None = None) -> list[RegisteredVersion]:
    """Every version that hpsearch registered, by name, the newest first."""
    names = [name] if name else sorted(m.name for m in _all(client.search_registered_models))
    found = []
    for each in names:
        aliases = _aliases(client, each)
        versions = _all(client.search_model_versions, filter_string=f"name = '{each}'")
        found += [_row(version, aliases) for version in versions if f"{TAG}run" in version.tags]
    return sorted(found, key=lambda row: (row.name, -row.version))


def version_at(client: MlflowClient, reference: Reference) -> ModelVersion | None:
    """The version that has the alias; None where none has."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(reference.name, reference.alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise PromotionError(f"{reference}: the registry does not answer: {error}") from error


def _lineage(client: MlflowClient, run_id: str) -> dict[str, str]:
    """What the packed model says of where it comes from."""
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model

    with tempfile.TemporaryDirectory() as folder:
        try:
            run = client.get_run(run_id)
            model = Path(client.download_artifacts(run_id, f"{FINAL}/{MODEL}", folder))
        except (MlflowException, OSError) as error:
            raise PromotionError(
                f"run {run_id} holds no fitted winner ({FINAL}/{MODEL}). Let the study end, or "
                "wait until its files have been uploaded: hpsearch tune SPEC goes on with it."
            ) from error
        plain = Model.load(model / "MLmodel").metadata or {}
        _check_whole(model / "artifacts")
        digest = folder_sha256(as_saved(model))
    flat = {k: v for k, v in plain.items() if not isinstance(v, Mapping)}
    flat |= {f"test.{k}": v for k, v in plain.get("test", {}).items()}
    return {
        **{key: str(value) for key, value in flat.items()},
        "run": run_id,
        "experiment": str(run.info.experiment_id),
        "sha256": digest,
    }


def _check_whole(artifacts: Path) -> None:
    """Refuse a network that is not the one which the study saved."""
    digests = json.loads((artifacts / "digests.json").read_text(encoding="utf-8"))
    if sha256(artifacts / "model.keras") != digests["model"]:
        raise PromotionError(
            "the study's model.keras is damaged: it is not the file that was saved. `hpsearch "
            "sync STUDY` sends MLflow what it lacks; `hpsearch tune SPEC --fresh` begins anew."
        )


def _compare(
    client: MlflowClient, run_id: str, holder: ModelVersion, metric: str, gate: Gate
) -> Comparison:
    with tempfile.TemporaryDirectory() as folder:
        challenger = _judged(client, run_id, FINAL, Path(folder) / "challenger")
        theirs, place = holder.tags.get(f"{TAG}run", ""), _place(holder.tags[f"{TAG}sha256"])
        champion = _judged(client, theirs, place, Path(folder) / "champion")
    return compare(challenger, champion, metric, gate)


def _judged(client: MlflowClient, run_id: str, place: str, folder: Path) -> Judged:
    from mlflow.exceptions import MlflowException

    folder.mkdir()
    try:
        path = client.download_artifacts(run_id, f"{place}/{PREDICTIONS}", str(folder))
    except (MlflowException, OSError):
        raise NotBetterError(
            f"challenger and champion cannot be compared: the {folder.name}'s study kept no "
            "predictions for locked rows (data.test_fraction)."
        ) from None
    return read_judged(Path(path))


def _registered(client: MlflowClient, run_id: str, name: str, lineage: Mapping[str, str]) -> int:
    """The version of the run's model under `name`, made where there is none."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise PromotionError(f"{name} cannot be registered: {error}") from error
    for version in _all(client.search_model_versions, filter_string=f"name = '{name}'"):
        if _is(version, lineage):
            return int(version.version)
    place = _place(lineage["sha256"])
    _keep(client, run_id, place)
    source = f"{client.get_run(run_id).info.artifact_uri}/{place}/{MODEL}"
    tags = {f"{TAG}{key}": value for key, value in lineage.items()}
    return int(client.create_model_version(name, source, run_id, tags=tags).version)


def _is(version: ModelVersion, lineage: Mapping[str, str]) -> bool:
    """Whether the version is this very model, and not an earlier winner of the same study."""
    return all(version.tags.get(f"{TAG}{key}") == lineage[key] for key in ("run", "sha256"))


def _place(digest: str) -> str:
    return f"{KEPT}/{digest[:16]}"


def _keep(client: MlflowClient, run_id: str, place: str) -> None:
    """Copy the final fit to where a study that goes on does not replace it."""
    with tempfile.TemporaryDirectory() as folder:
        final = Path(client.download_artifacts(run_id, FINAL, folder))
        client.log_artifacts(run_id, str(as_saved(final / MODEL)), f"{place}/{MODEL}")
        if (final / PREDICTIONS).exists():
            client.log_artifact(run_id, str(final / PREDICTIONS), place)


def _move(
    client: MlflowClient, reference: Reference, version: int, holder: ModelVersion | None
) -> int | None:
    """Point the alias to `version`; a champion becomes the previous one first."""
    before = None if holder is None else int(holder.version)
    if before is not None and before != version and reference.alias == CHAMPION:
        client.set_registered_model_alias(reference.name, PREVIOUS, str(before))
    client.set_registered_model_alias(reference.name, reference.alias, str(version))
    since = f"{TAG}since.{reference.alias}"
    client.set_model_version_tag(reference.name, str(version), since, str(int(time.time() * 1000)))
    return before


def _expect(client: MlflowClient, reference: Reference, holder: ModelVersion | None) -> None:
    """Refuse where the alias is no longer where the comparison found it."""
    now = version_at(client, reference)
    if (now and now.version) != (holder and holder.version):
        assert now is not None
        who = now.tags.get(f"{TAG}study", "somebody")
        raise PromotionError(
            f"{reference} was moved to version {now.version} (study {who}) meanwhile. "
            "Promote again to be compared with it."
        )


@contextmanager
def _one_at_a_time(client: MlflowClient) -> Iterator[None]:
    """No two promotions in one store at once.

    Promotions into a file of this machine wait at a lock that ends with its process; those on a
    server for a name, which a registry gives to one of several that ask at once.
    """
    uri = client.tracking_uri
    if not uri.startswith("sqlite:///"):
        with turn(client):
            yield
        return
    path = Path(uri.removeprefix("sqlite:///").partition("?")[0])
    try:
        lock = FileLock(path.with_name(f"{path.name}.promoting"), patience=PATIENCE)
    except LockHeldError as held:
        raise PromotionError(
            f"{held} has been promoting for {PATIENCE:.0f} s. Wait for it, or stop it."
        ) from None
    with lock:
        yield


def _aliases(client: MlflowClient, name: str) -> Mapping[str, str]:
    """Alias -> version."""
    from mlflow.exceptions import MlflowException

    try:
        aliases: Mapping[str, str] = client.get_registered_model(name).aliases
    except MlflowException as error:
        raise PromotionError(f"there is no registered model {name!r}.") from error
    return aliases


def _row(version: ModelVersion, aliases: Mapping[str, str]) -> RegisteredVersion:
    held = tuple(sorted(a for a, v in aliases.items() if int(v) == int(version.version)))
    tags = {k.removeprefix(TAG): v for k, v in version.tags.items() if k.startswith(TAG)}
    created = int(version.creation_timestamp)
    return RegisteredVersion(version.name, int(version.version), held, created, tags)


def _all(search: Any, **arguments: Any) -> list[Any]:
    """Every page of a search."""
    found: list[Any] = []
    token = None
    while True:
        page = search(**arguments, page_token=token)
        found += page
        token = page.token
        if not token:
            return found
