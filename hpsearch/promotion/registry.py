"""Register models, move their aliases and list their versions.

Every function takes a client; MLflow's global state is neither read nor changed.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import fault_injection
from ..errors import PromotionError
from ..events import ModelPromoted
from ..platforms.locks import FileLock, LockHeldError
from ..tracking.databricks import check_model_name, uses_catalog
from ..tracking.refusals import error_code, http_status, permission_denied
from ..tracking.server import may_edit
from .gate import Comparison, Gate, NotBetterError, compare_models
from .permissions import experiment_permission, explain_refusals, model_permission
from .reference import CHAMPION, PREVIOUS, Reference
from .registry_lock import (
    ALREADY_EXISTS,
    LOCK_NAME,
    TIMEOUT_SECONDS,
    name_catalog_lock,
    registry_lock,
)
from .run_files import (
    FINAL,
    copied_folder,
    copy_final_fit,
    locate_model_files,
    read_lineage,
    read_run_holdout,
)
from .version_note import MODEL_NOTE, render_version_note

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

logger = logging.getLogger("hpsearch.promotion")

TAG = "hpsearch."


@dataclass(frozen=True, slots=True)
class Promotion:
    """The outcome of a promotion or rollback."""

    name: str
    version: int
    alias: str
    before: int | None  # the version that had the alias before
    comparison: Comparison | None  # None: there was no champion, or the comparison was skipped
    code: str = ""  # the user's files that the model runs, with their digests
    verdict: str = ""  # the winner compared with the baselines on the locked rows

    def to_record(self) -> ModelPromoted:
        """Return the fields for the journal."""
        return ModelPromoted(
            name=self.name,
            version=self.version,
            alias=self.alias,
            before=self.before,
            comparison=None if self.comparison is None else str(self.comparison),
        )


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """A registered version: one row of `hpsearch models`."""

    name: str
    version: int
    aliases: tuple[str, ...]
    created: int  # milliseconds since the epoch
    lineage: Mapping[str, str]  # study, trial, run, fingerprint, metric, score, …

    @property
    def since(self) -> int:
        """Return the time of its first alias, or of its registration."""
        held = [self.lineage[key] for a in self.aliases if (key := f"since.{a}") in self.lineage]
        return min(map(int, held), default=self.created)


def promote_run(
    client: MlflowClient,
    run_id: str,
    reference: Reference,
    *,
    gate: Gate | None = None,
    force: bool = False,
) -> Promotion:
    """Register the model of a study's run and point the alias to it.

    A run that is already registered under the name keeps its version.

    Args:
        client: Client of the store that has the run.
        run_id: The study's run, which has the final fit.
        reference: Name and alias to set.
        gate: The condition that the challenger must meet against the version with the alias.
        force: Promote without a comparison; a tag of the version records it.

    Raises:
        NotBetterError: If the challenger does not pass the gate.
        PromotionError: If the run has no model, or the alias was moved in the meantime.
    """
    if reference.alias == PREVIOUS:
        raise PromotionError(
            f"alias {PREVIOUS!r} is reserved by hpsearch for the previous champion."
        )
    check_model_name(client, reference.name)
    with explain_refusals(experiment_permission("READ")):
        run = client.get_run(run_id).info
    model = model_permission("EDIT", reference.name)
    with explain_refusals(model), _ensure_registered_model(client, reference.name) as is_new:
        # If the name existed, the model may be registered already, which needs no EDIT.
        if is_new and not may_edit(client.tracking_uri, str(run.experiment_id)):
            raise PromotionError(
                permission_denied(experiment_permission("EDIT", run.run_name or ""))
            )
        with explain_refusals(experiment_permission("READ")):
            lineage = read_lineage(client, run_id)
        gate = gate or Gate()
        done = _promote_locked(client, run_id, reference, lineage, gate=gate, force=force)
        return replace(done, code=lineage.get("code", ""), verdict=lineage.get("verdict", ""))


def _promote_locked(
    client: MlflowClient,
    run_id: str,
    reference: Reference,
    lineage: Mapping[str, str],
    *,
    gate: Gate,
    force: bool,
) -> Promotion:
    holder = version_at(client, reference)
    if holder is not None and _is_same_model(holder, lineage):
        return Promotion(reference.name, int(holder.version), reference.alias, None, None)
    comparison = None
    if holder is not None and not force:
        comparison = _compare_with_champion(client, run_id, holder, lineage["metric"], gate)
        logger.info("%s against version %s: %s", reference, holder.version, comparison)
        if not comparison.is_better:
            raise NotBetterError(f"{reference} stays version {holder.version}. {comparison}")
    with _promotion_lock(client, reference.name):
        _require_holder(client, reference, holder)
        version = _register_version(client, run_id, reference.name, lineage)
        if force and holder is not None:
            client.set_model_version_tag(reference.name, str(version), f"{TAG}forced", "true")
        if comparison is not None:
            key = f"{TAG}comparison"
            client.set_model_version_tag(reference.name, str(version), key, str(comparison))
        fault_injection.fault_point("before_promote")
        before = _move_alias(client, reference, version, holder)
        fault_injection.fault_point("after_promote")
    return Promotion(reference.name, version, reference.alias, before, comparison)


def rollback_model(client: MlflowClient, name: str) -> Promotion:
    """Restore the previous champion; the two versions swap their aliases.

    Raises:
        PromotionError: If there is no previous champion.
    """
    reference = Reference(name)
    with explain_refusals(model_permission("EDIT", name)), _promotion_lock(client, name):
        last = version_at(client, Reference(name, PREVIOUS))
        if last is None:
            raise PromotionError(f"{name} has no previous champion to return to.")
        holder = version_at(client, reference)
        before = _move_alias(client, reference, int(last.version), holder)
    return Promotion(name, int(last.version), reference.alias, before, None)


def list_versions(client: MlflowClient, name: str | None = None) -> list[RegisteredVersion]:
    """List the versions registered by hpsearch, by name, newest first."""
    with explain_refusals("READ on its registered models"):
        names = (
            [name]
            if name
            else sorted(m.name for m in _fetch_pages(client.search_registered_models))
        )
    found = []
    for each in names:
        aliases = _read_aliases(client, each)
        versions = _fetch_versions(client, each)
        found += [
            _describe_version(version, aliases)
            for version in versions
            if f"{TAG}run" in version.tags
        ]
    return sorted(found, key=lambda row: (row.name, -row.version))


def name_study_of_versions(client: MlflowClient, name: str, run_id: str, study: str) -> int:
    """Update the study's name in the versions of a run's model.

    Returns:
        The number of versions; 0 if the model is no longer registered.
    """
    with explain_refusals(model_permission("EDIT", name)):
        found = _fetch_versions(client, name)
        own = [version for version in found if version.tags.get(f"{TAG}run") == run_id]
        for version in own:
            lineage = {k.removeprefix(TAG): v for k, v in version.tags.items()} | {"study": study}
            note = render_version_note(lineage)
            client.update_model_version(name, version.version, description=note)
            client.set_model_version_tag(name, version.version, f"{TAG}study", study)
    return len(own)


def version_at(client: MlflowClient, reference: Reference) -> ModelVersion | None:
    """Return the version with the alias; None if there is none."""
    try:
        return client.get_model_version_by_alias(reference.name, reference.alias)
    except Exception as error:  # of MLflow, or of `RegistryDatabase`
        if error_code(error) in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "INVALID_PARAMETER_VALUE"):
            return None
        if error_code(error) is None:
            raise
        if http_status(error) != 403:
            raise PromotionError(f"{reference}: the registry does not answer: {error}") from error
    # Servers with logins answer 403 for the alias of a model that does not exist.
    with explain_refusals(model_permission("READ", reference.name)):
        try:
            known = client.get_registered_model(reference.name)
        except Exception as error:  # of MLflow
            if error_code(error) == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        if reference.alias not in known.aliases:
            return None
        return client.get_model_version_by_alias(reference.name, reference.alias)


def _compare_with_champion(
    client: MlflowClient, run_id: str, holder: ModelVersion, metric: str, gate: Gate
) -> Comparison:
    with tempfile.TemporaryDirectory() as folder:
        challenger = read_run_holdout(client, run_id, FINAL, Path(folder) / "challenger")
        holder_run, digest = holder.tags.get(f"{TAG}run"), holder.tags.get(f"{TAG}sha256")
        if holder_run is None or digest is None:
            raise NotBetterError(
                f"version {holder.version} of {holder.name} was not registered by hpsearch, so "
                "nothing can be compared with it: --force promotes without a comparison."
            )
        artifact_path = copied_folder(digest)
        champion = read_run_holdout(client, holder_run, artifact_path, Path(folder) / "champion")
    return compare_models(challenger, champion, metric, gate)


def _register_version(
    client: MlflowClient, run_id: str, name: str, lineage: Mapping[str, str]
) -> int:
    """Return the version of the run's model under `name`; registered if it is missing."""
    for version in _fetch_versions(client, name):
        if _is_same_model(version, lineage):
            return int(version.version)
    artifact_path = copied_folder(lineage["sha256"])
    study = lineage.get("study", name)
    with explain_refusals(experiment_permission("EDIT", study)):
        copy_final_fit(client, run_id, artifact_path)
        source, owner = locate_model_files(client, run_id, artifact_path, study)
    tags = {f"{TAG}{key}": value for key, value in lineage.items()}
    note = render_version_note(lineage)
    made = client.create_model_version(name, source, owner, tags=tags, description=note)
    version = int(made.version)
    logger.info("%s: version %d is registered, of run %s", name, version, run_id)
    return version


