"""Check that this machine can write artifacts that no tracking server proxies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..compat.mlflow import artifact_repository
from ..errors import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import FileInfo

# The scheme of an artifact URI -> the module that MLflow imports for it, and its package.
LIBRARIES = {
    "s3": ("boto3", "boto3"),
    "r2": ("boto3", "boto3"),
    "gs": ("google.cloud.storage", "google-cloud-storage"),
    "wasbs": ("azure.storage.blob", "azure-storage-blob"),
    "abfss": ("azure.storage.filedatalake", "azure-storage-file-datalake azure-identity"),
    "sftp": ("pysftp", "pysftp"),
}
CONNECT_SECONDS, READ_SECONDS = 4, 15  # of S3, for each of two tries
PROXIED = (
    "or have its administrator start the server with --serve-artifacts and a mlflow-artifacts: "
    "location, so that it writes the files itself."
)


def check_artifact_store(location: str) -> None:
    """Refuse an artifact location whose library or login is missing.

    Raises:
        TrackingError: Names the remedy.
    """
    scheme = urlsplit(location).scheme
    module, package = LIBRARIES.get(scheme, ("", ""))
    if module and not _is_installed(module):
        raise TrackingError(
            f"the experiment's files go to {location}, which needs a library: pip install "
            f"{package}; {PROXIED}"
        )
    limit_s3_requests(location)
    if module == "boto3" and not _has_s3_login():
        raise TrackingError(
            f"the experiment's files go to {location}, and there is no login for it: set "
            f"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE); {PROXIED}"
        )


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file or a folder of a run, as MLflow's `FileInfo`."""

    path: str  # relative to the run's artifacts
    is_dir: bool
    file_size: int | None  # bytes; None of a folder


def list_run_files(
    client: MlflowClient, run_id: str, folder: str = ""
) -> Sequence[FileInfo | StoredFile]:
    """List the direct children of a folder of a run's artifacts; local ones without MLflow.

    `client.list_artifacts` asks for logged models as well, which a server before MLflow 3 refuses.
    """
    uri = client.get_run(run_id).info.artifact_uri
    if (root := local_folder(uri)) is not None:
        return [
            StoredFile(
                path.relative_to(root).as_posix(),
                path.is_dir(),
                None if path.is_dir() else path.stat().st_size,
            )
            for path in (sorted((root / folder).iterdir()) if (root / folder).is_dir() else ())
        ]
    repository = artifact_repository(uri, client.tracking_uri)
    return list(repository.list_artifacts(folder or None))


def local_artifacts(client: MlflowClient, run_id: str) -> Path | None:
    """Return the local folder of a run's artifacts; None if they are stored elsewhere."""
    return local_folder(client.get_run(run_id).info.artifact_uri)


def local_folder(uri: str) -> Path | None:
    """Return the local folder of an artifact URI; None if it is elsewhere."""
    if urlsplit(uri).scheme == "file":
        from urllib.request import url2pathname  # imports SSL

        return Path(url2pathname(urlsplit(uri).path))
    return Path(uri) if "://" not in uri and Path(uri).is_absolute() else None


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its parent is not there
        return False


def limit_s3_requests(location: str) -> None:
    """Limit boto3's timeouts, which are minutes by default.

    An existing session of the process is not changed.
    """
    if LIBRARIES.get(urlsplit(location).scheme, ("", ""))[0] != "boto3":
        return
    try:
        import boto3
        from botocore.config import Config
        from botocore.session import get_session
    except ImportError:  # MLflow tells of it
        return
    if boto3.DEFAULT_SESSION is not None:
        return
    session = get_session()
    session.set_default_client_config(
        Config(connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS)
    )
    boto3.setup_default_session(botocore_session=session)


def _has_s3_login() -> bool:
    import boto3

    return boto3.Session().get_credentials() is not None
