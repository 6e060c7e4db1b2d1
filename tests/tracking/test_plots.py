"""Figures are drawn if they have data, and compute correct values."""

import json
from pathlib import Path

import numpy as np
import pytest
import synthetic

from hpsearch.history import History
from hpsearch.spec.search_space import Int
from hpsearch.tracking import plots
from hpsearch.tracking.plots import search_plots, space_plots, winner
from hpsearch.tracking.plots.predictions import Predictions, read_predictions

SEARCH = ("history", "importance", "parallel", "slices", "contour")
SEARCH += ("learning_curves", "intermediate_values", "timeline")


def leave_predictions(folder: Path, truth: np.ndarray, prediction: np.ndarray) -> None:
    folder.mkdir()
    np.savez(folder / "predictions.npz", truth=truth, prediction=prediction)
    (folder / "schema.json").write_text(json.dumps({"target": {"classes": ["No", "Yes"]}}))


def binary_rows() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    truth = (random.random((200, 1)) < 0.3).astype(float)
    return truth, np.clip(0.3 * truth + 0.7 * random.random((200, 1)), 0, 1)


def test_a_finished_binary_study_gets_every_figure(tmp_path: Path) -> None:
    leave_predictions(tmp_path / "final", *binary_rows())
    history = synthetic.history(24)
    assert {} == plots.draw_search(history, tmp_path) | plots.draw_winner(history, tmp_path)
    files = sorted((tmp_path / "plots").iterdir())
    names = [path.stem[3:] for path in files]
    assert [*SEARCH, "confusion", "roc", "precision_recall", "calibration"] == names
    for path in files:
        header = path.read_bytes()[:24]
        assert b"\x89PNG" == header[:4]
        assert 1200 == int.from_bytes(header[16:20])


def test_a_regression_gets_residuals_and_prediction_against_truth(tmp_path: Path) -> None:
    truth = np.linspace(0, 10, 50)[:, None]
    leave_predictions(tmp_path / "final", truth, truth + 1)
    records = synthetic.study(2)
    records[0]["task"] = "regression"
    made = plots.winner_drawings(History(synthetic.events(records)), tmp_path)
    assert ["prediction", "residuals"] == [drawing.name[3:] for drawing in made]


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_the_winners_page_holds_every_figure_and_asks_nothing_of_the_network(
    tmp_path: Path, task: str
) -> None:
    truth, said = binary_rows()
    leave_predictions(tmp_path / "final", truth, said)
    importance = {"metric": "roc_auc", "rows": 200, "columns": {"tenure": [0.1, 0.2]}}
    (tmp_path / "final" / "importance.json").write_text(json.dumps(importance))
    records = synthetic.study(2)
    records[0]["task"] = task
    page = plots.write_winner_page(History(synthetic.events(records)), tmp_path)
    assert page is not None
    text = page.read_text(encoding="utf-8")
    classes = ["Confusion", "ROC", "Precision and recall", "Calibration"]
    numbers = ["Prediction against truth", "Residuals"]
    titles = [*(classes if task == "binary" else numbers), "What the columns are worth"]
    assert titles == [part.partition("<")[0] for part in text.split("<h2>")[1:]]
    assert "tenure" in text
    assert len(text) < 200_000  # many a proxy lets no more than a megabyte through
    assert 'src="http' not in text


def test_labels_get_their_curves_and_no_confusion() -> None:
    records = synthetic.study(2)
    records[0]["task"] = "multilabel"
    rng = np.random.default_rng(0)
    truth = (rng.random((80, 3)) < 0.4).astype(float)
    rows = Predictions(truth, rng.random(truth.shape), ("red", "tall", "new"))
    names = {
        name
        for name, draw in plots.WINNER.items()
        if draw(History(synthetic.events(records)), rows)
    }
    assert {"roc", "precision_recall", "calibration"} == names


def test_each_of_several_targets_is_named_beside_its_cloud() -> None:
    records = synthetic.study(2)
    records[0]["task"] = "regression"
    truth = np.random.default_rng(0).normal(size=(30, 4))
    rows = Predictions(truth, truth + 1, ("a", "b", "c", "d"))
    figure = winner.draw_prediction_against_truth(History(synthetic.events(records)), rows)
    assert figure is not None
    seen = [axis.get_xlabel() for axis in figure.axes if axis.get_visible()]
    assert [f"truth of {name}" for name in "abcd"] == seen


