"""After the winner is chosen: its final fit, and the one reading of the locked rows.

In this order, each step on disk before the journal tells of it: the fit (`fit/`, `fitted`), the
intention to read (`reading`), the reading and all files (`final/`, `final`). A study that is broken
off goes on behind the last of them; what a disk has lost since then is made again, and the locked
rows are read again only where their predictions are lost, which `reading` counts.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Dataset, TestRows
from ..data.schema import Schema
from ..data.split import Split
from ..execution.executor import Executor
from ..history import History
from ..platforms.files import draft_of, publish_folder, write_text
from ..promotion.package import EXAMPLE_ROWS, MODEL_FOLDER, Lineage, save_served_model
from ..training.final import FinalFit, LockedPrediction
from ..training.problem import Problem
from .holdout import Baseline, fit_baseline, judge
from .kept_files import broken_files, describe_files
from .prepare import with_folds
from .selection import Choice

logger = logging.getLogger("hpsearch.study")

NETWORK, SINGLE, PREDICTIONS = "model.keras", "single.keras", "predictions.npz"
JUDGED = "judged.json"  # the fields of `final`, in its folder


@dataclass(frozen=True, slots=True)
class Finale:
    """The final fit of one choice, and what is needed for it."""

    choice: Choice
    history: History
    dataset: Dataset
    problem: Problem
    executor: Executor
    folder: Path  # the study's
    record: Callable[..., Any]  # the journal's `append`; the history takes it in

    def run(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Bring `final/` and the journal's `final` about, unless both are there and whole.

        `meanwhile` is called while the executor trains, or not at all.
        """
        is_recorded = self._is_of_choice(self.history.final)
        broken = self._broken_final() if is_recorded else ()
        if is_recorded and not broken:
            return
        if broken:
            logger.warning(
                "%s: damaged or not there: %s; made again",
                self.folder / "final",
                ", ".join(broken),
            )
        elif (fields := self._published()) is not None:
            self._record_final(fields)
            return
        began = time.monotonic()
        with ThreadPoolExecutor(1) as pool:
            fitting = pool.submit(self._fit)
            baseline = self._baseline()
            meanwhile()
            fitted = fitting.result()
        self._judge(fitted, baseline, began)
        shutil.rmtree(self.folder / "fit", ignore_errors=True)

    # -- what is there already --------------------------------------------------------------

    def _is_of_choice(self, record: Mapping[str, Any] | None) -> bool:
        """Whether a `fitted` or `final` is of this choice."""
        return (
            record is not None
            and record.get("members") == self.choice.members_as_json()
            and record.get("threshold", self.choice.threshold) == self.choice.threshold
        )

    def _broken_final(self) -> tuple[str, ...]:
        final = self.history.final
        assert final is not None
        return broken_files(self.folder / "final", final.get("digests") or _expected(final))

    def _published(self) -> dict[str, Any] | None:
        """The fields of a `final` whose files came to be just before the study was broken off."""
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            path = self.folder / "final" / JUDGED
            fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            after = None if self.history.final is None else self.history.final["seq"]
            if (
                self._is_of_choice(fields)
                and fields["study"] == self.history.key
                and fields["after"] == after
                and not broken_files(path.parent, fields["digests"])
            ):
                return {k: v for k, v in fields.items() if k not in ("study", "after")}
        return None

    # -- the fit ----------------------------------------------------------------------------

    def _fit(self) -> Path:
        """The folder of the fitted networks, trained where they are not there."""
        for folder, record in (("fit", self.history.fitted), ("final", self.history.final)):
            if self._is_of_choice(record) and self._has_networks(self.folder / folder, record):
                return self.folder / folder
        path = self.folder / "fit"
        draft = draft_of(path)
        draft.mkdir(parents=True)
        try:
            members = {NETWORK: self.choice.members}
            if self.choice.is_ensemble and self.dataset.locked:
                members[SINGLE] = self.choice.single
            for name, each in members.items():
                self.executor.fit(
                    FinalFit(each, self._all_rows(), self._schema(), path=draft / name)
                )
            digests = describe_files(draft)
            publish_folder(draft, path)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        self.record(
            "fitted",
            trial=self.choice.trial.number,
            members=self.choice.members_as_json(),
            threshold=self.choice.threshold,
            files=path.name,
            digests=digests,
        )
        return path

    def _has_networks(self, folder: Path, record: Mapping[str, Any] | None) -> bool:
        digests = (record or {}).get("digests") or {}
        needed = [NETWORK]
        if self.choice.is_ensemble and self.dataset.locked and folder.name == "fit":
            needed.append(SINGLE)
        known = {name: digests[name] for name in needed if name in digests}
        return len(known) == len(needed) and not broken_files(folder, known)

    def _all_rows(self) -> Problem:
        """The problem of the final fit: all development rows train."""
        rows = np.arange(len(self.problem.target))
        alone = replace(self.problem, early_stopping=None)
        return with_folds(alone, self.dataset, (Split(rows, rows[:0]),))

    def _schema(self) -> Schema:
        """The schema whose served labels follow the threshold."""
        schema = self.dataset.schema
        assert schema.target is not None
        return replace(schema, target=replace(schema.target, threshold=self.choice.threshold))

    # -- the locked rows --------------------------------------------------------------------

    def _baseline(self) -> Baseline | None:
        return fit_baseline(self._all_rows()) if self.dataset.locked else None

    def _judge(self, fitted: Path, baseline: Baseline | None, began: float) -> None:
        """Read the locked rows and write everything that the study ends with."""
        path = self.folder / "final"
        draft = draft_of(path)
        draft.mkdir(parents=True)
        try:
            shutil.copyfile(fitted / NETWORK, draft / NETWORK)
            fields = self._earlier_answer(draft)
            if fields is None:
                fields = self._read_locked(fitted, draft, baseline)
            self._write(draft, fields)
            fields |= {"seconds": time.monotonic() - began, "digests": describe_files(draft)}
            after = None if self.history.final is None else self.history.final["seq"]
            marked = {**fields, "study": self.history.key, "after": after}
            write_text(draft / JUDGED, json.dumps(marked))
            publish_folder(draft, path)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        self._record_final(fields)

    def _record_final(self, fields: Mapping[str, Any]) -> None:
        self.record("final", **{**fields, "reads": self.history.reads})

    def _earlier_answer(self, draft: Path) -> dict[str, Any] | None:
        """The fields of an earlier `final` whose network and predictions are whole."""
        final = self.history.final
        if final is None or not self._is_of_choice(final) or "digests" not in final:
            return None
        needed = {NETWORK, PREDICTIONS} if self.dataset.locked else {NETWORK}
        digests = {name: final["digests"].get(name) for name in needed}
        folder = self.folder / "final"
        if None in digests.values() or broken_files(folder, digests):
            return None
        if self.dataset.locked:
            shutil.copyfile(folder / PREDICTIONS, draft / PREDICTIONS)
        return {k: v for k, v in final.items() if k not in ("seq", "time", "event", "reads")}

    def _read_locked(self, fitted: Path, draft: Path, baseline: Baseline | None) -> dict[str, Any]:
        """What the locked rows say; that they are read is written down first."""
        choice = self.choice
        fields: dict[str, Any] = {
            "trial": choice.trial.number,
            "epochs": choice.epochs,
            "members": choice.members_as_json(),
            "files": "final",
            "test_rows": len(self.dataset.locked or ()),
        }
        if self.dataset.locked is None:
            return fields
        self.record("reading", trial=choice.trial.number, rows=len(self.dataset.locked))
        locked = self.dataset.locked.read()
        prediction, judged = self._judged(fitted, locked, baseline)
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
        return fields | judged

    def _judged(
        self, fitted: Path, locked: TestRows, baseline: Baseline | None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        order = LockedPrediction(
            path=fitted / NETWORK,
            locked=replace(locked, table=None),
            schema=self._schema(),
            problem=self._all_rows(),
        )
        answer = self.executor.predict(order)
        single = None
        if self.choice.is_ensemble:
            alone = replace(order, path=self._single(fitted))
            single = (self.choice.trial.number, self.executor.predict(alone).predictions)
        judged = judge(
            self.problem,
            self.dataset.schema,
            locked,
            answer.predictions,
            threshold=self.choice.threshold,
            baseline=baseline,
            single=single,
        )
        if answer.importance is not None:
            judged["importance"] = answer.importance.as_json()
        elif answer.problem:
            logger.warning("the columns' importance could not be measured: %s", answer.problem)
        return answer.predictions, judged

    def _single(self, fitted: Path) -> Path:
        """The best single trial's network; trained where the ensemble alone was kept."""
        path = fitted / SINGLE
        if not path.is_file():
            path = self.folder / "fit" / SINGLE
            path.parent.mkdir(exist_ok=True)
            self.executor.fit(
                FinalFit(self.choice.single, self._all_rows(), self._schema(), path=path)
            )
        return path

    # -- the files --------------------------------------------------------------------------

    def _write(self, folder: Path, judged: Mapping[str, Any]) -> None:
        """The files of the final fit beside the network and the predictions."""
        schema, dataset = self._schema(), self.dataset
        text = json.dumps(schema.to_json(), indent=1)
        (folder / "schema.json").write_text(text + "\n", encoding="utf-8")
        if "importance" in judged:
            importance = json.dumps(judged["importance"], indent=1)
            (folder / "importance.json").write_text(importance + "\n", encoding="utf-8")
        best = self.choice.trial
        assert best.score is not None
        assert best.spread is not None
        lineage = Lineage(
            study=self.folder.name,
            trial=best.number,
            fingerprint=dataset.fingerprint,
            metric=self.problem.objective,
            score=best.score,
            spread=best.spread,
            epochs=self.choice.epochs,
            test=judged.get("test", {}),
        )
        n_rows = EXAMPLE_ROWS
        if dataset.windows:
            n_rows += sum(dataset.schema.input_shape[:-1])
        save_served_model(
            folder / MODEL_FOLDER,
            model=folder / NETWORK,
            schema=schema,
            columns=dataset.columns[:n_rows],
            lineage=lineage,
        )


def _expected(final: Mapping[str, Any]) -> dict[str, None]:
    """The files of a `final` that an older version wrote, which kept no digests."""
    names = [NETWORK, "schema.json", f"{MODEL_FOLDER}/MLmodel"]
    names.append(f"{MODEL_FOLDER}/artifacts/model.keras")
    names += [PREDICTIONS] if final.get("test_rows") else []
    return dict.fromkeys(names)
