"""The phases of `training.phases`: their form for the trainer, and mistakes in them."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import SpecError
from ..models import find_family
from ..spec.search_space import Categorical
from ..spec.study_file import StudyFile
from ..spec.study_spec import StudySpec, TrainingSpec
from ..training.model_inspection import ModelInspection
from ..training.phases import Phase, arrange_phases, find_unmatched
from ..training.problem import EarlyStopping
from .task_validation import format_problems

MAX_SHOWN = 20  # layers in a message


def make_phases(training: TrainingSpec) -> tuple[Phase, ...]:
    """Convert the declared phases."""
    return arrange_phases(
        Phase(
            first_epoch=0,
            epochs=declared.epochs,
            trainable=None if declared.trainable is None else tuple(declared.trainable),
            learning_rate=declared.learning_rate,
        )
        for declared in training.phases
    )


def make_early_stopping(training: TrainingSpec) -> EarlyStopping | None:
    """Convert the declared early stopping, which begins with the last phase."""
    if training.early_stopping is None:
        return None
    phases = make_phases(training)
    first = phases[-1].first_epoch if phases else 0
    return EarlyStopping(**training.early_stopping.model_dump(), first_epoch=first)


def find_phase_problems(spec: StudySpec) -> Iterator[tuple[str, str]]:
    """Find mistakes in the phases that are visible without the model: key and message."""
    if not spec.training.phases:
        return
    if find_family(spec.model_name):
        yield "training.phases", f"are for a model of your own; {spec.model_name} has one phase"
    if spec.training.trainer == "vectorized":
        yield "training.trainer", "phases are trained by Keras: leave it out, or say keras_fit"
    if spec.sampler.kind == "keras_tuner_hyperband":
        yield (
            "training.phases",
            "keras_tuner_hyperband decides how many epochs a trial gets: take another sampler",
        )
    if "epochs" in spec.search_space:
        yield "search_space.epochs", "training.phases says how many epochs there are: leave it out"
    for index, phase in enumerate(spec.training.phases):
        if reason := _explain_wrong_rate(spec, phase.learning_rate):
            yield f"training.phases.{index}.learning_rate", reason


def _explain_wrong_rate(spec: StudySpec, name: float | str | None) -> str | None:
    """Explain why a hyperparameter cannot be a learning rate; None if it can, or is none."""
    if not isinstance(name, str):
        return None
    ranges = [p for p in spec.space if p.name == name]
    values = [
        *(v for p in ranges for v in (p.choices if isinstance(p, Categorical) else (p.low,))),
        *([spec.fixed_params[name]] if name in spec.fixed_params else []),
    ]
    if not values:
        known = ", ".join(sorted({p.name for p in spec.space} | spec.fixed_params.keys()))
        return f"{name!r} is neither a number nor a hyperparameter. Known: {known}"
    if any(isinstance(v, bool | str) or v is None or v <= 0 for v in values):
        return f"the hyperparameter {name!r} has values that are not positive numbers"
    if name not in spec.fixed_params and all(p.when for p in ranges):
        return f"the hyperparameter {name!r} has a when, so some trials do not have it"
    return None


def check_phases(file: StudyFile, found: ModelInspection) -> None:
    """Refuse phases that do not fit the model.

    Raises:
        SpecError: With every pattern that matches no layer, and the layers.
    """
    shown = [*found.layers[:MAX_SHOWN], *(["…"] if len(found.layers) > MAX_SHOWN else [])]
    problems = [
        (
            f"training.phases.{index}.trainable",
            f"{pattern!r} matches no layer with weights. Layers: {', '.join(shown)}",
        )
        for index, pattern in find_unmatched(make_phases(file.spec.training), found.layers)
    ]
    if problems:
        raise SpecError(format_problems(file, problems))
