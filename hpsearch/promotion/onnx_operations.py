"""TensorFlow operations that tf2onnx lacks, composed of ONNX operations.

Keras's activations `gelu`, `celu` and `selu` need them. Importing this module registers them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tf2onnx import utils
from tf2onnx.handler import tf_op


@tf_op("Erfc")
class Erfc:
    """1 - erf(x)."""

    @classmethod
    def version_9(cls, graph: Any, node: Any, **_: Any) -> None:
        """Replace the node; the number is the first ONNX operator set that has `Erf`."""
        x = node.input[0]
        erf = graph.make_node("Erf", [x])
        _replace_node(graph, node, "Sub", [_constant_one(graph, x), erf.output[0]])


@tf_op("Expm1")
class Expm1:
    """exp(x) - 1, exact to a float32 of 1."""

    @classmethod
    def version_7(cls, graph: Any, node: Any, **_: Any) -> None:
        """Replace the node; the number is the first ONNX operator set whose `Sub` broadcasts."""
        x = node.input[0]
        exp = graph.make_node("Exp", [x])
        _replace_node(graph, node, "Sub", [exp.output[0], _constant_one(graph, x)])


def _constant_one(graph: Any, like: str) -> str:
    """Make a constant 1 of the type of another tensor."""
    kind = utils.map_onnx_to_numpy_type(graph.get_dtype(like))
    constant = graph.make_const(utils.make_name("one"), np.array(1, dtype=kind))
    return str(constant.output[0])


def _replace_node(graph: Any, node: Any, kind: str, inputs: list[str]) -> None:
    shapes, dtypes = node.output_shapes, node.output_dtypes
    graph.remove_node(node.name)
    graph.make_node(kind, inputs, outputs=node.output, name=node.name, shapes=shapes, dtypes=dtypes)
