"""Search and final fit in one `fit`, like scikit-learn's `GridSearchCV`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Self

import joblib
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.model_selection import check_cv
from sklearn.utils import check_array, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from ..api import tune
from ..errors import DataError, SpecError, TrainingError
from ..spec.spec_builder import Spec
from ..study.init.recommended_ranges import recommend_ranges
from ..training.trainer_selection import has_accelerator
from .fitted_model import answer_rows, list_cv_results, pack_folder

TARGET, WEIGHT = "(target)", "(weight)"  # columns added to the study's table
MAX_SEED = 2**31 - 1
INLINE_CELLS = 200_000  # of a table that is trained in the calling process
NEED_WORKERS = {"budget.trial_minutes", "budget.memory_gib", "execution.workers"}


class KerasSearchCV(BaseEstimator):  # type: ignore[misc]
    """Base class of `KerasSearchClassifier` and `KerasSearchRegressor`.

    Args:
        search_space: `Float`, `Int` and `Choice` parameters, or a mapping as in a study file;
            None: recommended ranges of a dense network for the size of the data.
        fixed: Fixed hyperparameters.
        model: A family's name, or a function that builds the model; as for `hpsearch.tune`.
        n_trials: Number of trials.
        epochs: Maximum number of epochs; early stopping may end a training before.
        cv: Number of folds, a splitter, or pairs of row indices, as for `GridSearchCV`.
        scoring: Name of the optimized metric, as in a study file; None: the task's default.
        sampler: Name of the sampler.
        settings: Other keys of a study file, such as `{"training.early_stopping": None}`.
        random_state: The study's seed; None draws one.
        study: Name under which the study is kept below `root`, so that the same `fit` continues
            after an interrupt; None: the study is deleted after `fit`.
        root: The folder that contains `mlruns/`; None: the working folder.
        offline: False sends a named study to MLflow.
        progress: As for `hpsearch.tune`; silent by default, as estimators are.

    Attributes:
        best_params_: The winner's hyperparameters.
        best_score_: Its cross-validated score, in the metric's own direction.
        best_index_: Its row in `cv_results_`.
        cv_results_: Arrays with an entry for each trial, by column name.
        scorer_: The metric's name.
        n_splits_: The number of folds.
        model_bytes_: The fitted model, packed.
    """

    task: ClassVar[str]

    def __init__(
        self,
        search_space: Any = None,
        *,
        fixed: Mapping[str, Any] | None = None,
        model: Any = "mlp",
        n_trials: int = 30,
        epochs: int = 40,
        cv: Any = None,
        scoring: str | None = None,
        sampler: str = "gp",
        settings: Mapping[str, Any] | None = None,
        random_state: Any = None,
        study: str | None = None,
        root: Any = None,
        offline: bool = True,
        progress: bool | None = False,
    ) -> None:
        self.search_space = search_space
        self.fixed = fixed
        self.model = model
        self.n_trials = n_trials
        self.epochs = epochs
        self.cv = cv
        self.scoring = scoring
        self.sampler = sampler
        self.settings = settings
        self.random_state = random_state
        self.study = study
        self.root = root
        self.offline = offline
        self.progress = progress

    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> Self:  # noqa: N803
        """Search, and fit the winner on all rows.

        Args:
            X: A data frame with numbers, text and missing cells as they come, or an array of
                numbers, (n_rows, n_features).
            y: (n_rows,) labels, or numbers.
            sample_weight: (n_rows,) at least 0; they weigh the loss and the metrics.
            groups: (n_rows,), for a splitter by groups.

        Raises:
            ValueError: For data or settings that cannot be used, naming what is wrong.
        """
        rows, y = self._validate_rows(X, y)
        target = self._encode_target(y)
        table = self._to_table(rows).assign(**{TARGET: target})
        if sample_weight is not None:
            weights = check_array(sample_weight, ensure_2d=False, input_name="sample_weight")
            if not weights.any():
                raise ValueError("sample_weight: every weight is zero, so no row counts")
            table[WEIGHT] = weights
        splitter = check_cv(self.cv, target, classifier=self.task != "regression")
        folds = list(splitter.split(rows, target, groups))
        self.n_splits_ = len(folds)
        seed = int(check_random_state(self.random_state).randint(MAX_SEED))
        spec = self._build_spec(table, seed, has_weights=sample_weight is not None)
        try:
            with self._open_root(table, folds) as (root, name):
                spec["study"] = name
                self._search(spec, table, folds, root)
        except (SpecError, DataError, TrainingError) as error:
            raise ValueError(str(error)) from error
        return self

    def _search(self, spec: dict[str, Any], table: Any, folds: Any, root: Path) -> None:
        declared = {"execution.executor": self._choose_executor(table), **(self.settings or {})}
        settings = [f"{key}={json.dumps(value)}" for key, value in declared.items()]
        result = tune(
            spec,
            table,
            model=self.model,
            folds=folds,
            overrides=settings,
            root=root,
            offline=self.offline or self.study is None,
            progress=self.progress,
        )
        self.best_params_ = dict(result.best.params)
        self.best_score_ = result.best.score
        self.cv_results_ = list_cv_results(result.frame(cv_results=True))
        self.best_index_ = int(np.flatnonzero(self.cv_results_["trial"] == result.best.trial)[0])
        self.scorer_ = result.objective
        self.study_folder_ = None if self.study is None else result.folder
        self.model_bytes_ = pack_folder(result.folder / "final" / "model")

    def _choose_executor(self, table: Any) -> str:
        """Train small tables in this process: a worker takes longer to import Keras."""
        keras = sys.modules.get("keras")
        suits = keras is None or keras.config.backend() == "jax"
        suits = suits and not callable(self.model) and not has_accelerator()
        suits = suits and not set(self.settings or ()) & NEED_WORKERS
        return "inline" if suits and table.size <= INLINE_CELLS else "processes"

    def _build_spec(self, table: Any, seed: int, *, has_weights: bool) -> dict[str, Any]:
        space = self.search_space
        if space is None:
            space = recommend_space(len(table), table.shape[1] - 1 - has_weights)
        if not isinstance(space, Mapping):
            space = Spec(space)["search_space"]
        spec: dict[str, Any] = {
            "seed": seed,
            "task": self.task,
            "data": {"target": TARGET, "test_fraction": 0.0},
            "training": {"epochs": self.epochs},
            "search_space": {**space, **(self.fixed or {})},
            "sampler": {"kind": self.sampler},
            "budget": {"trials": self.n_trials},
        }
        if has_weights:
            spec["data"]["weights"] = WEIGHT
        if self.scoring is not None:
            spec["objective"] = {"metric": self.scoring}
        return spec

    @contextmanager
    def _open_root(self, table: Any, folds: Any) -> Iterator[tuple[Path, str]]:
        """Return the study's root folder and name; each table has its own study."""
        if self.study is None:
            with TemporaryDirectory(prefix="hpsearch-") as folder:
                yield Path(folder), "fit"
            return
        root = Path.cwd() if self.root is None else Path(self.root)
        yield root, f"{self.study}-{joblib.hash((table, folds))[:8]}"

    def _validate_rows(self, X: Any, y: Any) -> tuple[Any, Any]:  # noqa: N803
        """Validate rows and target; the cells of a data frame are validated by the study."""
        if isinstance(X, pd.DataFrame):
            validate_data(self, X, skip_check_array=True)
            if y is None:
                raise ValueError("y is None: a target is required")
            if len(X) != len(y):
                raise ValueError(f"X has {len(X)} rows, y has {len(y)}")
            return X, column_or_1d(y, warn=True)
        rows, target = validate_data(
            self,
            X,
            y,
            dtype="numeric",
            ensure_all_finite="allow-nan",
            ensure_min_samples=2,
            y_numeric=self.task == "regression",
        )
        return rows, target

    def _to_table(self, X: Any) -> Any:  # noqa: N803
        """Convert rows to a data frame whose column names are strings."""
        if isinstance(X, pd.DataFrame):
            return X.set_axis([str(name) for name in X.columns], axis=1).reset_index(drop=True)
        return pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])

    def _answer(self, X: Any) -> Any:  # noqa: N803
        check_is_fitted(self, "model_bytes_")
        if isinstance(X, pd.DataFrame):
            validate_data(self, X, skip_check_array=True, reset=False)
            return answer_rows(self, self._to_table(X))
        rows = validate_data(self, X, dtype="numeric", ensure_all_finite="allow-nan", reset=False)
        return answer_rows(self, self._to_table(rows))

    def _encode_target(self, y: Any) -> Any:
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


