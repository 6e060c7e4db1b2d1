"""Export a study's trials to CSV, Parquet or an Optuna study.

The columns are those of scikit-learn's `cv_results_`, but scores keep their sign: scikit-learn
would negate a minimized metric. Rank 1 is the best in the study's direction.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import HpsearchError
from ..escaping import escape_formula
from ..history import History, load_condensed_history
from ..platforms.paths import sqlite_uri
from ..redaction import redact
from .terminal_tables import param_names

Row = dict[str, Any]


def export_trials(journal: Path, output: Path, *, form: str) -> int:
    """Write the trials of a study to `output`; returns their number.

    Args:
        journal: The study's journal.
        output: The file; must not exist for `optuna`, is replaced otherwise.
        form: One of `FORMATS`; see `choose_format`.

    Raises:
        JournalError: If the journal is missing or damaged.
        OSError: If the file cannot be written.
    """
    return FORMATS[form](load_condensed_history(journal), output)


def choose_format(output: Path, asked: str | None = None) -> str:
    """Choose the format of a file by its ending or the `--format` option.

    Raises:
        HpsearchError: If neither determines the format, or they contradict each other.
    """
    of_ending = ENDINGS.get(output.suffix.lower())
    if asked not in (None, *FORMATS):
        raise HpsearchError(f"Unknown format {asked!r}. Known: {', '.join(sorted(FORMATS))}.")
    if asked and of_ending and asked != of_ending:
        raise HpsearchError(
            f"{output}: the ending says {of_ending} and --format {asked}: change one of them"
        )
    if form := asked or of_ending:
        return form
    raise HpsearchError(
        f"{output}: the ending {output.suffix!r} is unknown. Known: {', '.join(ENDINGS)}; "
        f"or use --format {'|'.join(FORMATS)}."
    )


def trial_rows(history: History) -> list[Row]:
    """Build one row per trial, all with the same keys; None for absent values."""
    ranks = {trial.number: rank for rank, trial in enumerate(history.ranked_trials(), start=1)}
    folds = max((len(t.fold_scores or ()) for t in history.trials), default=0)
    names = param_names(history.trials)
    table = []
    for trial in history.trials:
        scores = list(trial.fold_scores or ())
        row: Row = {"trial": trial.number, "state": trial.state}
        row |= {f"param_{name}": trial.params.get(name) for name in names}
        row |= {
            f"split{k}_test_score": scores[k] if k < len(scores) else None for k in range(folds)
        }
        row |= {
            "mean_test_score": trial.score,
            "std_test_score": trial.spread,
            "rank_test_score": ranks.get(trial.number),
            "best_epoch": None if trial.best_epoch is None else trial.best_epoch + 1,
            "n_epochs": trial.n_epochs,
            "seconds": trial.seconds,
            "n_parameters": trial.n_parameters,
            "seed": trial.seed,
            "attempt": trial.attempt,
            "revision": trial.revision,
            "trainer": trial.trainer or None,
            "error": trial.error and redact(trial.error),  # from a journal of an older version
        }
        table.append(row)
    return table


def _export_csv(history: History, output: Path) -> int:
    return _write_csv(trial_rows(history), output)


def _export_safe_csv(history: History, output: Path) -> int:
    """Write a CSV file whose cells a spreadsheet does not run as formulas."""
    return _write_csv(
        [
            {escape_formula(k): escape_formula(v) for k, v in row.items()}
            for row in trial_rows(history)
        ],
        output,
    )


def _write_csv(table: Sequence[Row], output: Path) -> int:
    with output.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.DictWriter(file, list(table[0]) if table else ["trial"])
        writer.writeheader()
        writer.writerows(table)
    return len(table)


def _export_parquet(history: History, output: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = trial_rows(history)
    columns = {name: _unify_types([row[name] for row in table]) for name in (table or [{}])[0]}
    pq.write_table(pa.table(columns), output)
    return len(table)


def _unify_types(values: list[Any]) -> list[Any]:
    """Convert a column to one type: strings if a categorical mixes types."""
    kinds = {type(v) for v in values if v is not None}
    if kinds <= {int, float} or len(kinds) <= 1:
        return (
            [float(v) for v in values] if kinds == {int, float} and None not in values else values
        )
    return [None if v is None else str(v) for v in values]


def _export_optuna(history: History, output: Path) -> int:
    from ..tracking.optuna_study import build_optuna_study

    if output.exists():
        raise HpsearchError(
            f"{output}: exists already. Optuna would append to it: name another file."
        )
    return len(build_optuna_study(history, _open_storage(output)).get_trials(deepcopy=False))


def _open_storage(output: Path) -> Any:
    """Open SQLite for .db, .sqlite and .sqlite3; otherwise Optuna's journal, which is faster."""
    if output.suffix in (".db", ".sqlite", ".sqlite3"):
        return sqlite_uri(output.resolve())
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(output)))


FORMATS: dict[str, Callable[[History, Path], int]] = {
    "csv": _export_csv,
    "safe-csv": _export_safe_csv,
    "parquet": _export_parquet,
    "optuna": _export_optuna,
}
ENDINGS = {  # file ending -> format
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".db": "optuna",
    ".sqlite": "optuna",
    ".sqlite3": "optuna",
    ".log": "optuna",
}
