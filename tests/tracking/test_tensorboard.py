"""Event files, read back by TensorBoard."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import synthetic

from hpsearch.history import History
from hpsearch.tracking.tensorboard import TensorBoardWriter

RECORDS = synthetic.study(6)


def write(folder: Path, records: list[synthetic.Record]) -> Path:
    with closing(TensorBoardWriter(folder)) as board:
        for event in synthetic.events(records):
            board.listen(event)
    return folder / "churn"


def opened(folder: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()


def test_a_trial_has_its_curves_with_the_journals_values_steps_and_times(tmp_path: Path) -> None:
    study, trial = write(tmp_path, RECORDS), History(synthetic.events(RECORDS)).last[0]
    events = opened(study / "trial-000").Scalars("val/roc_auc")
    assert list(range(trial.n_epochs)) == [e.step for e in events]
    assert trial.mean_scores() == pytest.approx([e.value for e in events], rel=1e-6)
    assert [t / 1000 for t in trial.times] == [e.wall_time for e in events]
    fold = opened(study / "trial-000").Scalars("fold_1/val_roc_auc")
    assert [s[1] for s in trial.scores] == pytest.approx([e.value for e in fold], rel=1e-6)


def test_every_attempt_has_a_folder_also_one_that_failed_or_was_pruned(tmp_path: Path) -> None:
    study = write(tmp_path, RECORDS)
    names = {p.name for p in study.iterdir() if p.is_dir()}
    assert {t.name for t in History(synthetic.events(RECORDS)).attempts} == names


def test_a_study_that_goes_on_is_there_once(tmp_path: Path) -> None:
    write(tmp_path, RECORDS[: len(RECORDS) // 2])
    again = write(tmp_path, RECORDS)
    assert 1 == len(list((again / "trial-000").iterdir()))
    events = opened(again / "trial-000").Scalars("val/loss")
    assert History(synthetic.events(RECORDS)).last[0].n_epochs == len(events)


def test_files_that_are_not_ours_stay(tmp_path: Path) -> None:
    own = tmp_path / "churn" / "trial-000" / "events.out.tfevents.1.mine"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"")
    write(tmp_path, RECORDS)
    assert own.exists()


def test_the_hyperparameters_tab_is_filled(tmp_path: Path) -> None:
    from tensorboard.plugins.hparams import metadata

    study = write(tmp_path, RECORDS)
    content = opened(study).SummaryMetadata(metadata.EXPERIMENT_TAG).plugin_data.content
    experiment = metadata.parse_experiment_plugin_data(content)
    space = RECORDS[0]["spec"]["search_space"]
    assert list(space) == [info.name for info in experiment.hparam_infos]
    trials = opened(study / "trial-000")
    start = trials.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    hparams = metadata.parse_session_start_info_plugin_data(start).hparams
    params = History(synthetic.events(RECORDS)).last[0].params
    assert dict(params) == {
        n: v.string_value if v.HasField("string_value") else v.number_value
        for n, v in hparams.items()
    }
    failed = opened(study / "trial-003").SummaryMetadata(metadata.SESSION_END_INFO_TAG)
    end = metadata.parse_session_end_info_plugin_data(failed.plugin_data.content)
    assert 2 == end.status  # STATUS_FAILURE


def test_writing_imports_no_tensorflow(tmp_path: Path) -> None:
    journal = synthetic.write(tmp_path / "journal.jsonl", RECORDS)
    code = (
        "import sys; from contextlib import closing; from pathlib import Path\n"
        "from hpsearch.journal import read_page as read\n"
        "from hpsearch.tracking.tensorboard import TensorBoardWriter as TensorBoard\n"
        f"with closing(TensorBoard(Path({str(tmp_path)!r}))) as board:\n"
        f"    for event in read(Path({str(journal)!r})).events: board.listen(event)\n"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
