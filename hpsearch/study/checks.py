"""What can be wrong with a study before any row is read: names that nothing knows or reads.

The form of a file is checked in `spec/`; here it meets the catalogues of models, optimizers,
losses, metrics and samplers.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from ..errors import SpecError
from ..models import load_family
from ..search.samplers import SAMPLERS
from ..spec.file import StudyFile
from ..spec.space import Categorical
from ..spec.study import StudySpec
from ..training import losses, optimizers
from ..training.metrics import METRICS
from ..trial import Value

TRAINING = ("optimizer", "batch_size", "epochs", "loss")


def check(file: StudyFile) -> None:
    """Refuse a study that could not run.

    Raises:
        SpecError: With every mistake on a line of its own.
    """
    problems = [str(file.problem(key, message)) for key, message in _problems(file.spec)]
    if problems:
        raise SpecError("\n".join(problems))


def _problems(spec: StudySpec) -> Iterator[tuple[str, str]]:
    if spec.sampler.kind not in SAMPLERS:
        yield "sampler.kind", f"{spec.sampler.kind!r} does not exist. Known: {', '.join(SAMPLERS)}."
    yield from _objective(spec)
    for key, catalogue in (("optimizer", optimizers.OPTIMIZERS), ("loss", _losses(spec))):
        for value in values_of(spec, key):
            if value not in catalogue:
                known = ", ".join(sorted(catalogue))
                yield f"search_space.{key}", f"{value!r} does not exist. Known: {known}."
    try:
        reads = load_family(spec.model).reads
    except SpecError as error:
        yield "model", str(error)
        return
    if reads is not None:
        yield from _unread(spec, (*TRAINING, *reads, *_arguments(spec)))


def _objective(spec: StudySpec) -> Iterator[tuple[str, str]]:
    if spec.objective is None:
        return
    name = spec.objective.metric
    known = sorted(m.name for m in METRICS.values() if spec.task is None or spec.task in m.tasks)
    if name not in known:
        kind = f" for {spec.task}" if spec.task else ""
        yield "objective.metric", f"{name!r} does not exist{kind}. Known: {', '.join(known)}."
    elif spec.objective.direction not in (None, METRICS[name].direction):
        yield "objective.direction", f"{name} is to be {METRICS[name].direction}d: leave it out"


def _losses(spec: StudySpec) -> dict[str, object]:
    tasks = [spec.task] if spec.task else list(losses.LOSSES)
    return {name: None for task in tasks for name in losses.LOSSES[task]}


def values_of(spec: StudySpec, name: str) -> tuple[Value, ...]:
    """The values that a parameter can take, where they can be listed."""
    if name in spec.fixed:
        return (spec.fixed[name],)
    for parameter in spec.space:
        if parameter.name == name and isinstance(parameter, Categorical):
            return parameter.choices
    return ()


def _arguments(spec: StudySpec) -> set[str]:
    """What at least one of the study's optimizers and losses reads."""
    read: set[str] = set()
    for name in values_of(spec, "optimizer") or (optimizers.DEFAULT,):
        if name in optimizers.OPTIMIZERS:
            read.update(optimizers.accepted(str(name)))
    tasks = [spec.task] if spec.task else list(losses.LOSSES)
    for task in tasks:
        for loss in values_of(spec, "loss") or (None,):
            if loss is None or loss in losses.LOSSES[task]:
                read.update(losses.accepted(task, None if loss is None else str(loss)))
    return read


def _unread(spec: StudySpec, read: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for name in spec.search_space:
        if name not in read:
            close = difflib.get_close_matches(name, read, 1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            known = ", ".join(sorted(read))
            yield f"search_space.{name}", f"nothing reads this parameter.{hint} Read: {known}."
