"""Importing Keras without the seconds that training has no use for: 3 s instead of 12.

`import keras` also imports pandas for its data adapters, and scikit-learn and matplotlib for its
wrappers and galleries, where they are installed; and the first `get_config` under JAX imports
TensorFlow to ask whether a value is one of its shapes. TensorFlow's converter for phones imports
JAX. Keras runs without each of them, so it is left to think that they are missing. Code of the
user's that imports them afterwards gets them.
"""

from __future__ import annotations

import os
import sys

from ..importing import no_collection

UNUSED = ("pandas", "sklearn", "matplotlib")
GPU_SHARE = "XLA_PYTHON_CLIENT_MEM_FRACTION"  # of a GPU's memory; JAX reads it by itself


@no_collection()
def import_keras() -> None:
    """Import Keras; what this process has imported before stays as it is."""
    if "keras" in sys.modules:
        return
    under_tensorflow = os.environ.get("KERAS_BACKEND") == "tensorflow"
    unused = (*UNUSED, "jax") if under_tensorflow else UNUSED
    hidden = [name for name in unused if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # an import of it raises ImportError
    try:
        if under_tensorflow and (share := os.environ.get(GPU_SHARE)):
            _limit_tensorflow(float(share))
        import keras
    finally:
        for name in hidden:
            del sys.modules[name]
    from keras.src.trainers.data_adapters import array_data_adapter, array_slicing
    from keras.src.utils import module_utils

    if "pandas" in hidden:
        array_data_adapter.pandas = array_slicing.pandas = module_utils.LazyModule("pandas")
    if keras.config.backend() == "jax" and "tensorflow" not in sys.modules:
        module_utils.tensorflow._available = False


def ignore_clear_session() -> None:
    """Let `keras.backend.clear_session()` in a user's function do nothing in this process.

    In a loop of the user's own it frees what the model before has left. Here it would take away
    names and variables of the networks that are trained beside the new one.
    """
    import keras
    from keras.src.backend.common import global_state

    def clear_session(free_memory: bool = True) -> None:
        """Nothing: this process trains other networks too."""

    for module in (global_state, keras.utils, keras.backend):
        module.clear_session = clear_session


def _limit_tensorflow(share: float) -> None:
    """Let TensorFlow take so much of each GPU's memory; comes before its first operation.

    Its public functions take megabytes, and none tells how many a GPU has.
    """
    import tensorflow as tf
    from tensorflow.python.framework.ops import enable_eager_execution_internal

    config = tf.compat.v1.ConfigProto()
    config.gpu_options.per_process_gpu_memory_fraction = share
    enable_eager_execution_internal(config)
