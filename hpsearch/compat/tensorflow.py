"""Private parts of TensorFlow. Importing this module does not import TensorFlow."""

from __future__ import annotations


def limit_gpu_memory(share: float) -> None:
    """Limit TensorFlow to `share` of each GPU's memory; call it before the first operation.

    The public functions need megabytes, and none returns the size of a GPU's memory.
    """
    import tensorflow as tf
    from tensorflow.python.framework.ops import enable_eager_execution_internal

    config = tf.compat.v1.ConfigProto()
    config.gpu_options.per_process_gpu_memory_fraction = share
    enable_eager_execution_internal(config)
