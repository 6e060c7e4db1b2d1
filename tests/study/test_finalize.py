"""The end of a study: order of its steps, plots last, one reading of the locked rows."""

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import synthetic
from inline_worker_pool import training_inline
from long_cases import long_unless

import hpsearch
from hpsearch.events import Event, WinnerChosen
from hpsearch.history import load_history
from hpsearch.study import gallery
from hpsearch.study.maintenance import doctor
from hpsearch.study.maintenance.study_folder import find_wrong_folders
from hpsearch.study.result import StudyStopped
from hpsearch.study.winner import final_fit, holdout_evaluation
from hpsearch.tracking import plots

SPEC = {
    "study": "end",
    "seed": 5,
    "data": {"test_fraction": 0.4},
    "objective": {"metric": "f1"},
    "cross_validation": {"folds": 2},
    "training": {"epochs": 4, "trainer": "vectorized"},
    "execution": {"workers": 1},
    "search_space": {"units": 4, "learning_rate": [3e-2, 1e-2]},
    "sampler": {"kind": "grid"},
    "pruner": {"kind": "none"},
    "budget": {"trials": 2},
    "selection": {"finalists": 0},
}
RANDOM = np.random.default_rng(5)
X = RANDOM.normal(size=(600, 3)).astype(np.float32)
Y = np.where(X[:, 0] + RANDOM.normal(0, 1, 600) > 1.2, "$$ [/red]\x1b[2J", "$")


def tune(root: Path, **changed: object) -> hpsearch.StudyResult:
    with training_inline(with_plots=True):
        return hpsearch.tune({**SPEC, **changed}, (X, Y), offline=True, root=root)


def folder_of(root: Path) -> Path:
    return root / "mlruns" / "studies" / "end"


def events(root: Path) -> list[str]:
    after = ("winner", "fitted", "reading", "final", "plots", "predictions")
    records = synthetic.read_records(folder_of(root) / "journal.jsonl")
    return [r["event"] for r in records if r["event"] in after]


def cut_before(event: str, root: Path) -> None:
    """Leave the journal as it was before its first record of an event."""
    journal = folder_of(root) / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    kept = itertools.takewhile(lambda line: f'"event":"{event}"'.encode() not in line[:99], lines)
    journal.write_bytes(b"".join(kept))


@pytest.fixture
def tmp_path(tmp_path_factory) -> Path:
    """An empty folder: no store is needed."""
    return tmp_path_factory.mktemp("ending")


@pytest.fixture(scope="module")
def ended(tmp_path_factory) -> tuple[Path, hpsearch.StudyResult]:
    root = tmp_path_factory.mktemp("ended")
    return root, tune(root)


@pytest.fixture
def copied(ended, tmp_path) -> Path:
    """The finished study, in a folder of its own."""
    shutil.copytree(ended[0] / "mlruns", tmp_path / "mlruns")
    return tmp_path


def test_decoration_comes_last_and_classes_of_dollars_and_brackets_are_drawn(ended):
    root, result = ended
    assert ["winner", "fitted", "reading", "final", "plots"] == events(root)
    history = load_history(folder_of(root) / "journal.jsonl")
    assert {} == history.plots.failed
    assert (1, 1) == (history.reads, result.reads)
    assert 0.5 != result.threshold
    drawn = {path.name[3:] for path in (folder_of(root) / "plots").glob("*.png")}
    assert {"confusion.png", "roc.png", "calibration.png"} <= drawn
    page = (folder_of(root) / "plots" / "winner.html").read_text()
    assert "\x1b" not in page
    assert not (folder_of(root) / "fit").exists()


def test_a_stop_during_the_final_fit_ends_the_run_when_the_winner_is_tested(tmp_path):
    chosen = []

    def listen(event: Event) -> None:
        if isinstance(event, WinnerChosen):
            chosen.append(event)

    with training_inline(with_plots=True), pytest.raises(StudyStopped):
        hpsearch.tune(
            *(SPEC, (X, Y)),
            offline=True,
            root=tmp_path,
            listeners=[listen],
            stop_requested=lambda: bool(chosen),
        )
    assert ["winner", "fitted", "reading", "final"] == events(tmp_path)
    assert 1 == tune(tmp_path).reads
    assert ["winner", "fitted", "reading", "final", "plots"] == events(tmp_path)


def test_a_finished_study_changes_nothing_when_it_is_run_again(copied, caplog):
    before = (folder_of(copied) / "final" / "model.keras").read_bytes()
    again = tune(copied)
    assert ["winner", "fitted", "reading", "final", "plots"] == events(copied)
    assert before == (folder_of(copied) / "final" / "model.keras").read_bytes()
    assert 1 == again.reads
    assert [] == caplog.messages


