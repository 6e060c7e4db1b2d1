"""Decide how many trials a worker trains at once, and divide a machine among workers."""

from __future__ import annotations

from ..execution import devices
from ..spec.data_spec import CrossValidationSpec, count_folds
from ..spec.study_spec import ExecutionSpec
from ..training.trainer_selection import has_accelerator
from .resolved_study import CheckedStudy

TOGETHER = 64  # default population on an accelerator
LEARN_NOTHING = ("random", "grid")  # samplers that do not use results
MOST_TOGETHER = 1000  # their maximum default population on an accelerator
KNOWN_AHEAD = 4  # populations prepared by a worker whose next trials depend on no result


def population_of(study: CheckedStudy, trainer: str, *, threads: int = 1) -> int:
    """Return the number of trials that a worker trains together.

    The default on an accelerator is an eighth of the study, so that the sampler can learn from
    earlier trials, and at most `TOGETHER`; all of it where the sampler learns nothing. The device's
    memory limits how many of them run at the
    same time. On a processor it is as many as keep all `threads` of the worker busy, each of which
    trains a fold. A pruner's bracket is never split.
    """
    training, bracket = study.spec.training, study.pruner.bracket
    wanted = training.population
    declared = "population" in training.model_fields_set
    if not declared and trainer == "vectorized":
        folds = count_folds(study.spec.cross_validation or CrossValidationSpec()) or 1
        if has_accelerator():
            trials, kind = study.spec.budget.trials, study.spec.sampler.kind
            wanted = max(1, min(TOGETHER, trials // 8))
            if kind in LEARN_NOTHING:
                wanted = min(MOST_TOGETHER, trials)
        elif folds > 1:  # one fold alone may use all threads
            wanted = -(-threads // folds)
    return bracket * max(1, wanted // bracket)


def count_ahead(study: CheckedStudy, trainer: str, *, workers: int) -> int:
    """Return the number of populations that a worker prepares besides the running one.

    They are compiled while the running one trains. Where neither the sampler nor the end of the
    search depends on results or time, the only worker of a machine prepares several: a program
    takes longer to compile than a short trial to train, and with one of them a core would wait.
    """
    spec, budget = study.spec, study.spec.budget
    if trainer != "vectorized" or spec.training.deterministic:
        return 0  # a deterministic study trains as many trials at the same time
    if study.pruner.bracket > 1:
        return 0  # a bracket is one population; the next one is made after it has ended
    ends = (budget.target, budget.stagnation, budget.until, budget.minutes)
    is_known = spec.sampler.kind in LEARN_NOTHING and not any(end is not None for end in ends)
    is_alone = workers == 1 and spec.execution.executor == "processes" and not has_accelerator()
    return KNOWN_AHEAD if is_known and is_alone else 1


def divide_machine(
    machine: devices.Machine, declared: ExecutionSpec, trainer: str
) -> tuple[int, int]:
    """Return the number of workers on a machine and the threads of each."""
    default = devices.default_workers(machine, trainer=trainer, gpus=declared.gpus)
    workers = declared.workers or default
    return workers, devices.threads_per_worker(machine, workers, cpus=declared.cpus)


def describe_training(study: CheckedStudy) -> str:
    """Describe how many trials will train at once on this machine, before any row is read."""
    trainer = "keras_fit" if study.spec.training.trainer == "keras_fit" else "vectorized"
    machine = devices.detect_machine(trainer)
    _, threads = divide_machine(machine, study.spec.execution, trainer)
    population = population_of(study, trainer, threads=threads)
    pruner = study.pruner_kind
    text = describe_population(population, trainer=trainer, threads=threads, pruner=pruner)
    return f"population: {text or 'one trial at a time'}"


def describe_population(population: int, *, trainer: str, threads: int, pruner: str) -> str:
    """Describe how many trials train at once; empty for one.

    Examples:
        >>> describe_population(2, trainer="vectorized", threads=8, pruner="asha")
        '2 trials at once on the 8 threads of a worker'
    """
    if population == 1:
        return ""
    if pruner == "fold_race":
        return f"{population} trials of a worker one after another"
    if trainer == "keras_fit":
        return f"{population} trials take turns, no faster than one after another"
    if has_accelerator():
        return f"up to {population} trials at once, as many as the device's memory holds"
    return f"{population} trials at once on the {threads} threads of a worker"
