"""Tell how many trials of a study fit in an accelerator's memory, before any is trained."""

from __future__ import annotations

from ..errors import TrainingError
from ..execution import devices
from ..execution.inspection_process import count_fitting_in_process
from ..search.samplers import make_sampler
from ..spec.study_spec import StudySpec
from ..training.problem import Problem
from ..training.trainer_selection import choose_trainer, has_accelerator
from ..trial import TrialSpec, derive_seed, max_epochs
from .population import divide_machine, population_of
from .resolved_study import CheckedStudy


def describe_memory(
    study: CheckedStudy, problem: Problem, own_training: str | None = None
) -> str | None:
    """Describe how many trials of a population fit in the device's memory.

    Random points of the space are compiled as in the study; see `count_fitting_in_process`.

    Returns:
        None where there is no accelerator, or one that does not report its memory.
    """
    spec = study.spec
    trainer, _ = choose_trainer(spec.training.trainer, problem, own_training)
    if trainer != "vectorized" or not has_accelerator():
        return None
    machine = devices.detect_machine(trainer)
    workers, threads = divide_machine(machine, spec.execution, trainer)
    population = population_of(study, trainer, threads=threads)
    gpu = devices.assign_gpu(0, workers, machine, gpus=spec.execution.gpus)
    environment = devices.worker_environment(trainer, threads=threads, gpu=gpu)
    try:
        trials = sample_trials(spec, population)
        fitting = count_fitting_in_process(problem, trials, environment)
    except TrainingError as error:  # another program may use the device
        return f"how many trials fit in the device's memory is unknown: {error}"
    return None if fitting is None else format_fitting(fitting, population)


def format_fitting(fitting: int, population: int) -> str:
    """Format how many trials of a population fit.

    Examples:
        >>> format_fitting(64, 64)
        "all 64 trials of a population fit in the device's memory"
        >>> format_fitting(16, 64)
        "16 of a population's 64 trials fit in the device's memory at once, the others wait"
    """
    if not fitting:
        return (
            "not even one trial fits in the device's memory: use smaller layers or "
            "batches, or fewer folds"
        )
    if fitting < population:
        return (
            f"{fitting} of a population's {population} trials fit in the device's memory "
            "at once, the others wait"
        )
    return f"all {population} trials of a population fit in the device's memory"


def sample_trials(spec: StudySpec, count: int) -> list[TrialSpec]:
    """Return trials at random points of a study's space."""
    sampler = make_sampler("random", spec.space, direction="minimize", seed=spec.seed)
    points = [{**spec.fixed_params, **(sampler.ask(n) or {})} for n in range(count)]
    return [
        TrialSpec(
            n, params, derive_seed(spec.seed, "trial", n), max_epochs(params, spec.training.epochs)
        )
        for n, params in enumerate(points)
    ]
