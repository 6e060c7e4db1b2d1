"""A user's own model before the first trial: its space, and whether data and task suit it.

It is looked at in a process of its own; see `execution/examination.py`.
"""

from __future__ import annotations

import ast
import importlib.util
import random
from dataclasses import replace
from pathlib import Path

from ..errors import SpecError, TrainingError
from ..execution.examination import examine, examined
from ..models import FAMILIES, Family
from ..spec.file import StudyFile
from ..spec.model import AskingModel
from ..spec.study import StudySpec
from ..training.examination import Examined, mismatch
from ..training.problem import Problem

POINTS = 12  # of a plain function's space that are built before the first trial
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


def check_model(file: StudyFile, problem: Problem) -> None:
    """Refuse a model that cannot be trained on these data, or cannot be served.

    Raises:
        SpecError: With the reason, before anything is trained.
    """
    spec = file.spec
    if family := FAMILIES.get(spec.network):
        if reason := _other_rows(family, problem.row_shape):
            raise file.problem("model", reason)
        return
    try:
        found = examined(file.facts) if file.facts else _tried(spec, problem)
        if reason := mismatch(found, problem.row_shape):
            raise SpecError(reason)
        if found.outputs is not None:
            problem.check_output((None, *found.outputs))
    except (SpecError, TrainingError) as error:
        raise file.problem("model", str(error)) from None
    if not file.facts:
        _check_read(file, found)


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


def _tried(spec: StudySpec, problem: Problem) -> Examined:
    """A plain function's models at some points of its space."""
    rng = random.Random(spec.seed)
    return examine(
        spec.network,
        trainer=_trainer(spec),
        points=[{**spec.fixed, **spec.space.draw(rng)} for _ in range(POINTS)],
        inputs=problem.row_shape,
        task=problem.task,
        n_outputs=problem.n_outputs,
    )


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
