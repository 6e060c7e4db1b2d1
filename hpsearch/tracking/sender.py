"""Send what a store has not acknowledged of a journal, and move the cursor.

Works in the caller's thread and raises errors; calling `send` again continues with the step that
failed.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from .. import fault_injection
from ..compat.mlflow import one_transaction, sqlite_store
from ..errors import HpsearchError, JournalError, TrackingError, redact_text
from ..events import CURVES
from ..history import History, load_history
from ..journal import read_page, stream_records
from ..platforms.files import sync_data
from .artifact_queue import Artifact
from .cursor import Cursor, Position, UploadState
from .database import database_identity, database_path
from .databricks import is_databricks
from .projection import Projection, Request, StoreLostDataError
from .refusals import (
    FINAL_FOR_FILES,
    LOGIN_EXPIRED,
    THROTTLED,
    TOO_LARGE,
    TOO_LARGE_FOR_PROXY,
    describe_refusal,
    http_status,
)
from .server import read_retry_after
from .store import open_store
from .system_metrics import SystemMeter
from .verification import StoreComparison, compare_points, compare_runs, find_missing_files

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger("hpsearch.tracking")

PAGE = 200_000  # bytes of the journal per acknowledgement
NEEDS_FILES = "the right to write the experiment's artifacts"


class FilesAwayError(TrackingError):
    """Files cannot be stored now; runs and points were sent."""

    status: int | None = None  # of the refusal


class Sender:
    """Sends one journal to one store."""

    def __init__(
        self,
        journal: Path,
        uri: str,
        artifacts: str | None = None,
        *,
        needs_files: bool = False,
    ) -> None:
        """Lock the sending of `journal` to the store at `uri`.

        Args:
            journal: The study's journal; its folder holds `final/` and `plots/`.
            uri: An MLflow tracking URI.
            artifacts: Where a new experiment keeps its files; None: the server decides.
            needs_files: Refuse a new study if a library or a login for its files is missing.

        Raises:
            TrackingError: If another process is sending it.
        """
        self.journal = journal
        self.uri = uri
        self.projection: Projection | None = None
        self._artifacts = artifacts
        self._needs_files = needs_files
        self._client: MlflowClient | None = None
        self._file: tuple[int, int] | None = None  # identity of the store's file, if it is one
        self._cursor = Cursor(journal, uri)
        self._steps: deque[Request] = deque()
        self._failed: Request | None = None  # the step that was tried twice
        self._transactions = True  # whether pages are sent as transactions
        self._one_by_one = False  # whether the next page is sent step by step
        self._meter: SystemMeter | None = None
        self._position = Position()  # acknowledged position in the journal
        self._read = 0  # bytes of the journal that became steps
        self._is_lost = False  # whether the store lost acknowledged data
        self._warned = False  # whether a failure to save the cursor was logged

    @property
    def acknowledged_bytes(self) -> int:
        """Bytes of the journal that the store has acknowledged."""
        return self._position.offset

    @property
    def is_finished(self) -> bool:
        """Whether the study has ended, according to the part of the journal that was read."""
        return self.projection is not None and self.projection.history.final is not None

    @property
    def problems(self) -> list[str]:
        """Permanent refusals, by name of the run."""
        return self.projection.problems if self.projection else []

    def open_study(self) -> bool:
        """Open the store and the study's run; return False if there is no journal yet.

        Raises:
            TrackingError: If the store cannot be used.
            JournalError: If the journal is damaged.
        """
        path = database_path(self.uri)
        client = self._client = self._client or open_store(self.uri)
        self._file = database_identity(path) if path else None
        if not self.journal.exists() or self.journal.stat().st_size == 0:
            return False
        first = next(stream_records(self.journal), None)
        if first is None:
            return False
        study = History([first])
        if not is_databricks(self.uri):
            _warn_of_ignored_name(study.name)
        projection = Projection(
            client, self.journal, first, self._artifacts, needs_files=self._needs_files
        )
        held = self._cursor.load(study.key)
        stored = projection.open_study(held.run)
        projection.refusals.refused = list(held.refused)
        is_ours = stored.matches(self.journal)
        if not is_ours:
            self._retire_others(projection)
        self._position = self._common_position(held.position, stored) if is_ours else Position()
        self._read = self._position.offset
        self._steps.clear()
        projection.load_acknowledged(self._read)
        if not is_ours or stored != self._position:
            projection.write_position(self._position)
        self.projection = projection
        logger.info(
            "%s answers; it holds %d bytes of the journal", self._where, self._position.offset
        )
        return True

    def _retire_others(self, projection: Projection) -> None:
        """Delete the runs of another version of this journal.

        The journal was replaced by an older copy, or lost its end in a power cut. This happens
        before anything is sent, and is repeated if this process is killed.
        """
        found = self._compare_all(projection)
        for run, (key, why) in found.surplus.items():
            projection.runs.retire(run, key, why)
        if projection.history.key not in found.ids:
            projection.open_study()

    def _common_position(self, held: Position, stored: Position) -> Position:
        """Return the position on which the saved cursor and the store agree."""
        if self._is_lost or (held.offset == stored.offset and held != stored):
            return Position()
        position = min(held, stored, key=lambda position: position.offset)
        return position if position.matches(self.journal) else Position()

    def send(self) -> None:
        """Send every whole line of the journal; data that the store has lost is sent again.

        Raises:
            FilesAwayError: If only files are missing. Call again to continue.
            Exception: Of whatever kind the store's client raises. Call again to continue.
        """
        if self._one_by_one and self.projection is None:  # the store was away when it failed
            self.open_study()
        self.require_open()
        self._retry_if_lost(self._send_steps)

    def _send_steps(self) -> None:
        are_files_away = False
        while self._steps or self._load_steps(self.require_open()):
            self._perform_page()
            if not are_files_away:
                are_files_away = not self._try_files()
            self._acknowledge()
        self._send_files(self.require_open())
        self._acknowledge()

    def _try_files(self) -> bool:
        """Send the waiting files; False if they cannot be stored now."""
        try:
            self._send_files(self.require_open())
        except FilesAwayError:
            return False
        return True

    def _retry_if_lost(self, work: Callable[[], None]) -> None:
        """Do `work`; if the store has lost data, send everything again and repeat it."""
        try:
            self._require_same_store()
            work()
        except StoreLostDataError as lost:
            logger.warning("%s All of the study is sent again.", lost)
            self._is_lost, self.projection = True, None
            self.open_study()
            self._is_lost = False
            work()

    def _require_same_store(self) -> None:
        """Check that the store's file was not replaced while the old one is open.

        Raises:
            StoreLostDataError: If it was.
        """
        path = database_path(self.uri)
        if self._client is None or path is None or database_identity(path) == self._file:
            return
        self._client = None
        raise StoreLostDataError(f"{path}: was replaced by another file.")

    def repair_runs(self) -> None:
        """Send missing runs again, and replace runs of another journal; see `compare_runs`."""
        projection = self.require_open()
        client, experiment = projection.client, projection.experiment_id
        self._resend(compare_runs(client, experiment, projection.history))

    def verify(self) -> None:
        """Compare every run, point and file with the journal, and send what is missing."""
        projection = self.require_open()
        found = self._compare_all(projection)
        history = load_history(self.journal, without=CURVES)
        found.lacking |= find_missing_files(projection.client, history, found.ids)
        self._resend(found)

    def _compare_all(self, projection: Projection) -> StoreComparison:
        history = load_history(self.journal, without=CURVES)
        found = compare_runs(projection.client, projection.experiment_id, history)
        missing, surplus = compare_points(projection.client, self.journal, None, found.ids)
        found.lacking |= missing
        for key, why in surplus.items():
            found.reject(found.ids[key], key, why)
            found.lacking[key] = "its run"
        return found

    def _resend(self, found: StoreComparison) -> None:
        """Replace runs that are not the journal's, and send incomplete ones again.

        Refusals and deleted runs are remembered.
        """
        before = self.require_open()
        study = before.history.key
        before.runs.deleted |= found.deleted - {study}
        for run, (key, why) in found.surplus.items():
            before.runs.retire(run, key, why)
        names = {key: before.runs.name_of(key) for key in found.lacking}
        refused = {
            refusal.partition(":")[0]
            for refusal in [*before.refusals.refused, *before.refusals.left_out]
        }
        keys = [key for key in found.lacking if names[key] not in refused]
        if not keys:
            return
        lacked = [f"{names[key]}: {found.lacking[key]}" for key in keys]
        is_new = study not in found.ids
        if is_new:  # the trials' runs are nested in it
            keys = [study, *(key for key in found.ids | dict.fromkeys(keys) if key != study)]
        first = next(stream_records(self.journal))
        projection = Projection(before.client, self.journal, first, self._artifacts)
        projection.open_study("" if is_new else before.parent)
        projection.take_over(before)
        projection.lacked += lacked
        events = islice(stream_records(self.journal, until=self._read), 1, None)
        self._steps.extend(projection.repeat_requests(keys, events))
        self.projection = projection
        self._perform_steps()
        if is_new:
            projection.write_position(self._position)
        self._send_files(projection)

    def send_system_metrics(self) -> None:
        """Send the machine's load since the last call.

        Raises:
            Exception: Of whatever kind the store's client raises.
        """
        if self._meter is None:
            self._meter = SystemMeter()
        else:
            self.require_open().send_system_metrics(self._meter)

    def park_runs(self) -> None:
        """End all open runs, since nothing more is sent for now."""
        self._steps.extend(self.require_open().park_runs())
        self._perform_steps()
        self._send_files(self.require_open())
        self._acknowledge()

    def describe(self, error: Exception) -> HpsearchError:
        """Describe an error of `open_study`, `send` or `park_runs` for the user."""
        if isinstance(error, HpsearchError):
            return error
        needs = f"EDIT on the experiment {self.journal.parent.name!r}"
        return TrackingError(f"{redact_text(self.uri)}: {describe_refusal(error, needs=needs)}")

    def read_delay(self, error: Exception) -> float | None:
        """Return the seconds that the server asks to wait after this error; None if it does not."""
        status = error.status if isinstance(error, FilesAwayError) else http_status(error)
        return read_retry_after(self.uri) if status in THROTTLED else None

    def close(self) -> None:
        """Release the lock."""
        self._cursor.close()

    @property
    def _where(self) -> str:
        return redact_text(self.uri)

    def require_open(self) -> Projection:
        """Return the projection of a study that was opened.

        Raises:
            JournalError: If the study has no journal.
        """
        if self.projection is None:
            raise JournalError(f"{self.journal}: there is no journal. Has the study been started?")
        return self.projection

    def _load_steps(self, projection: Projection) -> bool:
        page = read_page(self.journal, self._read, until=self._read + PAGE)
        if not page.events:
            return False
        _sync_to_disk(
            self.journal
        )  # the store must not have what a power cut could take from the journal
        self._steps.extend(projection.make_requests(page.events))
        self._read = page.end
        return True

    def _acknowledge(self) -> None:
        """Record the position in the store and in the file beside the journal.

        Nothing is recorded while files wait.
        """
        projection = self.require_open()
        if projection.files.waiting or self.acknowledged_bytes == self._read:
            return
        self._require_same_store()
        position = Position.at_offset(self.journal, self._read)
        projection.acknowledge(self._position, position)
        self._position = position
        logger.debug("%s holds the journal up to byte %d", self._where, position.offset)
        known = UploadState(position, projection.parent, tuple(projection.refusals.refused))
        try:
            self._cursor.save(projection.history.key, known)
        except OSError as error:  # the next process repeats a few steps
            if not self._warned:
                logger.warning("%s: cannot be written: %s", self._cursor.path, error.strerror)
            self._warned = True

    def _send_files(self, projection: Projection) -> None:
        """Send the waiting files; refused ones are left out with a warning.

        Raises:
            FilesAwayError: If one cannot be stored now; it is tried last the next time.
        """
        refused: dict[int, list[Artifact]] = {}
        try:
            for key, artifact in list(projection.files.waiting.items()):
                del projection.files.waiting[key]
                if artifact.path is not None and not artifact.path.is_file():
                    continue  # replaced by a later run of the study
                if reason := artifact.explain_unreadable():
                    projection.refusals.left_out.append(reason)
                    logger.warning("%s. It is not sent; everything else is.", reason)
                    continue
                logger.debug("sending %s", artifact.name)
                try:
                    projection.files.upload(artifact)
                except Exception as error:  # every backend raises its own kind
                    status = http_status(error)
                    if status not in FINAL_FOR_FILES:
                        projection.files.waiting[key] = artifact
                        away = FilesAwayError(
                            f"{redact_text(self.uri)}: {artifact.name} cannot be stored: "
                            f"{describe_refusal(error, needs=NEEDS_FILES)} Runs and points have "
                            "arrived."
                        )
                        away.status = status
                        raise away from None
                    refused.setdefault(status, []).append(artifact)
        finally:
            for status, artifacts in refused.items():
                self._skip_files(status, artifacts)

    def _skip_files(self, status: int, artifacts: list[Artifact]) -> None:
        names = ", ".join(map(str, artifacts))
        why = TOO_LARGE_FOR_PROXY if status == TOO_LARGE else f"it answers {status}."
        message = f"{redact_text(self.uri)} does not take {names}: {why}"
        self.require_open().refusals.left_out.append(message)
        logger.warning("%s The rest has arrived.", message)

    def _perform_page(self) -> None:
        """Perform the steps as one transaction if the store can; one by one if that fails.

        A failed transaction leaves nothing in the store, so everything since the last
        acknowledgement is read again.
        """
        is_joined = self._transactions and not self._one_by_one
        store = sqlite_store(self.require_open().client) if is_joined else None
        if store is None:
            self._perform_steps()
            self._one_by_one = False
            return
        try:
            with one_transaction(store):
                for step in self._steps:
                    fault_injection.fault_point("before_log")
                    step.do()
                    fault_injection.fault_point("after_log")
        except Exception as error:  # every backend raises its own kind
            logger.info("sent again, one by one: %s", redact_text(str(error)))
            self._one_by_one, self.projection = True, None
            self.open_study()
        else:
            self._steps.clear()

    def _perform_steps(self) -> None:
        from mlflow.exceptions import MlflowException

        while self._steps:
            fault_injection.fault_point("before_log")
            step = self._steps[0]
            try:
                step.do()
            except MlflowException as error:
                if http_status(error) in (*THROTTLED, *LOGIN_EXPIRED):
                    raise
                if step is not self._failed:  # two processes may create the same run
                    self._failed = step
                    continue
                if not self.require_open().handle_refusal(step, error):
                    continue
            fault_injection.fault_point("after_log")
            self._steps.popleft()


def _sync_to_disk(journal: Path) -> None:
    """Sync a journal to disk, which another thread or process may be writing."""
    with suppress(PermissionError), journal.open("rb+") as file:
        sync_data(file.fileno())


@cache
def _warn_of_ignored_name(study: str) -> None:
    other = os.environ.get("MLFLOW_EXPERIMENT_NAME", study)
    if other != study:
        logger.warning(
            "MLFLOW_EXPERIMENT_NAME=%s is not used: the experiment is called %s, as the study is "
            "(--study NAME gives it another name)",
            other,
            study,
        )
