"""The runs of one study in one store, found by the keys that the journal gives them.

A run is looked up by its key before it is created where it may exist already, so that each exists
once although answers get lost and processes are killed.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ..compat.mlflow import ALL_RUNS
from ..history import History
from . import mlflow_layout
from .databricks import experiment_name
from .store import all_pages, check_active, find_experiment, get_experiment_id

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

logger = logging.getLogger("hpsearch.tracking")

# Answers that may concern the request itself, or its object. All others, such as those of a
# damaged or unreachable database, say nothing about the request.
DOUBTFUL_ERROR_CODES = (
    "INVALID_PARAMETER_VALUE",
    "RESOURCE_DOES_NOT_EXIST",
    "INVALID_STATE",
    "BAD_REQUEST",
)


class RunIndex:
    """Creates, finds, ends and deletes the runs of one study."""

    def __init__(self, client: MlflowClient, history: History, artifacts: str | None) -> None:
        """Index the runs of a study.

        Args:
            client: Of the store.
            history: Names the study; its trials are added later.
            artifacts: Where a new experiment keeps its files; None: the server decides.
        """
        self.client = client
        self.experiment_id = ""
        self.ids: dict[str, str] = {}  # key -> run id
        self.deleted: set[str] = set()  # keys of trials whose runs were deleted in MLflow
        self.replaced: list[str] = []  # runs that did not belong to the journal, by name
        self.open: set[str] = set()  # keys of runs that are RUNNING
        self.is_alone = False  # this process began the study: no trial had a run
        self._history = history
        self._artifacts = artifacts
        self._doubtful: set[str] = set()  # keys whose creation got no answer once

    def name_of(self, key: str) -> str:
        """Return the name of the run with this key."""
        return mlflow_layout.run_name(self._history, key)

    def find_study(self, known_run: str) -> Run | None:
        """Find the study's run and its experiment, which is created if it is missing.

        Args:
            known_run: The id of the run, which finds it in a renamed experiment; "" if unknown.
        """
        self.is_alone = False
        run = self._find_known_run(known_run) or self._find_study_by_key()
        if run is not None:
            self.experiment_id = str(run.info.experiment_id)
            self.ids[self._history.key] = str(run.info.run_id)
        else:
            trials = f"tags.`{mlflow_layout.KEY_TAG}` LIKE '{self._history.key}/%'"
            self.is_alone = not self._search(trials, 1)
        return run

    def _find_known_run(self, run_id: str) -> Run | None:
        """Return the study's run by its id; None if the id is another run's, or unknown."""
        from mlflow.exceptions import MlflowException

        if not run_id:
            return None
        try:
            run = self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code not in DOUBTFUL_ERROR_CODES:
                raise
            return None
        return run if run.data.tags.get(mlflow_layout.KEY_TAG) == self._history.key else None

    def _find_study_by_key(self) -> Run | None:
        """Return the study's run by its key, from the experiment of its name or any other."""
        name, key = self._history.name, self._history.key
        if find_experiment(self.client, name) is not None:
            self.experiment_id = get_experiment_id(self.client, name, self._artifacts)
            if (found := self._find(key)) is not None:
                return found
        every = [e.experiment_id for e in all_pages(self.client.search_experiments)]
        tagged = f"tags.`{mlflow_layout.KEY_TAG}` = '{key}'"
        elsewhere = self._search(tagged, 1, every) if every else []
        if elsewhere:  # its experiment was renamed
            return elsewhere[0]
        self.experiment_id = get_experiment_id(self.client, name, self._artifacts)
        return None

    def create(self, key: str, name: str, time: int, tags: dict[str, str]) -> None:
        """Create a run that starts at `time` (milliseconds since the epoch)."""
        doubtful = key in self._doubtful
        self._doubtful.add(key)  # until the answer has arrived
        run = self.client.create_run(self.experiment_id, start_time=time, tags=tags, run_name=name)
        self.ids[key] = run.info.run_id
        if not doubtful:
            self._doubtful.discard(key)

    def end(self, key: str, status: str, time: int) -> None:
        """End a run, if it exists, at `time` (milliseconds since the epoch)."""
        run = self.find_id(key)
        if run:
            self.client.set_terminated(run, status, time)
        self.open.discard(key)

    def retire(self, run: str, key: str, why: str) -> None:
        """Delete a run that does not belong to the journal, after changing its key.

        MLflow keeps it, with its files, until `gc`.
        """
        marked = key.removesuffix(mlflow_layout.REPLACED) + mlflow_layout.REPLACED
        self.client.set_tag(run, mlflow_layout.KEY_TAG, marked)
        self.client.delete_run(run)
        self.replaced.append(f"{self.name_of(key)} (run {run}): {why}")
        if self.ids.get(key) == run:
            del self.ids[key]
        self.open.discard(key)

    def abandon(self, key: str) -> None:
        """Send nothing more to a trial's run that was deleted in MLflow."""
        logger.info("the run of %s was deleted: nothing more is sent to it", key)
        self.deleted.add(key)
        self.ids.pop(key, None)
        self.open.discard(key)

    def find_id(self, key: str) -> str | None:
        """Return the id of a run, looked up if an earlier process may have created it."""
        may_exist = not self.is_alone or key in self._doubtful
        if key not in self.ids and key not in self.deleted and may_exist:
            found = self._find(key)
            if found and found.info.lifecycle_stage == "active":
                self.ids[key] = str(found.info.run_id)
            elif found:
                self.abandon(key)
        return self.ids.get(key)

    def is_active(self, key: str) -> bool:
        """Whether a run exists and was not deleted."""
        return bool(self.client.get_run(self.ids[key]).info.lifecycle_stage == "active")

    def restore_study(self) -> None:
        """Undo the deletion of the study's run.

        Raises:
            TrackingError: If the experiment was deleted.
        """
        check_active(self.client, self.experiment_id)
        self.client.restore_run(self.ids[self._history.key])

    def rename_study(self) -> None:
        """Rename the study's run, and its experiment if that contains no other study.

        An experiment that was renamed in MLflow keeps its name, and so does one whose new name is
        taken.
        """
        name, key = self._history.name, self._history.key
        self.client.update_run(self.ids[key], name=name)
        self.client.set_tag(self.ids[key], mlflow_layout.STUDY_TAG, name)
        experiment = self.client.get_experiment(self.experiment_id)
        studies = self._search("tags.`hpsearch.kind` = 'study'", 2)
        is_own = all(run.data.tags.get(mlflow_layout.KEY_TAG) == key for run in studies)
        uri = self.client.tracking_uri
        wanted = experiment_name(uri, name)
        former = {experiment_name(uri, each) for each in self._history.names} - {wanted}
        if not is_own or experiment.name not in former:
            return
        if self.client.get_experiment_by_name(wanted) is None:
            self.client.rename_experiment(self.experiment_id, wanted)
        else:
            message = "MLflow has another experiment %r: that of the study keeps its name %r"
            logger.warning(message, name, experiment.name)

    def delete_duplicates(self) -> None:
        """Delete runs that were created twice because an answer arrived late."""
        for key in sorted(self._doubtful):
            self._find(key)
        self._doubtful.clear()

    def _find(self, key: str) -> Run | None:
        """Return the run with this key, active ones first, and delete a second active one.

        A lost answer to a request leaves two.
        """
        runs = self._search(f"tags.`{mlflow_layout.KEY_TAG}` = '{key}'")
        active = [run for run in runs if run.info.lifecycle_stage == "active"]
        if not active:
            return runs[0] if runs else None
        named = [run for run in active if run.info.run_id == self.ids.get(key)]
        kept = (named or active)[0]
        for other in active:
            if other is not kept:
                self.client.delete_run(other.info.run_id)
        return kept

    def _search(self, text: str, limit: int = 1000, where: list[str] | None = None) -> list[Run]:
        """Return runs of the experiment, deleted ones too, the oldest first."""
        order = ["attributes.start_time", "attributes.run_id"]
        experiments = where or [self.experiment_id]
        return list(self.client.search_runs(experiments, text, ALL_RUNS, limit, order))
