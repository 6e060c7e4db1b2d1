"""Choose the trainer of a problem, without importing Keras.

A custom function is classified by its source, because building its model would take seconds, and
hyperparameters that no sampler has chosen yet. If the first trial shows that the choice was wrong,
the study falls back to the other trainer. The study file can name the trainer.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

from ..models import find_family, strip_convention
from ..spec.function_reference import read_file
from .problem import Precision, Problem
from .trainer_factory import KERAS_BACKENDS

# Pattern in the source -> why the vectorized trainer cannot or should not train it on a CPU.
SLOW_ON_CPU = re.compile(r"\b(?:\w*Conv[123]D\w*|keras\.applications|ConvLSTM\w*)")
NO_BFLOAT16 = (
    "training.precision: bfloat16 is computed by the trainer vectorized alone: say float32 or "
    "tensorfloat32 for keras_fit"
)
USES_TENSORFLOW = re.compile(r"GradientTape|\btf\.(?!keras\b)\w+")
TRAINS_ITSELF = re.compile(r"def (?:fit|train_step|test_step|compute_loss)\(")
JAX_STEP = re.compile(r"def train_step\(self, state\b")
USES_TORCH = re.compile(r"^\s*(?:import|from) torch\b", re.M)
INSTALL_TENSORFLOW = "pip install 'hpsearch[tensorflow]'"
NEEDS_VALUES = re.compile(r"\.(?:load_model|load_weights|set_weights|from_pretrained)\(")


def choose_trainer(kind: str, problem: Problem, own_training: str | None = None) -> tuple[str, str]:
    """Choose the trainer; returns its name and the reason.

    Args:
        kind: "auto", or the name of a trainer.
        problem: The problem.
        own_training: Why Keras's own `fit` trains the model; None: it does not.
    """
    trainer, reason = _choose_for_model(kind, problem, own_training)
    if not problem.on_disk:
        return trainer, reason
    if kind == "auto" and trainer == "vectorized" and has_accelerator():
        trainer, reason = "keras_fit", "it needs no room for the rows on the accelerator"
    return trainer, f"{reason}; the rows do not fit in memory, and are streamed from the disk"


def _choose_for_model(kind: str, problem: Problem, own_training: str | None) -> tuple[str, str]:
    if own_training is not None:
        return "keras_fit", f"Keras's own fit trains it, a fold at a time: {own_training}"
    if problem.phases:
        return "keras_fit", "Keras trains the phases, a fold at a time"
    if kind != "auto":
        return kind, "asked for"
    if found := USES_TENSORFLOW.search(read_file_source(problem.model)):
        return "keras_fit", f"the model's file uses TensorFlow itself ({found.group(0)})"
    text = read_function_source(problem.model)
    if found := NEEDS_VALUES.search(text):
        return "keras_fit", f"the model's function calls {found.group(0)[1:-1]}"
    if has_accelerator():
        return "vectorized", "all folds and trials are one program on the accelerator"
    if not has_tensorflow():  # both trainers use XLA
        return "vectorized", "all folds train side by side in compiled programs"
    if found := SLOW_ON_CPU.search(text):
        return "keras_fit", f"{found.group(0)} is slow under XLA on a CPU"
    family = find_family(problem.model)
    if family is not None:
        if family.is_convolutional:
            return "keras_fit", "convolutions are slow under XLA on a CPU"
        if any(len(c.shape) > 1 for c in problem.array_inputs):
            return "keras_fit", "convolutions are slow under XLA on a CPU"
    elif len(problem.row_shape) > 2 or any(len(c.shape) > 1 for c in problem.array_inputs):
        return "keras_fit", "images are for convolutions, which are slow under XLA on a CPU"
    return "vectorized", "all folds train side by side in compiled programs"


def describe_precision(declared: Precision | None, *, on_accelerator: bool) -> str:
    """Describe the precision of a study's products; empty for plain float32.

    Examples:
        >>> describe_precision("bfloat16", on_accelerator=False)
        'products in float32: a processor has no bfloat16'
        >>> describe_precision(None, on_accelerator=True)
        'products in tensorfloat32'
    """
    if on_accelerator:
        return f"products in {declared or 'tensorfloat32'}"
    if declared in (None, "float32"):
        return ""
    return f"products in float32: a processor has no {declared}"


def trains_itself(model: str) -> bool:
    """Whether a model's file seems to contain training steps or TensorFlow operations."""
    text = read_file_source(model)
    return bool(TRAINS_ITSELF.search(text) or USES_TENSORFLOW.search(text))


def choose_backend(trainer: str, model: str) -> str:
    """Choose the Keras backend of a process: the trainer's, unless custom steps need another.

    Without TensorFlow, JAX is used instead.
    """
    text = read_file_source(model) if trainer == "keras_fit" else ""
    if JAX_STEP.search(text):
        return "jax"
    if USES_TORCH.search(text):
        return "torch"
    return KERAS_BACKENDS[trainer] if has_tensorflow() else "jax"


def has_tensorflow() -> bool:
    """Whether TensorFlow is installed; does not import it."""
    return importlib.util.find_spec("tensorflow") is not None


def describe_backend(trainer: str) -> str:
    """Describe the replacement of a missing TensorFlow; empty if none is needed."""
    is_missing = KERAS_BACKENDS.get(trainer) == "tensorflow" and not has_tensorflow()
    return f"on JAX, as TensorFlow is not installed ({INSTALL_TENSORFLOW})" if is_missing else ""


def read_file_source(model: str) -> str:
    """Read the file of a custom function; empty for a family, or if there is no file."""
    path = _find_file(model)
    return "" if path is None else read_file(path).text


def read_function_source(model: str) -> str:
    """Read the source of a custom function; empty for a family, or if it cannot be found."""
    path, name = _find_file(model), strip_convention(model).rpartition(":")[2]
    if path is None:
        return ""
    found = read_file(path)
    body = found.tree.body if found.tree else []
    named = [n for n in body if getattr(n, "name", None) == name]
    if not named:  # an instance, or a function passed by value: search the whole file
        return found.text
    return ast.get_source_segment(found.text, named[0]) or ""


def _find_file(model: str) -> Path | None:
    place = strip_convention(model).rpartition(":")[0]
    if not place:
        return None
    path = Path(place)
    if not place.endswith(".py"):
        try:
            spec = importlib.util.find_spec(place)
        except (ImportError, ValueError):  # reported by the trials
            return None
        path = Path(spec.origin) if spec is not None and spec.origin else path
    return path if path.is_file() else None


def has_accelerator() -> bool:
    """Whether JAX will find an NVIDIA GPU: its device file and JAX's plugin exist."""
    plugins = ("jax_cuda13_plugin", "jax_cuda12_plugin")
    here = Path("/dev/nvidiactl").exists()
    return here and any(importlib.util.find_spec(name) is not None for name in plugins)
