"""Validate a custom model before the first trial, and discover its search space.

The model is inspected in a worker before its first trial, or, if there is none, in a separate
process; see `execution/inspection_process.py`.
"""

from __future__ import annotations

import ast
import importlib.util
import math
import random
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import HpsearchError, SpecError, TrainingError
from ..execution.inspection_process import inspect_in_process, parse_answer
from ..execution.messages import InspectionRequest
from ..models import Family, find_family, strip_convention
from ..spec.function_reference import is_reference, read_file, resolve_reference
from ..spec.model_reference import DefineByRunModel
from ..spec.study_file import StudyFile
from ..spec.study_spec import StudySpec
from ..training.model_inspection import ModelInspection, why_unfit
from ..training.problem import Problem, sample_problem
from ..training.trainer_selection import trains_itself
from ..trial import Value
from .initial_trials import initial_points
from .training_phases import check_phases
from .user_code import list_code_files
from .worker_pool import Inspector, WorkerPool

MAX_POINTS = 12  # points at which a custom function is built before the first trial
MAX_DRAWS = 200  # draws to find feasible points
DISK_EXECUTORS = ("processes", "inline")  # whose workers map the rows of this machine's disk
GIVE_ROOM = "give fewer rows, or allow more memory with data.memory_gib"
TRAINING_ARGUMENTS = ("optimizer", "loss", "learning_rate")  # already part of a compiled model


def with_model_space(file: StudyFile) -> StudyFile:
    """Complete the declaration with the search space of a define-by-run model.

    Raises:
        SpecError: If the model cannot be built, trained or served.
    """
    spec = file.spec
    if not isinstance(spec.model, DefineByRunModel):
        return file
    try:
        found = inspect_in_process(spec.model_name, trainer=_guess_trainer(spec))
    except SpecError as error:
        raise file.make_error(f"model.{spec.model.convention}", str(error)) from None
    if not found.declared and not spec.search_space:
        raise file.make_error(
            "model", "its function requests no hyperparameter: there is nothing to search"
        )
    return replace(
        file.with_model_space(found.declared, compiled=found.compiled), model_facts=found.as_json()
    )


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """Properties of a study's model before its first trial."""

    notes: tuple[str, ...] = ()
    own_training: str | None = None  # why Keras's own `fit` trains it; None: it does not


def check_model(file: StudyFile, problem: Problem, workers: WorkerPool | None = None) -> ModelCheck:
    """Refuse a model, loss, metric or callbacks that do not work with these data.

    Args:
        file: The declaration, completed by the model's space.
        problem: The problem shared by its trials; one fold is enough.
        workers: Workers without a problem, one of which may inspect the model.

    Raises:
        SpecError: Says why, before anything is trained.
    """
    spec = file.spec
    _check_rows_on_disk(file, problem)
    check_metric(file, problem)
    losses = [
        resolve_reference(loss, file.folder)
        for loss in spec.possible_values("loss")
        if isinstance(loss, str) and is_reference(loss)
    ]
    family = find_family(spec.model_name)
    if family and (reason := _explain_wrong_rows(family, problem)):
        raise file.make_error("model", reason)
    if family and not losses and not problem.callbacks:
        return ModelCheck()
    try:
        if file.model_facts:
            found = parse_answer(file.model_facts)
            if reason := why_unfit(found, problem):
                raise SpecError(reason)
        inspector = None if workers is None else workers.find_inspector(_guess_trainer(spec))
        found = _try_points(spec, problem, losses, inspector)
        if reason := why_unfit(found, problem):
            raise SpecError(reason)
    except (SpecError, TrainingError) as error:
        key = "model" if not family else "search_space.loss" if losses else "training.callbacks"
        raise file.make_error(key, str(error)) from None
    if not file.model_facts:
        _check_unused_parameters(file, found)
    check_phases(file, found)
    if problem.phases and problem.own_fit is not None:
        raise file.make_error(
            "training.phases", f"{problem.own_fit}: it decides what is trained, so leave them out"
        )
    own = found.own_training or problem.own_fit
    if problem.callbacks:
        own = "callbacks are declared, which may do anything between two epochs"
    if problem.own_fit is not None and problem.on_disk:
        raise file.make_error(
            "model",
            f"{problem.own_fit}: it takes all rows as arrays, and they do not fit in memory: let a "
            f"custom train_step or training.callbacks do its work, or {GIVE_ROOM}",
        )
    if own is not None and spec.training.trainer == "vectorized":
        raise file.make_error("training.trainer", f"{own}: leave it out, or say keras_fit")
    notes = [*found.notes, *_note_own_code(file, found)]
    if own is not None:
        notes.append(f"Keras's own fit trains it, a fold at a time: {own}")
    return ModelCheck(tuple(notes), own)


def _check_rows_on_disk(file: StudyFile, problem: Problem) -> None:
    """Refuse an executor that needs the rows in memory, if they do not fit there.

    Raises:
        SpecError: Names the key.
    """
    if not problem.on_disk:
        return
    spec = file.spec
    if spec.execution.executor not in DISK_EXECUTORS:
        raise file.make_error(
            "execution.executor",
            f"{spec.execution.executor} sends the rows to its workers, and they do not fit in "
            f"memory: use {' or '.join(DISK_EXECUTORS)}, or {GIVE_ROOM}",
        )


def _note_own_code(file: StudyFile, found: ModelInspection) -> Iterator[str]:
    """Explain the consequences of a model that contains user code."""
    if found.own_code is None:
        return
    reference = strip_convention(file.spec.model_name)
    files = list_code_files(reference, file.folder)
    shown = ", ".join(f"{n} (SHA-256 {read_file(p).digest[:12]})" for n, p in files.items())
    if file.spec.serve.trust_code:
        yield f"{found.own_code}: the served model will run {shown}, as serve.trust_code says"
    else:
        yield (
            f"{found.own_code}: the study runs to its end, but a served model would run {shown}. "
            "promote needs `serve: {trust_code: true}`, which may be added later"
        )


