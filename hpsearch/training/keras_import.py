"""Import Keras without libraries that training does not use: 3 s instead of 12.

`import keras` also imports pandas, scikit-learn, matplotlib, requests and IPython if they are
installed, and under JAX the first `get_config` imports TensorFlow for a type check. TensorFlow's
converter for phones imports JAX. Keras works without each of them, so they are hidden during the
import; later imports by user code succeed. TensorFlow itself needs requests.
"""

from __future__ import annotations

import os
import sys

from ..compat.keras import hide_tensorflow, load_later, replace_clear_session
from ..compat.tensorflow import limit_gpu_memory
from ..gc_pause import pause_gc

UNUSED_PACKAGES = ("pandas", "sklearn", "matplotlib", "requests", "IPython")
GPU_MEMORY_VARIABLE = "XLA_PYTHON_CLIENT_MEM_FRACTION"  # of a GPU's memory; read by JAX


@pause_gc()
def import_keras() -> None:
    """Import Keras; modules imported earlier are unaffected."""
    if "keras" in sys.modules:
        return
    under_tensorflow = os.environ.get("KERAS_BACKEND") == "tensorflow"
    unused = {*UNUSED_PACKAGES, "jax"} - {"requests"} if under_tensorflow else UNUSED_PACKAGES
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
    load_later(hidden)
    if keras.config.backend() == "jax" and "tensorflow" not in sys.modules:
        hide_tensorflow()


def ignore_clear_session() -> None:
    """Make `keras.backend.clear_session()` in user code a no-op in this process.

    Usually it frees the last model's memory. Here it would remove names and variables of
    other networks in training.
    """

    def clear_session(free_memory: bool = True) -> None:
        """Do nothing: this process trains other networks, too."""

    replace_clear_session(clear_session)
