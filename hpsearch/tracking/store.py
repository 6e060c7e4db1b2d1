"""The MLflow store: a file beside the studies, or a tracking URI.

Opens stores and sets their timeouts.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..compat.mlflow import close_connections, without_making_tables
from ..errors import TrackingError, redact_text
from ..gc_pause import pause_gc
from ..platforms.paths import artifact_uri, sqlite_uri
from .database import (
    check_database,
    database_identity,
    database_path,
    make_database,
    silence_database_log,
)
from .database_schema import check_schema
from .databricks import LOGIN_NEEDED, check_workspace_uri, experiment_name, is_databricks
from .refusals import describe_refusal, http_status
from .relocation import update_locations

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

logger = logging.getLogger("hpsearch.tracking")

CONNECT_SECONDS = 4  # seconds per request while a store is opened
REQUEST_SECONDS = 30  # seconds per request afterwards
# The first part of a URI; a package may add others to MLflow.
SCHEMES = ("databricks", "file", "http", "https", "mssql", "mysql", "postgresql", "sqlite")
_files: dict[Path, tuple[int, int] | None] = {}  # which file each SQLite store has been


STUDY_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"


def default_uri(root: Path) -> str:
    """Return the URI of the SQLite store below `root`."""
    return sqlite_uri((root / "mlruns" / "mlflow.db").resolve())


def study_folder(root: Path, study: str) -> Path:
    """Return the folder of a study's journal, predictions and plots."""
    return root / "mlruns" / "studies" / study


def source_folder(root: Path) -> Path:
    """Return the folder of the copies of what addresses hold."""
    return root / "mlruns" / "sources"


def features_folder(root: Path) -> Path:
    """Return the folder of the outputs of frozen models."""
    return root / "mlruns" / "features"


def find_journal(root: Path, study: str) -> Path | None:
    """Find the journal of a study below `root`; None if it does not exist."""
    is_name = isinstance(study, str) and re.fullmatch(STUDY_NAME, study)
    path = journal_path(root, study) if is_name else None
    return path if path is not None and path.exists() else None


def list_journals(root: Path) -> list[Path]:
    """List the journals of all studies below `root`, by the studies' names."""
    return sorted(study_folder(root, "_").parent.glob("*/journal.jsonl"))


def journal_path(root: Path, study: str) -> Path:
    """Return the path of a study's journal."""
    return study_folder(root, study) / "journal.jsonl"


def artifact_location(uri: str, root: Path) -> str | None:
    """Return the artifact location of new experiments; None if the server decides.

    Without one, MLflow would put those of a database store into the current directory.
    """
    return None if is_server(uri) else artifact_uri((root / "mlruns" / "artifacts").resolve())


def is_server(uri: str) -> bool:
    """Whether a URI is a tracking server, not a database."""
    return uri.startswith(("http://", "https://", "databricks"))


def uri_option(uri: str, root: Path) -> str:
    """Return the option, with a leading space, that a printed command needs for the store `uri`.

    A password is replaced by the shell variable that MLflow also reads.
    """
    if uri == default_uri(root):
        return ""
    hidden = redact_text(uri) != uri or "***" in uri
    return " --tracking-uri " + ('"$MLFLOW_TRACKING_URI"' if hidden else shlex.quote(uri))


def remove_login(uri: str) -> str:
    """Remove name and password from a server's address.

    Examples:
        >>> remove_login("https://ann:secret@runs.example/mlflow")
        'https://runs.example/mlflow'
    """
    return re.sub(r"://[^\s'\"<>]*@", "://", uri)


def check_uri(uri: str) -> None:
    """Refuse an invalid store URI in milliseconds, without importing MLflow.

    Does not check whether a server answers.

    Raises:
        TrackingError: With the remedy.
    """
    if path := database_path(uri):
        check_database(path)
        check_schema(uri)
        return
    check_workspace_uri(uri)
    scheme = re.split(r"[:+]", uri, maxsplit=1)[0] if ":" in uri else "file"
    from importlib import metadata

    added = {point.name for point in metadata.entry_points(group="mlflow.tracking_store")}
    if scheme not in (*SCHEMES, *added):
        known = ", ".join(sorted({*SCHEMES, *added}))
        raise TrackingError(
            f"{redact_text(uri)}: MLflow has no store of the kind {scheme!r}. Known: {known}. "
            "Correct --tracking-uri, or leave it out for a file in this folder."
        )