@contextmanager
def _ensure_registered_model(client: MlflowClient, name: str) -> Iterator[bool]:
    """Create the registered model if it is missing; deleted again if the block fails.

    Yields whether it was created.

    Does not query it first: servers with logins let everybody create a registered model, but deny
    queries of one that does not exist.
    """
    try:
        client.create_registered_model(name, description=MODEL_NOTE)
    except Exception as error:  # of MLflow, or of `StoreDatabase`
        if error_code(error) not in ALREADY_EXISTS:
            raise
        yield False
        return
    try:
        yield True
    except BaseException:
        with suppress(Exception):  # of MLflow, or of `StoreDatabase`
            if not client.search_model_versions(f"name = '{name}'"):
                client.delete_registered_model(name)
        raise


def _is_same_model(version: ModelVersion, lineage: Mapping[str, str]) -> bool:
    """Return whether the version is this model, not an earlier winner of the same study."""
    return all(version.tags.get(f"{TAG}{key}") == lineage[key] for key in ("run", "sha256"))


def _move_alias(
    client: MlflowClient, reference: Reference, version: int, holder: ModelVersion | None
) -> int | None:
    """Point the alias to `version`; the old champion gets the alias `previous` first."""
    before = None if holder is None else int(holder.version)
    if before is not None and before != version and reference.alias == CHAMPION:
        client.set_registered_model_alias(reference.name, PREVIOUS, str(before))
    client.set_registered_model_alias(reference.name, reference.alias, str(version))
    logger.info("%s points to version %d, before to %s", reference, version, before or "none")
    since = f"{TAG}since.{reference.alias}"
    client.set_model_version_tag(reference.name, str(version), since, str(int(time.time() * 1000)))
    return before


