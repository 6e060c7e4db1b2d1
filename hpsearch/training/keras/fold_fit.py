"""Train one fold of a trial with Keras's own `fit`.

Each fold has a model of its own, in which custom code may keep state. Row order, class weights and
callbacks are handled by Keras.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from ...compat.keras import compute_output_shape
from ...data.statistics import clamp_answers
from ...data.target_transform import inverse_transform_target, transform_target
from ...errors import SpecError, TrainingError
from ...models.named_inputs import pack_inputs
from ...trial import TrialSpec, Value, derive_seed
from ..batching import batch_size
from ..compiled_model import (
    clone_compiled_optimizer,
    logits_to_probabilities,
    takes_logits,
)
from ..fold_weights import draw_fold_weights, make_fold_batches
from ..layer_adaptation import adapt_layers
from ..losses import make_loss
from ..optimizers import make_optimizer
from ..phases import compute_rates, enter_phase
from ..problem import Problem
from ..schedules import is_scheduled
from ..weight_initialization import build_blueprint
from .fit_thread import FitThread
from .fold_data import PREDICTED_ROWS, FoldData
from .hypermodel_fit import build_hypermodel, find_hypermodel, run_hypermodel_fit
from .own_training import (
    find_epoch_loss,
    find_own_methods,
    locate_user_error,
    make_callbacks,
)
from .shared_model import Evaluation

if TYPE_CHECKING:
    import keras

PROBED_ROWS = 4  # rows for trying `evaluate`


class FoldFit:
    """A fold's model and its call of `fit`, which advances epoch by epoch."""

    def __init__(
        self, problem: Problem, trial: TrialSpec, params: Mapping[str, Value], fold: int
    ) -> None:
        """Build and compile the fold's model.

        Raises:
            TrainingError: If the network's output does not suit the task.
        """
        self._problem, self._params, self._trial, self._fold = problem, params, trial, fold
        self._statistics = problem.get_statistics(params)[fold]
        self.model = self._make_model()
        self._fit = FitThread(self._run_fit)
        self._epoch = 0
        self.evaluation: Evaluation | None = None  # after the last epoch

    @property
    def has_ended(self) -> bool:
        """Whether the training has ended: a callback stopped it, or `fit` returned."""
        return self._fit.has_ended or (self._epoch > 0 and bool(self.model.stop_training))

    def train_epoch(self) -> float | None:
        """Train the next epoch; return its training loss, or None if the training has ended.

        Raises:
            TrainingError: With the line of the custom code that failed.
        """
        import keras

        # Random numbers of custom code do not depend on other folds or trials.
        keras.utils.set_random_seed(derive_seed(self._fold_seed("fit"), self._epoch))
        try:
            result = self._fit.run_epoch()
        except TrainingError:
            raise
        except SpecError as error:
            raise TrainingError(str(error)) from None
        except Exception as error:
            message, own = locate_user_error(error), find_own_methods(self.model)
            hint = "" if own is None or message.is_located else f". {own}: does it return its logs?"
            raise TrainingError(f"{message.text}{hint}") from error
        if result is None:
            if not self._epoch:
                raise TrainingError(
                    "the training ended without an epoch: let HyperModel.fit hand its callbacks "
                    "to model.fit, or call their on_epoch_end itself"
                )
            return None
        self._epoch += 1
        logs, answers = result
        self.evaluation = self._evaluate(logs, answers)
        return find_epoch_loss(logs)

    def finish(self) -> list[np.ndarray]:
        """Return the weights after `fit`; the current ones if it would continue."""
        weights: list[np.ndarray] = self.model.get_weights()
        if not self._fit.has_ended and self._fit.run_epoch() is not None:
            return weights
        trained: list[np.ndarray] = self.model.get_weights()
        return trained

    def close(self) -> None:
        """End `fit`, which returns by itself after its last epoch."""
        if self._epoch >= self._trial.epochs or self.has_ended:
            with suppress(Exception):  # final actions of callbacks do not affect scores
                self._fit.run_epoch()
        self._fit.close()

    # -- the model --------------------------------------------------------------------------

    def _make_model(self) -> keras.Model:
        build = self._problem.make_own_builder(self._params, self._trial.seed)
        self._hypermodel = find_hypermodel(self._problem)
        if self._hypermodel is None:
            model = build()
        else:  # its `fit` may use state that its `build` has set
            model = build_hypermodel(self._hypermodel, self._problem, self._params, self._trial)
        self._check_output(model)
        try:
            plan = build_blueprint(build)
        except Exception:  # a function that needs values: keep its weights
            plan = None
        if plan is not None:
            seed = self._fold_seed("weights")
            drawn = draw_fold_weights(self._problem, self._params, plan, fold=self._fold, seed=seed)
            model.set_weights(drawn)
        split = self._data.split_inputs
        adapt_layers(model, make_fold_batches(self._problem, self._params, self._fold, split))
        seeds = [v for v in model.variables if v.name == "seed_generator_state"]
        for place, variable in enumerate(seeds):
            variable.assign([derive_seed(self._fold_seed("dropout"), place), 0])
        self._compile(model)
        return model

    def _compile(self, model: keras.Model) -> None:
        """Compile a model by the hyperparameters, unless it is compiled."""
        if not model.compiled:
            loss = make_loss(self._problem.task, self._problem.resolve_loss_path(self._params))
            model.compile(make_optimizer(self._params), loss)

    def _check_output(self, model: keras.Model) -> None:
        self._data = FoldData(self._problem, self._params, self._fold, model)
        shape = self._data.structure = self._compute_output_shape(model)
        if isinstance(shape, tuple) and (not shape or shape[0] is None):
            self._problem.require_output_shape(shape)
            return
        parts = shape.values() if isinstance(shape, Mapping) else shape
        if sum(part[-1] for part in parts) != self._problem.n_outputs:
            self._problem.require_output_shape(shape)

    def _compute_output_shape(self, model: keras.Model) -> Any:
        import keras

        if not self._data.layout:
            return compute_output_shape(model, self._problem.row_shape)
        given = {each.name: keras.KerasTensor((None, *each.shape)) for each in self._data.layout}
        answer = model.compute_output_spec(pack_inputs(model, given))
        return keras.tree.map_structure(lambda part: tuple(part.shape), answer)

    # -- fit --------------------------------------------------------------------------------

    def _run_fit(self, hand_over: Any) -> None:
        """Run the whole training, in the thread."""
        split = self._problem.folds[self._fold]
        gates = self._make_gates(hand_over, split.validation)
        arguments: dict[str, Any] = {"verbose": 0}
        if len(split.validation) and self._can_evaluate(split.validation):
            arguments["validation_data"] = self._data.make_validation_data(split.validation)
        defaults = {"batch_size": batch_size(self._params), "epochs": self._trial.epochs}
        if self._hypermodel is not None:
            x, y, *weights = self._data.gather_weighted(split.train)
            if weights:
                arguments["sample_weight"] = weights[0]
            run_hypermodel_fit(
                self._hypermodel, self.model, self._params, (x, y), gates, defaults, arguments
            )
            return
        for span in self._enter_phases():
            own = make_callbacks(self._problem, self._params)
            data, more = self._data.make_training_data(split.train, span.get("initial_epoch", 0))
            given = {**defaults, **span, **arguments, **more}
            self.model.fit(*data, callbacks=[gates[0], *own, gates[1]], **given)

    def _enter_phases(self) -> Iterator[dict[str, int]]:
        """Prepare the model for one phase after another; yield the arguments of each `fit`."""
        phases = self._problem.phases
        if not phases:
            yield {}
        for index, phase in enumerate(phases):
            if phase.first_epoch >= self._trial.epochs or (index and self.model.stop_training):
                return
            enter_phase(self.model, phases, index)
            if self.model.optimizer is None:
                raise TrainingError("training.phases need an optimizer given to compile")
            rate = phase.find_learning_rate(self._params)
            self.model.optimizer = clone_compiled_optimizer(self.model, rate)
            self.model.train_function = None  # it is made anew, as after `compile`
            ends = [later.first_epoch for later in phases[index + 1 : index + 2]]
            last = min([*ends, self._trial.epochs])  # a trial may be trained on beyond the last
            yield {"initial_epoch": phase.first_epoch, "epochs": last}

    def _can_evaluate(self, rows: np.ndarray) -> bool:
        """Whether `evaluate` works: a custom step may support only training.

        It is tried with another model, since a model that fails in it is unusable afterwards.
        """
        if find_own_methods(self.model) is None:
            return getattr(self.model, "loss", None) is not None
        model = self._problem.make_own_builder(self._params, self._trial.seed)()
        self._compile(model)
        try:
            model.evaluate(*self._data.gather(rows[:PROBED_ROWS]), verbose=0)
        except Exception:
            return False
        return True

    def _make_gates(
        self, hand_over: Any, validation: np.ndarray
    ) -> tuple[keras.callbacks.Callback, keras.callbacks.Callback]:
        """Make the callbacks that run before and after custom ones at the end of each epoch."""
        import keras

        fold, trial, params, phases = self, self._trial, self._params, self._problem.phases
        x = self._data.make_predicted_data(validation)

        class EpochStart(keras.callbacks.Callback):  # type: ignore[misc]  # Keras ships no types
            """Sets the learning rate, and the `val_loss` of a final fit to what the search saw."""

            def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
                if not is_scheduled(params, "schedule"):
                    return
                planned = {"n_steps": 1, "n_epochs": trial.planned or trial.epochs}
                rates = compute_rates(phases, params, epoch, losses=trial.watched, **planned)
                fold.model.optimizer.learning_rate = float(rates[0])

            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                if x is None and trial.watched and logs is not None:
                    watched = trial.watched[min(epoch, len(trial.watched) - 1)]
                    logs.setdefault("val_loss", watched)

        class EpochGate(keras.callbacks.Callback):  # type: ignore[misc]
            """Blocks after each epoch until the next one is requested."""

            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                if x is None:  # a final fit trains as many epochs as the search found
                    fold.model.stop_training = False
                hand_over((dict(logs or {}), fold._predict(x)))

        return EpochStart(), EpochGate()

    def _predict(self, x: Any) -> np.ndarray:
        if x is None:
            return np.zeros((0, self._problem.n_outputs), np.float32)
        answers = self.model.predict(x, batch_size=PREDICTED_ROWS, verbose=0)
        if isinstance(answers, Mapping):
            answers = list(answers.values())
        if isinstance(answers, list):
            answers = np.concatenate(answers, axis=1)
        found: np.ndarray = np.asarray(answers, np.float32)
        return found

    def _evaluate(self, logs: Mapping[str, Any], answers: np.ndarray) -> Evaluation:
        problem, s = self._problem, self._statistics
        if takes_logits(getattr(self.model, "loss", None)):
            answers = logits_to_probabilities(answers, problem.task)
        loss = logs.get("val_loss")
        if loss is None and len(answers):
            rows = problem.folds[self._fold].validation
            truth = problem.target[rows]
            if problem.task == "regression":
                unit = (s.target_center, s.target_scale, problem.target_transforms)
                truth = transform_target(np, truth, *unit)
            loss = make_loss(problem.task, {})(truth, answers)
        unit = (s.target_center, s.target_scale, problem.target_transforms)
        with np.errstate(over="ignore", invalid="ignore"):  # diverging training
            predictions = clamp_answers(
                np, inverse_transform_target(np, answers, *unit), s.target_range
            )
        return Evaluation(predictions.astype(np.float32), math.nan if loss is None else float(loss))

    def _fold_seed(self, purpose: str) -> int:
        return self._trial.fold_seed(self._fold, purpose)
