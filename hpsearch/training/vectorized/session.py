"""The process in which programs run: its backend, its cores, its cache of compiled programs."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from ...errors import TrainingError
from ...platforms.machine import count_usable_cores
from ..keras_import import import_keras
from ..problem import Precision

CACHE_BYTES = 1 << 30  # of compiled programs that are kept


def start_session() -> None:
    """Make JAX and Keras ready; cheap when they already are.

    Compiled programs are kept in the folder `HPSEARCH_CACHE` (default: `~/.cache/hpsearch`, empty:
    nowhere), so a second process need not compile them again. A folder that cannot be written is
    read from. Each process that starts removes what exceeds `CACHE_BYTES`.

    Raises:
        TrainingError: If this process has started Keras with another backend.
    """
    import jax

    folder = cache_folder()
    if folder is not None:
        if jax.config.jax_compilation_cache_dir != str(folder):  # once in a process
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
    """Where compiled programs are kept; None: nowhere."""
    named = os.environ.get("HPSEARCH_CACHE")
    if named is not None and not named.strip():
        return None
    folder = Path(named) if named else Path.home() / ".cache" / "hpsearch"
    return folder.expanduser() / "programs"


def remove_oldest_programs(folder: Path, limit: int) -> None:
    """Remove the programs that were used longest ago, until the rest takes `limit` bytes at most.

    JAX's own limit is not used: a process that is killed while it writes leaves a folder behind
    into which JAX then never writes again.
    """
    found: list[tuple[float, int, Path]] = []
    for path in folder.glob("*"):
        with suppress(OSError):  # another process removes it too
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
    """Whether programs run on the processor itself."""
    import jax

    return bool(jax.default_backend() == "cpu")


def product_precision(declared: Precision | None) -> str:
    """How products of float32 numbers are computed, as JAX calls it.

    Weights, the optimizer's variables and losses are float32 in any case. Where nothing is declared
    an accelerator rounds the factors to TensorFloat-32. A processor computes in float32 whatever is
    declared.
    """
    if is_on_cpu():
        return "float32"
    return {"float32": "float32", "bfloat16": "BF16_BF16_F32"}.get(declared or "", "tensorfloat32")


def count_cores() -> int:
    """Threads that lanes may use: `HPSEARCH_THREADS`, or the cores this process may run on."""
    named = os.environ.get("HPSEARCH_THREADS")
    if named:
        return max(1, int(named))
    return count_usable_cores()
