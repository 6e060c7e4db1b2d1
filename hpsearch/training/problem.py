"""The problem shared by all trials of a study: rows, folds and objective.

Arrays and plain values, which are sent to a worker once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..compat.keras import compute_output_shape
from ..data.columns import ARRAY_KINDS, ColumnInput
from ..data.split import Split
from ..data.statistics import Statistics
from ..data.windows import Windows
from ..errors import TrainingError
from ..models import find_family, load_family, make_outputs
from ..models.families.category_encoding import CategoryRanges
from ..models.members import count_members, separate_members
from ..models.user_network import build_for_rows
from ..spec.data_spec import Task
from ..spec.function_reference import resolve_reference
from ..spec.type_coercion import resolve_params
from ..trial import Direction, Value, derive_seed
from .batching import batch_size
from .custom_metric import load_custom_metric
from .input_layout import find_layout, join_inputs, list_input_shapes
from .layer_adaptation import prepare_adaptation
from .metrics import Metric, get_metric
from .multi_output import concatenate_outputs, trace_outputs
from .phases import Phase

if TYPE_CHECKING:
    import keras


Precision = Literal["float32", "tensorfloat32", "bfloat16"]
Watch = Callable[[dict[str, Value]], dict[str, Value]]
SAMPLE_ROWS = 64  # rows of a sample


@dataclass(frozen=True, slots=True)
class EarlyStopping:
    """Stop a trial whose mean curve has not improved for `patience` epochs.

    With `scope="fold"` each fold also stops on its own curve: its weights and its score are
    frozen at its last epoch, and the trial ends when every fold has stopped.
    """

    patience: int  # epochs without improvement
    min_delta: float = 0.0  # what counts as an improvement, in units of the objective
    scope: Literal["mean", "fold"] = "mean"
    first_epoch: int = 0  # earlier epochs are not considered


@dataclass(frozen=True, slots=True)
class Problem:
    """Rows, folds and objective.

    `features` holds a single copy of the rows for all folds; NaN means missing. A fold's
    preprocessing is defined by its `Statistics`.
    """

    task: Task
    features: np.ndarray  # (n_rows, *shape) float32 or uint8; the rows of `windows`
    target: np.ndarray  # (n_rows, n_outputs) float32: 0/1, one-hot, labels, or raw numbers
    folds: tuple[Split, ...]
    statistics: tuple[Statistics, ...]  # one per fold
    objective: str  # a key of metrics.METRICS, or the name of a custom metric
    metrics: tuple[str, ...]  # measured every epoch; contains the objective
    model: str = "mlp"  # a family of models.FAMILIES, or FILE.py:FUNCTION
    fixed_params: Mapping[str, Value] | None = None  # hyperparameters that no trial changes
    weights: np.ndarray | None = None  # (n_rows,) float32, in training and in scores
    early_stopping: EarlyStopping | None = None
    precision: Precision | None = None  # of products; None: the device's default
    fold_schedule: Literal["together", "in_turn"] = "together"  # in turn: only under keras_fit
    folder: str = ""  # base of the path of a custom loss, FILE.py:FUNCTION
    threshold: float | Literal["tuned"] = 0.5  # of a binary task's labels
    custom_metric: tuple[str, Direction] | None = None  # the objective, as FILE.py:FUNCTION
    cost_objectives: tuple[str, ...] = ()  # not metrics; "latency_ms" is measured
    category_ranges: CategoryRanges = ()  # features of each categorical column
    column_inputs: tuple[
        ColumnInput, ...
    ] = ()  # features of each column; texts and images are the last
    # Columns of each named input of a custom model; empty: it gets all features as one array.
    input_groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    target_transforms: tuple[str, ...] = ()  # of a regression's outputs
    # By `scaling`, if it is a hyperparameter.
    statistics_by_scaling: Mapping[str, tuple[Statistics, ...]] | None = None
    windows: Windows | None = None  # windows into `features`; None: rows are not windows
    on_disk: bool = False  # whether `features` are mapped from disk and must not be copied
    callbacks: tuple[str, ...] = ()  # FILE.py:FUNCTION that creates the callbacks of a fold
    phases: tuple[Phase, ...] = ()  # of a custom model's training; empty: one
    own_fit: str | None = None  # why the user's `HyperModel.fit` trains; None: it does not
    optimizers: tuple[str, ...] = ()  # optimizers in the search space, which may share programs
    batch_sizes_vary: bool = False  # between trials, which may share programs
    # Values of integer hyperparameters by name: all, or if many, the bounds and powers of two.
    sizes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one row of a network's input."""
        shape = self.features.shape[1:]
        return shape if self.windows is None else (self.windows.n_rows, *shape)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return the features of some rows, (n, *row_shape)."""
        if self.windows is not None:
            return self.windows.take(self.features, rows)
        taken: np.ndarray = self.features[rows]
        return taken

    def make_builder(
        self, params: Mapping[str, Value], seed: int, watch: Watch = dict
    ) -> Callable[[], keras.Model]:
        """Return a function that builds the network of `params`, equal at each call.

        Several outputs of a custom model are concatenated, and so are the predictions of a
        network's members.

        Args:
            params: The trial's hyperparameters; fixed ones are added.
            seed: The trial's seed, for random draws of a custom model.
            watch: Wraps the hyperparameters that the function receives.
        """
        make = self.make_own_builder(params, seed, watch)
        return lambda: separate_members(self.join(make(), params))

    def join(self, own: keras.Model, params: Mapping[str, Value]) -> keras.Model:
        """Return a model with one input and one output, which shares the weights of `own`."""
        layout = find_layout(self, own, self.resolve(params))
        if not layout:
            return concatenate_outputs(trace_outputs(own, self.row_shape))
        joined = join_inputs(concatenate_outputs(own), layout, self.row_shape)
        return concatenate_outputs(joined)  # those of a subclassed model

    @property
    def array_inputs(self) -> tuple[ColumnInput, ...]:
        """The features of the texts and images; the last ones."""
        return tuple(c for c in self.column_inputs if c.kind in ARRAY_KINDS)

    def make_own_builder(
        self, params: Mapping[str, Value], seed: int, watch: Watch = dict
    ) -> Callable[[], keras.Model]:
        """Make a builder as `make_builder` does, keeping the model's own outputs."""
        family = load_family(self.model)
        inputs = self.row_shape
        outputs = make_outputs(self.task, self.n_outputs)
        chosen = watch(self.resolve(params))
        flat = len(inputs) == 1  # otherwise the features of a row are not one vector
        also: dict[str, Any] = {}
        if family.takes_categories and flat:
            also["categories"] = self.category_ranges
        if family.takes_texts and flat:
            also["arrays"] = self.array_inputs
        shapes = list_input_shapes(self, chosen) if family.defaults is None else inputs

        def build() -> keras.Model:
            if family.defaults is None:  # a custom function may draw random numbers
                import keras

                keras.utils.set_random_seed(derive_build_seed(seed))
                prepare_adaptation()
            model = family.build(chosen, shapes, outputs, **also)
            build_for_rows(model, shapes)
            if family.defaults is None and not find_layout(self, model, chosen):
                self._check_input_shape(model)
            return model

        return build

    def _check_input_shape(self, model: keras.Model) -> None:
        shapes = [tuple(given.shape[1:]) for given in getattr(model, "inputs", None) or ()]
        expected = self.row_shape
        if shapes and shapes != [expected]:
            received = " and ".join(map(str, shapes))
            raise TrainingError(
                f"the model takes rows of shape {received}, but the data have rows of shape "
                f"{expected}: {expected[0]} features after encoding. Give keras.Input the data's "
                "shape, or leave it out of a Sequential model."
            )

    def check_output_shape(self, model: keras.Model) -> None:
        """Refuse a network whose output shape differs from the task's.

        Raises:
            TrainingError: With both shapes.
        """
        shape = compute_output_shape(model, self.row_shape)
        self.require_output_shape(shape, count_members(model))

    def require_output_shape(self, shape: Any, members: int = 1) -> None:
        """Refuse an output shape that differs from the targets'.

        Raises:
            TrainingError: With both shapes.
        """
        if shape != (None, members * self.n_outputs):
            raise TrainingError(explain_output_mismatch(shape, self.n_outputs))

    def resolve(self, params: Mapping[str, Value]) -> dict[str, Value]:
        """Return a trial's hyperparameters as they are trained, fixed ones included.

        Raises:
            TrainingError: If one has a value that is not allowed.
        """
        resolved = resolve_params({**(self.fixed_params or {}), **params}, self.model)
        family = find_family(self.model)
        if family is not None and family.adapt_batch_size is not None:
            longest = max((len(fold.train) for fold in self.folds), default=1)
            resolved["batch_size"] = family.adapt_batch_size(batch_size(resolved), longest)
        return resolved

    def resolve_loss_path(self, params: Mapping[str, Value]) -> Mapping[str, Value]:
        """Return the hyperparameters with an absolute path of a custom loss."""
        loss = params.get("loss")
        if not isinstance(loss, str):
            return params
        return {**params, "loss": resolve_reference(loss, Path(self.folder))}

    def get_metric(self, name: str) -> Metric:
        """Return one of `metrics` by name.

        Raises:
            SpecError: If it does not exist, or a custom one cannot be loaded.
        """
        if self.custom_metric is not None and name == self.custom_metric[0].rpartition(":")[2]:
            reference, direction = self.custom_metric
            return load_custom_metric(resolve_reference(reference, Path(self.folder)), direction)
        return get_metric(name, self.task)

    def compute_metric(self, metric: Metric, rows: np.ndarray, predictions: np.ndarray) -> float:
        """Compute a metric of the predictions, (n, n_outputs), of `rows`, (n,) indices."""
        weights = None if self.weights is None else self.weights[rows]
        return metric(self.target[rows], predictions, weights)

    @property
    def objective_metric(self) -> Metric:
        """The metric of the objective."""
        return self.get_metric(self.objective)

    def get_statistics(self, params: Mapping[str, Value]) -> tuple[Statistics, ...]:
        """Return the statistics of each fold; fixed hyperparameters are added."""
        given = {**(self.fixed_params or {}), **params}
        scaling = str(given.get("scaling"))
        found = (self.statistics_by_scaling or {}).get(scaling, self.statistics)
        if given.get("clamp"):
            return found
        return tuple(replace(s, target_range=None) for s in found)

    def first_folds(self, n_folds: int) -> Problem:
        """Return the problem with only its first folds."""
        if n_folds == len(self.folds):
            return self
        return replace(
            self,
            folds=self.folds[:n_folds],
            statistics=self.statistics[:n_folds],
            statistics_by_scaling={
                how: folds[:n_folds] for how, folds in (self.statistics_by_scaling or {}).items()
            },
        )

    @property
    def n_outputs(self) -> int:
        """Units of the network's last layer."""
        return int(self.target.shape[1])


