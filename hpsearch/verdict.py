"""Describe the winner's score on the locked rows, compared with baseline models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from .events import (
    BaselineScores,
    Calibration,
    EnsembleMember,
    IntervalCoverage,
    StudyCreated,
    WinnerChosen,
    WinnerEvaluated,
)

Standing = Literal["better than", "as good as", "worse than"]
STANDINGS: tuple[Standing, ...] = ("worse than", "as good as", "better than")


def compare_with(baseline: BaselineScores) -> Standing | None:
    """Compare the winner with a baseline: "better", "worse", or "as good" within the 95% interval.

    None if the difference is unknown.
    """
    low, high = baseline.advantage or (0.0, float("nan"))
    if low > 0:
        return "better than"
    if high < 0:
        return "worse than"
    return "as good as" if low <= 0 <= high else None


def stronger_baselines(baselines: Iterable[BaselineScores]) -> list[BaselineScores]:
    """Return the baselines that beat the winner."""
    return [each for each in baselines if compare_with(each) == "worse than"]


def describe_verdict(baselines: Sequence[BaselineScores]) -> str:
    """Describe what the winner is worse than, as good as and better than; "" if unknown.

    Examples:
        >>> linear = BaselineScores("ridge", {"rmse": 2.0}, advantage=[0.5, 0.9])
        >>> boosting = BaselineScores("gradient_boosting", {"rmse": 1.2}, advantage=[-0.2, 0.1])
        >>> describe_verdict([linear, boosting])
        'as good as gradient boosting, better than ridge'
    """
    parts = []
    for standing in STANDINGS:
        names = [display_name(each) for each in baselines if compare_with(each) == standing]
        if names:
            parts.append(f"{standing} {' and '.join(names)}")
    return ", ".join(parts)


def describe_fold_scores(
    baselines: Sequence[BaselineScores], metric: str, score: float | None
) -> str:
    """Describe the scores of the winner and of a forecast's baselines on the folds; "" if unknown.

    Examples:
        >>> naive = BaselineScores("last_value", {"rmse": 2.0}, fold_score=2.25)
        >>> describe_fold_scores([naive], "rmse", 1.5)
        'On the folds, by rmse: the winner 1.5, last value 2.25.'
    """
    scores = {display_name(each): each.fold_score for each in baselines}
    known = [f"{name} {value:.5g}" for name, value in scores.items() if value is not None]
    if not known or score is None:
        return ""
    return f"On the folds, by {metric}: the winner {score:.5g}, {', '.join(known)}."


def describe_pending_comparison(study: StudyCreated, final: WinnerEvaluated | None) -> str:
    """Describe when baselines are compared; "" without locked rows, or once they were."""
    if final is not None or not study.data.test_rows:
        return ""
    return "Baselines are fitted after the search and compared on the locked rows."


def display_name(baseline: BaselineScores) -> str:
    """Format a baseline's name for the user."""
    return "a constant" if baseline.name == "constant" else baseline.name.replace("_", " ")


def describe_ensemble(winner: WinnerChosen | None, metric: str) -> str:
    """Describe the ensemble and its score beside the best single trial's; "" if there is none."""
    if winner is None or winner.ensemble is None:
        return ""
    found = winner.ensemble
    standing = "better" if found.advantage > 0 else "worse"
    scores = (
        f"{metric} {found.score:.4f} out of fold, {found.single_score:.4f} of single trials, each "
        f"chosen by other folds; {standing} by {abs(found.advantage):.2g} ± {found.error:.2g}"
    )
    if not winner.is_ensemble:
        return f"No ensemble: it is not better than a trial by more than its noise ({scores})."
    return f"An ensemble of {describe_members(winner.members)}: {scores}."


def describe_members(members: Sequence[EnsembleMember]) -> str:
    """List the trials of an ensemble with their weights, the heaviest first.

    Examples:
        >>> describe_members([EnsembleMember(3, 0.25), EnsembleMember(5, 0.75)])
        '2 trials (5: 0.75, 3: 0.25)'
    """
    weights: dict[int, float] = {}
    for member in members:
        weights[member.trial] = weights.get(member.trial, 0.0) + member.weight
    heaviest = sorted(weights.items(), key=lambda each: -each[1])
    listed = ", ".join(f"{trial}: {weight:.2g}" for trial, weight in heaviest)
    return f"{len(weights)} trials ({listed})"


def describe_calibration(
    calibration: Calibration | None, coverage: IntervalCoverage | None, is_classification: bool
) -> str:
    """Describe the temperature, and what intervals or sets hold; "" if there is nothing to say.

    Examples:
        >>> describe_calibration(None, IntervalCoverage(0.9, 0.9124, 3.2), False)
        '90% intervals hold 91.2% of the locked rows; their mean width is 3.2.'
    """
    parts = []
    if calibration is not None and calibration.temperature != 1.0:
        parts.append(
            f"Probabilities are calibrated with the temperature {calibration.temperature:.3g}."
        )
    if coverage is not None:
        what, size = ("sets of classes", "size") if is_classification else ("intervals", "width")
        held = [(coverage.share, "", coverage.size)]
        if coverage.outputs:
            held = [(o.share, f" of {o.name}", o.size) for o in coverage.outputs]
        parts += [
            f"{coverage.level:.0%} {what}{name} hold {share:.1%} of the locked rows; their mean "
            f"{size} is {mean:.3g}."
            for share, name, mean in held
        ]
    return " ".join(parts)
