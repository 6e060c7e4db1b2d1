"""Turning records into requests to MLflow, each run and each point exactly once.

A `Projection` turns a page of the journal into steps, a few requests each, that may be repeated
without harm: a run is looked up by its key before it is created where it may exist already, and
a point carries the journal's timestamp, so that the store keeps it once. When to send, and what
to do while the store is away, is not known here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..history import History
from ..journal import Record
from ..trial import Trial
from . import layout
from .artifact_store import check_artifact_store
from .bulk import BulkPoints
from .note import study_note
from .store import experiment_of
from .system import SystemMeter

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

Step = Callable[[], None]


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
        self._client = client
        self._bulk = BulkPoints.of(client)
        self._journal = journal
        self._artifacts = artifacts  # where a new experiment keeps its files
        self._needs_files = needs_files  # a new study is refused where it could not store any
        self._alone = False  # this process created the study's run: no run of a trial was there
        self._doubtful: set[str] = set()  # keys whose creation got no answer once
        self._sent: dict[str, int] = {}  # key -> epochs that the store has
        self._described: set[str] = set()  # keys whose params and data the store has
        self._open_runs: set[str] = set()  # keys of runs that are RUNNING
        self.artifacts: dict[tuple[str, str], Artifact] = {}  # what `upload` has to send

    @property
    def parent(self) -> str:
        """The id of the study's run."""
        return self.runs[self.history.key]

    def open(self, first: Record) -> bool:
        """Find or create the experiment and the study's run; whether the run is new.

        Raises:
            TrackingError: If the experiment has been deleted.
        """
        self.history = History([first])
        key = self.history.key
        self.experiment_id = experiment_of(self._client, self.history.name, self._artifacts)
        self._alone = False
        found = self._find(key)
        if found:
            self.runs[key] = found
        else:
            if self._needs_files:
                experiment = self._client.get_experiment(self.experiment_id)
                check_artifact_store(experiment.artifact_location)
            self._create(key, self.history.name, first["time"], layout.study_tags(self.history))
            self._alone = True
        return self._alone

    def recall(self, records: Iterable[Record]) -> None:
        """Take in what the store has acknowledged."""
        for record in records:
            for trial in self.history.apply(record):
                if trial.state != "WAITING":
                    self._sent[layout.trial_key(self.history, trial)] = trial.n_epochs
                if trial.ended is not None:
                    trial.condense()
        if self.history.final is None and not self._alone:
            self._client.update_run(self.parent, status="RUNNING")
        self._open_runs = {
            layout.trial_key(self.history, trial)
            for trial in self.history.attempts
            if trial.state == "RUNNING"
        }

    def run_id(self, number: int) -> str | None:
        """The run of a trial's last attempt; None where there is none."""
        last = [t for t in self.history.trials if t.number == number]
        return self._known(layout.trial_key(self.history, last[0])) if last else None

    def steps(self, records: Iterable[Record]) -> Iterator[Step]:
        """What must be done to show `records`, in this order."""
        known = len(self.history.ended)
        events = set()
        touched: dict[str, Trial] = {}
        for record in records:
            events.add(record["event"])
            for trial in self.history.apply(record):
                touched[layout.trial_key(self.history, trial)] = trial
        if "study" in events:
            yield self._describe_study
        for key, trial in touched.items():
            if trial.started is not None or trial.state not in ("WAITING", "LOST"):
                yield partial(self._send_trial, key, trial)
        if len(self.history.ended) > known or events & {"ended", "winner", "final", "promoted"}:
            yield partial(self._send_summary, known)
        if "final" in events:
            yield from self._final_steps()

    def park(self) -> Iterator[Step]:
        """What leaves no run that claims to be running, once nothing more will come."""
        yield self._heal
        for key in sorted(self._open_runs):
            yield partial(self._end, key, "KILLED", self.history.last_time)
        if self.history.final is None:
            yield partial(self._end, self.history.key, "KILLED", self.history.last_time)
        yield partial(self._add_file, self.parent, self._journal)

    # -- the study's run ------------------------------------------------------------------

    def measure(self, meter: SystemMeter) -> None:
        """Add how busy the machine is to the study's run."""
        self._log(self.parent, meter.points(int(self.history.study["time"])))

    def _describe_study(self) -> None:
        for name, value in layout.experiment_tags(self.history).items():
            self._client.set_experiment_tag(self.experiment_id, name, value)
        self._log(self.parent, params=layout.study_params(self.history))
        self._client.log_inputs(self.parent, [self._dataset()])
        self._add_text(self.parent, layout.spec_yaml(self.history), "spec.yaml")
        environment = json.dumps(self.history.study.get("environment", {}), indent=2, default=str)
        self._add_text(self.parent, environment + "\n", "environment.json")
        self._add_file(self.parent, self._journal.with_name(layout.SOURCE_DIFF))

    def _send_summary(self, known: int) -> None:
        fresh = {id(trial) for trial in self.history.ended[known:]}
        points = [p for trial, p in layout.best_points(self.history) if id(trial) in fresh]
        points += layout.winner_points(self.history)
        points += layout.final_points(self.history)
        tags = {"mlflow.note.content": layout.tag_value(study_note(self.history))}
        self._log(self.parent, points, tags=tags | layout.outcome_tags(self.history))

    def _final_steps(self) -> Iterator[Step]:
        yield self._mark_winner
        for path in layout.study_files(self._journal.parent):
            yield partial(self._add_file, self.parent, path)
        yield partial(self._end, self.history.key, "FINISHED", self.history.last_time)

    # -- the trials' runs -----------------------------------------------------------------

    def _send_trial(self, key: str, trial: Trial) -> None:
        if not self._known(key):
            if key in self._sent:
                return  # acknowledged once, and deleted since by somebody who meant it
            tags = layout.trial_tags(self.history, trial, self.parent)
            self._create(key, trial.name, trial.started or trial.asked, tags)
        self._open_runs.add(key)
        described = key in self._described
        points = list(layout.curve_points(trial, self.history.metric, self._sent.get(key, 0)))
        points += layout.result_points(trial)
        params = {} if described else layout.trial_params(trial)
        self._log(self.runs[key], points, params, layout.result_tags(trial))
        self._sent[key] = trial.n_epochs
        if not described:
            self._client.log_inputs(self.runs[key], [self._dataset()])
            self._described.add(key)
        if trial.traceback:
            self._add_text(self.runs[key], trial.traceback, "traceback.txt")
        if trial.ended is not None:
            self._end(key, layout.RUN_STATUS[trial.state], trial.ended)
            trial.condense()  # the store has its curves

    def _create(self, key: str, name: str, time: int, tags: dict[str, str]) -> None:
        doubtful = key in self._doubtful
        self._doubtful.add(key)  # until the answer is here
        run = self._client.create_run(self.experiment_id, start_time=time, tags=tags, run_name=name)
        self.runs[key] = run.info.run_id
        if not doubtful:
            self._doubtful.discard(key)

    def _end(self, key: str, status: str, time: int) -> None:
        run = self._known(key)
        if run:
            self._client.set_terminated(run, status, time)
        self._open_runs.discard(key)

    def _mark_winner(self) -> None:
        chosen = self.history.winning_trial()
        run = chosen and self._known(layout.trial_key(self.history, chosen))
        if run:
            self._log(run, tags={"winner": "true"})

    def _known(self, key: str) -> str | None:
        """The id of the run with this key, looked up where an earlier process may have made it."""
        if key not in self.runs and (not self._alone or key in self._doubtful):
            found = self._find(key)
            if found:
                self.runs[key] = found
        return self.runs.get(key)

    def _find(self, key: str) -> str | None:
        """The run with this key. A second one, born of a lost answer, is deleted."""
        runs = self._client.search_runs(
            [self.experiment_id],
            f"tags.`{layout.KEY_TAG}` = '{key}'",
            order_by=["attributes.start_time", "attributes.run_id"],
        )
        ids = [run.info.run_id for run in runs]
        kept = self.runs.get(key, ids[0] if ids else None)
        for other in ids:
            if other != kept:
                self._client.delete_run(other)
        return kept

    def _heal(self) -> None:
        """Delete runs whose creation was answered too late, after a second one was made."""
        for key in sorted(self._doubtful):
            self._find(key)
        self._doubtful.clear()

    # -- files ----------------------------------------------------------------------------

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

    def add_missing(self) -> None:
        """Have those files of a finished study sent which its run lacks, or has otherwise."""
        if self.history.final is None:
            return
        held = dict(self._held(""))
        for path in layout.study_files(self._journal.parent):
            name = path.relative_to(self._journal.parent).as_posix()
            if held.get(name) != path.stat().st_size:
                self._add_file(self.parent, path)

    def _held(self, folder: str) -> Iterator[tuple[str, int]]:
        """Name and size of the files that the store has below a folder of the study's run."""
        for file in self._client.list_artifacts(self.parent, folder or None):
            if file.is_dir:
                yield from self._held(file.path)
            else:
                yield file.path, int(file.file_size or 0)

    def _add_file(self, run: str, path: Path) -> None:
        """Have a file of the study's folder sent, where it exists."""
        name = path.relative_to(self._journal.parent).as_posix()
        if path.is_file():
            self.artifacts[run, name] = Artifact(run, name, path)

    def _add_text(self, run: str, text: str, name: str) -> None:
        self.artifacts[run, name] = Artifact(run, name, text=text)

    # -- requests -------------------------------------------------------------------------

    def _log(
        self,
        run: str,
        points: Iterable[layout.Point] = (),
        params: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag

        if self._bulk is not None:
            self._bulk.write(run, points)
            points = ()
        self._client.log_batch(
            run,
            metrics=[Metric(p.name, p.value, p.time, p.step) for p in points],
            params=[Param(name, value) for name, value in (params or {}).items()],
            tags=[RunTag(name, value) for name, value in (tags or {}).items()],
            synchronous=True,
        )

    def _dataset(self) -> DatasetInput:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        context = InputTag("mlflow.data.context", "training")
        return DatasetInput(Dataset(**layout.dataset(self.history)), [context])