def _require_holder(
    client: MlflowClient, reference: Reference, holder: ModelVersion | None
) -> None:
    """Refuse if the alias has moved since the comparison."""
    now = version_at(client, reference)
    if (now and now.version) != (holder and holder.version):
        assert now is not None
        who = now.tags.get(f"{TAG}study", "somebody")
        raise PromotionError(
            f"{reference} was moved to version {now.version} (study {who}) meanwhile. "
            "Promote again to be compared with it."
        )


@contextmanager
def _promotion_lock(client: MlflowClient, name: str) -> Iterator[None]:
    """Prevent two promotions in one store at a time.

    An SQLite file has a lock file, which is released when its process ends. On a server, a
    registered model with a reserved name is the lock: only one of several processes can create it.
    """
    uri = client.tracking_uri
    if not uri.startswith("sqlite:///"):
        lock_name = name_catalog_lock(name) if uses_catalog(client) else LOCK_NAME
        with registry_lock(client, lock_name):
            yield
        return
    path = Path(uri.removeprefix("sqlite:///").partition("?")[0])
    try:
        lock = FileLock(path.with_name(f"{path.name}.promoting"), patience=TIMEOUT_SECONDS)
    except LockHeldError as held:
        raise PromotionError(
            f"{held} has been promoting for {TIMEOUT_SECONDS:.0f} s. Wait for it, or stop it."
        ) from None
    with lock:
        yield


def _read_aliases(client: MlflowClient, name: str) -> Mapping[str, str]:
    """Return the version of each alias."""
    with explain_refusals(model_permission("READ", name)):
        try:
            aliases: Mapping[str, str] = client.get_registered_model(name).aliases
        except Exception as error:  # of MLflow, or of `RegistryDatabase`
            if error_code(error) != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise PromotionError(f"there is no registered model {name!r}.") from None
    return aliases


def _describe_version(version: ModelVersion, aliases: Mapping[str, str]) -> RegisteredVersion:
    held = tuple(sorted(a for a, v in aliases.items() if int(v) == int(version.version)))
    tags = {k.removeprefix(TAG): v for k, v in version.tags.items() if k.startswith(TAG)}
    created = int(version.creation_timestamp)
    return RegisteredVersion(version.name, int(version.version), held, created, tags)


def _fetch_versions(client: MlflowClient, name: str) -> list[ModelVersion]:
    """Return the versions of a registered model, with their tags.

    A search of Unity Catalog returns versions without tags.
    """
    found = _fetch_pages(client.search_model_versions, filter_string=f"name = '{name}'")
    if uses_catalog(client):
        return [client.get_model_version(name, version.version) for version in found]
    return found


def _fetch_pages(search: Any, **arguments: Any) -> list[Any]:
    """Return the results of all pages of a search."""
    found: list[Any] = []
    token = None
    while True:
        page = search(**arguments, page_token=token)
        found += page
        token = page.token
        if not token:
            return found
