"""Store functions passed from Python in files that workers can read.

A function defined in a module is referenced by the module's file. A function from a notebook, from
the running script, or defined inside another function is written to a file of its own: its source,
for people, and the function by value, pickled with `cloudpickle`. The file's name is a digest of
the function, so a resumed study finds the same file for the same function.
"""

from __future__ import annotations

import base64
import hashlib
import inspect
import json
import pickle
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import SpecError, first_line
from ..platforms.files import write_text
from .function_description import describe_function, find_module_name

FOLDER = Path("mlruns") / "functions"
CONVENTIONS = {"hp": "keras_tuner", "trial": "optuna"}


def make_function_overrides(
    root: Path,
    *,
    model: Any = None,
    loss: Any = None,
    metric: Any = None,
    callbacks: Sequence[Any] = (),
) -> list[str]:
    """Convert objects passed to `hpsearch.tune` to `key=value` overrides of a declaration.

    Args:
        root: The folder that contains `mlruns/`.
        model: A `build(params, inputs, outputs)`, Keras Tuner's `build(hp)` or `HyperModel`, or a
            `build(trial)` for Optuna; or a name as in a study file.
        loss: `(truth, prediction)`; returns the loss of each row.
        metric: `(truth, prediction, weights)`; returns a number.
        callbacks: Functions that create callbacks, or callback classes.

    Raises:
        SpecError: If one of them cannot be used.
    """
    folder, overrides = root / FOLDER, {}
    if model is not None:
        overrides["model"] = model if not callable(model) and not hasattr(model, "build") else None
    if model is not None and overrides["model"] is None:
        convention, name = _find_convention(model), name_function(model, "model", folder)
        overrides["model"] = {convention: name} if convention else name
    if loss is not None:
        overrides["search_space.loss"] = _name_if_callable(loss, "loss", folder)
    if metric is not None:
        overrides["objective.metric"] = _name_if_callable(metric, "metric", folder)
    if callable(callbacks):
        callbacks = [callbacks]
    if callbacks:
        overrides["training.callbacks"] = [
            _name_if_callable(c, "callbacks", folder) for c in callbacks
        ]
    return [f"{key}={json.dumps(value)}" for key, value in overrides.items()]


def _name_if_callable(given: Any, purpose: str, folder: Path) -> str:
    if isinstance(given, str):
        return given
    if not callable(given):
        raise SpecError(
            f"{purpose}: hand over a function or its name, as FILE.py:FUNCTION; of callbacks a "
            f"function that makes them or their class, as each fold needs its own. Received: "
            f"{repr(given)[:200]}"
        )
    return name_function(given, purpose, folder)


def _find_convention(model: Any) -> str:
    """Return the convention of a model's function by its arguments; empty: hpsearch's own."""
    if hasattr(model, "declare_hyperparameters"):
        return "keras_tuner"
    taken = [
        p.name
        for p in inspect.signature(model).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    if len(taken) == 1 and taken[0] in CONVENTIONS:
        return CONVENTIONS[taken[0]]
    if len(taken) == 3:
        return ""
    raise SpecError(
        f"model: {getattr(model, '__name__', model)!s} takes ({', '.join(taken)}). Known: "
        "build(params, inputs, outputs), build(hp) as Keras Tuner calls it, build(trial) as Optuna "
        "does, or a HyperModel"
    )


def name_function(function: Any, purpose: str, folder: Path) -> str:
    """Return `FILE.py:NAME` of a function, class or instance, writing a file if it has none.

    Args:
        function: The function, class or instance.
        purpose: Its purpose; part of the file's name.
        folder: Folder for written files.

    Raises:
        SpecError: If it cannot be sent to a worker.
    """
    module = sys.modules.get(getattr(function, "__module__", "") or "")
    name = getattr(function, "__qualname__", "")
    file = getattr(module, "__file__", None)
    is_named = name.isidentifier() and getattr(module, name, None) is function
    if is_named and file and Path(file).suffix == ".py" and function.__module__ != "__main__":
        return f"{Path(file).resolve()}:{name}"
    return _write_function(function, purpose, folder)


def _write_function(function: Any, purpose: str, folder: Path) -> str:
    import cloudpickle

    name = getattr(function, "__name__", type(function).__name__)
    name = name if name.isidentifier() else purpose
    described = "\n\n".join(describe_function(function))
    digest = hashlib.sha256(described.encode()).hexdigest()[:12]
    path = folder / f"{purpose}_{digest}.py"
    if not path.exists():
        module = sys.modules.get(find_module_name(function) or "__main__")
        by_value = module is not None and module.__name__ != "__main__"
        if by_value:  # a worker may not be able to import its module
            cloudpickle.register_pickle_by_value(module)
        try:
            pickled = cloudpickle.dumps(function)
            if hasattr(function, "get_config"):  # Keras restores it by the name of its class
                pickle.loads(pickled)
        except Exception as error:
            by_class = ", or hand over its class" if hasattr(function, "get_config") else ""
            raise SpecError(
                f"{purpose}: {name} cannot be taken to a worker: {type(error).__name__}: "
                f"{first_line(error)}. Let it build what it needs itself, or put it into a file of "
                f"its own{by_class}"
            ) from None
        finally:
            if by_value:
                cloudpickle.unregister_pickle_by_value(module)
        folder.mkdir(parents=True, exist_ok=True)
        write_text(path, _format_file(name, described, pickled))
    return f"{path.resolve()}:{name}"


def _format_file(name: str, described: str, pickled: bytes) -> str:
    source = textwrap.indent(described, "# ", lambda line: True)
    encoded = "\n".join(textwrap.wrap(base64.b64encode(pickled).decode(), 96))
    return (
        f'"""{name}, as it was handed to hpsearch.tune: its source, and itself by value."""\n\n'
        f"import base64\nimport pickle\n\n{source}\n\n"
        f'{name} = pickle.loads(base64.b64decode("""\n{encoded}\n"""))\n'
    )
