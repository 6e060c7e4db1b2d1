"""Choose the winner of a study: a trial or an ensemble of trials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from ...data import Dataset
from ...errors import TrainingError
from ...events import Calibration, EnsembleMember, Event, SelectionBasis, WinnerChosen
from ...execution.executor import Executor
from ...history import History
from ...spec.study_spec import SelectionSpec
from ...training.final_model import MemberSpec
from ...training.problem import Problem
from ...trial import Trial, derive_seed
from .calibration import calibrate
from .ensemble import POOL, select_ensemble
from .finalists import (
    Finalist,
    best_finalist,
    fresh_problem,
    rescore_trials,
    rescored_finalists,
    simplest_finalist,
)
from .threshold import choose_threshold


@dataclass(frozen=True, slots=True)
class Choice:
    """The model to fit on all development rows."""

    trial: Trial  # best single trial
    finalist: Finalist | None  # its second score; None if it was not re-scored
    members: tuple[MemberSpec, ...]  # networks of the final model
    single: tuple[MemberSpec, ...]  # networks of the best single trial's model
    threshold: float = 0.5  # decision threshold of a binary task
    calibration: Calibration | None = None  # None: chosen by an earlier version

    @property
    def epochs(self) -> int:
        """Epochs of the best single trial's final fit."""
        return _final_epochs(self.trial)

    @property
    def is_ensemble(self) -> bool:
        """Whether the model contains more than the best single trial."""
        return self.members != self.single

    def event(self, history: History, selection: SelectionSpec) -> WinnerChosen:
        """Build the journal's event."""
        return WinnerChosen(
            trial=self.trial.number,
            attempt=self.trial.attempt,
            epochs=self.epochs,
            score=self.trial.score,
            spread=self.trial.spread,
            finalist_score=self.finalist.score if self.finalist else None,
            finalist_spread=self.finalist.spread if self.finalist else None,
            members=self.recorded_members,
            threshold=self.threshold,
            calibration=self.calibration,
            chosen_from=_basis(history, selection),
        )

    @property
    def recorded_members(self) -> tuple[EnsembleMember, ...]:
        """Return the model's networks for the journal."""
        return tuple(
            EnsembleMember(
                trial=m.trial.number, seed=m.trial.seed, epochs=m.trial.epochs, weight=m.weight
            )
            for m in self.members
        )


def best_trial(history: History) -> Trial:
    """Return the best complete trial.

    Raises:
        TrainingError: If no trial completed.
    """
    if history.best is not None:
        return history.best
    failed = [t for t in history.ended if t.state == "FAILED"]
    reason = f" The last one, trial {failed[-1].number}: {failed[-1].error}" if failed else ""
    raise TrainingError(f"none of {len(history.ended)} trials completed.{reason}")


def trials_needing_curves(history: History, selection: SelectionSpec) -> set[int]:
    """Return the trials whose curves are needed, to train them again or plot them."""
    trials = history.finalist_trials(max(1, selection.finalists))
    if selection.kind == "ensemble":
        trials += history.ranked_trials()[:POOL]
    numbers = {m.trial for m in (history.winner.members if history.winner else ())}
    if (chosen := history.winning_trial()) is not None:
        trials.append(chosen)
    return numbers | {trial.number for trial in trials}


def trials_in_use(history: History) -> set[int]:
    """Return the trials whose predictions determine the winner, now or if the study continues."""
    declared = history.study.spec.get("selection") or {}
    try:
        selection = SelectionSpec.model_validate(declared)
    except ValueError:  # written by another version
        selection = SelectionSpec(kind="ensemble")  # the kind that needs most
    return trials_needing_curves(history, selection)


