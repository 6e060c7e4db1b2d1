"""Importing Keras in a worker, without the seconds that training has no use for.

`import keras` also imports scikit-learn (for its wrappers), matplotlib (for its galleries) and
pandas (for its data adapters) where they are installed, and the first `get_config` under JAX
imports TensorFlow to ask whether a value is one of its shapes: 9 of 14 s. Keras runs without each
of them, so a worker lets it think that they are missing. Code of the user's that imports them
afterwards gets them.
"""

from __future__ import annotations

import sys

UNUSED = ("sklearn", "matplotlib", "pandas")


def import_keras() -> None:
    """Import Keras; what has already been imported stays as it is."""
    hidden = [name for name in UNUSED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: not there
    try:
        import keras
        from keras.src.utils import module_utils
    finally:
        for name in hidden:
            del sys.modules[name]
    if keras.config.backend() == "jax":
        module_utils.tensorflow._available = False