class KerasSearchClassifier(ClassifierMixin, KerasSearchCV):  # type: ignore[misc]
    """Hyperparameter search for a Keras classifier; `score` is the accuracy. See `KerasSearchCV`.

    Attributes:
        classes_: The labels, sorted.

    Examples:
        >>> from sklearn.datasets import load_iris
        >>> from hpsearch import Float
        >>> from hpsearch.sklearn import KerasSearchClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> rates = [Float("learning_rate", 1e-3, 1e-1, log=True)]
        >>> search = KerasSearchClassifier(rates, n_trials=4, cv=3, random_state=0)
        >>> search.fit(X, y).score(X, y) > 0.9  # doctest: +SKIP
        True
    """

    task = "multiclass"

    def _encode_target(self, y: Any) -> Any:
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has one class, {self.classes_[0]!r}: at least two are needed")
        return codes

    def _build_spec(self, table: Any, seed: int, *, has_weights: bool) -> dict[str, Any]:
        spec = super()._build_spec(table, seed, has_weights=has_weights)
        return {**spec, "task": "binary" if len(self.classes_) == 2 else "multiclass"}

    def predict(self, X: Any) -> Any:  # noqa: N803
        """Predict the label of each row, (n_rows,)."""
        answers = self._answer(X)
        return self.classes_[answers["label"].to_numpy().astype(np.intp)]

    def predict_proba(self, X: Any) -> Any:  # noqa: N803
        """Predict the probabilities, (n_rows, n_classes), in the order of `classes_`."""
        answers = self._answer(X)
        names = [f"probability_{code}" for code in range(len(self.classes_))]
        return answers[names].to_numpy(np.float64)


class KerasSearchRegressor(RegressorMixin, KerasSearchCV):  # type: ignore[misc]
    """Hyperparameter search for a Keras regressor; `score` is R². See `KerasSearchCV`."""

    task = "regression"

    def _encode_target(self, y: Any) -> Any:
        return np.asarray(y, np.float64)

    def predict(self, X: Any) -> Any:  # noqa: N803
        """Predict the value of each row, (n_rows,)."""
        return self._answer(X)["prediction"].to_numpy(np.float64)


def recommend_space(rows: int, features: int) -> dict[str, Any]:
    """Return the ranges for a dense network that `hpsearch init` recommends."""
    ranges = recommend_ranges(rows, features)
    return {
        "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
        "units": {"type": "int", "low": ranges.units[0], "high": ranges.units[1], "log": True},
        "layers": {"type": "int", "low": ranges.layers[0], "high": ranges.layers[1]},
        "dropout": {"type": "float", "low": 0.0, "high": 0.5},
        "batch_size": list(ranges.batch_size),
    }
