"""Turning events into requests to MLflow, each run and each point exactly once.

A `Projection` turns a page of the journal into steps, a few requests each, that may be repeated
without harm: a run is looked up by its key before it is created where it may exist already, and
a point carries the journal's timestamp, so that the store keeps it once. When to send, and what
to do while the store is away, is not known here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import TrackingError, redact_text
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
from ..platforms.files import sync_path
from ..redaction import redact
from ..trial import Trial
from . import mlflow_layout
from .artifact_store import check_artifact_store, limit_s3_requests, list_run_files, local_artifacts
from .bulk_points import BulkPoints
from .cursor import Position
from .refusals import TOO_LARGE, TOO_LARGE_FOR_PROXY, http_status
from .runs_view import view_tag
from .store import all_pages, check_active, get_experiment_id
from .study_note import render_study_note
from .system_metrics import SystemMeter

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Run
    from mlflow.exceptions import MlflowException

logger = logging.getLogger("hpsearch.tracking")

# Answers that may concern the request itself, or what it is about. All others, among them those
# of a database that is damaged or away, say nothing of the request.
DOUBTFUL_ERROR_CODES = (
    "INVALID_PARAMETER_VALUE",
    "RESOURCE_DOES_NOT_EXIST",
    "INVALID_STATE",
    "BAD_REQUEST",
)

IN_SUMMARY = {
    SearchEnded,
    WinnerChosen,
    WinnerEvaluated,
    ModelPromoted,
    StudyNoted,
    StudyRenamed,
}  # of the study's run


class StoreLostDataError(TrackingError):
    """The store no longer has what it has acknowledged: a backup was restored, or runs are gone."""


Batch = dict[str, list[Any]]  # "metrics", "params" and "tags", as `log_batch` takes them


@dataclass(frozen=True, slots=True)
class Request:
    """A few requests that may be repeated without harm."""

    key: str  # of the run that they concern
    what: str  # they send
    do: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of a run, which goes to the store behind the runs and their points."""

    run: str
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


