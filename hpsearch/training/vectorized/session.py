"""Set up the process that runs programs: backend, cores, cache of compiled programs."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from ...errors import TrainingError
from ...platforms.machine import count_usable_cores
from ..keras_import import import_keras
from ..problem import Precision

CACHE_BYTES = 1 << 30  # largest size of the cache


def start_session() -> None:
    """Configure JAX and Keras; cheap if called again.

    Compiled programs are stored in the folder `HPSEARCH_CACHE` (default: `~/.cache/hpsearch`;
    empty: not stored), so that a second process need not compile them again. A read-only folder is
    only read. Each process removes the oldest programs beyond `CACHE_BYTES` when it starts.

    Raises:
        TrainingError: If this process has started Keras with another backend.
    """
    import jax

    folder = cache_folder()
    if folder is not None:
        if jax.config.jax_compilation_cache_dir != str(folder):  # once per process
            remove_oldest_programs(folder, CACHE_BYTES)
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
    """Return the folder of compiled programs; None if they are not stored."""
    named = os.environ.get("HPSEARCH_CACHE")
    if named is not None and not named.strip():
        return None
    folder = Path(named) if named else Path.home() / ".cache" / "hpsearch"
    return folder.expanduser() / "programs"


def remove_oldest_programs(folder: Path, limit: int) -> None:
    """Remove the least recently used programs until the rest takes at most `limit` bytes.

    JAX's own limit is not used: after a process was killed while writing, JAX would never write to
    the folder again.
    """
    found: list[tuple[float, int, Path]] = []
    for path in folder.glob("*"):
        with suppress(OSError):  # another process may remove it, too
            stat = path.stat()
            found.append((max(stat.st_atime, stat.st_mtime), stat.st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= limit:
            return
        with suppress(OSError):
            path.unlink()
        total -= size


def is_on_cpu() -> bool:
    """Whether programs run on the CPU."""
    import jax

    return bool(jax.default_backend() == "cpu")


def product_precision(declared: Precision | None) -> str:
    """Return JAX's name for the precision of float32 products.

    Weights, the optimizer's variables and losses are always float32. By default an accelerator
    rounds the factors to TensorFloat-32; a CPU always computes in float32.
    """
    if is_on_cpu():
        return "float32"
    return {"float32": "float32", "bfloat16": "BF16_BF16_F32"}.get(declared or "", "tensorfloat32")


def count_cores() -> int:
    """Return the threads for lanes: `HPSEARCH_THREADS`, or the cores of this process."""
    named = os.environ.get("HPSEARCH_THREADS")
    if named:
        return max(1, int(named))
    return count_usable_cores()
