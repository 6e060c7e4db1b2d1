"""Read a study from Python: trials as a table, curves, figures, the model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import JournalError, PromotionError
from ..events import CURVES
from ..history import History, load_condensed_history, load_history
from ..python_errors import speaks_python
from ..redaction import redact
from ..tracking.store import find_journal, list_journals, study_folder
from ..trial import Trial

if TYPE_CHECKING:
    from pandas import DataFrame
    from plotly.graph_objects import Figure

SHOWN = 10  # trials in a notebook's table


class StudyReader:
    """A study in its folder; files are read on first use."""

    folder: Path  # `mlruns/studies/NAME`

    @cached_property
    def history(self) -> History:
        """Return the history of the study without curves; read once.

        Raises:
            JournalError: If there is no journal, or it is damaged.
        """
        return load_history(self.journal, without=CURVES)

    @property
    def journal(self) -> Path:
        """Return the path of the study's journal."""
        return self.folder / "journal.jsonl"

    @property
    def trials(self) -> list[Trial]:
        """Return the last attempt of each trial by number, without curves."""
        return self.history.trials

    def frame(self, *, cv_results: bool = False) -> DataFrame:
        """Return a data frame with one row per trial, best first, those without a score last.

        Args:
            cv_results: Use the column names of scikit-learn's `cv_results_`, including folds.

        Returns:
            Columns `trial`, `state`, `rank`, `score` (mean over the folds), `std`, `best_epoch`
            (from 1), `epochs`, `seconds`, and `param_NAME` for each hyperparameter.
        """
        from ..reporting.trial_frames import trials_frame

        return trials_frame(load_condensed_history(self.journal), cv_results=cv_results)

    def curves(self, trial: int) -> DataFrame:
        """Return the curves of a trial by epoch.

        Returns:
            One row per epoch, from 1; columns by name (`score`, `train/loss`, `val/loss`, …) and
            fold.

        Raises:
            JournalError: If there is no such trial.
        """
        from ..reporting.trial_frames import curves_frame

        return curves_frame(self.journal, trial)

    @cached_property
    def model(self) -> Any:
        """Return the winner as it is served, a `promotion.ServedModel` that predicts raw rows.

        Raises:
            PromotionError: If the study has no fitted winner yet, or it cannot be opened.
        """
        from ..promotion.model_loading import load_served_folder

        packed = self.folder / "final" / "model"
        if not (packed / "MLmodel").exists():
            raise PromotionError(
                f"{self.history.name} has no fitted winner: let the study end first"
            )
        return load_served_folder(packed, packed)

    def keras_model(self) -> Any:
        """Return the winner's network, a `keras.Model` that takes cleaned rows.

        Raises:
            PromotionError: If the study has no fitted winner yet.
        """
        return self.model.model

    def predict(self, rows: Any, *, interval: float | None = None) -> Any:
        """Predict each row with the winner.

        Args:
            rows: A data frame with the raw columns of the study's table, in any order; an array
                (n_rows, *shape) if the study was trained on an array; or batches as `tune` takes
                them, with or without targets, which are predicted one after another.
            interval: Level of prediction intervals, 0.5 to 0.99: adds the columns `low` and
                `high` (`low_<target>` and `high_<target>` of several targets), or the column
                `set`, a JSON list of classes.

        Returns:
            A series of labels, or of predicted values; a data frame if there are several targets
            or `interval` is given.

        Raises:
            ValueError: If a column is missing, a cell cannot be read, or the model does not have
                the level `interval`; the message names the column, the cell or the levels.
        """
        options = {} if interval is None else {"interval": interval}
        answers = self._answer(rows, **options)
        wanted = [name for name in answers if not name.startswith("probability_")]
        return answers[wanted[0]] if len(wanted) == 1 else answers[wanted]

    def predict_proba(self, rows: Any) -> DataFrame:
        """Predict the probability of each class, or of each label; see `predict`.

        Raises:
            ValueError: If the study is a regression.
        """
        answers = self._answer(rows)
        found = answers.filter(regex="^probability_")
        if found.empty:
            raise ValueError(f"{self.history.name} predicts numbers, not classes: use predict")
        return found.rename(columns=lambda name: name.removeprefix("probability_"))

    def _answer(self, rows: Any, **options: float) -> Any:
        from ..data.batch_feed import is_feed, iter_inputs, to_named_rows

        model = self.model
        if not is_feed(rows):
            return model.answer(to_named_rows(rows), **options)
        if model.schema.window is not None:
            raise ValueError(
                f"{self.history.name} predicts windows, which reach over batches: give a data frame"
            )
        answers = [model.answer(inputs, **options) for inputs in iter_inputs(rows)]
        if not answers:
            raise ValueError("there are no rows")
        from pandas import concat  # heavy

        return concat(answers, ignore_index=True)

    def report(self, path: Path | str | None = None) -> Path:
        """Write the study's HTML report to `path`, by default `report.html` in its folder."""
        from ..platforms.files import write_text
        from ..reporting.html import REPORT, render_report

        target = self.folder / REPORT if path is None else Path(path)
        write_text(target, render_report(self.journal))
        return target

    @property
    def plot(self) -> StudyPlots:
        """Return the Plotly figures of the search."""
        return StudyPlots(self.journal)

    def _repr_html_(self) -> str:
        """Render the best trials for notebooks."""
        table = self.frame().head(SHOWN).to_html(index=False, na_rep="")
        return f"<p><b>{escape(redact(self.history.name))}</b></p>{redact(table)}"