def check_metric(file: StudyFile, problem: Problem) -> None:
    """Call a custom metric once, on the first fold's validation rows.

    Raises:
        SpecError: If it raises, or does not return a number.
    """
    if problem.custom_metric is None:
        return
    reference, rows = problem.custom_metric[0], problem.folds[0].validation
    truth = problem.target[rows]
    guess = truth
    if problem.task != "regression":  # distinct probabilities other than 0 and 1
        guess = np.random.default_rng(0).uniform(0.05, 0.95, truth.shape).astype(np.float32)
        if truth.shape[1] > 1 and problem.task == "multiclass":
            guess = guess / guess.sum(axis=1, keepdims=True)
    weights = None if problem.weights is None else problem.weights[rows]
    try:
        value = problem.objective_metric(truth, guess, weights)
        if math.isnan(float(value)):
            raise SpecError(
                f"{reference} returns nan for {len(truth)} rows and finite predictions: let it "
                "return a number"
            )
    except HpsearchError as error:
        raise file.make_error("objective.metric", str(error)) from None
    except Exception as error:
        location = resolve_reference(reference, file.folder).rpartition(":")[0]
        lines = [
            f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == location
        ]
        where = f"{location}:{lines[-1]}" if lines else reference
        first, *_ = [*str(error).strip().splitlines(), "no message"]
        raise file.make_error(
            "objective.metric",
            f"{where}: {type(error).__name__}: {first}. It is called as (truth, prediction, "
            f"weights), arrays of shapes {truth.shape}, {truth.shape} and ({len(truth)},), "
            "and returns a number",
        ) from None


def _explain_wrong_rows(family: Family, problem: Problem) -> str | None:
    """Explain why a family does not support the rows; None if it does."""
    shape = problem.row_shape
    if problem.array_inputs and not family.takes_texts:
        named = problem.array_inputs[0]
        return (
            f"{family.name} takes numbers and categories, but the column {named.name!r} is "
            f"{named.kind}: take the model mlp, realmlp or tabm, or your own function"
        )
    if family.row_shapes is None or len(shape) in family.row_shapes:
        return None
    takes = " or ".join(family.row_shapes.values())
    return (
        f"{family.name} takes rows of shape {takes}, but the data have rows of shape {shape}: "
        "declare data.shape, or take the model mlp"
    )


def explain_missing(reference: str) -> str | None:
    """Explain, without importing it, why a file lacks a function; None if it may have it."""
    location, _, name = reference.rpartition(":")
    if not location.endswith(".py"):
        try:
            return None if importlib.util.find_spec(location) else f"there is no module {location}"
        except (ImportError, ValueError) as error:
            return f"{location} cannot be imported: {error}"
    if not Path(location).is_file():
        return f"there is no file {location}"
    found = read_file(Path(location))
    if found.error is not None:
        return f"{location}:{found.error.lineno or 1}: {found.error.msg}"
    tree = found.tree or ast.Module([], [])
    known = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    known |= {str(getattr(node, "name", "")) for node in tree.body}
    imported = [a for n in tree.body if isinstance(n, ast.ImportFrom | ast.Import) for a in n.names]
    known |= {a.asname or a.name for a in imported}
    return None if name in known or "*" in known else f"{location} has no function {name!r}"


def _try_points(
    spec: StudySpec, problem: Problem, losses: Sequence[str], inspector: Inspector | None
) -> ModelInspection:
    """Build the model at some points of its space, and run it at the first."""
    sample = sample_problem(problem)
    points = [{**spec.fixed_params, **point} for point in _test_points(spec)]
    if inspector is not None:
        return inspector(InspectionRequest(sample, tuple(points), tuple(losses)))
    trainer = _guess_trainer(spec)
    return inspect_in_process(
        spec.model_name, trainer=trainer, problem=sample, points=points, losses=losses
    )


def _test_points(spec: StudySpec) -> list[dict[str, Value]]:
    """Choose the first enqueued point, random points, and the largest point."""
    first = initial_points(spec)[:1]
    rng = random.Random(spec.seed)
    drawn = [spec.space.draw(rng) for _ in range(MAX_DRAWS)]
    feasible = [point for point in drawn if spec.space.find_broken_constraint(point) is None][
        :MAX_POINTS
    ]
    largest = spec.space.largest_point()
    extreme = [largest] if spec.space.find_broken_constraint(largest) is None else []
    return [*first, *feasible, *extreme] or drawn[:1]


def _guess_trainer(spec: StudySpec) -> str:
    """Guess the trainer from the model's source, to inspect the model under its backend."""
    kind = spec.training.trainer
    if kind != "auto":
        return kind
    training = spec.training
    own = training.callbacks or training.phases or trains_itself(spec.model_name)
    return "keras_fit" if own else "vectorized"


def _check_unused_parameters(file: StudyFile, found: ModelInspection) -> None:
    """Refuse an optimizer or loss in the search space if the function compiles its model.

    Raises:
        SpecError: Names the parameters.
    """
    if not found.compiled:
        return
    of_phases = [phase.learning_rate for phase in file.spec.training.phases]
    problems = [
        str(
            file.make_error(
                f"search_space.{name}",
                "nothing reads this parameter: the model's function compiles its model, and "
                "does not look it up",
            )
        )
        for name in TRAINING_ARGUMENTS
        if name in file.spec.search_space and name not in {*found.read, *of_phases}
    ]
    if problems:
        raise SpecError("\n".join(problems))
