"""Importing Keras without the seconds that training has no use for: 3 s instead of 12.

`import keras` also imports pandas for its data adapters, and scikit-learn and matplotlib for its
wrappers and galleries, where they are installed; and the first `get_config` under JAX imports
TensorFlow to ask whether a value is one of its shapes. Keras runs without each of them, so it is
left to think that they are missing. Code of the user's that imports them afterwards gets them.
"""

from __future__ import annotations

import sys

UNUSED = ("pandas", "sklearn", "matplotlib")


def import_keras() -> None:
    """Import Keras; what this process has imported before stays as it is."""
    if "keras" in sys.modules:
        return
    hidden = [name for name in UNUSED if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # an import of it raises ImportError
    try:
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