def score_finalists(
    history: History,
    selection: SelectionSpec,
    *,
    problem: Problem,
    dataset: Dataset,
    executor: Executor,
    seed: int,
    record: Callable[[Event], object],
    stop_requested: Callable[[], bool],
    meanwhile: Callable[[], object],
) -> None:
    """Re-score the best trials that were not re-scored yet, and record the scores.

    `meanwhile` is called once, while the executor trains them or if there is nothing to train.
    """
    known = history.finalists
    missing = [t for t in history.finalist_trials(selection.finalists) if t.number not in known]
    if missing:
        fresh = fresh_problem(problem, dataset, seed)
        executor.set_up(fresh)
        rescore_trials(
            missing,
            problem=fresh,
            executor=executor,
            seed=seed,
            record=record,
            stop_requested=stop_requested,
            meanwhile=meanwhile,
        )
    elif history.final is None:
        meanwhile()


def recorded_choice(history: History, selection: SelectionSpec, seed: int) -> Choice | None:
    """Return the choice of an earlier run from the same trials; None if there is none.

    It does not depend on files lost since then.
    """
    winner = history.winner
    if winner is None or winner.chosen_from != _basis(history, selection):
        return None
    trial = history.last[winner.trial]
    finalists = {f.trial.number: f for f in rescored_finalists(history, [trial])}
    members = tuple(
        MemberSpec(history.last[m.trial].refit_spec(m.seed), m.weight) for m in winner.members
    )
    single = _make_members({trial.number: 1}, history, selection.seeds, seed)
    return Choice(
        trial,
        finalists.get(trial.number),
        members,
        single,
        winner.threshold,
        winner.calibration,
    )


def _basis(history: History, selection: SelectionSpec) -> SelectionBasis:
    return SelectionBasis(len(history.ended), selection.model_dump(mode="json"))


def choose_winner(
    history: History,
    selection: SelectionSpec,
    *,
    problem: Problem,
    seed: int,
    predictions_of: Callable[[Sequence[Trial]], dict[int, np.ndarray]],
) -> Choice:
    """Choose the winner from the journal and the out-of-fold predictions.

    Raises:
        TrainingError: If no trial completed, no finalist could be trained again, or predictions
            to tune a threshold or choose an ensemble are lost.
    """
    direction = history.study.objective.direction
    trial, finalist = best_trial(history), None
    if selection.finalists:
        finalists = rescored_finalists(history, history.finalist_trials(selection.finalists))
        if not finalists:
            raise TrainingError(
                f"none of the {selection.finalists} best trials could be trained again. The last "
                f"one: {list(history.finalists.values())[-1].error}"
            )
        rule = simplest_finalist if selection.kind == "one_standard_error" else best_finalist
        finalist = rule(finalists, direction)
        trial = finalist.trial
    single = _make_members({trial.number: 1}, history, selection.seeds, seed)
    members = single
    if selection.kind == "ensemble":
        predictions = predictions_of(history.ranked_trials()[:POOL])
        if not predictions:
            raise TrainingError(
                "no ensemble can be chosen: the out-of-fold predictions of all trials are lost, "
                "and could not be computed again. Run the same command again once the "
                "reason above is fixed, or with --set selection.kind=best."
            )
        counts = select_ensemble(predictions, problem, problem.objective_metric)
        members = _make_members(counts, history, selection.seeds, seed)

    @cache  # read, or trained again, once for both
    def predictions_by_number(numbers: frozenset[int]) -> dict[int, np.ndarray]:
        return predictions_of([history.last[n] for n in sorted(numbers)])

    calibration = calibrate(members, problem, predictions_by_number)
    threshold = choose_threshold(
        members, problem, predictions_by_number, temperature=calibration.temperature
    )
    return Choice(trial, finalist, members, single, threshold, calibration)


def _make_members(
    counts: dict[int, int], history: History, seeds: int, seed: int
) -> tuple[MemberSpec, ...]:
    """Make one member per trial and seed, the first with the trial's own seed."""
    total = sum(counts.values()) * seeds
    members = []
    for number, count in counts.items():
        trial = history.last[number]
        for again in range(seeds):
            its = trial.seed if not again else derive_seed(seed, "final", number, again)
            members.append(MemberSpec(trial.refit_spec(its), count / total))
    return tuple(members)


def _final_epochs(trial: Trial) -> int:
    assert trial.best_epoch is not None
    return trial.best_epoch + 1
