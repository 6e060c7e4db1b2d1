"""Nested cross-validation: how good is what the whole procedure finds?

Each outer fold is a study of its own: search, finalists and final fit on the other folds' rows,
then one reading of the fold's. The mean of these readings says what to expect of the procedure
run on all rows; no part of it has seen the rows that judge it (Varma & Simon 2006, "Bias in error
estimation when using cross-validation for model selection", BMC Bioinformatics 7; Cawley & Talbot
2010, JMLR 11).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .result import StudyResult
from .tune import load_spec, tune


@dataclass(frozen=True, slots=True)
class NestedResult:
    """The studies of the outer folds, in their order."""

    studies: tuple[StudyResult, ...]

    @property
    def objective(self) -> str:
        """The metric that each study improved."""
        return self.studies[0].objective

    @property
    def metrics(self) -> tuple[str, ...]:
        """What has a value on every fold's locked rows, the objective first."""
        others = [m for m in self.studies[0].test if all(m in study.test for study in self.studies)]
        return tuple(dict.fromkeys((self.objective, *others)))

    def scores(self, metric: str) -> np.ndarray:
        """The metric on each fold's locked rows, (n_folds,)."""
        return np.array([study.test[metric] for study in self.studies])

    @property
    def promised(self) -> np.ndarray:
        """What each study's search promised: its winner's score, (n_folds,)."""
        return np.array([study.best.score for study in self.studies])

    def as_json(self) -> dict[str, Any]:
        """What `hpsearch nested --json` prints."""
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
            "promised": self.promised.tolist(),
            "studies": [study.as_json() for study in self.studies],
        }


def nested(
    spec: str | Path | Mapping[str, Any],
    data: Any = None,
    *,
    folds: int = 5,
    overrides: Sequence[str] = (),
    **options: Any,
) -> NestedResult:
    """Run the study of each outer fold, or go on with it.

    Args:
        spec: As `tune` takes it; `data.test_fraction` and test files do not count.
        data: As `tune` takes it.
        folds: Outer folds, made as the declared cross-validation makes its own.
        overrides: As `tune` takes them.
        options: Whatever else `tune` takes.

    Raises:
        HpsearchError: For whatever the caller can mend.
    """
    return NestedResult(
        tuple(
            outer_study(spec, data, fold=fold, folds=folds, overrides=overrides, **options)
            for fold in range(1, folds + 1)
        )
    )


def outer_study(
    spec: str | Path | Mapping[str, Any],
    data: Any = None,
    *,
    fold: int,
    folds: int,
    overrides: Sequence[str] = (),
    **options: Any,
) -> StudyResult:
    """The study of one outer fold, counted from 1: `NAME-outer-FOLD-of-FOLDS`."""
    name = load_spec(spec, overrides).spec.study
    own = [f"study={name}-outer-{fold}-of-{folds}"]
    own.append(f"data.outer_fold={{fold: {fold}, folds: {folds}}}")
    return tune(spec, data, overrides=[*overrides, *own], **options)
