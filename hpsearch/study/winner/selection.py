"""Choose the winner of a study: a trial or an ensemble of trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...data import Dataset
from ...errors import TrainingError
from ...events import (
    Calibration,
    EnsembleComparison,
    EnsembleMember,
    Event,
    SelectionBasis,
    WinnerChosen,
)
from ...execution.executor import Executor
from ...history import History
from ...models import find_family
from ...models.temperature import scale_by_temperature
from ...spec.study_spec import SelectionSpec
from ...training.final_model import MemberSpec
from ...training.problem import Problem
from ...trial import Trial, derive_seed, is_score, orient
from .calibration import calibrate, can_calibrate
from .ensemble import PICKS, POOL, compare_fold_scores, select_ensemble
from .finalists import (
    Finalist,
    best_finalist,
    fresh_problem,
    rescore_trials,
    rescored_finalists,
    simplest_finalist,
)
from .threshold import choose_threshold, needs_tuning

MAX_FIT_SHARE = 0.15  # of the search: cost of fitting the members besides the best single trial
STEP_COST = 10_000  # parameters whose training takes as long as what a step needs besides


@dataclass(frozen=True, slots=True)
class Choice:
    """The model to fit on all development rows."""

    trial: Trial  # best single trial
    finalist: Finalist | None  # its second score; None if it was not re-scored
    members: tuple[MemberSpec, ...]  # networks of the final model, the single trial's first
    threshold: float = 0.5  # decision threshold of a binary task
    calibration: Calibration | None = None  # None: chosen by an earlier version
    comparison: EnsembleComparison | None = None  # None: no ensemble of several trials was found

    @property
    def epochs(self) -> int:
        """Epochs of the best single trial's final fit."""
        return _final_epochs(self.trial)

    @property
    def is_ensemble(self) -> bool:
        """Whether the model contains more than the best single trial."""
        return any(member.trial.number != self.trial.number for member in self.members)

    @property
    def n_trials(self) -> int:
        """Number of trials whose networks the model contains."""
        return len({member.trial.number for member in self.members})

    @property
    def n_single(self) -> int:
        """Number of networks of the best single trial, the first ones of an ensemble; else 0."""
        own = [m for m in self.members if m.trial.number == self.trial.number]
        return len(own) if self.is_ensemble else 0

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
            ensemble=self.comparison,
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


def resolve_selection(
    selection: SelectionSpec, problem: Problem, n_objectives: int, n_limits: int = 0
) -> SelectionSpec:
    """Fill in how the winner is chosen: an ensemble for tables, families and one objective.

    What a limit is on is measured for single trials.
    """
    if selection.kind is not None:
        return selection
    is_table = problem.windows is None and len(problem.row_shape) == 1
    has_family = find_family(problem.model) is not None
    suits = is_table and has_family and n_objectives == 1 and not n_limits
    return selection.model_copy(update={"kind": "ensemble" if suits else "best"})


def describe_ensemble_rule(selection: SelectionSpec) -> str:
    """Describe when a resolved selection of an ensemble takes one, and what it costs."""
    limit = selection.max_ms_per_row
    speed = f" and answer in at most {limit:g} ms a row" if limit else ""
    return (
        "the winner is an ensemble of trials if it beats the best trial on the folds by more than "
        f"its noise. It may take {MAX_FIT_SHARE:.0%} of the search's time to fit{speed}. "
        "selection.kind: best takes the best trial"
    )


def best_trial(history: History) -> Trial:
    """Return the best complete trial.

    Raises:
        TrainingError: If no trial completed, or none satisfies the constraints.
    """
    if history.best is not None:
        return history.best
    if broken := history.infeasible_trials():
        raise TrainingError(_explain_infeasible(history, broken))
    failed = [t for t in history.ended if t.state == "FAILED"]
    reason = f" The last one, trial {failed[-1].number}: {failed[-1].error}" if failed else ""
    raise TrainingError(f"none of {len(history.ended)} trials completed.{reason}")


