"""Compile each program of a problem once, ahead of its use if possible."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any

import jax

from ..problem import Precision
from . import session
from .program import Recipe, evaluate_function, train_function

if TYPE_CHECKING:
    from .tile_entry import GroupSize

Compiled = Callable[..., Any]

OPTIMIZATION_LEVEL = "xla_backend_optimization_level"
MAX_PROGRAMS = 64  # of about 1 MB each
_TRACING = (
    threading.Lock()
)  # trials share models and optimizers, which hold traced values meanwhile


class ProgramCache:
    """Compiled programs by their key; thread-safe."""

    def __init__(self, *, threads: bool, precision: Precision | None = None) -> None:
        """Create an empty cache.

        Args:
            threads: Whether one program may use several cores.
            precision: Precision of products; None: the device's default.
        """
        self._declared, self._precision = precision, session.product_precision(precision)
        self._threads = threads
        self._lock = threading.Lock()
        self._futures: OrderedDict[str, Future[Compiled]] = OrderedDict()
        self.compilations = 0
        self.group_sizes: dict[str, GroupSize] = {}  # for which programs exist, by group

    def on_all_cores(self) -> ProgramCache:
        """Return a cache of programs that may use several cores each."""
        if self._threads:
            return self
        return ProgramCache(threads=True, precision=self._declared)

    def train(self, pool: Executor, recipe: Recipe, *examples: Any) -> Future[Compiled]:
        """Compile the program of `program.train_function` in a thread of `pool`.

        A program that exists, or is being compiled, takes no thread. `examples` are its arguments.
        """
        key = f"train {recipe.train_key}"
        return self._start(pool, key, lambda: train_function(recipe), examples, (0,))

    def evaluate(self, pool: Executor, recipe: Recipe, *examples: Any) -> Future[Compiled]:
        """Compile the program of `program.evaluate_function`; see `train`."""
        key = f"evaluate {recipe.evaluate_key}"
        return self._start(pool, key, lambda: evaluate_function(recipe), examples)

    def get(
        self,
        key: str,
        make: Callable[[], Callable[..., Any]],
        examples: tuple[Any, ...],
        donated: tuple[int, ...] = (),
    ) -> Compiled:
        """Return the compiled program of a function.

        Args:
            key: Identifies the computation; shapes need not be part of it.
            make: Returns the function.
            examples: Its arguments, or their shapes.
            donated: Indices of the arguments that it may overwrite.
        """
        future, is_new = self._claim(f"{key} {_shapes_key(examples)}")
        if is_new:
            self._fulfil(future, make, examples, donated)
        return future.result()

    def _start(
        self,
        pool: Executor,
        key: str,
        make: Callable[[], Callable[..., Any]],
        examples: tuple[Any, ...],
        donated: tuple[int, ...] = (),
    ) -> Future[Compiled]:
        """Start to compile a function as `get` does, in a thread of `pool`."""
        future, is_new = self._claim(f"{key} {_shapes_key(examples)}")
        if is_new:
            pool.submit(self._fulfil, future, make, examples, donated)
        return future

    def count(self, kind: str) -> int:
        """Return the number of programs whose key begins with a word."""
        return sum(key.startswith(f"{kind} ") for key in self._futures)

    def _compile(
        self,
        make: Callable[[], Callable[..., Any]],
        examples: tuple[Any, ...],
        donated: tuple[int, ...] = (),
    ) -> Compiled:
        shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), examples)
        with _TRACING, jax.default_matmul_precision(self._precision):
            lowered = jax.jit(make(), donate_argnums=donated).lower(*shapes)
        options: dict[str, bool | int | str] = {}
        if session.is_on_cpu():
            if OPTIMIZATION_LEVEL not in os.environ.get("XLA_FLAGS", ""):  # which then holds
                options[OPTIMIZATION_LEVEL] = 1
            # Each core compiles its own program.
            options["xla_cpu_parallel_codegen_split_count"] = 1
            options["xla_cpu_prefer_vector_width"] = 512  # used by CPUs with AVX-512
            options["xla_cpu_multi_thread_eigen"] = self._threads
            if not self._threads:  # operations of one lane are too small for several threads
                options["xla_disable_hlo_passes"] = "cpu-parallel-task-assigner"
        program: Compiled = lowered.compile(compiler_options=options)
        return program

    def _claim(self, key: str) -> tuple[Future[Compiled], bool]:
        """Return the program of `key`, and whether the caller has to compile it."""
        with self._lock:
            future = self._futures.get(key)
            is_new = future is None
            if future is None:
                future = self._futures[key] = Future()
                self.compilations += 1
                while len(self._futures) > MAX_PROGRAMS:
                    self._futures.popitem(last=False)
            self._futures.move_to_end(key)
        return future, is_new

    def _fulfil(
        self,
        future: Future[Compiled],
        make: Callable[[], Callable[..., Any]],
        examples: tuple[Any, ...],
        donated: tuple[int, ...],
    ) -> None:
        """Compile a claimed program; one that fails is compiled again when it is asked for."""
        try:
            future.set_result(self._compile(make, examples, donated))
        except BaseException as error:
            with self._lock:
                for key in [k for k, held in self._futures.items() if held is future]:
                    del self._futures[key]
            future.set_exception(error)


def _shapes_key(examples: tuple[Any, ...]) -> str:
    return str([tuple(a.shape) for a in jax.tree.leaves(examples)])
