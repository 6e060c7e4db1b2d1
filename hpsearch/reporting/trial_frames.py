"""Convert a study's trials and curves to data frames."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..events import CURVES
from ..history import History, load_history
from .trial_export import trial_rows

SHORT_NAMES = {  # short names of the columns of `cv_results_`
    "trial": "trial",
    "state": "state",
    "rank_test_score": "rank",
    "mean_test_score": "score",
    "std_test_score": "std",
    "best_epoch": "best_epoch",
    "n_epochs": "epochs",
    "seconds": "seconds",
}


def trials_frame(history: History, *, cv_results: bool = False) -> pd.DataFrame:
    """Build a data frame with one row per trial, best first, those without a score last.

    Args:
        history: The study's history.
        cv_results: Use the column names of scikit-learn's `cv_results_`, including folds.
    """
    table = pd.DataFrame(trial_rows(history))
    if table.empty:
        return table
    ordered = table.sort_values("rank_test_score", kind="stable", ignore_index=True)
    if cv_results:
        return ordered
    params = [name for name in ordered if name.startswith("param_")]
    return ordered[[*SHORT_NAMES, *params]].rename(columns=SHORT_NAMES)


def curves_frame(journal: Path, trial: int) -> pd.DataFrame:
    """Build the curves of a trial: one row per epoch, columns by name and fold.

    Raises:
        JournalError: If there is no such trial.
    """
    found = load_history(journal, without=CURVES, but_of=(trial,)).find_trial(trial)
    measured = {"score": found.scores, **found.curves}
    columns = {
        (name, fold): [row[fold] for row in rows]
        for name, rows in measured.items()
        for fold in range(len(rows[0]) if rows else 0)
    }
    table = pd.DataFrame(columns)
    if columns:
        table.columns = pd.MultiIndex.from_tuples(columns, names=["name", "fold"])
    table.index += 1  # as Keras prints epochs
    return table.rename_axis("epoch")