class Projection:
    """One study in one store."""

    def __init__(
        self,
        client: MlflowClient,
        journal: Path,
        artifacts: str | None,
        *,
        needs_files: bool = False,
    ) -> None:
        self.history = History()
        self.experiment_id = ""
        self.runs: dict[str, str] = {}  # key -> run id
        self.refused: list[str] = []  # what the store refused for good, by name
        self._sent_view: tuple[str, str] | None = None
        self.left_out: list[str] = []  # likewise as it is now; a later `sync` tries it again
        self.lacked: list[str] = []  # what was missing though it had been acknowledged, by name
        self.replaced: list[str] = []  # runs that were not the journal's, by name
        self.deleted: set[str] = set()  # keys of trials whose runs were deleted in MLflow
        self.client = client
        self._bulk = BulkPoints.for_client(client)
        self._journal = journal
        self._study_folder = journal.parent
        self._artifacts = artifacts  # where a new experiment keeps its files
        self._needs_files = needs_files  # a new study is refused where it could not store any
        self._alone = False  # this process began the study: no run of a trial was there
        self._doubtful: set[str] = set()  # keys whose creation got no answer once
        self._sent: dict[str, int] = {}  # key -> epochs that the store has
        self._described: set[str] = set()  # keys whose params and data the store has
        self._open_runs: set[str] = set()  # keys of runs that are RUNNING
        self._folders: dict[str, Path | None] = {}  # run id -> its files, where they are local
        self.artifacts: dict[tuple[str, str], Artifact] = {}  # what `upload` has to send

    @property
    def problems(self) -> list[str]:
        """Permanent refusals, by name of the run."""
        names = [mlflow_layout.run_name(self.history, key) for key in sorted(self.deleted)]
        gone = [f"{name}: was deleted in MLflow and stays so" for name in names]
        return [*self.refused, *self.left_out, *gone]

    @property
    def parent(self) -> str:
        """The id of the study's run."""
        return self.runs[self.history.key]

    def open_study(self, first: Event, known_run: str = "") -> Position:
        """Find or create the experiment and the study's run.

        Args:
            first: The journal's first event.
            known_run: The id of the study's run, where it is known: it is found by it though
                its experiment was given another name.

        Returns:
            How far the store has acknowledged the journal, as the store says itself.

        Raises:
            TrackingError: If the experiment has been deleted.
        """
        self.history = History([first])
        key, self._alone = self.history.key, False
        run = self._find_known_run(known_run) or self._find_study()
        if run is None:
            self._alone = not self._search_runs(f"tags.`{mlflow_layout.KEY_TAG}` LIKE '{key}/%'", 1)
            if self._needs_files:
                experiment = self.client.get_experiment(self.experiment_id)
                check_artifact_store(experiment.artifact_location)
            self._create_run(
                key, self.history.name, first.time, mlflow_layout.study_tags(self.history)
            )
            return Position()
        limit_s3_requests(str(run.info.artifact_uri))
        self.experiment_id = str(run.info.experiment_id)
        self.runs[key] = str(run.info.run_id)
        if run.info.lifecycle_stage != "active":
            check_active(self.client, self.experiment_id)
            self.client.restore_run(self.parent)
        return Position.parse(run.data.tags.get(mlflow_layout.SENT_TAG, ""))

    def _find_known_run(self, run_id: str) -> Run | None:
        """The study's run by its id; None where the store has another run of it, or none."""
        from mlflow.exceptions import MlflowException

        if not run_id:
            return None
        try:
            run = self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code not in DOUBTFUL_ERROR_CODES:
                raise
            return None
        return run if run.data.tags.get(mlflow_layout.KEY_TAG) == self.history.key else None

    def _find_study(self) -> Run | None:
        """The study's run by its key, in the experiment of its name or in any other."""
        name, key = self.history.name, self.history.key
        if self.client.get_experiment_by_name(name) is not None:
            self.experiment_id = get_experiment_id(self.client, name, self._artifacts)
            if (found := self._find_run(key)) is not None:
                return found
        every = [e.experiment_id for e in all_pages(self.client.search_experiments)]
        elsewhere = (
            self._search_runs(f"tags.`{mlflow_layout.KEY_TAG}` = '{key}'", 1, every)
            if every
            else []
        )
        if elsewhere:  # its experiment was given another name
            return elsewhere[0]
        self.experiment_id = get_experiment_id(self.client, name, self._artifacts)
        return None

    def retire(self, run: str, key: str, why: str) -> None:
        """Delete a run that is not the journal's, with a key by which it is not taken for another.

        MLflow keeps it, with its files, until `gc`.
        """
        marked = key.removesuffix(mlflow_layout.REPLACED) + mlflow_layout.REPLACED
        self.client.set_tag(run, mlflow_layout.KEY_TAG, marked)
        self.client.delete_run(run)
        self.replaced.append(f"{mlflow_layout.run_name(self.history, key)} (run {run}): {why}")
        if self.runs.get(key) == run:
            del self.runs[key]
        self._open_runs.discard(key)

    def load_acknowledged(self, until: int) -> None:
        """Take in what the store has acknowledged: the journal up to `until` (bytes).

        Curves are kept of those trials alone that more epochs may follow.
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
        if self.history.final is None and not self._alone:
            self.client.update_run(self.parent, status="RUNNING")
        self._open_runs = {
            mlflow_layout.trial_key(self.history, trial)
            for trial in self.history.attempts
            if trial.state == "RUNNING"
        }

    def run_id(self, number: int) -> str | None:
        """The run of a trial's last attempt; None where there is none."""
        last = [t for t in self.history.trials if t.number == number]
        return self._run_id_of(mlflow_layout.trial_key(self.history, last[0])) if last else None

    def make_requests(self, events: Iterable[Event]) -> Iterator[Request]:
        """Make the requests that show `events`, in order."""
        known = len(self.history.ended)
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
            yield Request(study, "the study's name", self._rename_study)
        if len(self.history.ended) > known or kinds & IN_SUMMARY:
            yield Request(study, "the summary", partial(self._send_summary, known))
        if WinnerEvaluated in kinds:
            yield from self._end_requests()
        if PlotsDrawn in kinds:  # they follow the end of a study
            yield from self._file_requests(mlflow_layout.plot_files(self._study_folder))

    def repeat_requests(self, keys: Collection[str], events: Iterable[Event]) -> Iterator[Request]:
        """Make the requests that show the runs with these keys, whatever the store has of them.

        `events` are all that the store has acknowledged; nothing else was taken in before.
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
                yield Request(study, "the study's name", self._rename_study)
        for key, trial in touched.items():
            yield Request(key, "the trial", partial(self._send_trial, key, trial))
        yield Request(study, "the summary", partial(self._send_summary, 0))
        if self.history.final is not None:
            yield from self._end_requests()
            yield from self._file_requests(mlflow_layout.plot_files(self._study_folder))

    def park_runs(self) -> Iterator[Request]:
        """Make the requests after which no run claims to be running."""
        study, time = self.history.key, self.history.last_time
        yield Request(study, "runs made twice", self._delete_duplicates)
        for key in sorted(self._open_runs):
            yield Request(key, "the run's end", partial(self._end_run, key, "KILLED", time))
        if self.history.final is None:
            yield Request(study, "the run's end", partial(self._end_run, study, "KILLED", time))
        yield Request(study, self._journal.name, self._add_journal)

    def acknowledge(self, before: Position, now: Position) -> None:
        """Let the store say that it has the journal up to `now`.

        Raises:
            LostError: If it no longer says that it has it up to `before`.
        """
        run = self.client.get_run(self.parent)
        said = run.data.tags.get(mlflow_layout.SENT_TAG, str(Position()))
        if said not in (str(before), str(now)):
            raise StoreLostDataError(
                f"The store says that it has {said}, and has acknowledged {before}."
            )
        if said != str(now):
            self.write_position(now)

    def write_position(self, position: Position) -> None:
        """Let the store say that it has the journal up to `position`."""
        self.client.set_tag(self.parent, mlflow_layout.SENT_TAG, str(position))

    def handle_refusal(self, step: Request, error: MlflowException) -> bool:
        """Whether `step`, which was refused, is done with; False where it is to be repeated.

        A request is given up only where the store has the run, and refuses what it was given, or
        where somebody deleted the trial's run. The study's run is brought back.

        Raises:
            LostError: If the store has lost the run.
            TrackingError: If the experiment has been deleted.
            MlflowException: The error, where it says nothing of the request; or that of a store
                which is away.
        """
        from mlflow.exceptions import MlflowException

        if http_status(error) == TOO_LARGE:
            self._leave_out(step.key, step.what)
            return True
        if error.error_code not in DOUBTFUL_ERROR_CODES:
            raise error
        check_active(self.client, self.experiment_id)
        run_id = self.runs.get(step.key)
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
        self._abandon_run(step.key)
        return True

    def _refuse_for_good(self, step: Request, error: MlflowException) -> None:
        if error.error_code != "INVALID_PARAMETER_VALUE":
            raise error
        self._record_problem(step.key, step.what, error)

    def _record_problem(self, key: str, what: str, error: MlflowException) -> None:
        reason = redact_text(str(error)).splitlines()[0][:300]
        told = f"{mlflow_layout.run_name(self.history, key)}: {what}: {reason}"
        if told not in self.refused:
            logger.info("refused for good: %s", told)
            self.refused.append(told)

    def _leave_out(self, key: str, what: str) -> None:
        told = f"{mlflow_layout.run_name(self.history, key)}: {what}: {TOO_LARGE_FOR_PROXY}"
        if told not in self.left_out:
            logger.info("left out: %s", told)
            self.left_out.append(told)

    def _abandon_run(self, key: str) -> None:
        """Send nothing more to a trial's run that somebody deleted."""
        logger.info("the run of %s was deleted: nothing more is sent to it", key)
        self.deleted.add(key)
        self.runs.pop(key, None)
        self._open_runs.discard(key)

    # -- the study's run ------------------------------------------------------------------

    def send_system_metrics(self, meter: SystemMeter) -> None:
        """Add how busy the machine is to the study's run."""
        self._log_to_run(self.history.key, meter.points(self.history.study.time))

    def _describe_study(self) -> None:
        for name, value in mlflow_layout.experiment_tags(self.history).items():
            self.client.set_experiment_tag(self.experiment_id, name, value)
        self._send_view()
        self._log_to_run(self.history.key, params=mlflow_layout.study_params(self.history))
        self._log_dataset(self.history.key)
        self._add_text(self.parent, mlflow_layout.spec_yaml(self.history), "spec.yaml")
        self._add_text(
            self.parent, mlflow_layout.environment_json(self.history), "environment.json"
        )
        diff = self._study_folder / mlflow_layout.SOURCE_DIFF
        with suppress(FileNotFoundError, IsADirectoryError, PermissionError):
            text = redact(diff.read_text(encoding="utf-8", errors="replace"))
            self._add_text(self.parent, text, diff.name)  # that of an older version hides less

    def _send_view(self) -> None:
        """The view of the trials, again where the first trials have told of hyperparameters."""
        view = view_tag(self.history)
        if view != self._sent_view:
            self.client.set_experiment_tag(self.experiment_id, *view)
            self._sent_view = view

    def _rename_study(self) -> None:
        """Give the study's run its present name, and the experiment, if it is of this study alone.

        An experiment keeps its name where another has the new one, and where a person named it.
        """
        name, key = self.history.name, self.history.key
        self.client.update_run(self.parent, name=name)
        self.client.set_tag(self.parent, mlflow_layout.STUDY_TAG, name)
        experiment = self.client.get_experiment(self.experiment_id)
        studies = self._search_runs("tags.`hpsearch.kind` = 'study'", 2)
        is_own = all(run.data.tags.get(mlflow_layout.KEY_TAG) == key for run in studies)
        former = set(self.history.names) - {name}
        if not is_own or experiment.name not in former:
            return
        if self.client.get_experiment_by_name(name) is None:
            self.client.rename_experiment(self.experiment_id, name)
        else:
            told = "MLflow has another experiment %r: that of the study keeps its name %r"
            logger.warning(told, name, experiment.name)

    def _send_summary(self, known: int) -> None:
        self._send_view()
        fresh = {id(trial) for trial in self.history.ended[known:]}
        points = [p for trial, p in mlflow_layout.best_points(self.history) if id(trial) in fresh]
        points += mlflow_layout.winner_points(self.history)
        points += mlflow_layout.final_points(self.history)
        tags = {"mlflow.note.content": mlflow_layout.tag_value(render_study_note(self.history))}
        self._log_to_run(
            self.history.key, points, tags=tags | mlflow_layout.outcome_tags(self.history)
        )

    def _end_requests(self) -> Iterator[Request]:
        """Make the requests that show the fitted winner."""
        study = self.history.key
        yield Request(study, "the winner's mark", self._mark_winner)
        yield from self._file_requests(mlflow_layout.final_files(self._study_folder, self.history))
        time = self.history.final.time if self.history.final else self.history.last_time
        end = partial(self._end_run, study, "FINISHED", time)
        yield Request(study, "the run's end", end)

    def _file_requests(self, paths: Iterable[Path]) -> Iterator[Request]:
        """Have files of the study's folder sent."""
        for path in paths:
            add = partial(self._add_file, self.parent, path)
            yield Request(self.history.key, path.name, add)

    # -- the trials' runs -----------------------------------------------------------------

    def _send_trial(self, key: str, trial: Trial) -> None:
        if not self._run_id_of(key):
            if key in self.deleted:
                return  # by somebody who meant it
            if key in self._sent:
                raise StoreLostDataError(f"The store has lost the run of {key}.")
            tags = mlflow_layout.trial_tags(self.history, trial, self.parent)
            self._create_run(key, trial.name, mlflow_layout.start_time(trial), tags)
        self._open_runs.add(key)
        described = key in self._described
        points = list(
            mlflow_layout.curve_points(trial, self.history.metric, self._sent.get(key, 0))
        )
        points += mlflow_layout.result_points(trial)
        params = {} if described else mlflow_layout.trial_params(trial)
        tags = mlflow_layout.result_tags(trial)
        if not described:  # an earlier run of the study may be gone
            tags |= {"mlflow.parentRunId": self.parent}
        self._log_to_run(key, points, params, tags)
        self._sent[key] = trial.n_epochs
        if not described:
            self._log_dataset(key)
            self._described.add(key)
        if trial.traceback:
            self._add_text(self.runs[key], redact(trial.traceback), "traceback.txt")
        if trial.ended is not None:
            self._end_run(key, mlflow_layout.RUN_STATUS[trial.state], trial.ended)
            trial.drop_curves()  # the store has its curves

    def _create_run(self, key: str, name: str, time: int, tags: dict[str, str]) -> None:
        doubtful = key in self._doubtful
        self._doubtful.add(key)  # until the answer is here
        run = self.client.create_run(self.experiment_id, start_time=time, tags=tags, run_name=name)
        self.runs[key] = run.info.run_id
        if not doubtful:
            self._doubtful.discard(key)

    def _end_run(self, key: str, status: str, time: int) -> None:
        run = self._run_id_of(key)
        if run:
            self.client.set_terminated(run, status, time)
        self._open_runs.discard(key)

    def _mark_winner(self) -> None:
        chosen = self.history.winning_trial()
        key = chosen and mlflow_layout.trial_key(self.history, chosen)
        if key and self._run_id_of(key):
            self._log_to_run(key, tags={"winner": "true"})

    def _run_id_of(self, key: str) -> str | None:
        """The id of the run with this key, looked up where an earlier process may have made it."""
        may_exist = not self._alone or key in self._doubtful
        if key not in self.runs and key not in self.deleted and may_exist:
            found = self._find_run(key)
            if found and found.info.lifecycle_stage == "active":
                self.runs[key] = str(found.info.run_id)
            elif found:
                self._abandon_run(key)
        return self.runs.get(key)

    def _find_run(self, key: str) -> Run | None:
        """The run with this key, an active one first. A second one of those is deleted.

        It was born of a lost answer.
        """
        runs = self._search_runs(f"tags.`{mlflow_layout.KEY_TAG}` = '{key}'")
        active = [run for run in runs if run.info.lifecycle_stage == "active"]
        if not active:
            return runs[0] if runs else None
        named = [run for run in active if run.info.run_id == self.runs.get(key)]
        kept = (named or active)[0]
        for other in active:
            if other is not kept:
                self.client.delete_run(other.info.run_id)
        return kept

    def _search_runs(
        self, text: str, limit: int = 1000, where: list[str] | None = None
    ) -> list[Run]:
        """Runs of the experiment, deleted ones too, the oldest first."""
        from mlflow.entities import ViewType

        return list(
            self.client.search_runs(
                where or [self.experiment_id],
                text,
                ViewType.ALL,
                limit,
                ["attributes.start_time", "attributes.run_id"],
            )
        )

    def _delete_duplicates(self) -> None:
        """Delete runs whose creation was answered too late, after a second one was made."""
        for key in sorted(self._doubtful):
            self._find_run(key)
        self._doubtful.clear()

    # -- files ----------------------------------------------------------------------------

    def upload(self, artifact: Artifact) -> None:
        """Send one file.

        Raises:
            Exception: Of whatever kind the store's client raises.
        """
        if artifact.path is None:
            self.client.log_text(artifact.run, artifact.text, artifact.name)
        else:
            folder = artifact.name.rpartition("/")[0] or None
            self.client.log_artifact(artifact.run, str(artifact.path), folder)
        if artifact.run not in self._folders:
            self._folders[artifact.run] = local_artifacts(self.client, artifact.run)
        if folder_here := self._folders[artifact.run]:
            sync_path(folder_here / artifact.name)  # MLflow does not wait for the disk

    def add_missing(self) -> None:
        """Have those files of a finished study sent which its run lacks, or has otherwise."""
        if self.history.final is None:
            return
        held = dict(self._stored_files(""))
        files = mlflow_layout.final_files(self._study_folder, self.history)
        for path in (*files, *mlflow_layout.plot_files(self._study_folder)):
            name = path.relative_to(self._study_folder).as_posix()
            if held.get(name) != path.stat().st_size:
                self._add_file(self.parent, path)

    def _stored_files(self, folder: str) -> Iterator[tuple[str, int]]:
        """Name and size of the files that the store has below a folder of the study's run."""
        for file in list_run_files(self.client, self.parent, folder):
            if file.is_dir:
                yield from self._stored_files(file.path)
            else:
                yield file.path, int(file.file_size or 0)

    def _add_file(self, run: str, path: Path) -> None:
        """Have a file of the study's folder sent, where it exists."""
        name = path.relative_to(self._study_folder).as_posix()
        if path.is_file():
            self.artifacts[run, name] = Artifact(run, name, path)

    def _add_journal(self) -> None:
        """Have the journal sent; one of an older version without the secrets that it may hold."""
        discreet = redacted_text(self._journal)
        if discreet is None:
            self._add_file(self.parent, self._journal)
        else:
            self._add_text(self.parent, discreet, self._journal.name)

    def _add_text(self, run: str, text: str, name: str) -> None:
        self.artifacts[run, name] = Artifact(run, name, text=text)

    # -- requests -------------------------------------------------------------------------

    def _log_to_run(
        self,
        key: str,
        points: Iterable[mlflow_layout.MetricPoint] = (),
        params: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag

        run = self.runs[key]
        if self._bulk is not None:
            self._bulk.write(run, points)
            points = ()
        batch: Batch = {
            "metrics": [Metric(p.name, p.value, p.time, p.step) for p in points],
            "params": [Param(name, value) for name, value in (params or {}).items()],
            "tags": [RunTag(name, value) for name, value in (tags or {}).items()],
        }
        logger.debug("run %s: %s", run, {kind: len(sent) for kind, sent in batch.items()})
        self._log_batch(key, batch)

    def _log_batch(self, key: str, batch: Batch) -> None:
        """Send a batch; one that is refused as a whole is sent in parts."""
        from mlflow.exceptions import MlflowException

        run = self.runs[key]
        try:
            self.client.log_batch(run, **batch, synchronous=True)
        except MlflowException as error:
            if http_status(error) == TOO_LARGE:
                self._log_halves(key, batch)
            elif error.error_code == "INVALID_PARAMETER_VALUE" and self._is_active(run):
                self._log_one_by_one(key, batch)
            else:
                raise

    def _log_halves(self, key: str, batch: Batch) -> None:
        """Send a batch that a proxy finds too large; what is too large alone is left out."""
        entities = [(kind, entity) for kind, entities in batch.items() for entity in entities]
        if len(entities) == 1:
            kind, entity = entities[0]
            self._leave_out(key, f"{kind.removesuffix('s')} {entity.key!r}")
            return
        middle = len(entities) // 2
        for half in (entities[:middle], entities[middle:]):
            self._log_batch(key, {k: [e for kind, e in half if kind == k] for k in batch})

    def _log_one_by_one(self, key: str, batch: Batch) -> None:
        """Send what the store takes of a batch that it refused, and note the rest by name."""
        from mlflow.exceptions import MlflowException

        for kind, entities in batch.items():
            for entity in entities:
                try:
                    self.client.log_batch(self.runs[key], **{kind: [entity]}, synchronous=True)
                except MlflowException as error:
                    if error.error_code != "INVALID_PARAMETER_VALUE":
                        raise
                    self._record_problem(key, f"{kind.removesuffix('s')} {entity.key!r}", error)

    def _is_active(self, run: str) -> bool:
        return bool(self.client.get_run(run).info.lifecycle_stage == "active")

    def _log_dataset(self, key: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self.client.log_inputs(self.runs[key], [self._dataset_input()])
        except MlflowException as error:
            if http_status(error) != TOO_LARGE:
                raise
            self._leave_out(key, "the data set's description")

    def _dataset_input(self) -> DatasetInput:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        context = InputTag("mlflow.data.context", "training")
        return DatasetInput(Dataset(**mlflow_layout.dataset_fields(self.history)), [context])
