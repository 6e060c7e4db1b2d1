"""Join several outputs of a network into one table, with the sum of their losses.

The target's columns follow the order of the model's list or dict of outputs, so outputs (n, 2) and
(n, 1) become (n, 3). `keras.Model.fit` adds up each output's mean loss; equivalently, the loss of a
row is the sum over its outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..compat.keras import (
    compile_settings,
    compute_output_shape,
    is_functional,
    loss_of_function,
)
from ..errors import TrainingError
from ..models.members import average_loss, count_members

if TYPE_CHECKING:
    import keras

CONCATENATE_LAYER = "outputs_side_by_side"  # name of the layer that identifies such a network


def concatenate_outputs(model: keras.Model) -> keras.Model:
    """Concatenate the outputs of `model` to shape (n, sum of widths), sharing its layers.

    A compiled model keeps its optimizer, and gets the weighted sum of its losses. A model with one
    output is returned unchanged.

    Raises:
        TrainingError: If the outputs, or the compile settings for them, are not supported.
    """
    import keras

    if not is_functional(model):
        return model
    if not isinstance(model.output, dict) and len(model.outputs) < 2:
        return model
    outputs = list(model.output.values() if isinstance(model.output, dict) else model.output)
    if any(not hasattr(output, "shape") or len(output.shape) != 2 for output in outputs):
        raise TrainingError(
            "the model has several outputs that are not all of shape (n, width): "
            "return a list or a dict of such"
        )
    if len(outputs) == 1:
        table = outputs[0]
    else:
        table = keras.layers.Concatenate(name=CONCATENATE_LAYER)(outputs)
    joined = keras.Model(model.input, table, name=model.name)
    if model.compiled:
        losses = [_get_output_loss(loss) for loss in _list_by_output(model, "loss")]
        weights = _list_by_output(model, "loss_weights")
        loss = sum_losses(losses, [output.shape[-1] for output in outputs], weights)
        joined.compile(model.optimizer, loss, run_eagerly=model.run_eagerly)
    return joined


def trace_outputs(model: keras.Model, row_shape: tuple[int, ...]) -> keras.Model:
    """Return a functional model of a subclassed one with several outputs, or a dict of one.

    A model with one output is returned unchanged.
    """
    import keras

    if is_functional(model) or isinstance(model, keras.Sequential):
        return model
    shape = compute_output_shape(model, row_shape)
    if isinstance(shape, tuple) and not any(isinstance(part, tuple) for part in shape):
        return model
    given = keras.Input(row_shape)
    traced = keras.Model(given, model(given), name=model.name)
    if model.compiled:
        weights = compile_settings(model).get("loss_weights")
        again = {"loss_weights": weights, "run_eagerly": model.run_eagerly}
        traced.compile(model.optimizer, model.loss, **again)
    return traced


def get_output_widths(model: keras.Model) -> tuple[int, ...]:
    """Return the widths of the concatenated outputs; empty if there is only one."""
    if getattr(model, "layers", None) and getattr(model.layers[-1], "layers", None):
        return get_output_widths(model.layers[-1])  # inside a model that takes several inputs
    if not getattr(model, "layers", None) or model.layers[-1].name != CONCATENATE_LAYER:
        return ()
    return tuple(part.shape[-1] for part in model.layers[-1].input)


def sum_losses(
    losses: Sequence[keras.losses.Loss], widths: Sequence[int], weights: Sequence[Any]
) -> keras.losses.Loss:
    """Make the loss of concatenated outputs: the weighted sum of the losses of each output."""
    from keras import ops

    def of_each_row(truth: Any, answer: Any) -> Any:
        total = 0.0
        for columns, loss, weight in zip(iter_output_slices(widths), losses, weights, strict=True):
            cost = loss.call(truth[:, columns], answer[:, columns])
            cost = ops.mean(ops.reshape(cost, (ops.shape(answer)[0], -1)), axis=-1)
            total = total + (cost if weight is None else cost * weight)
        return total

    return loss_of_function(of_each_row, "summed")


def apply_to_outputs(loss: keras.losses.Loss, widths: Sequence[int]) -> keras.losses.Loss:
    """Apply `loss` to each output and add the results; with one output, return `loss`."""
    if not widths:
        return loss
    return sum_losses([loss] * len(widths), widths, [None] * len(widths))


def adapt_loss(loss: keras.losses.Loss, model: keras.Model) -> keras.losses.Loss:
    """`loss` of what `model` predicts: of each of its outputs, or the mean of its members'."""
    return average_loss(apply_to_outputs(loss, get_output_widths(model)), count_members(model))


def iter_output_slices(widths: Sequence[int]) -> Iterator[slice]:
    """Iterate over the column slices of the outputs."""
    start = 0
    for width in widths:
        yield slice(start, start + width)
        start += width


def _list_by_output(model: keras.Model, name: str) -> list[Any]:
    """List the argument `name` of `compile` per output, in the order of the columns."""
    given: Any = model.loss
    if name != "loss":
        given = compile_settings(model).get(name)
    keyed = isinstance(model.output, dict)
    names = list(model.output if keyed else model.output_names)
    if isinstance(given, list | tuple) and len(given) == len(names):
        # Keras packs a list into a dict of outputs by its sorted keys.
        order = sorted(names) if keyed else names
        given = dict(zip(order, given, strict=True))
    if isinstance(given, dict):
        if set(given) != set(names):
            raise TrainingError(
                f"compile({name}=...) names {', '.join(map(str, given))}, "
                f"but the model's outputs are {', '.join(map(str, names))}"
            )
        return [given[output] for output in names]
    if given is None or not isinstance(given, list | tuple):
        return [given] * len(names)
    raise TrainingError(
        f"compile({name}=...) has {len(given)} entries, but the model has {len(names)} outputs"
    )


def _get_output_loss(given: Any) -> keras.losses.Loss:
    import keras

    from .compiled_model import takes_class_indices, takes_logits

    if given is None:
        raise TrainingError("compile() names no loss for one of the outputs: give each one")
    loss = keras.losses.get(given)
    if not isinstance(loss, keras.losses.Loss):
        loss = loss_of_function(loss)
    if takes_class_indices(loss) or takes_logits(loss):
        raise TrainingError(
            f"the loss {loss.name} of one of several outputs takes class numbers or logits: "
            "use one of one-hot targets and probabilities"
        )
    if loss.reduction != "sum_over_batch_size":
        raise TrainingError(f"the loss {loss.name} is compiled with reduction={loss.reduction!r}")
    return loss
