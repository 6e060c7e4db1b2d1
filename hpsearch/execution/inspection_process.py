"""Inspect a study's model in a separate process, so that the coordinator need not import Keras.

Run as `python -m hpsearch.execution.inspection_process ANSWER`: the pickled request is read from
stdin, and the result is written as JSON to the file ANSWER.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import HpsearchError, SpecError, TrainingError
from ..platforms.processes import GroupWatcher, new_mark, own_group
from ..training.backbone_features import FeatureRequest, write_features
from ..training.keras_import import ignore_clear_session, import_keras
from ..training.model_inspection import ModelInspection, discover_space, inspect_model
from ..training.problem import Problem
from ..training.trainer_selection import choose_backend
from ..trial import TrialSpec, Value
from .messages import MemoryRequest

LOG_LINES, LOG_BYTES = 15, 16_000  # of the log of a process that died, shown in the error


def inspect_in_process(
    model: str,
    *,
    trainer: str,
    problem: Problem | None = None,
    points: Sequence[Mapping[str, Value]] = (),
    losses: Sequence[str] = (),
) -> ModelInspection:
    """Inspect a custom model: its search space, or its properties.

    Args:
        model: As for `models.load_family`.
        trainer: The trainer, which determines the Keras backend.
        problem: Build and run the model on this sample; None: explore its search space.
        points: Hyperparameters to build it with.
        losses: Custom losses in the search space.

    Raises:
        SpecError: If the model cannot be built, trained or served, with the reason.
        TrainingError: If the process died.
    """
    order = (model, problem, [dict(point) for point in points], list(losses))
    environment = {
        **os.environ,
        "KERAS_BACKEND": choose_backend(trainer, model),
        "JAX_PLATFORMS": "cpu",  # the workers need the accelerator's memory
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    return parse_answer(_ask_process(model, order, environment))


def count_fitting_in_process(
    problem: Problem, trials: Sequence[TrialSpec], environment: Mapping[str, str]
) -> int | None:
    """Count the trials that the device trains side by side; see `count_fitting_trials`.

    Args:
        problem: The study's problem.
        trials: A population.
        environment: Variables of a worker, which determine its device and share of the memory.

    Raises:
        TrainingError: If the process died.
    """
    order = MemoryRequest(problem, tuple(trials))
    answer = _ask_process(problem.model, order, {**os.environ, **environment})
    fitting: int | None = answer["fitting"]
    return fitting


def compute_features_in_process(request: FeatureRequest) -> None:
    """Pass images through a frozen model, under TensorFlow if it is installed.

    Raises:
        SpecError: If the model does not take the images.
        TrainingError: If the process died.
    """
    backend = choose_backend("keras_fit", "")
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    _ask_process(str(request.backbone), request, environment)


def _ask_process(model: str, order: Any, environment: Mapping[str, str]) -> dict[str, Any]:
    """Run the process with a request, and return its answer."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answer.json"
        code, log = _run_module([str(path)], pickle.dumps(order), environment)
        if code or not path.exists():
            raise TrainingError(f"{model}: inspecting it failed with exit code {code}:\n{log}")
        answer: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if "error" in answer:
        raise SpecError(answer["error"])
    return answer


def _run_module(
    arguments: Sequence[str], order: bytes, environment: Mapping[str, str]
) -> tuple[int, str]:
    """Run this module in a process; returns its exit code and the end of its output.

    Processes started by user code end with it.
    """
    mark = new_mark()
    with tempfile.TemporaryFile() as printed:
        process = subprocess.Popen(
            [sys.executable, "-m", "hpsearch.execution.inspection_process", *arguments],
            env={**environment, **mark},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,  # output of user code
            stderr=printed,
            **own_group(),
        )
        watcher = GroupWatcher(process.pid, mark)
        try:
            process.communicate(order)
        finally:
            watcher.end_group()
            process.wait()
        printed.seek(max(0, printed.seek(0, os.SEEK_END) - LOG_BYTES))
        lines = printed.read().decode(errors="replace").splitlines()
    return process.returncode, "\n".join(lines[-LOG_LINES:])


def parse_answer(answer: Mapping[str, Any]) -> ModelInspection:
    """Parse the output of `ModelInspection.as_json`."""
    shapes = {k: None if answer[k] is None else tuple(answer[k]) for k in ("inputs", "outputs")}
    texts = {k: tuple(answer[k]) for k in ("read", "notes", "activations")}
    return ModelInspection(**{**answer, **shapes, **texts})


def main() -> None:
    """Execute one request."""
    order = pickle.load(sys.stdin.buffer)  # trusted: written by the coordinator, our parent
    import_keras()
    ignore_clear_session()
    answer: dict[str, Any]
    try:
        if isinstance(order, MemoryRequest):
            answer = {"fitting": _count_fitting(order)}
        elif isinstance(order, FeatureRequest):
            answer = {"rows": write_features(order)}
        else:
            answer = _carry_out(order).as_json()
    except HpsearchError as error:
        answer = {"error": str(error)}
    Path(sys.argv[1]).write_text(json.dumps(answer), encoding="utf-8")


def _count_fitting(order: MemoryRequest) -> int | None:
    from ..training.vectorized.memory_estimate import count_fitting_trials

    return count_fitting_trials(order.problem, order.trials)


def _carry_out(
    order: tuple[str, Problem | None, list[dict[str, Value]], list[str]],
) -> ModelInspection:
    model, problem, points, losses = order
    return discover_space(model) if problem is None else inspect_model(problem, points, losses)


if __name__ == "__main__":
    main()
