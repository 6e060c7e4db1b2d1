"""The process in which programs run: its backend, its cores, its cache of compiled programs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ...errors import TrainingError
from ...platforms.machine import count_usable_cores
from ..keras_import import import_keras


def start_session() -> None:
    """Make JAX and Keras ready; cheap when they already are.

    Compiled programs are kept in the folder `HPSEARCH_CACHE` (default: `~/.cache/hpsearch`, empty:
    nowhere), so a second process need not compile them again. A folder that cannot be written is
    read from.

    Raises:
        TrainingError: If this process has started Keras with another backend.
    """
    import jax

    folder = cache_folder()
    if folder is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "jax"
        import_keras()
    import keras

    if keras.backend.backend() != "jax":
        raise TrainingError(
            f"the vectorized trainer needs KERAS_BACKEND=jax, but this process has started Keras "
            f"with {keras.backend.backend()!r}: start it anew, or use trainer: keras_fit"
        )


def cache_folder() -> Path | None:
    """Where compiled programs are kept; None: nowhere."""
    named = os.environ.get("HPSEARCH_CACHE")
    if named is not None and not named.strip():
        return None
    folder = Path(named) if named else Path.home() / ".cache" / "hpsearch"
    return folder.expanduser() / "programs"


def is_on_cpu() -> bool:
    """Whether programs run on the processor itself."""
    import jax

    return bool(jax.default_backend() == "cpu")


def count_cores() -> int:
    """Threads that lanes may use: `HPSEARCH_THREADS`, or the cores this process may run on."""
    named = os.environ.get("HPSEARCH_THREADS")
    if named:
        return max(1, int(named))
    return count_usable_cores()
