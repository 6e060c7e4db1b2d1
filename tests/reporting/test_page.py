"""The report in a real browser: what it shows, what it does when it is used, what it asks for."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic

from hpsearch.reporting.html import render_report, write_report

MAX_BYTES = 3_000_000
COUNTS = (5, 30, 2000)


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """The report of a study of as many trials."""
    root = tmp_path_factory.mktemp("reports")
    found = {}
    for n in COUNTS:
        records = synthetic.study(n, folds=3, epochs=4)
        records[0]["sampler"] = "gp"
        write_report(synthetic.write(root / str(n) / "journal.jsonl", records))
        found[n] = root / str(n) / "report.html"
    return found


@pytest.fixture
def opened(browser: Any, reports: dict[int, Path]) -> Callable[[int], Any]:
    """Opens a report as a file, without what an earlier test has logged."""

    def open_report(n: int) -> Any:
        browser.get_log("browser")
        browser.get(reports[n].as_uri())
        return browser

    return open_report


def select(browser: Any, selector: str) -> list[Any]:
    from selenium.webdriver.common.by import By

    return browser.find_elements(By.CSS_SELECTOR, selector)


def rows(browser: Any) -> list[int]:
    """The numbers of the trials in the table, from top to bottom."""
    script = "return [...document.querySelectorAll('#trials tbody tr')].map(r => +r.dataset.trial)"
    return browser.execute_script(script)


def column(browser: Any, name: str) -> list[str]:
    script = """
        const heads = [...document.querySelectorAll('#trials thead th')];
        const k = heads.findIndex(h => h.dataset.key === arguments[0]);
        return [...document.querySelectorAll('#trials tbody tr')].map(r => r.cells[k].textContent)
    """
    return browser.execute_script(script, name)


def move_over(browser: Any, target: Any, x: int, y: int) -> None:
    from selenium.webdriver import ActionChains

    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", target)
    ActionChains(browser).move_to_element_with_offset(target, x, y).perform()


@pytest.mark.parametrize("n", COUNTS)
def test_a_report_opens_as_a_file_is_small_and_asks_for_nothing(opened, reports, n: int) -> None:
    browser = opened(n)
    assert reports[n].stat().st_size < MAX_BYTES
    assert sorted(rows(browser)) == list(range(n))
    loaded = browser.execute_script("return performance.getEntriesByType('resource')")
    assert [] == loaded
    assert [] == browser.get_log("browser")
    scored = [t for t in synthetic.history(n, folds=3, epochs=4).trials if t.score is not None]
    assert len(scored) == len(select(browser, "#parallel path.line"))


def test_the_first_screen_says_who_won_how_good_it_is_and_than_what(opened) -> None:
    browser = opened(30)
    best = synthetic.history(30, folds=3, epochs=4).winning_trial()
    (verdict,) = select(browser, ".verdict")
    assert f"Trial {best.number} is the winner: roc_auc {best.score:.4f}" in verdict.text
    assert "it scores 0.8500 (95% interval 0.8300 to 0.8700)" in verdict.text
    assert "better than logistic regression" in verdict.text
    assert verdict.rect["y"] < 300


def test_the_table_sorts_by_a_column_both_ways(opened) -> None:
    browser = opened(30)
    best = synthetic.history(30, folds=3, epochs=4).ranked_trials()
    assert [t.number for t in best[:5]] == rows(browser)[:5]
    for order in ("ascending", "descending"):
        select(browser, "#trials th[data-key='param:dropout']")[0].click()
        (head,) = select(browser, "#trials th[aria-sort]")
        assert ("param:dropout", order) == tuple(
            head.get_attribute(name) for name in ("data-key", "aria-sort")
        )
        values = [float(text) for text in column(browser, "param:dropout")]
        assert sorted(values, reverse=order == "descending") == values


def test_the_table_is_filtered_by_conditions_words_and_states(opened) -> None:
    browser = opened(30)
    trials = synthetic.history(30, folds=3, epochs=4).trials
    (field,) = select(browser, "#filter")
    field.send_keys("optimizer=sgd dropout<0.25")
    expected = {
        t.number for t in trials if t.params["optimizer"] == "sgd" and t.params["dropout"] < 0.25
    }
    assert 0 < len(expected) < 30
    assert expected == set(rows(browser))
    select(browser, "#reset")[0].click()
    assert 30 == len(rows(browser))
    select(browser, "input[data-state=complete]")[0].click()
    assert {t.number for t in trials if t.state != "COMPLETE"} == set(rows(browser))
    assert {"pruned", "failed"} == set(column(browser, "state"))


def test_brushing_an_axis_keeps_the_trials_that_pass_there_in_lines_and_table(opened) -> None:
    from selenium.webdriver import ActionChains

    browser = opened(30)
    (area,) = select(browser, "rect.brush-area[data-axis='roc_auc']")
    half = int(area.rect["height"] / 2)
    move_over(browser, area, 0, -half + 4)
    ActionChains(browser).click_and_hold().move_by_offset(0, half // 2).release().perform()
    kept = rows(browser)
    ranked = [t.number for t in synthetic.history(30, folds=3, epochs=4).ranked_trials()]
    assert 0 < len(kept) < 24
    assert ranked[: len(kept)] == kept  # the upper end of the score: the best of them
    drawn = select(browser, "#parallel path.line:not(.off)")
    assert set(kept) == {int(line.get_attribute("data-trial")) for line in drawn}
    move_over(browser, area, 0, half - 20)
    ActionChains(browser).click().perform()
    assert 30 == len(rows(browser))


def test_every_line_reaches_the_score_whatever_is_not_active(opened) -> None:
    browser = opened(30)
    axes = [area.get_attribute("data-axis") for area in select(browser, "rect.brush-area")]
    assert {*synthetic.SPACE} == {*axes[:-1]}
    assert "roc_auc" == axes[-1]
    for line in select(browser, "#parallel path.line"):
        points = re.findall(r"[ML]([\d.]+) ([\d.]+)", line.get_attribute("d"))
        assert len(axes) == len(points)
        assert all(math.isfinite(float(y)) for _, y in points)
    assert "not active" in select(browser, "#parallel")[0].text


def test_the_axes_of_many_hyperparameters_fit_the_page_with_the_score(
    browser: Any, tmp_path: Path
) -> None:
    records = synthetic.study(6)
    for record in records:
        if record["event"] == "asked":
            record["params"] |= {f"width_of_layer_{i}": record["trial"] * i + 1 for i in range(9)}
    write_report(synthetic.write(tmp_path / "journal.jsonl", records))
    browser.get((tmp_path / "report.html").as_uri())
    assert len(select(browser, "rect.brush-area")) > 12
    (box,) = select(browser, "#parallel")
    assert box.get_property("scrollWidth") <= box.get_property("clientWidth")


def test_an_axis_of_whole_numbers_has_whole_ticks_and_one_of_choices_their_names(opened) -> None:
    browser = opened(5)
    script = """
        const area = document.querySelector(`rect[data-axis='${arguments[0]}']`);
        return [...area.parentNode.querySelectorAll('.tick')].map(t => t.textContent)
    """
    ticks = [t for t in browser.execute_script(script, "units") if t != "not active"]
    assert len(ticks) > 1
    assert all(re.fullmatch(r"\d+", tick) for tick in ticks)
    assert ["sgd", "adam"] == browser.execute_script(script, "optimizer")


def test_a_curve_under_the_pointer_is_told_with_its_folds(opened) -> None:
    browser = opened(30)
    (figure,) = select(browser, "#curves svg")
    assert 10 == len(select(browser, "#curves path.series"))
    assert 1 == len(select(browser, "#curves path.series.on"))  # the winner's
    move_over(browser, figure, 60, 10)
    told = select(browser, "#tooltip")[0].text
    found = re.match(r"trial-(\d+)\S*, epoch (\d).*\nroc_auc ([\d.]+), folds ([\d.]+) to", told)
    assert found, told
    trial = synthetic.history(30, folds=3, epochs=4).trials[int(found[1])]
    folds = trial.scores[int(found[2]) - 1]
    assert f"{sum(folds) / 3:.5g}" == f"{float(found[3]):.5g}"
    assert f"{min(folds):.5g}" == f"{float(found[4]):.5g}"


def test_a_trial_is_described_where_the_pointer_is_and_picked_in_all_figures(opened) -> None:
    from selenium.webdriver import ActionChains

    browser = opened(30)
    best = synthetic.history(30, folds=3, epochs=4).winning_trial()
    (mark,) = select(browser, f"#history circle[data-trial='{best.number}']")
    move_over(browser, mark, 0, 0)
    assert f"trial {best.number}, complete" in select(browser, "#tooltip")[0].text
    ActionChains(browser).click().perform()
    picked = select(browser, ".picked")
    assert {str(best.number)} == {p.get_attribute("data-trial") for p in picked}
    assert {"tr", "path", "circle", "rect"} == {p.tag_name for p in picked}


def test_good_pruned_trials_are_drawn_at_the_score_they_had_reached(opened) -> None:
    browser = opened(30)
    pruned = {
        t.number for t in synthetic.history(30, folds=3, epochs=4).trials if t.number % 10 == 2
    }
    drawn = select(browser, "#parallel path.line.pruned")
    assert pruned == {int(line.get_attribute("data-trial")) for line in drawn}


def test_importance_has_its_uncertainty_or_says_that_too_few_trials_are_known(opened) -> None:
    browser = opened(5)
    assert "Too few trials to say: 3 are complete" in select(browser, "main")[0].text
    browser = opened(30)
    assert "bootstrap over 24 complete trials" in select(browser, "main")[0].text


def test_the_page_is_dark_where_the_reader_prefers_it_and_has_no_controls_on_paper(opened) -> None:
    browser = opened(5)
    colour = "return getComputedStyle(document.body).backgroundColor"

    def emulate(**media: Any) -> None:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)

    try:
        light = browser.execute_script(colour)
        emulate(features=[{"name": "prefers-color-scheme", "value": "dark"}])
        assert light != browser.execute_script(colour)
        emulate(media="print", features=[])
        assert not select(browser, ".controls")[0].is_displayed()
        box = "return getComputedStyle(document.querySelector('#trials').parentNode).maxHeight"
        assert "none" == browser.execute_script(box)
    finally:
        emulate(media="", features=[])


def test_texts_of_a_study_are_shown_and_not_run(browser: Any, tmp_path: Path) -> None:
    hostile = "</script><img src=x onerror=window.hacked=1>"
    records = synthetic.study(6)
    for record in records:
        if record["event"] == "asked":
            record["params"]["optimizer"] = hostile
        if record.get("error"):
            record["error"] = hostile
    journal = synthetic.write(tmp_path / "journal.jsonl", records)
    write_report(journal)
    browser.get_log("browser")
    browser.get((tmp_path / "report.html").as_uri())
    assert hostile in column(browser, "param:optimizer")
    assert browser.execute_script("return window.hacked === undefined")
    assert [] == select(browser, "img")
    assert [] == browser.get_log("browser")


def write_predictions(folder: Path, truth: np.ndarray, prediction: np.ndarray) -> None:
    (folder / "final").mkdir()
    np.savez(folder / "final" / "predictions.npz", truth=truth, prediction=prediction)


def with_final(**fields: Any) -> list[synthetic.Record]:
    records = synthetic.study(6)
    records[-1] |= fields
    return records


def test_calibration_confusion_and_columns_are_drawn_of_the_locked_rows(
    browser: Any, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    probability = random.uniform(0.05, 0.95, (4000, 1))
    truth = (random.uniform(size=(4000, 1)) < probability).astype(float)
    write_predictions(tmp_path, truth, probability)
    worth = {"metric": "roc_auc", "columns": {"age": [0.2, 0.25], "<b>": [0.01, -0.01]}, "rows": 9}
    records = with_final(confusion=[[30, 4], [5, 20]], importance=worth)
    write_report(synthetic.write(tmp_path / "journal.jsonl", records))
    browser.get_log("browser")
    browser.get((tmp_path / "report.html").as_uri())
    text = select(browser, "main")[0].text
    off = re.search(r"On average over the rows it is ([\d.]+)% off", text)
    assert float(off[1]) < 3  # what was drawn with these probabilities is calibrated
    assert 10 == len(select(browser, "svg[aria-label=calibration] line.interval"))
    assert "true as 0 as 1\n0 30 4\n1 5 20" in text
    assert "<b>" in text
    assert [] == browser.get_log("browser")


def test_numbers_are_drawn_against_their_truth(tmp_path: Path) -> None:
    truth = np.linspace(0, 1, 3000)[:, None]
    write_predictions(tmp_path, truth, truth + 0.25)
    records = synthetic.study(6)
    records[0]["task"] = "regression"
    page = render_report(synthetic.write(tmp_path / "journal.jsonl", records))
    assert "prediction - truth: mean 0.25, standard deviation" in page
    assert 1000 == page.count('class="point"')


def test_predictions_that_are_damaged_leave_the_rest_of_the_page(tmp_path: Path) -> None:
    (tmp_path / "final").mkdir()
    (tmp_path / "final" / "predictions.npz").write_bytes(b"damaged")
    page = render_report(synthetic.write(tmp_path / "journal.jsonl", synthetic.study(6)))
    assert "predictions.npz is damaged" in page
    assert "is the winner" in page


def test_a_study_too_large_for_the_page_leaves_its_worst_trials_out(tmp_path: Path) -> None:
    records = synthetic.study(300, folds=2, epochs=1)
    for record in records:
        if record["event"] == "asked":
            record["params"] |= {f"p{i}": f"{record['trial']} {'x' * 190} {i}" for i in range(50)}
    write_report(synthetic.write(tmp_path / "journal.jsonl", records))
    page = (tmp_path / "report.html").read_text()
    assert len(page.encode()) < MAX_BYTES
    best = synthetic.history(300, folds=2, epochs=1).winning_trial()
    assert f'"winner":{best.number}' in page


def test_scores_that_are_no_numbers_leave_the_page_whole(browser: Any, tmp_path: Path) -> None:
    records = synthetic.study(6, finished=False)
    for record in records:
        if record["event"] == "epoch":
            record["scores"][0] = float("nan")
        if record["event"] == "result":
            record["score"] = float("inf") if record["score"] is not None else None
    write_report(synthetic.write(tmp_path / "journal.jsonl", records))
    browser.get_log("browser")
    browser.get((tmp_path / "report.html").as_uri())
    assert 6 == len(rows(browser))
    assert [] == browser.get_log("browser")


def test_the_sampler_s_predictions_lie_behind_the_trials_along_each_hyperparameter(opened) -> None:
    browser = opened(30)
    assert "the score that the sampler's model predicts" in browser.page_source
    assert 4 == len(select(browser, "#slices path.belief.band"))  # of the numbers
    assert 2 == len(select(browser, "#slices line.belief:not(.mean)"))  # of the two choices


def test_a_study_of_a_sampler_without_a_model_says_so(tmp_path: Path) -> None:
    records = synthetic.study(6)  # of tpe
    page = render_report(synthetic.write(tmp_path / "journal.jsonl", records))
    assert "the sampler tpe has no model of the score: `gp` has one." in page
    assert '"belief":' not in page


def test_the_timeline_has_a_bar_for_each_attempt_and_a_click_picks_its_trial(opened) -> None:
    browser = opened(30)
    bars = select(browser, "#timeline rect.mark")
    assert 31 == len(bars)  # trial 4 has two
    select(browser, "#timeline rect[data-trial='7']")[0].click()
    assert "7" == select(browser, "#trials tr.picked")[0].get_attribute("data-trial")
