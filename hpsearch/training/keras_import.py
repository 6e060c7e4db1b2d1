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

from ..compat.keras import hide_tensorflow, let_pandas_load_later, replace_clear_session
from ..compat.tensorflow import limit_gpu_memory
from ..gc_pause import pause_gc

UNUSED_PACKAGES = ("pandas", "sklearn", "matplotlib")
GPU_MEMORY_VARIABLE = "XLA_PYTHON_CLIENT_MEM_FRACTION"  # of a GPU's memory; read by JAX


@pause_gc()
def import_keras() -> None:
    """Import Keras; what this process has imported before stays as it is."""
    if "keras" in sys.modules:
        return
    under_tensorflow = os.environ.get("KERAS_BACKEND") == "tensorflow"
    unused = (*UNUSED_PACKAGES, "jax") if under_tensorflow else UNUSED_PACKAGES
    hidden = [name for name in unused if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # an import of it raises ImportError
    try:
        if under_tensorflow and (share := os.environ.get(GPU_MEMORY_VARIABLE)):
            limit_gpu_memory(float(share))
        import keras
    finally:
        for name in hidden:
            del sys.modules[name]
    if "pandas" in hidden:
        let_pandas_load_later()
    if keras.config.backend() == "jax" and "tensorflow" not in sys.modules:
        hide_tensorflow()


def ignore_clear_session() -> None:
    """Let `keras.backend.clear_session()` in a user's function do nothing in this process.

    In a user's loop it frees the memory of the last model. Here it would take away
    names and variables of the networks that are trained beside the new one.
    """

    def clear_session(free_memory: bool = True) -> None:
        """Nothing: this process trains other networks too."""

    replace_clear_session(clear_session)
