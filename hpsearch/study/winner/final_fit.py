"""Fit the winner on all development rows, and evaluate it once on the locked rows.

The steps, each on disk before its event is written: the fit (`fit/`, event `fitted`), the intention
to read the locked rows (`reading`), their evaluation with all files (`final/`, `final`). An
interrupted study continues after the last step; lost files are created again. The locked rows are
read again only if their predictions are lost, which `reading` counts.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from ...data import Dataset, TestRows
from ...data.schema import Schema
from ...data.split import Split
from ...event_codec import FormatError, as_text, from_json, to_json
from ...events import ColumnImportance, Event, LockedRowsRead, WinnerEvaluated, WinnerFitted
from ...execution.executor import Executor
from ...history import History
from ...models.temperature import scale_by_temperature
from ...platforms.files import draft_of, publish_folder, write_text
from ...promotion.package import MODEL_FOLDER
from ...training.final_model import FinalFitRequest, LockedPredictionRequest
from ...training.problem import Problem
from ..file_integrity import describe_files, find_damaged_files
from ..frozen_features import pass_locked_rows
from ..prepare import with_folds
from .baselines import Baseline, fit_baselines
from .final_files import NETWORK, PREDICTIONS, find_broken_files, is_of_choice
from .forecast_baselines import ForecastBaseline, fit_forecast_baselines
from .holdout_evaluation import SinglePrediction, evaluate_holdout
from .holdout_metrics import compute_or_warn
from .selection import Choice
from .served_files import write_served_files

logger = logging.getLogger("hpsearch.study")

HOLDOUT_FILE = "judged.json"  # the fields of the event `final`, in its folder


@dataclass(frozen=True)
class WinnerFit:
    """The final fit of one choice."""

    choice: Choice
    history: History
    dataset: Dataset
    problem: Problem
    executor: Executor
    folder: Path  # the study's folder
    record: Callable[[Event], object]  # `Journal.append`; also updates the history
    trust_code: bool = False  # whether the user's files are packed where the model needs them

    def measure_ms_per_row(self) -> float | None:
        """Return how long the fitted model takes for a row, fitting it if it is missing."""
        self._fit_networks()
        fitted = self.history.fitted
        return fitted.ms_per_row if fitted is not None and self._is_of_choice(fitted) else None

    def run(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Create `final/` and the event `final`, unless both exist and are intact.

        `meanwhile` is called while the executor trains and predicts, if it does.
        """
        final = self.history.final
        broken: tuple[str, ...] = ()
        if final is not None and self._is_of_choice(final):
            broken = find_broken_files(final, self.folder / "final", trust_code=self.trust_code)
            if not broken:
                return
        if broken == (MODEL_FOLDER,):
            logger.info("%s is created again because of serve.trust_code", self.folder / "final")
        elif broken:
            logger.warning(
                "%s: damaged or missing: %s; created again",
                self.folder / "final",
                ", ".join(broken),
            )
        elif (published := self._unrecorded_final()) is not None:
            self._record_final(published)
            return
        began = time.monotonic()
        _ = self._full_problem  # built once, before two threads use it
        with ThreadPoolExecutor(1) as pool:
            fitting = pool.submit(self._fit_networks)
            earlier = self._earlier_evaluation()
            baselines = self._fit_baselines() if earlier is None else ()
            evaluating = pool.submit(
                lambda: self._evaluate_holdout(fitting.result(), earlier, baselines, began)
            )
            meanwhile()
            evaluating.result()
        shutil.rmtree(self.folder / "fit", ignore_errors=True)

    # -- results of earlier runs ------------------------------------------------------------

    def _is_of_choice(self, event: WinnerFitted | WinnerEvaluated | None) -> bool:
        return is_of_choice(event, self.choice)

    def _unrecorded_final(self) -> WinnerEvaluated | None:
        """Read an evaluation whose files were written just before an interruption."""
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, FormatError):
            path = self.folder / "final" / HOLDOUT_FILE
            fields = json.loads(path.read_text(encoding="utf-8"))
            event = from_json({"event": WinnerEvaluated.kind, "time": 0, **fields})
            if (
                isinstance(event, WinnerEvaluated)
                and self._is_of_choice(event)
                and fields["study"] == self.history.key
                and fields["after"] == self._number_of_final
                and event.digests is not None
                and not find_damaged_files(path.parent, event.digests)
            ):
                return event
        return None

    @property
    def _number_of_final(self) -> int | None:
        """Return the number of the event `final` in the journal."""
        return None if self.history.final is None else self.history.final.seq

    # -- the fit ----------------------------------------------------------------------------

    def _fit_networks(self) -> Path:
        """Return the folder of the fitted model, training it if it is missing."""
        for folder, event in (("fit", self.history.fitted), ("final", self.history.final)):
            if self._is_of_choice(event) and self._has_network(self.folder / folder, event):
                return self.folder / folder
        path = self.folder / "fit"
        draft = draft_of(path)
        draft.mkdir(parents=True)
        try:
            done = self.executor.fit(
                FinalFitRequest(
                    self.choice.members,
                    self._full_problem,
                    self._served_schema(),
                    path=draft / NETWORK,
                    backbones=self.dataset.backbones,
                )
            )
            digests = describe_files(draft)
            publish_folder(draft, path)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        self.record(
            WinnerFitted(
                trial=self.choice.trial.number,
                members=self.choice.recorded_members,
                threshold=self.choice.threshold,
                calibration=self.choice.calibration,
                files=path.name,
                ms_per_row=done.ms_per_row,
                digests=digests,
            )
        )
        return path

    def _has_network(self, folder: Path, event: WinnerFitted | WinnerEvaluated | None) -> bool:
        digests = event.digests if event is not None and event.digests is not None else {}
        known = {NETWORK: digests[NETWORK]} if NETWORK in digests else {}
        return bool(known) and not find_damaged_files(folder, known)

    @cached_property
    def _full_problem(self) -> Problem:
        """The problem of the final fit, which trains on all development rows."""
        rows = np.arange(len(self.problem.target))
        alone = replace(self.problem, early_stopping=None)
        return with_folds(alone, self.dataset, (Split(rows, rows[:0]),))

    def _served_schema(self) -> Schema:
        """Return the schema with the chosen threshold and calibration."""
        schema, choice = self.dataset.schema, self.choice
        assert schema.target is not None
        target = replace(schema.target, threshold=choice.threshold)
        if choice.calibration is not None:
            bounds = tuple(tuple(each) for each in choice.calibration.bounds)
            target = replace(target, temperature=choice.calibration.temperature, bounds=bounds)
        return replace(schema, target=target)

    # -- the locked rows --------------------------------------------------------------------

    def _fit_baselines(self) -> tuple[Baseline | ForecastBaseline, ...]:
        if not self.dataset.locked_rows:
            return ()
        schema = self.dataset.schema
        if schema.window is not None and schema.window.target:
            return fit_forecast_baselines(self.problem, self._full_problem, schema)
        return fit_baselines(self._full_problem)

    def _evaluate_holdout(
        self,
        fitted: Path,
        earlier: WinnerEvaluated | None,
        baselines: Sequence[Baseline | ForecastBaseline],
        began: float,
    ) -> None:
        """Write all files of the result, reading the locked rows unless `earlier` did."""
        path = self.folder / "final"
        draft = draft_of(path)
        draft.mkdir(parents=True)
        try:
            shutil.copyfile(fitted / NETWORK, draft / NETWORK)
            if earlier is None:
                evaluated = self._read_locked(fitted, draft, baselines)
            else:
                evaluated = earlier
                if self.dataset.locked_rows:
                    shutil.copyfile(path / PREDICTIONS, draft / PREDICTIONS)
            write_served_files(
                draft,
                evaluated,
                choice=self.choice,
                schema=self._served_schema(),
                dataset=self.dataset,
                problem=self.problem,
                study=self.folder.name,
                trust_code=self.trust_code,
            )
            seconds, digests = time.monotonic() - began, describe_files(draft)
            evaluated = replace(evaluated, seconds=seconds, digests=digests)
            marked = {"study": self.history.key, "after": self._number_of_final}
            write_text(draft / HOLDOUT_FILE, as_text({**to_json(evaluated), **marked}))
            publish_folder(draft, path)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        self._record_final(evaluated)

    def _record_final(self, evaluated: WinnerEvaluated) -> None:
        self.record(replace(evaluated, reads=self.history.reads))

    def _earlier_evaluation(self) -> WinnerEvaluated | None:
        """Return an earlier evaluation whose network and predictions are intact."""
        final = self.history.final
        if final is None or not self._is_of_choice(final) or final.digests is None:
            return None
        needed = {NETWORK, PREDICTIONS} if self.dataset.locked_rows else {NETWORK}
        digests = {name: final.digests.get(name) for name in needed}
        is_damaged = None in digests.values() or find_damaged_files(self.folder / "final", digests)
        return None if is_damaged else final

    def _read_locked(
        self, fitted: Path, draft: Path, baselines: Sequence[Baseline | ForecastBaseline]
    ) -> WinnerEvaluated:
        """Evaluate on the locked rows; the reading is recorded first."""
        choice = self.choice
        if self.dataset.locked_rows is None:
            return self._of_choice(WinnerEvaluated(test_rows=0))
        n_rows = len(self.dataset.locked_rows)
        self.record(LockedRowsRead(trial=choice.trial.number, rows=n_rows))
        locked = self.dataset.locked_rows.read()
        prediction, evaluated = self._compute_holdout_result(fitted, locked, baselines)
        weights = np.ones(len(prediction)) if locked.weights is None else locked.weights
        np.savez(
            draft / PREDICTIONS,
            truth=locked.target,
            prediction=prediction,
            weights=weights,
            threshold=choice.threshold,
            task=self.problem.task,
            fingerprint=self.dataset.fingerprint,
        )
        return self._of_choice(replace(evaluated, test_rows=n_rows))

    def _of_choice(self, evaluated: WinnerEvaluated) -> WinnerEvaluated:
        return replace(
            evaluated,
            trial=self.choice.trial.number,
            epochs=self.choice.epochs,
            members=self.choice.recorded_members,
            threshold=self.choice.threshold,
            calibration=self.choice.calibration,
            files="final",
        )

    def _compute_holdout_result(
        self, fitted: Path, locked: TestRows, baselines: Sequence[Baseline | ForecastBaseline]
    ) -> tuple[np.ndarray, WinnerEvaluated]:
        order = LockedPredictionRequest(
            path=fitted / NETWORK,
            locked_rows=replace(locked, table=None),
            schema=self._served_schema(),
            problem=self._full_problem,
            n_single=self.choice.n_single,
        )
        answer = self.executor.predict(order)
        baseline_rows = compute_or_warn(
            "the features for the baselines", partial(pass_locked_rows, self.dataset, locked)
        )
        evaluated = evaluate_holdout(
            self.problem,
            self._served_schema(),
            locked,
            answer.predictions,
            threshold=self.choice.threshold,
            baselines=baselines if baseline_rows else (),
            single=self._calibrate_single(answer.single),
            baseline_rows=baseline_rows,
        )
        if answer.importance is not None:
            importance = answer.importance
            evaluated = replace(
                evaluated,
                importance=ColumnImportance(
                    importance.metric, importance.losses, importance.n_rows
                ),
            )
        elif answer.importance_error:
            logger.warning(
                "the columns' importance could not be measured: %s", answer.importance_error
            )
        return answer.predictions, evaluated

    def _calibrate_single(self, prediction: np.ndarray | None) -> SinglePrediction | None:
        """Return the predictions of an ensemble's best single trial, as it would be served."""
        comparison = self.choice.comparison
        if prediction is None or comparison is None:
            return None
        scaled = scale_by_temperature(np, prediction, comparison.temperature)
        return SinglePrediction(self.choice.trial.number, scaled, comparison.threshold)
