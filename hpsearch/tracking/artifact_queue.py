"""The files that a study's runs still need, sent after the runs and their points."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..platforms.files import sync_path
from .artifact_store import list_run_files, local_artifacts

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of a run."""

    run: str  # its id
    name: str  # below the run's artifacts
    path: Path | None = None  # None: `text` is its content
    text: str = ""

    def __str__(self) -> str:
        size = len(self.text.encode()) if self.path is None else self.path.stat().st_size
        return f"{self.name} ({size / 1e6:.1f} MB)"

    def explain_unreadable(self) -> str:
        """Explain why the local file cannot be read; "" if it can."""
        try:
            if self.path is not None:
                with self.path.open("rb") as file:
                    file.read(1)
        except OSError as error:
            return f"{self.path}: cannot be read: {error.strerror}"
        return ""


class ArtifactQueue:
    """Files of a study's folder, and texts, that wait for the store."""

    def __init__(self, client: MlflowClient, folder: Path) -> None:
        """Send files of the study's `folder`."""
        self.waiting: dict[tuple[str, str], Artifact] = {}  # by run id and name
        self._client = client
        self._folder = folder
        self._local: dict[str, Path | None] = {}  # run id -> its files, if they are local

    def add_file(self, run: str, path: Path) -> None:
        """Queue a file of the study's folder, if it exists."""
        name = path.relative_to(self._folder).as_posix()
        if path.is_file():
            self.waiting[run, name] = Artifact(run, name, path)

    def add_text(self, run: str, text: str, name: str) -> None:
        """Queue a text as a file."""
        self.waiting[run, name] = Artifact(run, name, text=text)

    def add_missing(self, run: str, paths: Iterable[Path]) -> None:
        """Queue those files that a run lacks, or has with another size."""
        held = dict(self._list_stored(run, ""))
        for path in paths:
            if held.get(path.relative_to(self._folder).as_posix()) != path.stat().st_size:
                self.add_file(run, path)

    def _list_stored(self, run: str, folder: str) -> Iterator[tuple[str, int]]:
        """Iterate over name and size (bytes) of the stored files below a folder of a run."""
        for file in list_run_files(self._client, run, folder):
            if file.is_dir:
                yield from self._list_stored(run, file.path)
            else:
                yield file.path, int(file.file_size or 0)

    def upload(self, artifact: Artifact) -> None:
        """Send one file.

        Raises:
            Exception: Of whatever kind the store's client raises.
        """
        if artifact.path is None:
            self._client.log_text(artifact.run, artifact.text, artifact.name)
        else:
            folder = artifact.name.rpartition("/")[0] or None
            self._client.log_artifact(artifact.run, str(artifact.path), folder)
        if artifact.run not in self._local:
            self._local[artifact.run] = local_artifacts(self._client, artifact.run)
        if folder_here := self._local[artifact.run]:
            sync_path(folder_here / artifact.name)  # MLflow does not sync it to disk
