"""Resume a study: repeat the sampler's calls of earlier runs in the same order."""

from __future__ import annotations

from ..events import DuplicateProposed
from ..history import History
from ..trial import Trial
from .sampler import Sampler, copy_known_trial, make_running_trial


def replay_trials(history: History, sampler: Sampler, *, in_rounds: bool) -> set[int]:
    """Replay a study's earlier runs to the sampler.

    Returns:
        The trials whose results the sampler has not received; in rounds, it receives them at the
        start of the next round.
    """
    asked, ended, untold = set[int](), set[int](), set[int]()
    for step in history.order:
        number = step if isinstance(step, int) else step.known_trial
        if number in history.outside:
            continue  # no point of the space, which was edited
        is_end = isinstance(step, int) and step in asked
        if isinstance(step, int) and is_end:
            ended.add(step)
            untold.add(step)
        if is_end != in_rounds:
            for number in sorted(untold):
                tell_ended(sampler, history.last[number])
            untold.clear()
        if isinstance(step, DuplicateProposed):
            known = history.last[step.known_trial]
            had_ended = step.known_trial in ended
            sampler.tell(copy_known_trial(known, step.trial, had_ended=had_ended))
        elif not is_end:
            asked.add(step)
            last = history.last[step]
            sampler.tell(make_running_trial(step, last.params, epochs=last.epochs))
    return untold


def tell_ended(sampler: Sampler, ended: Trial) -> None:
    """Send an ended trial to the sampler, and drop its curves."""
    sampler.tell(ended)
    ended.drop_curves()
