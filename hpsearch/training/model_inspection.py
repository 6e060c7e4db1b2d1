"""Inspect a custom model before the first trial: its hyperparameters and its properties.

Builds models without weights and trains none. Imports Keras.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from ..compat.keras import list_named_layers
from ..errors import HpsearchError, SpecError, TrainingError
from ..models import find_family, load_family, make_outputs, strip_convention
from ..models.family_registry import load_build_recorder, require_model
from ..models.introspection.model_facts import (
    ModelFacts,
    find_lookup,
    read_model_facts,
)
from ..models.introspection.rejection import get_rejection_state
from ..models.introspection.space_discovery import AnswerFunction, BuildCall, explore_space
from ..models.keras_files import describe_loaded_file
from ..trial import Value
from .compiled_model import get_compiled_loss, takes_logits
from .input_layout import find_layout, list_input_shapes
from .keras.own_training import find_own_methods, find_own_prediction
from .layer_adaptation import find_refitted_layer
from .multi_output import concatenate_outputs
from .own_code import check_saving
from .phases import find_unmatched
from .problem import Problem, explain_output_mismatch
from .trial_result import summarize_message
from .weight_initialization import build_blueprint

if TYPE_CHECKING:
    import keras


NEEDS_TENSORFLOW = (
    "computed by TensorFlow, which a served model does not need: categories reach the model as "
    "features of 0 and 1 and a text (kind: text) as the numbers of its tokens, so leave the layer "
    "out; of whole numbers, Embedding and CategoryEncoding take keras.ops.mod(numbers, n)"
)


@dataclass(frozen=True, slots=True)
class ModelInspection:
    """Properties of a custom model, as plain values."""

    compiled: bool  # whether any of the built models is compiled
    inputs: tuple[int | None, ...] | None = None  # shape of one row; None: any
    outputs: tuple[int | None, ...] | None = None  # likewise
    declared: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by the function
    read: tuple[str, ...] = ()  # hyperparameters that a plain function looked up
    notes: tuple[str, ...] = ()
    activations: tuple[str | None, ...] = ()  # of the last layer; None: unknown
    logits: bool = False  # whether it is compiled with a loss that takes logits
    own_training: str | None = None  # why its own `fit` trains it; None: it does not
    own_fit: str | None = None  # why its `HyperModel.fit` trains it
    own_code: str | None = None  # the custom code that it contains; None: only Keras's layers
    layers: tuple[str, ...] = ()  # their paths, if the training has phases

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def discover_space(model: str) -> ModelInspection:
    """Discover the space of a define-by-run function.

    Args:
        model: `CONVENTION:FILE.py:FUNCTION`.

    Raises:
        SpecError: If it fails with its defaults, or builds a model that cannot be trained.
    """
    ask = load_build_recorder(model)
    seen: list[ModelFacts] = []

    def build(answer: AnswerFunction) -> BuildCall:
        return ask(answer, lambda make: seen.append(_read_facts(_build_model(make, model))))

    found = _call_user_code(model, lambda: explore_space(build))
    return _summarize_facts(
        seen, declared=found.search_space, notes=found.notes, own_fit=found.own_fit
    )


def inspect_model(
    problem: Problem, points: Sequence[Mapping[str, Value]], losses: Sequence[str] = ()
) -> ModelInspection:
    """Build a function's networks at some points of its space, and run one of them.

    Args:
        problem: From `problem.sample_problem`; its model is a `build(params, inputs, outputs)`, a
            function of another convention, or a family.
        points: Hyperparameters, fixed ones included.
        losses: Custom losses in the search space.

    Raises:
        SpecError: If it fails at every point, or builds models that cannot be trained.
    """
    from .keras.dry_run import check_custom_loss, run_one_batch  # the steps that train

    for loss in losses:
        _call_user_code(loss, partial(check_custom_loss, loss, problem))
    model, seen, failures, read = problem.model, [], [], set[str]()
    if find_family(model) is not None:  # families are known; only losses and callbacks are checked
        called = (*losses, *problem.callbacks)[0]
        _call_user_code(called, partial(run_one_batch, problem, points[0]))
        return ModelInspection(compiled=False)
    good: Mapping[str, Value] | None = None  # the first point that can be built
    for point in points:
        try:
            seen.append(_inspect_point(problem, point, read))
        except HpsearchError:
            raise
        except Exception as error:  # a point that cannot be built is a failed trial
            failures.append(error)
        else:
            good = point if good is None else good
    found = _summarize_facts(
        seen,
        read=tuple(sorted(read)),
        notes=_note_failures(model, failures, bool(seen), len(points)),
    )
    is_unfit = why_unfit(found, problem) or any(find_unmatched(problem.phases, found.layers))
    if good is not None and not is_unfit:
        _call_user_code(model, partial(run_one_batch, problem, good))
        _call_user_code(model, partial(check_saving, problem, good))
    return found


def _inspect_point(problem: Problem, point: Mapping[str, Value], read: set[str]) -> ModelFacts:
    """Inspect the model built at a point; looked-up names are added to `read`."""
    family, params = load_family(problem.model), _RecordingParams(point, read)
    outputs = make_outputs(problem.task, problem.n_outputs)
    shapes = list_input_shapes(problem, point)
    model = _build_model(lambda: family.build(params, shapes, outputs), problem.model)
    facts = _read_facts(model)
    if problem.phases:
        facts = replace(
            facts, layers=tuple(p for p, layer in list_named_layers(model) if layer.weights)
        )
    if find_layout(problem, model, point):  # compared with the data by name
        return replace(facts, inputs=None)
    return facts


def _note_failures(
    model: str, failures: Sequence[Exception], has_built: bool, n_points: int
) -> tuple[str, ...]:
    """Make notes on points that cannot be built, except rejected ones.

    Raises:
        SpecError: If none can be built.
    """
    wrong = [error for error in failures if get_rejection_state(error) is None]
    if not wrong:
        return ()
    message = _format_user_error(model, wrong[0])
    if not has_built:
        raise SpecError(message)
    times = f"{len(wrong)} of {n_points} points"
    return (f"the model's function fails at {times}, the first time with {message}",)


class _RecordingParams(dict[str, Value]):
    """A mapping of hyperparameters that records which ones are looked up."""

    def __init__(self, params: Mapping[str, Value], read: set[str]) -> None:
        super().__init__(params)
        self._read = read

    def __getitem__(self, name: str) -> Value:
        self._read.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self._read.add(name)
        return super().get(name, default)

    def __contains__(self, name: object) -> bool:
        self._read.add(str(name))
        return super().__contains__(name)

    def __iter__(self) -> Any:
        self._read.update(super().keys())
        return super().__iter__()

    def keys(self) -> Any:
        self._read.update(super().keys())
        return super().keys()

    def items(self) -> Any:
        self._read.update(super().keys())
        return super().items()


def _build_model(make: Callable[[], Any], model: str) -> keras.Model:
    def checked() -> keras.Model:
        return require_model(make(), model)

    try:
        return build_blueprint(checked)
    except TrainingError:  # it needs initialized weights
        return checked()


def _read_facts(model: keras.Model) -> ModelFacts:
    if (lookup := find_lookup(model)) is not None:
        raise SpecError(f"{lookup} is {NEEDS_TENSORFLOW}")
    if (changed := find_own_prediction(model)) is not None:
        raise SpecError(
            f"{changed}, which neither the scores nor a served model call: let call() do its work"
        )
    own = find_own_methods(model) or find_refitted_layer(model)
    facts = replace(read_model_facts(model), own_training=own)
    if facts.own_training is None:
        return _with_compiled_facts(facts, model)
    outputs = facts.outputs if len(getattr(model, "outputs", None) or ()) == 1 else None
    # A custom `fit` may use any loss; one of Keras's tells whether it takes logits.
    return replace(facts, outputs=outputs, logits=takes_logits(getattr(model, "loss", None)))


def _with_compiled_facts(facts: ModelFacts, model: keras.Model) -> ModelFacts:
    joined = concatenate_outputs(model)
    if facts.compiled and not (joined is model and _has_several_losses(model)):
        facts = replace(facts, logits=takes_logits(get_compiled_loss(joined)))
    if joined is not model:  # its outputs are served concatenated
        facts = replace(facts, outputs=tuple(joined.outputs[0].shape[1:]))
    return facts


def _has_several_losses(model: keras.Model) -> bool:
    """Whether a model is compiled with a loss for each output; of a subclassed one, they join."""
    return isinstance(model.loss, list | tuple | Mapping) and len(model.loss) > 1


def _call_user_code(model: str, act: Callable[[], Any]) -> Any:
    """Call `act`; an exception in user code is reported with its line."""
    try:
        return act()
    except HpsearchError:
        raise
    except Exception as error:
        raise SpecError(_format_user_error(model, error)) from error


def _format_user_error(model: str, error: Exception) -> str:
    location = strip_convention(model).rpartition(":")[0]
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == location]
    where = f"{location}:{lines[-1]}" if lines else strip_convention(model)
    first = summarize_message(str(error)) or "no message"
    hint = ""
    if isinstance(error, AttributeError) and _RecordingParams.__name__ in first:
        hint = ". The hyperparameters are a dict: params['width']"
    if isinstance(error, KeyError) and lines:
        hint = ", which is not a hyperparameter of the study: add it to search_space"
    if isinstance(error, TypeError) and "positional argument" in first and not lines:
        hint = (
            ". It is called as build(params, inputs, outputs); Keras Tuner's build(hp) is declared "
            "as model: {keras_tuner: FILE.py:FUNCTION}"
        )
    if "Only input tensors may be passed" in first:
        hint = ". inputs is the shape of a row: begin with first = keras.Input(inputs)"
    if isinstance(error, ValueError) and "same shape up until the last dimension" in first:
        hint = (
            ". The target is one-hot: take a categorical loss instead of a sparse one, or compile "
            "the model with Keras's own"
        )
    if isinstance(error, ImportError) and "requires TensorFlow" in first:
        hint = f" It is {NEEDS_TENSORFLOW}"
    hint = hint or describe_loaded_file(error)
    return f"{where}: {type(error).__name__}: {first}{hint}"


def _summarize_facts(seen: Sequence[ModelFacts], **more: Any) -> ModelInspection:
    """Summarize the facts common to the built models."""
    names = dict.fromkeys(name for f in seen for name in f.unadapted)
    notes = (*more.pop("notes", ()), *([_explain_adaptation(", ".join(names))] if names else []))
    return ModelInspection(
        notes=notes,
        compiled=any(f.compiled for f in seen),
        inputs=_find_common_shape(f.inputs for f in seen),
        outputs=_find_common_shape(f.outputs for f in seen),
        activations=tuple(dict.fromkeys(f.activation for f in seen)),
        logits=any(f.logits for f in seen),
        own_training=next((f.own_training for f in seen if f.own_training), None),
        own_code=next((f.own_code for f in seen if f.own_code), None),
        layers=tuple(dict.fromkeys(path for f in seen for path in f.layers)),
        **more,
    )


def _explain_adaptation(names: str) -> str:
    return f"{names}: adapted to the training rows of each fold, and to all of them in the end"


def _find_common_shape(
    shapes: Iterable[tuple[int | None, ...] | None],
) -> tuple[int | None, ...] | None:
    """Return the shape that all models have; None if they differ or it is unknown."""
    different = set(shapes)
    return different.pop() if len(different) == 1 else None


def why_unfit(examined: ModelInspection, problem: Problem) -> str | None:
    """Explain why the data do not fit the model, or its output the task; None if they may."""
    if reason := why_input_mismatch(examined, problem.row_shape):
        return reason
    if examined.outputs is not None and examined.outputs != (problem.n_outputs,):
        return explain_output_mismatch((None, *examined.outputs), problem.n_outputs)
    task, needed = problem.task, make_outputs(problem.task, problem.n_outputs).activation
    for activation in examined.activations:
        if examined.logits:
            if activation not in ("linear", None):
                return (
                    f"the output has activation={activation!r}, but the model is compiled with a "
                    "loss that has from_logits=True: keep one of the two"
                )
        elif task == "regression" and activation in ("sigmoid", "softmax"):
            return (
                f"the output has activation={activation!r}, but a regression needs any number "
                "(the network learns the standardized target): leave the activation out"
            )
        elif task != "regression" and activation == "linear":
            return (
                f"the output has no activation, but a {task} task needs probabilities: give the "
                f"last layer activation={needed!r} (outputs.activation), or compile the model "
                "with a loss that has from_logits=True"
            )
        elif task == "multiclass" and activation == "sigmoid":
            return (
                "the output is a sigmoid for each class, but the probabilities of a multiclass "
                f"task add up to 1: give the last layer activation={needed!r}"
            )
        elif task in ("binary", "multilabel") and activation == "softmax":
            return f"the output is a softmax, but a {task} task needs activation={needed!r}"
    return None


def why_input_mismatch(examined: ModelInspection, features: tuple[int, ...]) -> str | None:
    """Explain why the data do not fit the model's input; None if they may."""
    if examined.inputs is None:
        return None
    if all(own in (None, n) for own, n in zip_longest(examined.inputs, features, fillvalue=0)):
        return None
    takes, have = (math.prod(d or 1 for d in shape) for shape in (examined.inputs, features))
    return (
        f"the model takes {takes} features, keras.Input({examined.inputs}), but the data have "
        f"{have} after encoding, {features}: give keras.Input the data's shape, or leave it out "
        "of a Sequential model"
    )