def test_plots_that_fail_are_a_warning_and_sync_draws_them(copied, caplog, monkeypatch):
    cut_before("plots", copied)

    def fail(*_):
        raise ValueError("no ink")

    with monkeypatch.context() as patch:
        patch.setitem(plots.WINNER, "roc", fail)
        patch.setattr("hpsearch.tracking.plots.winner_page.write_winner_page", fail)
        patch.setattr("hpsearch.reporting.html.write_report", fail)
        assert 1 == tune(copied).reads
    journal = folder_of(copied) / "journal.jsonl"
    failed = load_history(journal).plots.failed
    assert {"plots/10_roc.png", "plots/winner.html", "report.html"} == failed.keys()
    assert "no ink" in caplog.text
    assert not (folder_of(copied) / "plots" / "10_roc.png").exists()
    with monkeypatch.context() as patch:
        patch.setitem(plots.WINNER, "roc", fail)
        assert {"plots/10_roc.png": "ValueError: no ink"} == gallery.draw_missing(journal)
    assert {} == gallery.draw_missing(journal)
    assert {} == load_history(journal).plots.failed
    assert (folder_of(copied) / "plots" / "10_roc.png").stat().st_size > 1000
    n_events = len(events(copied))
    assert {} == gallery.draw_missing(journal)
    assert n_events == len(events(copied))


PLOTS = ("00_history.png", "10_roc.png", "interactive.html", "winner.html")


@pytest.mark.parametrize("wrong", [pytest.param("plots", marks=pytest.mark.long), "each plot"])
def test_a_study_ends_whatever_stands_where_its_files_belong(tmp_path, wrong, caplog):
    folder = folder_of(tmp_path)
    folder.mkdir(parents=True)
    for name in ("fit", "final", "logs", "predictions", *(["plots"] if wrong == "plots" else [])):
        (folder / name).write_text("a file, where a folder belongs")
    in_place = [] if wrong == "plots" else ["report.html", *(f"plots/{n}" for n in PLOTS)]
    for name in (*in_place, "source.diff", "uploaded-x.json"):
        (folder / name / "inside").mkdir(parents=True)
    result = tune(tmp_path)
    assert (1, 2) == (result.reads, result.counts["complete"])
    assert 0 < result.test["f1"] <= 1
    failed = load_history(folder / "journal.jsonl").plots.failed
    assert {*in_place} <= failed.keys()
    assert {"plots"} <= failed.keys() or in_place
    assert {*failed.values()} <= {"Is a directory", "File exists", "Not a directory"}
    told = [f.message for f in doctor._check_studies(tmp_path)]
    for name in (*in_place, "source.diff", "uploaded-x.json"):
        assert f"{name} is a folder, where a file belongs: move it away" in told
    for name in ("logs", "predictions", *(["plots"] if wrong == "plots" else [])):
        assert f"{name} is a file, where a folder belongs: move it away" in told


def test_doctor_names_what_is_wrong_with_each_study_and_goes_on_with_the_next(copied):
    folder = folder_of(copied)
    shutil.copytree(folder, folder.with_name("zlast"))
    (folder / "journal.lock").mkdir()
    (folder / "final" / "model.keras").write_bytes(b"")
    (folder / "plots" / "00_history.png").unlink()
    (folder / "plots" / "00_history.png").symlink_to(folder / "nowhere")
    told = [(f.subject, f.state, f.message) for f in doctor._check_studies(copied)]
    assert [
        ("study end", "bad", "journal.lock is a folder, where a file belongs: move it away"),
        (
            "study end",
            "bad",
            f"plots/00_history.png is a link to {folder / 'nowhere'}, which is not there",
        ),
        (
            "study end",
            "bad",
            "damaged or missing in final: model.keras: hpsearch tune creates it again",
        ),
    ] == told[:3]
    assert ["study end", "study zlast"] == [subject for subject, _, _ in told[3:]]
    assert "bad" not in {state for _, state, _ in told[3:]}


def test_doctor_names_files_where_the_folders_of_studies_belong(tmp_path):
    mlruns = tmp_path / "mlruns"
    (mlruns / "studies").mkdir(parents=True)
    assert [] == [*find_wrong_folders(mlruns)]
    for name in ("artifacts", "studies/end"):
        (mlruns / name).write_text("a file, where a folder belongs")
    expected = [
        f"{mlruns}/{name} is a file, where a folder" for name in ("artifacts", "studies/end")
    ]
    assert expected == [told.partition(" belongs")[0] for told in find_wrong_folders(mlruns)]


