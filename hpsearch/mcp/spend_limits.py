"""The trials and minutes that all calls of a client may spend together."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import HpsearchError
from ..history import History


@dataclass(slots=True)
class SpendLimits:
    """The trials and minutes that a server may still spend."""

    trials: int
    minutes: float

    def require_minutes(self) -> None:
        """Refuse a call once the time is spent.

        Raises:
            HpsearchError: If no time is left.
        """
        if self.minutes <= 0:
            raise _make_error("minutes")

    def take_trial(self, reserved: int) -> None:
        """Spend a trial that is enqueued or extended.

        Args:
            reserved: Trials that a run may still suggest.

        Raises:
            HpsearchError: If none is left.
        """
        if self.trials <= reserved:
            raise _make_error("trials")
        self.trials -= 1

    def limit_budget(
        self, history: History, trials: int, minutes: float | None
    ) -> tuple[int, float]:
        """Limit the declared budget of a study, which is a total over all of its runs.

        Enqueued and extended trials were paid for when that was requested.

        Args:
            history: The study so far.
            trials: Its declared trials.
            minutes: Its declared minutes.

        Returns:
            Trials and minutes that the study may have in total.

        Raises:
            HpsearchError: If the budget is spent.
        """
        self.require_minutes()
        paid = len(history.last) + len(history.enqueued)
        is_due = history.enqueued or history.extensions
        if self.trials <= 0 and not is_due and paid < trials:
            raise _make_error("trials")
        most = history.seconds / 60 + self.minutes
        return min(trials, paid + max(0, self.trials)), min(minutes or most, most)


def _make_error(name: str) -> HpsearchError:
    return HpsearchError(
        f"the {name} that this server may spend are spent (--max-{name}). A person can continue "
        "the study with `hpsearch tune`, or start the server again."
    )
