"""Write points, params, tags and data sets to runs, in parts if the store refuses the whole."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..errors import redact_text
from .bulk_points import BulkPoints
from .mlflow_layout import MetricPoint
from .refusals import TOO_LARGE, TOO_LARGE_FOR_PROXY, http_status, is_inserted_twice
from .run_index import RunIndex

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput
    from mlflow.exceptions import MlflowException

logger = logging.getLogger("hpsearch.tracking")

Batch = dict[str, list[Any]]  # "metrics", "params" and "tags", as `log_batch` takes them


class RefusalLog:
    """Refused contents, by name of the run; nothing is listed twice."""

    def __init__(self) -> None:
        self.refused: list[str] = []  # permanently
        self.left_out: list[str] = []  # for now; a later `sync` tries again

    def refuse(self, name: str, what: str, error: MlflowException) -> None:
        """Record that the store permanently refuses `what` of the run `name`."""
        reason = redact_text(str(error)).splitlines()[0][:300]
        self._note(self.refused, f"{name}: {what}: {reason}")

    def leave_out(self, name: str, what: str) -> None:
        """Record that `what` of the run `name` is too large for the store's proxy."""
        self._note(self.left_out, f"{name}: {what}: {TOO_LARGE_FOR_PROXY}")

    def _note(self, log: list[str], line: str) -> None:
        if line not in log:
            logger.info("not taken: %s", line)
            log.append(line)


class RunWriter:
    """Writes to the runs of one study."""

    def __init__(self, runs: RunIndex, refusals: RefusalLog) -> None:
        """Write to `runs`; what is refused is noted in `refusals`."""
        self._runs = runs
        self._client = runs.client
        self._refusals = refusals
        self._bulk = BulkPoints.for_client(runs.client)

    def write(
        self,
        key: str,
        points: Iterable[MetricPoint] = (),
        params: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        """Write points, params and tags to the run with this key.

        Raises:
            MlflowException: If the store is away, or refuses the run rather than its contents.
        """
        from mlflow.entities import Metric, Param, RunTag

        run = self._runs.ids[key]
        if self._bulk is not None:
            self._bulk.write(run, points)
            points = ()
        batch: Batch = {
            "metrics": [Metric(p.name, p.value, p.time, p.step) for p in points],
            "params": [Param(name, value) for name, value in (params or {}).items()],
            "tags": [RunTag(name, value) for name, value in (tags or {}).items()],
        }
        logger.debug("run %s: %s", run, {kind: len(sent) for kind, sent in batch.items()})
        self._send_batch(key, batch)

    def write_dataset(self, key: str, fields: dict[str, str]) -> None:
        """Write the description of the data set to a run.

        Args:
            key: The run's key.
            fields: Fields of MLflow's `Dataset`.
        """
        from mlflow.exceptions import MlflowException

        try:
            self._log_inputs(key, [_make_dataset_input(fields)])
        except MlflowException as error:
            if http_status(error) != TOO_LARGE:
                raise
            self._refusals.leave_out(self._runs.name_of(key), "the data set's description")

    def _log_inputs(self, key: str, inputs: list[DatasetInput]) -> None:
        """Log data sets; once more if another study has just inserted one, which is found then."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.log_inputs(self._runs.ids[key], inputs)
        except MlflowException as error:
            if not is_inserted_twice(error):
                raise
            self._client.log_inputs(self._runs.ids[key], inputs)

    def _send_batch(self, key: str, batch: Batch) -> None:
        """Send a batch; one that is refused as a whole is sent in parts."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.log_batch(self._runs.ids[key], **batch, synchronous=True)
        except MlflowException as error:
            is_refused = error.error_code == "INVALID_PARAMETER_VALUE" and self._runs.is_active(key)
            if not is_refused and http_status(error) != TOO_LARGE:
                raise
            self._send_halves(key, batch, error)

    def _send_halves(self, key: str, batch: Batch, error: MlflowException) -> None:
        """Split a refused batch, until the refused entries are alone; they are left out by name."""
        entities = [(kind, entity) for kind, entities in batch.items() for entity in entities]
        if len(entities) == 1:
            kind, entity = entities[0]
            name, what = self._runs.name_of(key), f"{kind.removesuffix('s')} {entity.key!r}"
            if http_status(error) == TOO_LARGE:
                self._refusals.leave_out(name, what)
            else:
                self._refusals.refuse(name, what, error)
            return
        middle = len(entities) // 2
        for half in (entities[:middle], entities[middle:]):
            self._send_batch(key, {k: [e for kind, e in half if kind == k] for k in batch})


def _make_dataset_input(fields: dict[str, str]) -> DatasetInput:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    context = InputTag("mlflow.data.context", "training")
    return DatasetInput(Dataset(**fields), [context])
