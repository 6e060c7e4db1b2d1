"""Networks of several members: one network that makes several predictions of each row.

Such a network ends in a layer `MEAN_LAYER`, which averages its members' predictions. It is served
as it is. It is trained without this layer, so that the loss is the mean of the members' losses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..compat.keras import is_functional, loss_of_function

if TYPE_CHECKING:
    import keras

MEAN_LAYER = "mean_of_members"
MEMBERS_LAYER = "members_side_by_side"


def average_predictions(members: Any) -> Any:
    """Apply the layer that averages the members' predictions, (n, n_members, n_outputs)."""
    import keras

    return keras.layers.GlobalAveragePooling1D(name=MEAN_LAYER)(members)


def separate_members(model: keras.Model) -> keras.Model:
    """Return the network of the members' predictions side by side, (n, n_members * n_outputs).

    It shares the layers and the order of the weights. A network without members is returned
    unchanged.
    """
    import keras

    if not is_functional(model) or model.layers[-1].name != MEAN_LAYER:
        return model
    members = keras.layers.Flatten(name=MEMBERS_LAYER)(model.layers[-1].input)
    return keras.Model(model.inputs[0], members, name=model.name)


def count_members(model: keras.Model) -> int:
    """Count the members of a network returned by `separate_members`; 1: it has no members."""
    if not getattr(model, "layers", None) or model.layers[-1].name != MEMBERS_LAYER:
        return 1
    return int(model.layers[-1].input.shape[1])


def average_members(outputs: Any, n_members: int) -> Any:
    """Average predictions side by side, (n, n_members * n_outputs), to (n, n_outputs)."""
    if n_members == 1:
        return outputs
    return outputs.reshape(outputs.shape[0], n_members, -1).mean(axis=1)


def average_loss(loss: keras.losses.Loss, n_members: int) -> keras.losses.Loss:
    """Make the loss of predictions side by side: the mean of `loss` over the members."""
    from keras import ops

    if n_members == 1:
        return loss

    def average(truth: Any, outputs: Any) -> Any:
        repeated = ops.repeat(truth, n_members, axis=0)
        costs = loss.call(repeated, ops.reshape(outputs, (-1, truth.shape[-1])))
        return ops.mean(ops.reshape(costs, (-1, n_members)), axis=-1)

    return loss_of_function(average, f"mean_{loss.name}")