def explain_output_mismatch(shape: Any, n_outputs: int) -> str:
    """Explain an output shape that differs from the targets', and what to do."""
    message = f"the network's output has shape {shape}, but the task needs (None, {n_outputs}): "
    if len(shape) == 1:
        return f"{message}keep the axis of the units, which a squeeze has removed"
    if len(shape) > 2 and not isinstance(shape[0], tuple):
        return f"{message}put Flatten or a pooling layer before the last layer"
    return (
        f"{message}let the last layer have units={n_outputs}. Several outputs are taken side by "
        "side, one for each column of the target"
    )


def derive_build_seed(seed: int) -> int:
    """Derive the seed of random numbers that a custom function draws while building."""
    return derive_seed(seed, "build")


def sample_problem(problem: Problem) -> Problem:
    """Return the problem with some rows of its first fold, for training and validation."""
    rows = problem.folds[0].train
    rows = rows[np.linspace(0, len(rows) - 1, min(SAMPLE_ROWS, len(rows))).astype(int)]
    every = np.arange(len(rows))
    return replace(
        problem,
        features=problem.take(rows),
        target=problem.target[rows],
        weights=None if problem.weights is None else problem.weights[rows],
        windows=None,
        on_disk=False,
        folds=(Split(every, every),),
        statistics=problem.statistics[:1],
        statistics_by_scaling={
            how: folds[:1] for how, folds in (problem.statistics_by_scaling or {}).items()
        },
    )