def _explain_infeasible(history: History, broken: Sequence[Trial]) -> str:
    """Explain that no complete trial satisfies the constraints, and which is the closest."""
    texts, closest = " and ".join(map(str, history.limits)), broken[0]
    known = ", ".join(f"{name} = {v:.4g}" for name, v in (closest.measured or {}).items())
    return (
        f"none of the {len(broken)} complete trials satisfies {texts}, so there is no winner. The "
        f"closest, trial {closest.number}, has {known or 'no measurement'}. Edit constraints or "
        "the search space and run tune again (it keeps the trials), or raise budget.trials"
        f"{_suggest_pruned(history)}"
    )


def _suggest_pruned(history: History) -> str:
    """Suggest to extend the best pruned trial that satisfies the constraints; "" without one."""
    pruned = [t for t in history.trials if t.state == "PRUNED" and t.number not in history.outside]
    within = [t for t in pruned if history.is_feasible(t) and is_score(t.score)]
    if not within:
        return ""
    best = max(within, key=lambda t: orient(t.score or 0.0, history.direction))
    return (
        f". Or complete trial {best.number}, the best of those that satisfy it and were pruned: "
        f"`hpsearch extend {history.name} {best.number} --epochs {best.epochs}`, then tune"
    )


def trials_needing_curves(history: History, selection: SelectionSpec) -> set[int]:
    """Return the trials whose curves are needed, to train them again or plot them."""
    trials = history.finalist_trials(max(1, selection.finalists))
    if selection.kind in (None, "ensemble"):
        trials += ensemble_candidates(history)
    numbers = {m.trial for m in (history.winner.members if history.winner else ())}
    if (chosen := history.winning_trial()) is not None:
        trials.append(chosen)
    return numbers | {trial.number for trial in trials}


def trials_in_use(history: History) -> set[int]:
    """Return the trials whose predictions determine the winner, now or if the study continues."""
    declared = history.study.spec.get("selection") or {}
    basis = history.winner.chosen_from if history.winner else None
    if basis is not None and "kind" not in declared:
        declared = {**declared, "kind": basis.selection.get("kind")}  # by the data
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


def recorded_choice(history: History, selection: SelectionSpec) -> Choice | None:
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
    return Choice(
        trial,
        finalists.get(trial.number),
        members,
        winner.threshold,
        winner.calibration,
        winner.ensemble,
    )


def _basis(history: History, selection: SelectionSpec) -> SelectionBasis:
    return SelectionBasis(len(history.results), selection.model_dump(mode="json"))


def choose_winner(
    history: History,
    selection: SelectionSpec,
    *,
    problem: Problem,
    seed: int,
    predictions_of: Callable[[Sequence[Trial]], dict[int, np.ndarray]],
    max_members: int = PICKS,
) -> Choice:
    """Choose the winner from the journal and the out-of-fold predictions.

    Args:
        history: The study's history, with the curves of `trials_needing_curves`.
        selection: How it is chosen, after `resolve_selection`.
        problem: The study's problem, with rows and folds.
        seed: The study's seed.
        predictions_of: Returns the out-of-fold predictions of trials by number.
        max_members: Maximum number of trials in an ensemble.

    Raises:
        TrainingError: If no trial completed, no finalist could be trained again, or predictions
            to tune a threshold are lost.
    """
    trial, finalist = choose_trial(history, selection)
    ensemble, predictions = None, {}
    if selection.kind == "ensemble":
        candidates = ensemble_candidates(history)
        predictions = predictions_of([trial, *(t for t in candidates if t is not trial)])
        if trial.number in predictions:
            costs, limit = compute_fit_costs(history, candidates, problem, selection.seeds)
            ensemble = select_ensemble(
                predictions,
                problem,
                problem.objective_metric,
                trial.number,
                costs=costs,
                limit=limit,
                max_members=max_members,
            )
    elif can_calibrate(problem) or needs_tuning(problem):
        predictions = predictions_of([trial])
    single = _calibrate({trial.number: 1.0}, predictions.get(trial.number), problem)
    chosen, comparison = single, None
    if ensemble is not None:
        together = _calibrate(ensemble.weights, ensemble.prediction, problem)
        likewise = _calibrate({trial.number: 1.0}, ensemble.single, problem)
        measured = compare_fold_scores(
            problem,
            problem.objective_metric,
            together.scaled,
            likewise.scaled,
            thresholds=(together.threshold, likewise.threshold),
        )
        comparison = EnsembleComparison(
            *measured,
            trials=len(predictions),
            temperature=single.calibration.temperature,
            threshold=single.threshold,
        )
        chosen = together if comparison.is_better else single
    members = _make_members(chosen.weights, history, selection.seeds, seed)
    return Choice(
        trial, finalist, members, chosen.threshold, chosen.calibration, comparison=comparison
    )