LOST = {
    "network": ("model.keras", 2),
    "predictions": ("predictions.npz", 2),
    "schema": ("schema.json", 1),
    "served model": ("model/artifacts/model.keras", 1),
    "everything": (".", 2),
}


@pytest.mark.parametrize(
    "lost", long_unless(("network", "served model", "everything").__contains__, LOST)
)
def test_what_a_disk_lost_of_the_final_fit_is_made_again_and_readings_are_counted(
    copied, lost, caplog, monkeypatch
):
    name, reads = LOST[lost]
    fits = []
    fit = final_fit.fit_baselines
    monkeypatch.setattr(final_fit, "fit_baselines", lambda problem: fits.append(1) or fit(problem))
    final = folder_of(copied) / "final"
    first = load_history(folder_of(copied) / "journal.jsonl").final
    if name == ".":
        shutil.rmtree(final)
    else:
        (final / name).write_bytes(b"")
    result = tune(copied)
    assert "created again" in caplog.text
    assert reads - 1 == len(fits)  # baselines are fitted only where the rows are read again
    again = load_history(folder_of(copied) / "journal.jsonl").final
    assert (reads, reads) == (again.reads, result.reads)
    assert first.test == again.test
    assert first.threshold == again.threshold
    assert {"predictions.npz", "model.keras", "schema.json"} <= {p.name for p in final.iterdir()}
    with np.load(final / "predictions.npz") as file:
        assert first.test_rows == len(file["truth"])
    caplog.clear()
    tune(copied)
    assert "created again" not in caplog.text


def test_a_crash_between_reading_and_record_is_counted_and_does_not_read_again(copied):
    cut_before("final", copied)  # its files are there
    assert 1 == tune(copied).reads
    assert ["winner", "fitted", "reading", "final", "plots"] == events(copied)
    cut_before("final", copied)
    shutil.rmtree(folder_of(copied) / "final")  # the crash came before they were published
    assert 2 == tune(copied).reads
    expected = ["winner", "fitted", "reading", "fitted", "reading", "final", "plots"]
    assert expected == events(copied)


@pytest.mark.parametrize("damage", long_unless(bool, [b"", b"\x93NUMPY\x01\x00garbage", None]))
def test_a_threshold_is_tuned_on_predictions_that_are_made_again(copied, ended, damage, caplog):
    cut_before("winner", copied)
    for path in (folder_of(copied) / "predictions").iterdir():
        if damage is None:
            path.unlink()
        else:
            path.write_bytes(damage)
    assert ended[1].threshold == tune(copied).threshold
    assert "computed again by training" in caplog.text
    assert events(copied).count("predictions") == 2  # both trials may be members of an ensemble


def test_predictions_whose_bytes_have_changed_are_not_believed(copied, ended, caplog):
    cut_before("winner", copied)
    for path in (folder_of(copied) / "predictions").iterdir():
        np.save(path, np.zeros_like(np.load(path)))
    assert ended[1].threshold == tune(copied).threshold
    assert "computed again by training" in caplog.text


def test_an_ensemble_whose_predictions_are_lost_is_the_one_it_would_have_been(tmp_path, caplog):
    selection = {"kind": "ensemble", "finalists": 0}
    first = tune(tmp_path, selection=selection)
    assert len(first.members) >= 1
    folder = folder_of(tmp_path)
    for path in (folder / "predictions").iterdir():
        path.write_bytes(b"")
    assert first.members == tune(tmp_path, selection=selection).members  # the choice is recorded
    assert "made again" not in caplog.text
    cut_before("winner", tmp_path)
    again = tune(tmp_path, selection=selection)
    assert "computed again by training" in caplog.text
    assert first.members == again.members
    assert first.test == again.test


def test_figures_that_fail_are_left_out_of_what_the_locked_rows_say(caplog, monkeypatch):
    def fail(*_, **__):
        raise FloatingPointError("overflow")

    monkeypatch.setattr(holdout_evaluation.holdout_metrics, "compute_metric_intervals", fail)
    assert {} == holdout_evaluation._compute_intervals([], X, X, None, 0.5)
    assert "FloatingPointError: overflow" in caplog.text


def test_the_marker_of_a_published_fit_of_another_study_is_not_believed(copied):
    marker = folder_of(copied) / "final" / final_fit.HOLDOUT_FILE
    cut_before("final", copied)
    marked = json.loads(marker.read_text())
    marker.write_text(json.dumps({**marked, "study": "another"}))
    assert 2 == tune(copied).reads
