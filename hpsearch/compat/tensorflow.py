"""Private parts of TensorFlow. Importing this module does not import TensorFlow."""

from __future__ import annotations


def limit_gpu_memory(share: float) -> None:
    """Let TensorFlow take at most `share` of each GPU's memory; call it before its first operation.

    Its public functions take megabytes, and none tells how many a GPU has.
    """
    import tensorflow as tf
    from tensorflow.python.framework.ops import enable_eager_execution_internal

    config = tf.compat.v1.ConfigProto()
    config.gpu_options.per_process_gpu_memory_fraction = share
    enable_eager_execution_internal(config)
