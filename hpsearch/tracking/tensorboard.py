"""Write a study as TensorBoard event files: curves of trials, and the hyperparameters tab.

It listens to the journal. Files of earlier runs are replaced at the start, so a resumed study is
not duplicated. Uses TensorBoard's protobuf messages without importing TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..events import Event, StudyCreated
from ..history import History
from ..trial import Trial, is_score
from . import mlflow_layout

SUFFIX = ".hpsearch"
OLD = f"**/events.out.tfevents.*{SUFFIX}"  # files of an earlier run of the study


class TensorBoardWriter:
    """Writes `FOLDER/STUDY/trial-007/events…`.

    Examples:
        with closing(TensorBoardWriter(folder)) as board:
            hpsearch.tune(spec, listeners=[board.listen])
    """

    def __init__(self, folder: Path) -> None:
        """Create the writer; writing starts with the journal's first event."""
        self._folder = folder
        self._history = History()
        self._writers: dict[tuple[int, int], EventFile] = {}
        self._written: dict[tuple[int, int], int] = {}  # epochs of each attempt

    def listen(self, event: Event) -> None:
        """Apply one event of the journal."""
        if isinstance(event, StudyCreated):
            self._start_study(event)
        for trial in self._history.apply(event):
            self._write_trial(trial)

    def close(self) -> None:
        """Close the files of unfinished trials."""
        for writer in self._writers.values():
            with suppress(OSError):  # a full disk, of which `listen` has told
                writer.close()
        self._writers.clear()

    @property
    def _study(self) -> Path:
        return self._folder / self._history.name

    def _start_study(self, study: StudyCreated) -> None:
        self.close()
        self._history, self._written = History([study]), {}
        for old in self._study.glob(OLD):
            old.unlink()
        writer = self._open_file(self._study)
        writer.add(_make_event(study.time, 0, _experiment_summary(self._history)))
        writer.close()

    def _write_trial(self, trial: Trial) -> None:
        key = (trial.number, trial.attempt)
        if trial.state == "WAITING":
            return
        if key not in self._written:
            self._written[key] = 0
            self._writers[key] = self._open_file(self._study / trial.name)
            self._writers[key].add(
                _make_event(trial.started or trial.asked, 0, _start_summary(trial))
            )
        if key not in self._writers:
            if trial is not self._history.extensions.get(trial.number):
                return  # it was finished before: a second score for a finalist
            self._writers[key] = self._open_file(self._study / trial.name)
        writer = self._writers[key]
        first, self._written[key] = self._written[key], trial.n_epochs
        for point in mlflow_layout.curve_points(self._history, trial, first):
            writer.add(_make_event(point.time, point.step, _make_scalar(point.name, point.value)))
        if trial.ended is not None:
            if is_score(trial.score):
                score = _make_scalar("score", float(trial.score or 0.0))
                step = max(0, trial.n_epochs - 1) + self._history.study.first_epoch
                writer.add(_make_event(trial.ended, step, score))
            writer.add(_make_event(trial.ended, 0, _end_summary(trial)))
            self._writers.pop(key).close()

    def _open_file(self, folder: Path) -> EventFile:
        return EventFile(folder, self._history.last_time)


class EventFile:
    """An event file. TensorBoard's `EventFileWriter` would import TensorFlow."""

    def __init__(self, folder: Path, time: int) -> None:
        """Create a file in `folder`; `time` is in milliseconds since the epoch."""
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time // 1000}{SUFFIX}"
        self._file = (folder / name).open("wb")
        self._records = RecordWriter(self._file)
        self.add(event_pb2.Event(wall_time=time / 1000, file_version="brain.Event:2"))

    def add(self, event: Any) -> None:
        """Append an `Event` and flush it."""
        self._records.write(event.SerializeToString())
        self._records.flush()

    def close(self) -> None:
        """Close the file."""
        self._records.close()


def _make_event(time: int, step: int, summary: Any) -> Any:
    """Make an event at `time`, in milliseconds since the epoch."""
    from tensorboard.compat.proto import event_pb2

    return event_pb2.Event(wall_time=time / 1000, step=step, summary=summary)


def _make_scalar(name: str, value: float) -> Any:
    from tensorboard.compat.proto import summary_pb2

    return summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=name, simple_value=value)])


# ---- the hyperparameters tab ----


def _experiment_summary(history: History) -> Any:
    """Make the summary that defines the tab's columns."""
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    names = list(history.study.spec.get("search_space") or {})
    metrics = ["score", f"val/{history.metric}", "val/loss", "train/loss"]
    experiment = api_pb2.Experiment(
        name=history.name,
        hparam_infos=[api_pb2.HParamInfo(name=n) for n in names],
        metric_infos=[api_pb2.MetricInfo(name=api_pb2.MetricName(tag=m)) for m in metrics],
        time_created_secs=history.study.time / 1000,
    )
    data = plugin_data_pb2.HParamsPluginData(experiment=experiment)
    return _hparams_summary(metadata.EXPERIMENT_TAG, data)


def _start_summary(trial: Trial) -> Any:
    """Make the summary of a trial's hyperparameters."""
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    info = plugin_data_pb2.SessionStartInfo(
        group_name=trial.name, start_time_secs=(trial.started or trial.asked) / 1000
    )
    for name, value in _proto_values(trial.params):
        info.hparams[name].CopyFrom(value)
    data = plugin_data_pb2.HParamsPluginData(session_start_info=info)
    return _hparams_summary(metadata.SESSION_START_INFO_TAG, data)


def _end_summary(trial: Trial) -> Any:
    """Make the summary of a trial's end."""
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    failed = trial.state in ("FAILED", "LOST")
    info = plugin_data_pb2.SessionEndInfo(
        status=api_pb2.STATUS_FAILURE if failed else api_pb2.STATUS_SUCCESS,
        end_time_secs=(trial.ended or 0) / 1000,
    )
    data = plugin_data_pb2.HParamsPluginData(session_end_info=info)
    return _hparams_summary(metadata.SESSION_END_INFO_TAG, data)


def _proto_values(params: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    from google.protobuf import struct_pb2

    for name, value in params.items():
        if isinstance(value, bool):
            yield name, struct_pb2.Value(bool_value=value)
        elif isinstance(value, int | float):
            yield name, struct_pb2.Value(number_value=value)
        else:
            yield name, struct_pb2.Value(string_value=str(value))


def _hparams_summary(tag: str, data: Any) -> Any:
    from tensorboard.compat.proto import summary_pb2
    from tensorboard.plugins.hparams import metadata

    described = metadata.create_summary_metadata(data)
    value = summary_pb2.Summary.Value(tag=tag, metadata=described, tensor=metadata.NULL_TENSOR)
    return summary_pb2.Summary(value=[value])
