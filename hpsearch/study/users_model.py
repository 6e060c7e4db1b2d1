"""A user's own model before the first trial: its space, and whether data and task suit it.

It is looked at in a process of its own; see `execution/examination.py`.
"""

from __future__ import annotations

import ast
import importlib.util
import random
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import HpsearchError, SpecError, TrainingError
from ..execution.examination import examine, examined
from ..models import Family, find_family
from ..spec.file import StudyFile
from ..spec.model import AskingModel
from ..spec.reference import absolute, is_reference
from ..spec.study import StudySpec
from ..training.examination import Examined, unfit
from ..training.problem import Problem, sample_of
from ..trial import Value
from .first_points import first_points

POINTS = 12  # of a plain function's space that are built before the first trial
DRAWS = 200  # among which points that no constraint forbids are looked for
OF_THE_TRAINING = ("optimizer", "loss", "learning_rate")  # which a compiled model brings along


def asked(file: StudyFile) -> StudyFile:
    """The declaration with the space that its model asks for; itself where the model is no asker.

    Raises:
        SpecError: If the model cannot be built, trained or served.
    """
    spec = file.spec
    if not isinstance(spec.model, AskingModel):
        return file
    try:
        found = examine(spec.network, trainer=_trainer(spec))
    except SpecError as error:
        raise file.problem(f"model.{spec.model.convention}", str(error)) from None
    if not found.declared and not spec.search_space:
        raise file.problem("model", "its function asks for no hyperparameter: nothing to search")
    return replace(file.with_space(found.declared, compiled=found.compiled), facts=found.as_json())


def check_model(file: StudyFile, problem: Problem) -> tuple[str, ...]:
    """Refuse a model, a loss or a metric that cannot be trained on these data, or served.

    Args:
        file: The declaration, its model asked.
        problem: What its trials share; one fold is enough.

    Returns:
        What there is to say of it.

    Raises:
        SpecError: With the reason, before anything is trained.
    """
    spec = file.spec
    check_metric(file, problem)
    losses = [
        absolute(loss, file.folder)
        for loss in spec.values_of("loss")
        if isinstance(loss, str) and is_reference(loss)
    ]
    family = find_family(spec.network)
    if family and (reason := _other_rows(family, problem.row_shape)):
        raise file.problem("model", reason)
    if family and not losses:
        return ()
    try:
        if file.facts:
            found = examined(file.facts)
            if reason := unfit(found, problem):
                raise SpecError(reason)
        found = _tried(spec, problem, losses)
        if reason := unfit(found, problem):
            raise SpecError(reason)
    except (SpecError, TrainingError) as error:
        raise file.problem("search_space.loss" if family else "model", str(error)) from None
    if not file.facts:
        _check_read(file, found)
    return found.notes


def check_metric(file: StudyFile, problem: Problem) -> None:
    """Call a metric of the user's own once, on the first fold's validation rows.

    Raises:
        SpecError: If it raises, or gives no number.
    """
    if problem.own_metric is None:
        return
    reference, rows = problem.own_metric[0], problem.folds[0].validation
    truth = problem.target[rows]
    guess = truth
    if problem.task != "regression":  # probabilities that are neither certain nor alike
        guess = np.random.default_rng(0).uniform(0.05, 0.95, truth.shape).astype(np.float32)
        if truth.shape[1] > 1 and problem.task == "multiclass":
            guess = guess / guess.sum(axis=1, keepdims=True)
    weights = None if problem.weights is None else problem.weights[rows]
    try:
        value = problem.goal(truth, guess, weights)
        float(value)
    except HpsearchError as error:
        raise file.problem("objective.metric", str(error)) from None
    except Exception as error:
        place = absolute(reference, file.folder).rpartition(":")[0]
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == place]
        where = f"{place}:{lines[-1]}" if lines else reference
        first, *_ = [*str(error).strip().splitlines(), "no message"]
        raise file.problem(
            "objective.metric",
            f"{where}: {type(error).__name__}: {first}. It is called as (truth, prediction, "
            f"weights), arrays of shapes {truth.shape}, {truth.shape} and ({len(truth)},), "
            "and returns a number",
        ) from None


def _other_rows(family: Family, shape: tuple[int, ...]) -> str | None:
    """Why a family cannot take rows of this shape, or None where it can."""
    if family.rows is None or len(shape) in family.rows:
        return None
    takes = " or ".join(family.rows.values())
    return (
        f"{family.name} takes rows of shape {takes}, but the data have rows of shape {shape}: "
        "declare data.shape, or take the model mlp"
    )


def missing(reference: str) -> str | None:
    """Why a plain function's file cannot hold it, told without importing it; None where it may."""
    place, _, name = reference.rpartition(":")
    if not place.endswith(".py"):
        try:
            return None if importlib.util.find_spec(place) else f"there is no module {place}"
        except (ImportError, ValueError) as error:
            return f"{place} cannot be imported: {error}"
    path = Path(place)
    if not path.is_file():
        return f"there is no file {place}"
    try:
        tree = ast.parse(path.read_text(encoding="utf-8", errors="replace"))
    except SyntaxError as error:
        return f"{place}:{error.lineno}: {error.msg}"
    known = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    known |= {str(getattr(node, "name", "")) for node in tree.body}
    imported = [a for n in tree.body if isinstance(n, ast.ImportFrom | ast.Import) for a in n.names]
    known |= {a.asname or a.name for a in imported}
    return None if name in known or "*" in known else f"{place} has no function {name!r}"


def _tried(spec: StudySpec, problem: Problem, losses: Sequence[str]) -> Examined:
    """The model built at some points of its space, and run at the first."""
    return examine(
        spec.network,
        trainer=_trainer(spec),
        problem=sample_of(problem),
        points=[{**spec.fixed, **point} for point in _points(spec)],
        losses=losses,
    )


def _points(spec: StudySpec) -> list[dict[str, Value]]:
    """The first declared point, random ones, and the one where every value is the largest."""
    first = first_points(spec)[:1]
    rng = random.Random(spec.seed)
    drawn = [spec.space.draw(rng) for _ in range(DRAWS)]
    feasible = [point for point in drawn if spec.space.broken(point) is None][:POINTS]
    largest = spec.space.largest()
    extreme = [largest] if spec.space.broken(largest) is None else []
    return [*first, *feasible, *extreme] or drawn[:1]


def _trainer(spec: StudySpec) -> str:
    kind = spec.training.trainer
    return "vectorized" if kind == "auto" else kind


def _check_read(file: StudyFile, found: Examined) -> None:
    """Refuse an optimizer or a loss in the space of a function that compiles its model.

    Raises:
        SpecError: Naming the parameters.
    """
    if not found.compiled:
        return
    problems = [
        str(
            file.problem(
                f"search_space.{name}",
                "nothing reads this parameter: the model's function compiles its model, and "
                "does not look it up",
            )
        )
        for name in OF_THE_TRAINING
        if name in file.spec.search_space and name not in found.read
    ]
    if problems:
        raise SpecError("\n".join(problems))
