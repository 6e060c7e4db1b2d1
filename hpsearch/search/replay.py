"""Taking up a study where its journal ends: the sampler hears again what it heard, in that order.

The journal is read line by line and a trial is condensed once the sampler has heard of its end, so
that a long study takes no more memory to go on with than it took to come so far.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ..history import History
from ..journal import Record
from ..trial import Trial
from .sampler import Sampler, recalled


def replay(
    records: Iterable[Record], history: History, sampler: Sampler, *, in_rounds: bool
) -> set[int]:
    """Tell `history` and the sampler of a study's earlier runs.

    Returns:
        The trials whose end the sampler has not heard of: in rounds it hears when the next begins.
    """
    untold: set[int] = set()
    for record in records:
        is_new = record["event"] == "asked" and record["trial"] not in history.last
        changed = history.apply(record)
        has_ended = record["event"] == "result" and bool(changed)
        untold.update(t.number for t in changed if has_ended)
        if has_ended if not in_rounds else is_new or record["event"] == "remembered":
            for number in sorted(untold):
                heard(sampler, history.last[number])
            untold.clear()
        if is_new:
            sampler.tell(replace(changed[0], state="RUNNING"))
        elif record["event"] == "remembered":
            known = history.last[record["of"]]
            sampler.tell(recalled(known, record["trial"], had_ended=known.is_finished))
    return untold


def heard(sampler: Sampler, ended: Trial) -> None:
    """Tell the sampler how a trial ended; nobody asks for its whole curves after that."""
    sampler.tell(ended)
    ended.condense()
