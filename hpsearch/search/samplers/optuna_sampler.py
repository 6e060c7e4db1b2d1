"""Optuna's samplers behind our protocol, by ask and tell in memory.

Optuna's numbering is kept equal to ours. Which of its samplers a trial is asked from depends on
the trial's number alone, because one that lives on would draw differently after a resume.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ...history import Trial
from ...trial import Direction, Value

if TYPE_CHECKING:
    import optuna

from ...spec.space import Categorical, Float, Int, Parameter, Space

MakeSampler = Callable[[int], "optuna.samplers.BaseSampler"]  # from a trial's number


class OptunaSampler:
    """An `optuna.Study` in memory that never sees more than points and scores."""

    def __init__(self, make: MakeSampler, space: Space, *, direction: Direction) -> None:
        """A sampler over `space`; `make` gives Optuna's for a trial's number."""
        import optuna

        self._make = make
        self._space = space
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # its study is none of the user's
        self._study = optuna.create_study(direction=direction, sampler=make(0))

    def ask(self, number: int) -> Mapping[str, Value] | None:
        """See `Sampler`."""
        self._study.sampler = self._make(number)
        trial = self._study.ask()
        params: dict[str, Value] = {}
        for p in self._space:
            if self._space.is_active(p, params):
                params[p.name] = _suggest(trial, p)
        return params

    def tell(self, trial: Trial) -> None:
        """See `Sampler`."""
        known = self._study.get_trials(deepcopy=False)
        if trial.number >= len(known):
            self._study.add_trial(self._frozen(trial))
            return
        storage, identity = self._study._storage, known[trial.number]._trial_id
        for epoch, score in enumerate(trial.mean_scores()):
            storage.set_trial_intermediate_value(identity, epoch, score)
        frozen = self._frozen(trial)
        self._study.tell(trial.number, frozen.value, state=frozen.state)

    def _frozen(self, trial: Trial) -> optuna.trial.FrozenTrial:
        """The trial as Optuna keeps it."""
        import optuna

        active = [p for p in self._space if p.name in trial.params]
        states = optuna.trial.TrialState
        names = {"COMPLETE": "COMPLETE", "PRUNED": "PRUNED", "FAILED": "FAIL"}
        return optuna.trial.create_trial(
            state=states[names.get(trial.state, "RUNNING")],
            value=trial.score if trial.state == "COMPLETE" else None,
            params={p.name: stored(p, trial.params[p.name]) for p in active},
            distributions={p.name: distribution(p) for p in active},
            intermediate_values=dict(enumerate(trial.mean_scores())),
        )


def _suggest(trial: optuna.Trial, p: Parameter) -> Value:
    match p:
        case Categorical():
            return p.choices[trial.suggest_categorical(p.name, range(len(p.choices)))]
        case Int():
            return trial.suggest_int(p.name, p.low, p.high, log=p.log, step=p.step)
        case Float():
            return trial.suggest_float(p.name, p.low, p.high, log=p.log, step=p.step)


def stored(p: Parameter, value: Value) -> Value:
    """A choice's place in the list: Optuna takes 1, 1.0 and True for the same choice."""
    if not isinstance(p, Categorical):
        return value
    return next(i for i, c in enumerate(p.choices) if type(c) is type(value) and c == value)


def distribution(p: Parameter) -> optuna.distributions.BaseDistribution:
    """Optuna's distribution of a parameter; a categorical one is over the places of its choices."""
    from optuna import distributions

    match p:
        case Categorical():
            return distributions.CategoricalDistribution(range(len(p.choices)))
        case Int():
            return distributions.IntDistribution(p.low, p.high, log=p.log, step=p.step)
        case Float():
            return distributions.FloatDistribution(p.low, p.high, log=p.log, step=p.step)
