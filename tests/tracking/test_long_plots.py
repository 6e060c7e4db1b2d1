"""Figures of long studies: a bounded, stated and representative sample of trials."""

import re

import numpy as np
import pytest
import synthetic

from hpsearch.tracking.plots import interactive, search_plots, space_plots, thinning


@pytest.fixture(scope="module")
def history():
    return synthetic.history(1500, folds=2, epochs=2)


def test_thinned_trials_hold_the_best_and_every_best_so_far(history):
    chosen = thinning.representative_trials(history, 200)
    assert len(chosen) <= 220  # 200, and those that were the best so far
    assert history.best in chosen
    last = best = None
    for trial, best in history.improvements():
        if best != last:
            assert trial in chosen
        last = best
    states = {t.state for t in chosen}
    assert {"COMPLETE", "PRUNED", "FAILED"} == states
    assert sorted(t.number for t in chosen) == [t.number for t in chosen]


def test_of_a_short_study_nothing_is_left_out():
    history = synthetic.history(24, folds=2, epochs=2)
    assert history.trials == thinning.representative_trials(history, 24)
    assert "" == thinning.describe_part(24, 24)


def test_a_part_of_the_trials_ranks_the_hyperparameters_as_all_do(history, monkeypatch):
    part = space_plots.compute_importances(history)
    monkeypatch.setattr(space_plots, "MAX_POINTS", 10_000)
    whole = space_plots.compute_importances(history)
    assert list(whole)[:2] == list(part)[:2]
    assert all(abs(whole[name] - part[name]) < 0.15 for name in whole)


def test_a_figure_of_curves_draws_a_part_and_says_of_how_many(history):
    figure = search_plots.draw_intermediate_values(history)
    (axis,) = figure.axes
    assert len(axis.lines) < 2 * thinning.MAX_LINES + 10
    texts = " ".join(t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text")))
    assert re.search(r"\d+ of 1,500 trials are drawn", texts)


def test_the_interactive_page_of_a_long_study_draws_a_part_and_says_of_how_many(history, tmp_path):
    page = interactive.write_interactive(history, tmp_path)
    text = page.read_text()
    said = re.search(r"Optimisation history; (\d+) of 1,500 trials are drawn", text)
    assert said is not None
    assert int(said[1]) < 1.1 * thinning.MAX_INTERACTIVE  # and those that were the best so far


def test_a_surface_by_two_matrices_is_the_one_by_every_pair():
    rng = np.random.default_rng(0)
    x, y, z = rng.random((3, 40))
    grid = np.linspace(0, 1, 7)
    width = max(0.06, 0.6 * 40 ** (-1 / 6) * float(np.mean([x.std(), y.std()])))
    at_x, at_y = np.meshgrid(grid, grid)
    square = (at_x[..., None] - x) ** 2 + (at_y[..., None] - y) ** 2
    weight = np.exp(-square / (2 * width**2)) + 1e-12
    expected = (weight * z).sum(-1) / weight.sum(-1)
    assert expected == pytest.approx(space_plots._smooth(x, y, z, grid), rel=1e-9)