def test_a_study_without_a_result_is_drawn_without_a_figure() -> None:
    assert [] == list(plots.search_drawings(History(synthetic.events(synthetic.study(4)[:2]))))


@pytest.mark.parametrize("count", range(1, len(synthetic.study(5, epochs=2)) + 1))
def test_every_beginning_of_a_study_can_be_drawn(count: int) -> None:
    for draw in plots.SEARCH.values():
        made = draw(History(synthetic.events(synthetic.study(5, epochs=2)[:count])))
        assert made is None or made.axes


def test_equal_scores_have_no_importance_and_still_a_history() -> None:
    records = synthetic.study(8)
    for record in records:
        if record["event"] == "result" and record["score"] is not None:
            record["score"] = 0.5
    history = History(synthetic.events(records))
    assert {} == space_plots.compute_importances(history)
    assert search_plots.draw_optimization_history(history) is not None
    assert space_plots.draw_slices(history) is not None


def test_a_line_reaches_the_score_past_an_axis_that_is_not_active() -> None:
    history = synthetic.history(24)
    (axis,) = space_plots.draw_parallel_coordinates(history).axes
    lines = [line for line in axis.lines if len(line.get_ydata()) == len(synthetic.SPACE) + 1]
    assert len(history.ranked_trials()) == len(lines)
    assert all(np.isfinite(line.get_ydata()).all() for line in lines)
    assert "not active" in {text.get_text() for text in axis.texts}


def test_an_axis_of_whole_numbers_has_each_whole_number_once() -> None:
    layers = Int(name="layers", low=1, high=3)
    assert ["1", "2", "3"] == [text for _, text in space_plots._axis_ticks(layers)]
    assert [0.0, 0.5, 1.0] == [at for at, _ in space_plots._axis_ticks(layers)]


def test_few_trials_say_nothing_of_importance() -> None:
    assert {} == space_plots.compute_importances(synthetic.history(8))


def test_the_deciding_hyperparameter_is_found() -> None:
    records = synthetic.study(60)
    asked = {r["trial"]: r["params"] for r in records if r["event"] == "asked"}
    for record in records:
        if record["event"] == "result" and record["score"] is not None:
            record["score"] = -abs(asked[record["trial"]]["dropout"] - 0.1)
    assert "dropout" == next(
        iter(space_plots.compute_importances(History(synthetic.events(records))))
    )


def test_attempts_at_the_same_time_lie_in_lanes_of_their_own() -> None:
    assert [0, 1, 0, 2, 1] == search_plots._assign_lanes([(0, 5), (1, 9), (5, 12), (6, 8), (9, 10)])


def test_the_columns_are_drawn_by_what_they_are_worth_the_worthiest_on_top(tmp_path: Path) -> None:
    leave_predictions(tmp_path / "final", *binary_rows())
    losses = {f"column {k}": [0.3 - 0.01 * k, 0.32 - 0.01 * k] for k in range(25)}
    said = {"metric": "roc_auc", "rows": 200, "columns": losses}
    (tmp_path / "final" / "importance.json").write_text(json.dumps(said))
    rows = read_predictions(tmp_path / "final")
    drawn = winner.draw_permutation_importance(synthetic.history(2), rows)
    (axis,) = drawn.axes
    shown = list(losses)[: winner.MAX_COLUMNS]
    assert shown == [label.get_text() for label in reversed(axis.get_yticklabels())]
    lengths = [bar.get_width() for bar in reversed(axis.patches)]
    assert [np.mean(losses[name]) for name in shown] == pytest.approx(lengths)
    (tmp_path / "final" / "importance.json").unlink()
    without = read_predictions(tmp_path / "final")
    assert winner.draw_permutation_importance(synthetic.history(2), without) is None


