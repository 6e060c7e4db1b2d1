"""Taking up a study where its journal ends: the sampler hears again what it heard, in that order.

The journal is read line by line and a trial is condensed once the sampler has heard of its end, so
that a long study takes no more memory to go on with than it took to come so far.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ..events import DuplicateProposed, Event, TrialAsked, TrialFinished
from ..history import History
from ..trial import Trial
from .sampler import Sampler, copy_known_trial


def replay_records(
    events: Iterable[Event], history: History, sampler: Sampler, *, in_rounds: bool
) -> set[int]:
    """Tell `history` and the sampler of a study's earlier runs.

    Returns:
        The trials whose end the sampler has not heard of: in rounds it hears when the next begins.
    """
    untold: set[int] = set()
    for event in events:
        is_new = isinstance(event, TrialAsked) and event.trial not in history.last
        changed = history.apply(event)
        has_ended = isinstance(event, TrialFinished) and bool(changed)
        untold.update(t.number for t in changed if has_ended)
        if has_ended if not in_rounds else is_new or isinstance(event, DuplicateProposed):
            for number in sorted(untold):
                tell_ended(sampler, history.last[number])
            untold.clear()
        if is_new:
            sampler.tell(replace(changed[0], state="RUNNING"))
        elif isinstance(event, DuplicateProposed):
            known = history.last[event.known_trial]
            sampler.tell(copy_known_trial(known, event.trial, had_ended=known.is_finished))
    return untold


def tell_ended(sampler: Sampler, ended: Trial) -> None:
    """Tell the sampler how a trial ended; nobody asks for its whole curves after that."""
    sampler.tell(ended)
    ended.drop_curves()
