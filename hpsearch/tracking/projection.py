"""Turn the journal's events into requests to MLflow, each run and each point exactly once.

A `Projection` turns a page of the journal into steps of a few requests each, which may be repeated
safely: `RunIndex` creates each run once, and a point carries the journal's timestamp, so that the
store keeps it once. `Sender` decides when to send, and what to do while the store is away.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import TrackingError
from ..events import (
    Event,
    ModelPromoted,
    PlotsDrawn,
    SearchEnded,
    StudyCreated,
    StudyNoted,
    StudyRenamed,
    WinnerChosen,
    WinnerEvaluated,
)
from ..history import History, restore_curves
from ..journal import redacted_text, stream_scores
from ..redaction import redact
from ..trial import Trial
from . import mlflow_layout
from .artifact_queue import ArtifactQueue
from .artifact_store import check_artifact_store, limit_s3_requests
from .cursor import Position
from .refusals import TOO_LARGE, http_status
from .run_index import DOUBTFUL_ERROR_CODES, RunIndex
from .run_writer import RefusalLog, RunWriter
from .runs_view import view_tag
from .store import check_active
from .study_note import render_study_note
from .system_metrics import SystemMeter

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException


# Events that change the summary in the study's run.
IN_SUMMARY = {
    *(SearchEnded, WinnerChosen, WinnerEvaluated),
    *(ModelPromoted, StudyNoted, StudyRenamed),
}


class StoreLostDataError(TrackingError):
    """The store lacks data that it acknowledged: a backup was restored, or runs are gone."""


@dataclass(frozen=True, slots=True)
class Request:
    """A few requests that may be repeated safely."""

    key: str  # of the run
    what: str  # is sent, for messages
    do: Callable[[], None]


class Projection:
    """One study in one store."""

    def __init__(
        self,
        client: MlflowClient,
        journal: Path,
        first: Event,
        artifacts: str | None,
        *,
        needs_files: bool = False,
    ) -> None:
        """Show a study in the store of `client`; `open_study` is called next.

        Args:
            client: Of the store.
            journal: The study's journal; its folder holds `final/` and `plots/`.
            first: The journal's first event.
            artifacts: Where a new experiment keeps its files; None: the server decides.
            needs_files: Refuse a new study if a library or a login for its files is missing.
        """
        self.history = History([first])
        self.client = client
        self.runs = RunIndex(client, self.history, artifacts)
        self.files = ArtifactQueue(client, journal.parent)
        self.refusals = RefusalLog()
        self.lacked: list[str] = []  # missing although acknowledged, by name of the run
        self._writer = RunWriter(self.runs, self.refusals)
        self._journal = journal
        self._study_folder = journal.parent
        self._needs_files = needs_files
        self._sent: dict[str, int] = {}  # key -> epochs that the store has
        self._described: set[str] = set()  # keys whose params and data the store has
        self._sent_view: tuple[str, str] | None = None

    @property
    def problems(self) -> list[str]:
        """Permanent refusals, by name of the run."""
        names = [self.runs.name_of(key) for key in sorted(self.runs.deleted)]
        gone = [f"{name}: was deleted in MLflow and stays so" for name in names]
        return [*self.refusals.refused, *self.refusals.left_out, *gone]

    @property
    def parent(self) -> str:
        """The id of the study's run."""
        return self.runs.ids[self.history.key]

    @property
    def experiment_id(self) -> str:
        """The id of the study's experiment."""
        return self.runs.experiment_id

    def take_over(self, before: Projection) -> None:
        """Keep what an earlier projection of the study found out: refusals, files, deleted runs."""
        self.refusals.refused = before.refusals.refused
        self.refusals.left_out = before.refusals.left_out
        self.files.waiting = before.files.waiting
        self.runs.deleted, self.runs.replaced = before.runs.deleted, before.runs.replaced
        self.lacked = list(before.lacked)

    def open_study(self, known_run: str = "") -> Position:
        """Find or create the experiment and the study's run.

        Args:
            known_run: The id of the study's run, which finds it in a renamed experiment.

        Returns:
            The position in the journal that the store has acknowledged.

        Raises:
            TrackingError: If the experiment was deleted.
        """
        run = self.runs.find_study(known_run)
        if run is None:
            if self._needs_files:
                experiment = self.client.get_experiment(self.experiment_id)
                check_artifact_store(experiment.artifact_location)
            tags = mlflow_layout.study_tags(self.history)
            self.runs.create(self.history.key, self.history.name, self.history.study.time, tags)
            return Position()
        limit_s3_requests(str(run.info.artifact_uri))
        if run.info.lifecycle_stage != "active":
            self.runs.restore_study()
        return Position.parse(run.data.tags.get(mlflow_layout.SENT_TAG, ""))

    def load_acknowledged(self, until: int) -> None:
        """Read the part of the journal that the store has acknowledged, up to `until` (bytes).

        Only trials that are still running keep their curves.
        """
        for event in stream_scores(self._journal, until=until):
            for trial in self.history.apply(event):
                if trial.state != "WAITING":
                    self._sent[mlflow_layout.trial_key(self.history, trial)] = trial.n_epochs
                if trial.ended is not None:
                    trial.drop_curves()
        going_on = [trial for trial in self.history.last.values() if trial.ended is None]
        for trial in going_on:
            trial.drop_curves()
        restore_curves(self.history, self._journal, {t.number for t in going_on}, until=until)
        if self.history.final is None and not self.runs.is_alone:
            self.client.update_run(self.parent, status="RUNNING")
        self.runs.open = {
            mlflow_layout.trial_key(self.history, trial)
            for trial in self.history.attempts
            if trial.state == "RUNNING"
        }

    def run_id(self, number: int) -> str | None:
        """Return the run id of a trial's last attempt; None if it has no run."""
        last = [t for t in self.history.trials if t.number == number]
        return self.runs.find_id(mlflow_layout.trial_key(self.history, last[0])) if last else None

    def make_requests(self, events: Iterable[Event]) -> Iterator[Request]:
        """Make the requests that show `events`, in order."""
        known = len(self.history.results)
        kinds: set[type[Event]] = set()
        touched: dict[str, Trial] = {}
        study = self.history.key
        for event in events:
            kinds.add(type(event))
            for trial in self.history.apply(event):
                touched[mlflow_layout.trial_key(self.history, trial)] = trial
        if StudyCreated in kinds:
            yield Request(study, "the study's description", self._describe_study)
        for key, trial in touched.items():
            if trial.started is not None or trial.state not in ("WAITING", "LOST"):
                yield Request(key, "the trial", partial(self._send_trial, key, trial))
        if StudyRenamed in kinds:
            yield Request(study, "the study's name", self.runs.rename_study)
        if len(self.history.results) > known or kinds & IN_SUMMARY:
            yield Request(study, "the summary", partial(self._send_summary, known))
        if WinnerEvaluated in kinds:
            yield from self._end_requests()
        if PlotsDrawn in kinds:  # they follow the end of a study
            yield from self._file_requests(mlflow_layout.plot_files(self._study_folder))

    def repeat_requests(self, keys: Collection[str], events: Iterable[Event]) -> Iterator[Request]:
        """Make the requests that send the runs with these keys again.

        Args:
            keys: Of the runs.
            events: All that the store has acknowledged, after the first; none was applied before.
        """
        study, touched = self.history.key, dict[str, Trial]()
        for event in events:
            for trial in self.history.apply(event):
                key = mlflow_layout.trial_key(self.history, trial)
                if key in keys:
                    touched[key] = trial
                else:
                    self._sent[key] = trial.n_epochs
                    if trial.ended is not None:
                        trial.drop_curves()
        if study in keys:
            yield Request(study, "the study's description", self._describe_study)
            if len(self.history.names) > 1:
                yield Request(study, "the study's name", self.runs.rename_study)
        for key, trial in touched.items():
            yield Request(key, "the trial", partial(self._send_trial, key, trial))
        yield Request(study, "the summary", partial(self._send_summary, 0))
        if self.history.final is not None:
            yield from self._end_requests()
            yield from self._file_requests(mlflow_layout.plot_files(self._study_folder))

    def park_runs(self) -> Iterator[Request]:
        """Make the requests that end all open runs as KILLED, and queue the journal's file."""
        study, time = self.history.key, self.history.last_time
        yield Request(study, "runs made twice", self.runs.delete_duplicates)
        for key in sorted(self.runs.open):
            yield Request(key, "the run's end", partial(self.runs.end, key, "KILLED", time))
        if self.history.final is None:
            yield Request(study, "the run's end", partial(self.runs.end, study, "KILLED", time))
        yield Request(study, self._journal.name, self._add_journal)

    def acknowledge(self, before: Position, now: Position) -> None:
        """Record in the store that it has the journal up to `now`.

        Raises:
            StoreLostDataError: If the store no longer records `before`.
        """
        run = self.client.get_run(self.parent)
        stored = run.data.tags.get(mlflow_layout.SENT_TAG, str(Position()))
        if stored not in (str(before), str(now)):
            raise StoreLostDataError(
                f"The store says that it has {stored}, and has acknowledged {before}."
            )
        if stored != str(now):
            self.write_position(now)

    def write_position(self, position: Position) -> None:
        """Record in the store that it has the journal up to `position`."""
        self.client.set_tag(self.parent, mlflow_layout.SENT_TAG, str(position))

    def handle_refusal(self, step: Request, error: MlflowException) -> bool:
        """Decide whether to give up a refused step.

        It is given up if the store has the run and refuses the contents, or if the trial's run was
        deleted in MLflow. A deleted run of the study is restored.

        Returns:
            True if the step is given up; False if it is to be repeated.

        Raises:
            StoreLostDataError: If the store has lost the run.
            TrackingError: If the experiment was deleted.
            MlflowException: If the error does not concern the request, or the store is away.
        """
        from mlflow.exceptions import MlflowException

        if http_status(error) == TOO_LARGE:
            self.refusals.leave_out(self.runs.name_of(step.key), step.what)
            return True
        if error.error_code not in DOUBTFUL_ERROR_CODES:
            raise error
        check_active(self.client, self.experiment_id)
        run_id = self.runs.ids.get(step.key)
        if run_id is None:  # it could not be created
            self._refuse_for_good(step, error)
            return True
        try:
            run = self.client.get_run(run_id)
        except MlflowException as gone:
            if gone.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise StoreLostDataError(
                f"The store has lost the run {run_id} of {step.key}."
            ) from None
        if run.info.lifecycle_stage == "active":
            self._refuse_for_good(step, error)
            return True
        if step.key == self.history.key:
            self.client.restore_run(run_id)
            return False
        self.runs.abandon(step.key)
        return True

    def _refuse_for_good(self, step: Request, error: MlflowException) -> None:
        if error.error_code != "INVALID_PARAMETER_VALUE":
            raise error
        self.refusals.refuse(self.runs.name_of(step.key), step.what, error)

    # -- the study's run ------------------------------------------------------------------

    def send_system_metrics(self, meter: SystemMeter) -> None:
        """Add the machine's load to the study's run."""
        self._writer.write(self.history.key, meter.points(self.history.study.time))

    def _describe_study(self) -> None:
        for name, value in mlflow_layout.experiment_tags(self.history).items():
            self.client.set_experiment_tag(self.experiment_id, name, value)
        self._send_view()
        self._writer.write(self.history.key, params=mlflow_layout.study_params(self.history))
        self._writer.write_dataset(self.history.key, mlflow_layout.dataset_fields(self.history))
        self.files.add_text(self.parent, mlflow_layout.spec_yaml(self.history), "spec.yaml")
        self.files.add_text(
            self.parent, mlflow_layout.environment_json(self.history), "environment.json"
        )
        diff = self._study_folder / mlflow_layout.SOURCE_DIFF
        with suppress(FileNotFoundError, IsADirectoryError, PermissionError):
            text = redact(diff.read_text(encoding="utf-8", errors="replace"))
            self.files.add_text(self.parent, text, diff.name)  # an older version redacted less

    def _send_view(self) -> None:
        """Send the view of the trials, again when it changes with the first hyperparameters."""
        view = view_tag(self.history)
        if view != self._sent_view:
            self.client.set_experiment_tag(self.experiment_id, *view)
            self._sent_view = view

    def _send_summary(self, known: int) -> None:
        self._send_view()
        fresh = {id(trial) for trial in self.history.results[known:]}
        points = [p for trial, p in mlflow_layout.best_points(self.history) if id(trial) in fresh]
        points += mlflow_layout.winner_points(self.history)
        points += mlflow_layout.final_points(self.history)
        tags = {"mlflow.note.content": mlflow_layout.tag_value(render_study_note(self.history))}
        self._writer.write(
            self.history.key, points, tags=tags | mlflow_layout.outcome_tags(self.history)
        )

    def _end_requests(self) -> Iterator[Request]:
        """Make the requests that show the fitted winner."""
        study = self.history.key
        yield Request(study, "the winner's mark", self._mark_winner)
        yield from self._file_requests(mlflow_layout.final_files(self._study_folder, self.history))
        time = self.history.final.time if self.history.final else self.history.last_time
        end = partial(self.runs.end, study, "FINISHED", time)
        yield Request(study, "the run's end", end)

    def _file_requests(self, paths: Iterable[Path]) -> Iterator[Request]:
        """Make the requests that queue files of the study's folder."""
        for path in paths:
            add = partial(self.files.add_file, self.parent, path)
            yield Request(self.history.key, path.name, add)

    # -- the trials' runs -----------------------------------------------------------------

    def _send_trial(self, key: str, trial: Trial) -> None:
        if not self.runs.find_id(key):
            if key in self.runs.deleted:
                return
            if key in self._sent:
                raise StoreLostDataError(f"The store has lost the run of {key}.")
            tags = mlflow_layout.trial_tags(self.history, trial, self.parent)
            self.runs.create(key, trial.name, mlflow_layout.start_time(trial), tags)
        if trial is not self.history.extensions.get(trial.number):  # its run has ended
            self.runs.open.add(key)
        described = key in self._described
        points = list(mlflow_layout.curve_points(self.history, trial, self._sent.get(key, 0)))
        points += mlflow_layout.result_points(self.history, trial)
        params = {} if described else mlflow_layout.trial_params(trial)
        tags = mlflow_layout.result_tags(trial)
        if not described:  # the study may have a new run, after the store lost the old one
            tags |= {"mlflow.parentRunId": self.parent}
        self._writer.write(key, points, params, tags)
        self._sent[key] = trial.n_epochs
        if not described:
            self._writer.write_dataset(key, mlflow_layout.dataset_fields(self.history))
            self._described.add(key)
        if trial.traceback:
            self.files.add_text(self.runs.ids[key], redact(trial.traceback), "traceback.txt")
        if trial.ended is not None:
            self.runs.end(key, mlflow_layout.RUN_STATUS[trial.state], trial.ended)
            trial.drop_curves()  # the store has its curves

    def _mark_winner(self) -> None:
        for key, tag in mlflow_layout.winner_tags(self.history).items():
            if self.runs.find_id(key):
                self._writer.write(key, tags={"winner": tag})

    # -- files ----------------------------------------------------------------------------

    def add_missing(self) -> None:
        """Queue the files of a finished study that its run lacks, or has with another size."""
        if self.history.final is None:
            return
        files = mlflow_layout.final_files(self._study_folder, self.history)
        files += mlflow_layout.plot_files(self._study_folder)
        self.files.add_missing(self.parent, files)

    def _add_journal(self) -> None:
        """Queue the journal; the secrets that older versions wrote to it are redacted."""
        discreet = redacted_text(self._journal)
        if discreet is None:
            self.files.add_file(self.parent, self._journal)
        else:
            self.files.add_text(self.parent, discreet, self._journal.name)