class StudyPlots:
    """Plotly figures of a study's search; `show()` draws one in a notebook or browser.

    Raises:
        ValueError: By each method, if there are too few trials for its figure.
    """

    def __init__(self, journal: Path) -> None:
        """Create the figures of the study of a journal; each is drawn when it is called."""
        self._journal = journal

    def history(self) -> Figure:
        """Plot the score of each trial and the best score so far."""
        return self._draw("optimization_history")

    def importance(self) -> Figure:
        """Plot the importance of each hyperparameter."""
        return self._draw("param_importances")

    def parallel(self) -> Figure:
        """Plot the hyperparameters of each trial as parallel coordinates."""
        return self._draw("parallel_coordinate")

    def contour(self) -> Figure:
        """Plot the scores over the two most important hyperparameters."""
        return self._draw("contour")

    def curves(self) -> Figure:
        """Plot the score of each trial by epoch."""
        return self._draw("intermediate_values")

    def timeline(self) -> Figure:
        """Plot when each trial ran."""
        return self._draw("timeline")

    def _draw(self, name: str) -> Figure:
        from ..history import load_condensed_history
        from ..tracking.plots.interactive import draw_figure

        return draw_figure(load_condensed_history(self._journal), name)


class LoadedStudy(StudyReader):
    """An earlier study; see `load`."""

    def __init__(self, folder: Path) -> None:
        """Open the study in `folder`, which has a journal."""
        self.folder = folder

    @property
    def best(self) -> Trial | None:
        """Return the winner, or the best trial so far; None before one completed."""
        return self.history.winning_trial()

    @speaks_python
    def enqueue(
        self, values: Mapping[str, Any], *, like: int | None = None, epochs: int | None = None
    ) -> Mapping[str, Any]:
        """Ask for a trial with these hyperparameters, also while another process runs the study.

        Args:
            values: Hyperparameters by name. Others are those of trial `like`, or else defaults.
            like: A trial's number.
            epochs: Maximum epochs, instead of the declared ones.

        Returns:
            The hyperparameters of the trial.

        Raises:
            SpecError: If it is not a point of the search space.
            JournalError: If there is no trial `like`.
        """
        from .steering import enqueue_point

        return enqueue_point(self.journal, values, like=like, epochs=epochs).params

    @speaks_python
    def extend(self, trial: int, *, epochs: int) -> None:
        """Train a complete or pruned trial further; its new score replaces the present one.

        Args:
            trial: The trial's number; that of the best is `study.best.number`.
            epochs: Epochs in all, from the first one on.

        Raises:
            JournalError: If there is no such trial, or it cannot be trained further.
        """
        from .steering import extend_trial

        extend_trial(self.journal, trial, epochs)

    @speaks_python
    def pause(self) -> None:
        """Train nothing after the running epochs, until `unpause`.

        Raises:
            JournalError: If the study is paused already, or its search has ended.
        """
        from .steering import pause_study

        pause_study(self.journal)

    @speaks_python
    def unpause(self) -> None:
        """Continue after `pause`.

        Raises:
            JournalError: If the study is not paused.
        """
        from .steering import unpause_study

        unpause_study(self.journal)

    @speaks_python
    def stop(self, trial: int | None = None) -> None:
        """Stop a trial after its current epoch, or the run after its running trials.

        Raises:
            JournalError: If the trial has ended, or no process runs the study.
        """
        from ..journal.inbox import post_stop
        from .steering import stop_trial

        if trial is None:
            post_stop(self.journal)
        else:
            stop_trial(self.journal, trial)

    def __repr__(self) -> str:
        return f"LoadedStudy({self.history.name!r}, {len(self.trials)} trials)"


def load(study: str, root: Path | str | None = None) -> LoadedStudy:
    """Load a study that has run, or that is running; nothing is trained.

    Args:
        study: The study's name.
        root: The folder that contains `mlruns/`; None: the working folder.

    Raises:
        JournalError: If there is no such study; the message lists the known ones.
    """
    folder = Path(root) if root else Path.cwd()
    journal = find_journal(folder, study)
    if journal is None:
        known = [path.parent.name for path in list_journals(folder)]
        there = f"Known: {', '.join(known)}." if known else "There is none yet."
        where = study_folder(folder, "_").parent
        raise JournalError(f"there is no study {study!r} below {where}. {there}")
    return LoadedStudy(journal.parent)