def choose_trial(history: History, selection: SelectionSpec) -> tuple[Trial, Finalist | None]:
    """Choose the best single trial, and its second score if finalists were re-scored.

    Raises:
        TrainingError: If no trial completed, or no finalist could be trained again.
    """
    if not selection.finalists:
        return best_trial(history), None
    finalists = rescored_finalists(history, history.finalist_trials(selection.finalists))
    if not finalists:
        raise TrainingError(
            f"none of the {selection.finalists} best trials could be trained again. The last "
            f"one: {list(history.finalists.values())[-1].error}"
        )
    rule = simplest_finalist if selection.kind == "one_standard_error" else best_finalist
    finalist = rule(finalists, history.study.objective.direction)
    return finalist.trial, finalist


def ensemble_candidates(history: History) -> list[Trial]:
    """Return the best trials with predictions of all folds, pruned ones included."""
    complete = history.ranked_trials()
    n_folds = max((len(t.fold_scores or ()) for t in complete), default=0)
    pruned = [
        t
        for t in history.trials
        if t.state == "PRUNED"
        and t.predictions is not None
        and is_score(t.score)
        and len(t.fold_scores or ()) == n_folds
    ]
    sign = orient(1.0, history.direction)
    return sorted([*complete, *pruned], key=lambda t: (-sign * (t.score or 0.0), t.number))[:POOL]


def compute_fit_costs(
    history: History, trials: Sequence[Trial], problem: Problem, seeds: int
) -> tuple[dict[int, float], float]:
    """Compute the cost of fitting each trial on all rows, and the limit of all together.

    The unit is one parameter trained for one pass over all rows; `STEP_COST` is what a step takes
    besides. Unlike seconds, it is the same on every machine.
    """
    costs = {t.number: float(seeds * _final_epochs(t) * _epoch_cost(t)) for t in trials}
    passes = sum(len(fold.train) for fold in problem.folds) / len(problem.target)
    searched = sum(t.n_epochs * _epoch_cost(t) for t in history.ended)
    return costs, MAX_FIT_SHARE * passes * searched


def _epoch_cost(trial: Trial) -> int:
    return (trial.n_parameters or 0) + STEP_COST


@dataclass(frozen=True, slots=True)
class _Calibrated:
    """A trial or an ensemble with the probabilities that it would serve."""

    weights: Mapping[int, float]  # by trial
    scaled: np.ndarray  # out-of-fold predictions at the temperature; empty: lost
    calibration: Calibration
    threshold: float


def _calibrate(
    weights: Mapping[int, float], prediction: np.ndarray | None, problem: Problem
) -> _Calibrated:
    calibration = calibrate(problem, prediction)
    temperature = calibration.temperature
    threshold = choose_threshold(
        problem, prediction, trial=next(iter(weights)), temperature=temperature
    )
    known = np.empty((0, problem.n_outputs)) if prediction is None else prediction
    scaled = scale_by_temperature(np, known, temperature)
    return _Calibrated(weights, scaled, calibration, threshold)


def _make_members(
    weights: Mapping[int, float], history: History, seeds: int, seed: int
) -> tuple[MemberSpec, ...]:
    """Make one member per trial and seed, the first with the trial's own seed."""
    members = []
    for number, weight in weights.items():
        trial = history.last[number]
        for again in range(seeds):
            its = trial.seed if not again else derive_seed(seed, "final", number, again)
            members.append(MemberSpec(trial.refit_spec(its), weight / seeds))
    return tuple(members)


def _final_epochs(trial: Trial) -> int:
    assert trial.best_epoch is not None
    return trial.best_epoch + 1
