"""Read a study from Python: trials as a table, curves, figures, the model."""

from __future__ import annotations

from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import JournalError, PromotionError
from ..events import CURVES
from ..history import History, load_history
from ..redaction import redact
from ..tracking.store import find_journal, list_journals, study_folder
from ..trial import Trial

if TYPE_CHECKING:
    from pandas import DataFrame
    from plotly.graph_objects import Figure

SHOWN = 10  # trials of a notebook's table


class StudyReader:
    """A study's folder, read when something of it is asked for."""

    folder: Path  # `mlruns/studies/NAME`

    @cached_property
    def history(self) -> History:
        """All that the journal tells, without curves; read once.

        Raises:
            JournalError: If there is no journal, or it is damaged.
        """
        return load_history(self.journal, without=CURVES)

    @property
    def journal(self) -> Path:
        """The study's journal."""
        return self.folder / "journal.jsonl"

    @property
    def trials(self) -> list[Trial]:
        """The trials by number, the last attempt of each, without curves."""
        return self.history.trials

    def frame(self, *, cv_results: bool = False) -> DataFrame:
        """One row a trial, the best first, those without a score last.

        Args:
            cv_results: Take the column names of scikit-learn's `cv_results_`, folds included.

        Returns:
            Columns `trial`, `state`, `rank`, `score` (mean over the folds), `std`, `best_epoch`
            (from 0), `epochs`, `seconds`, and `param_NAME` for each hyperparameter.
        """
        from ..reporting.trial_frames import trials_frame

        return trials_frame(self.history, cv_results=cv_results)

    def curves(self, trial: int) -> DataFrame:
        """Return the curves of a trial by epoch.

        Returns:
            One row an epoch; columns by name (`score`, `train/loss`, `val/loss`, …) and fold.

        Raises:
            JournalError: If there is no such trial.
        """
        from ..reporting.trial_frames import curves_frame

        return curves_frame(self.journal, trial)

    @cached_property
    def model(self) -> Any:
        """The winner as it is served: raw rows in, answers out (`promotion.ServedModel`).

        Raises:
            PromotionError: If the study has no fitted winner yet, or it cannot be opened.
        """
        from ..promotion.scoring import load_served_folder

        packed = self.folder / "final" / "model"
        if not (packed / "MLmodel").exists():
            raise PromotionError(
                f"{self.history.name} has no fitted winner: let the study end first"
            )
        return load_served_folder(packed, packed)

    def keras_model(self) -> Any:
        """The winner's network, a `keras.Model`; it takes what the served model makes of rows.

        Raises:
            PromotionError: If the study has no fitted winner yet.
        """
        return self.model.model

    def predict(self, rows: Any, *, interval: float | None = None) -> Any:
        """The winner's answer for each row.

        Args:
            rows: A data frame with the raw columns of the study's table, in any order; an array
                (n_rows, *shape) where rows are arrays.
            interval: The share of rows, 0.5 to 0.99, whose truth shall lie between the columns
                `low` and `high`, or among the classes of the column `set`, a JSON list.

        Returns:
            A series of labels, or of predicted values; a data frame with a column for each target
            where there are several, or with the columns of `interval`.

        Raises:
            ValueError: Naming the column that is missing, the cell that cannot be read, or the
                levels of `interval` that the model has.
        """
        options = {} if interval is None else {"interval": interval}
        answers = self.model.answer(rows, **options)
        wanted = [name for name in answers if not name.startswith("probability_")]
        return answers[wanted[0]] if len(wanted) == 1 else answers[wanted]

    def predict_proba(self, rows: Any) -> DataFrame:
        """The probability of each class, or of each label, one row a row; see `predict`.

        Raises:
            ValueError: If the study is a regression.
        """
        answers = self.model.answer(rows)
        found = answers.filter(regex="^probability_")
        if found.empty:
            raise ValueError(f"{self.history.name} predicts numbers, not classes: use predict")
        return found.rename(columns=lambda name: name.removeprefix("probability_"))

    def report(self, path: Path | str | None = None) -> Path:
        """Write the study's HTML page; to `report.html` in its folder unless `path` is given."""
        from ..platforms.files import write_text
        from ..reporting.html import REPORT, render_report

        target = self.folder / REPORT if path is None else Path(path)
        write_text(target, render_report(self.journal))
        return target

    @property
    def plot(self) -> StudyPlots:
        """Plotly figures of the search."""
        return StudyPlots(self.journal)

    def _repr_html_(self) -> str:
        """The best trials, for notebooks."""
        table = self.frame().head(SHOWN).to_html(index=False, na_rep="")
        return f"<p><b>{escape(redact(self.history.name))}</b></p>{redact(table)}"


class StudyPlots:
    """Plotly figures of a study's search; `show()` draws one in a notebook or browser.

    Raises:
        ValueError: By each figure for which too little was tried.
    """

    def __init__(self, journal: Path) -> None:
        """Draw the study of a journal."""
        self._journal = journal

    def history(self) -> Figure:
        """The score of each trial, and the best so far."""
        return self._draw("optimization_history")

    def importance(self) -> Figure:
        """Each hyperparameter's share of the differences between the scores."""
        return self._draw("param_importances")

    def contour(self) -> Figure:
        """The scores over the two most important hyperparameters."""
        return self._draw("contour")

    def curves(self) -> Figure:
        """The score of each trial by epoch."""
        return self._draw("intermediate_values")

    def timeline(self) -> Figure:
        """Draw when each trial ran."""
        return self._draw("timeline")

    def _draw(self, name: str) -> Figure:
        from ..history import load_condensed_history
        from ..tracking.plots.interactive import draw_figure

        return draw_figure(load_condensed_history(self._journal), name)


class LoadedStudy(StudyReader):
    """An earlier study; see `load`."""

    def __init__(self, folder: Path) -> None:
        """Read the study of a folder that has a journal."""
        self.folder = folder

    @property
    def best(self) -> Trial | None:
        """The winner, or the best trial so far; None before one completed."""
        return self.history.winning_trial()

    def __repr__(self) -> str:
        return f"LoadedStudy({self.history.name!r}, {len(self.trials)} trials)"


def load(study: str, root: Path | str | None = None) -> LoadedStudy:
    """A study that has run before, or that runs now; nothing is trained.

    Args:
        study: Its name.
        root: The folder that holds `mlruns/`; the working folder where it is None.

    Raises:
        JournalError: If there is no such study; it names those there are.
    """
    folder = Path(root) if root else Path.cwd()
    journal = find_journal(folder, study)
    if journal is None:
        known = [path.parent.name for path in list_journals(folder)]
        there = f"Known: {', '.join(known)}." if known else "There is none yet."
        where = study_folder(folder, "_").parent
        raise JournalError(f"there is no study {study!r} below {where}. {there}")
    return LoadedStudy(journal.parent)
