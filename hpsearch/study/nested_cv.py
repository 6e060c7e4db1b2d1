"""Nested cross-validation: estimate the performance of the whole procedure.

Each outer fold is a separate study: search, finalists and final fit on the rows of the other folds,
then one evaluation on its own rows. The mean of these scores estimates the score of the procedure
applied to all rows, without selection bias (Varma & Simon 2006, "Bias in error estimation when
using cross-validation for model selection", BMC Bioinformatics 7; Cawley & Talbot 2010, JMLR 11).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import redact_text
from ..events import CURVES
from ..history import load_history
from ..tracking.nested_summary import OuterFoldResult, send_nested
from ..tracking.store import artifact_location, default_uri, journal_path, open_store
from .result import StudyResult
from .tune import Declared, load_spec, tune

logger = logging.getLogger("hpsearch.study")


@dataclass(frozen=True, slots=True)
class NestedResult:
    """The results of the outer folds, in order."""

    studies: tuple[StudyResult, ...]
    is_summary_sent: bool = True  # or offline

    @property
    def is_unsent(self) -> bool:
        """Whether MLflow lacks a part of the results."""
        return not self.is_summary_sent or any(study.unsent for study in self.studies)

    @property
    def objective(self) -> str:
        """The objective of the studies."""
        return self.studies[0].objective

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics defined on every fold's locked rows, the objective first."""
        others = [m for m in self.studies[0].test if all(m in study.test for study in self.studies)]
        return tuple(dict.fromkeys((self.objective, *others)))

    def scores(self, metric: str) -> np.ndarray:
        """Return a metric on each fold's locked rows, (n_folds,)."""
        return np.array([study.test[metric] for study in self.studies])

    @property
    def search_scores(self) -> np.ndarray:
        """The winner's cross-validation score of each study, (n_folds,)."""
        return np.array([study.search_score for study in self.studies])

    def as_json(self) -> dict[str, Any]:
        """Return the output of `hpsearch nested --json`."""
        return {
            "objective": self.objective,
            "test": {
                metric: {
                    "mean": float(self.scores(metric).mean()),
                    "std": float(self.scores(metric).std()),
                    "folds": self.scores(metric).tolist(),
                }
                for metric in self.metrics
            },
            "promised": self.search_scores.tolist(),
            "studies": [study.as_json() for study in self.studies],
        }


def nested(
    spec: Declared,
    data: Any = None,
    *,
    folds: int = 5,
    overrides: Sequence[str] = (),
    tracking_uri: str | None = None,
    offline: bool = False,
    root: Path | None = None,
    around: Callable[[int], AbstractContextManager[Mapping[str, Any]]] = lambda _: nullcontext({}),
    **options: Any,
) -> NestedResult:
    """Run or continue the study of each outer fold, and send their summary to MLflow.

    Args:
        spec: As for `tune`; `data.test_fraction` and test files are ignored.
        data: As for `tune`.
        folds: Number of outer folds, which are made as the inner ones are.
        overrides: As for `tune`.
        tracking_uri: As for `tune`.
        offline: As for `tune`; a later call without it sends the summary.
        root: As for `tune`.
        around: A context manager entered around the study of a fold (1-based); yields arguments
            of `tune` for that study.
        options: Other arguments of `tune`.

    Raises:
        HpsearchError: For errors that the caller can fix.
    """
    file = load_spec(spec, overrides)
    name = file.spec.study
    where: dict[str, Any] = {"tracking_uri": tracking_uri, "offline": offline, "root": root}
    studies = []
    for fold in range(1, folds + 1):
        # The study's name is `NAME-outer-FOLD-of-FOLDS`.
        own = [f"study={name}-outer-{fold}-of-{folds}"]
        own.append(f"data.outer_fold={{fold: {fold}, folds: {folds}}}")
        with around(fold) as more:
            studies.append(tune(file, data, overrides=own, **where, **options, **more))
    result = NestedResult(tuple(studies))
    if offline:
        return result
    is_sent = _send_summary(result, name, tracking_uri, (root or Path.cwd()).resolve())
    return replace(result, is_summary_sent=is_sent)


def _send_summary(result: NestedResult, name: str, tracking_uri: str | None, root: Path) -> bool:
    """Send the summary; returns whether it was sent. If not, the next call sends it."""
    uri = tracking_uri or default_uri(root)
    folds = [_describe_outer_fold(study, result.metrics, root) for study in result.studies]
    try:
        send_nested(open_store(uri), name, folds, artifacts=artifact_location(uri, root))
    except Exception as error:  # each backend raises its own kinds
        logger.warning(
            "MLflow did not accept the summary (%s); the same command sends it again",
            redact_text(str(error)),
        )
        return False
    return True


def _describe_outer_fold(study: StudyResult, metrics: Sequence[str], root: Path) -> OuterFoldResult:
    history = load_history(journal_path(root, study.study), without=CURVES)
    assert history.final is not None
    known = study.experiment_id is not None and study.run_id is not None
    return OuterFoldResult(
        study.study,
        key=history.key,
        location=(str(study.experiment_id), str(study.run_id)) if known else None,
        time=history.final.time,
        search_score=study.best.score,
        test={metric: study.test[metric] for metric in metrics},
        intervals=study.intervals,
    )