@pause_gc()  # a client imports the libraries of its store, too
def open_store(uri: str) -> MlflowClient:
    """Open the store at `uri`; returns a client after the store has answered.

    A missing SQLite file is created, which takes about a second.

    Raises:
        TrackingError: If the store cannot be opened, in less than 10 seconds for a server that
            does not answer. It names the URI without its password.
    """
    from .server import check_server, unusable_error  # imports SSL

    check_uri(uri)
    is_let_in = check_server(uri)
    _disable_telemetry()
    _warn_of_insecure_tls(uri)
    from mlflow import MlflowClient  # 5 s

    try:
        with _silence_migrations(), limited_requests(uri, seconds=CONNECT_SECONDS):
            if path := database_path(uri):
                make_database(path)
                update_locations(path)
            elif not is_server(uri):
                check_schema(uri)
            client = _client_of_file(uri, path) if path else MlflowClient(tracking_uri=uri)
            if not is_let_in:
                client.search_experiments(max_results=1)
    except TrackingError:
        raise
    except Exception as error:  # every backend raises its own kind
        if http_status(error) in (401, 403):
            raise TrackingError(f"{redact_text(uri)}: {describe_refusal(error)}") from None
        if is_databricks(uri):
            reason = f"{describe_refusal(error)} {LOGIN_NEEDED}"
            raise TrackingError(f"{redact_text(uri)}: {reason}") from None
        raise unusable_error(uri, describe_refusal(error)) from None
    return client


def find_experiment(client: MlflowClient, study: str) -> Experiment | None:
    """Return the experiment of a study's name; None if there is none."""
    return client.get_experiment_by_name(experiment_name(client.tracking_uri, study))


def get_experiment_id(client: MlflowClient, study: str, artifacts: str | None) -> str:
    """Return the id of the experiment of a study, creating it if necessary.

    Args:
        client: Client of the store.
        study: The study's name.
        artifacts: Artifact location of a new experiment (`artifact_location`).

    Raises:
        TrackingError: If the experiment has been deleted.
    """
    experiment = find_experiment(client, study)
    if experiment is None:
        try:
            name = experiment_name(client.tracking_uri, study)
            return str(client.create_experiment(name, artifacts))
        except Exception:  # every backend raises its own kind
            experiment = find_experiment(client, study)
            if experiment is None:  # unless another process has just created it
                raise
    _check_active(client, experiment)
    return str(experiment.experiment_id)


def check_active(client: MlflowClient, experiment_id: str) -> None:
    """Refuse a deleted experiment.

    Raises:
        TrackingError: With the command that brings it back.
    """
    _check_active(client, client.get_experiment(experiment_id))


def _check_active(client: MlflowClient, experiment: Experiment) -> None:
    if experiment.lifecycle_stage == "active":
        return
    uri = shlex.quote(redact_text(client.tracking_uri))
    raise TrackingError(
        f"The MLflow experiment {experiment.name!r} has been deleted. Bring it back with "
        f"`MLFLOW_TRACKING_URI={uri} mlflow experiments restore -x {experiment.experiment_id}`, "
        "or give the study another name with --study."
    )


def all_pages(search: Callable[..., Any], **arguments: Any) -> Iterator[Any]:
    """Iterate over all pages of a client's search."""
    token = None
    while True:
        page = search(**arguments, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


@contextmanager
def limited_requests(uri: str, *, seconds: int = REQUEST_SECONDS) -> Iterator[None]:
    """Limit requests to a server to one attempt of `seconds`, without output.

    MLflow reads its limits from the environment; its own would block a call for 244 s, and it
    prints a link to stdout whenever a run ends. A database needs none of this, unless its files
    or its registry are elsewhere.
    """
    if uri.startswith("sqlite:") and not os.environ.get("MLFLOW_REGISTRY_URI"):
        yield
        return
    wanted = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(seconds),
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_DATABRICKS_ENDPOINT_HTTP_RETRY_TIMEOUT": str(seconds),
        "AWS_MAX_ATTEMPTS": "2",  # where the client writes to S3 itself; five by default
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@cache
def _warn_of_insecure_tls(uri: str) -> None:
    """Replace the warning per unverified request by a single one."""
    insecure = os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1")
    if insecure and uri.startswith("https:"):
        import urllib3

        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        logger.warning(
            "MLFLOW_TRACKING_INSECURE_TLS is set: the certificate of %s is not checked",
            redact_text(uri),
        )


def _client_of_file(uri: str, path: Path) -> MlflowClient:
    """Open a client of the SQLite database at `path`, which was just checked."""
    from mlflow import MlflowClient

    try:
        with without_making_tables():
            client = MlflowClient(tracking_uri=uri)
    except LookupError:
        raise TrackingError(
            f"{path}: was emptied while it was opened; it is being restored, perhaps. Nothing was "
            "written to it. Wait until that is done and repeat the command."
        ) from None
    _close_replaced(client, path)
    return client


def _close_replaced(client: MlflowClient, path: Path) -> None:
    """Close connections to a replaced file, which MLflow keeps open."""
    now = database_identity(path)
    if _files.setdefault(path, now) != now:
        _files[path] = now
        close_connections(client)


def _disable_telemetry() -> None:
    """Disable MLflow's telemetry: a study contacts only its own store."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # of every small file
    # Otherwise it waits up to 300 s for each new version, which is available immediately.
    logging.getLogger("mlflow.store.model_registry.abstract_store").setLevel(logging.WARNING)
    silence_database_log()


@contextmanager
def _silence_migrations() -> Iterator[None]:
    """Silence the log of migrations while a database is created."""
    migrations = logging.getLogger("alembic")
    level = migrations.level
    migrations.setLevel(logging.WARNING)
    try:
        yield
    finally:
        migrations.setLevel(level)