def test_roc_and_precision_recall_agree_with_scikit_learn() -> None:
    from sklearn.metrics import average_precision_score, roc_auc_score

    truth, score = (a[:, 0].round(2) for a in binary_rows())
    false, true = winner.roc_curve(truth, score)
    assert np.trapezoid(true, false) == pytest.approx(roc_auc_score(truth, score))
    recall, precision = winner.precision_recall_curve(truth, score)
    mean = np.sum(np.diff(recall) * precision[1:])
    assert mean == pytest.approx(average_precision_score(truth, score))


def test_classes_are_named_as_in_the_schema(tmp_path: Path) -> None:
    leave_predictions(tmp_path / "final", *binary_rows())
    rows = read_predictions(tmp_path / "final")
    assert ("No", "Yes") == rows.classes
    assert ["Yes"] == [name for name, _, _ in rows.scored_classes()]


def test_drawing_leaves_the_users_matplotlib_alone(tmp_path: Path) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    plots.draw_search(synthetic.history(5), tmp_path)
    assert before == dict(matplotlib.rcParams)


HOSTILE = ("$$", r"$\frac$", "_hidden", "a_b^c", "\x1b[2J\x07", "[/red]", "<b>", "x" * 300, "値")


@pytest.mark.filterwarnings("error")
def test_names_that_are_formulas_markup_or_control_characters_are_drawn_as_text(
    tmp_path: Path,
) -> None:
    records = synthetic.study(24)
    records[0]["objective"]["metric"] = "$x$_\x1b"
    for name in HOSTILE:
        records[0]["spec"]["search_space"][name] = {"type": "categorical", "choices": [*HOSTILE]}
    for record in records:
        if record["event"] == "asked":
            chosen = HOSTILE[record["trial"] % len(HOSTILE)]
            record["params"] |= dict.fromkeys(HOSTILE, chosen)
    leave_predictions(tmp_path / "final", *binary_rows())
    (tmp_path / "final" / "schema.json").write_text(
        json.dumps({"target": {"classes": ["_$a$", "\x1b]0;t\x07"]}})
    )
    importance = {"metric": "roc_auc", "rows": 200, "columns": {n: [0.1, 0.2] for n in HOSTILE}}
    (tmp_path / "final" / "importance.json").write_text(json.dumps(importance))
    history = History(synthetic.events(records))
    assert {} == plots.draw_search(history, tmp_path) | plots.draw_winner(history, tmp_path)
    page = plots.write_winner_page(history, tmp_path)
    assert page is not None
    assert "\x1b" not in page.read_text()


def test_a_class_that_begins_with_an_underscore_is_in_the_legend() -> None:
    truth, prediction = binary_rows()
    rows = Predictions(truth, prediction, ("no", "_other"))
    figure = winner.draw_roc(synthetic.history(2), rows)
    assert figure is not None
    (legend,) = [axis.get_legend() for axis in figure.axes]
    assert ["_other"] == [text.get_text().split()[0] for text in legend.get_texts()]


def test_a_figure_that_fails_leaves_the_others_and_no_old_file(tmp_path: Path, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("of nothing")

    leave_predictions(tmp_path / "final", *binary_rows())
    history = synthetic.history(8)
    assert {} == plots.draw_winner(history, tmp_path)
    monkeypatch.setitem(plots.WINNER, "roc", fail)
    failed = plots.draw_winner(history, tmp_path)
    assert {"plots/10_roc.png": "ZeroDivisionError: of nothing"} == failed
    names = {path.name for path in (tmp_path / "plots").iterdir()}
    assert "10_roc.png" not in names
    assert "11_precision_recall.png" in names


def test_probabilities_beyond_0_and_1_are_drawn(tmp_path: Path) -> None:
    """A model without an activation at its end gives such."""
    truth, prediction = binary_rows()
    leave_predictions(tmp_path / "final", truth, 4 * prediction - 2)
    history = synthetic.history(2)
    assert {} == plots.draw_winner(history, tmp_path)
    assert plots.write_winner_page(history, tmp_path) is not None


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"\x93NUMPY"])
def test_damaged_predictions_are_named_and_draw_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "final").mkdir()
    (tmp_path / "final" / "predictions.npz").write_bytes(content)
    failed = plots.draw_winner(synthetic.history(2), tmp_path)
    assert "is damaged" in failed["plots/09_predictions.png"]
