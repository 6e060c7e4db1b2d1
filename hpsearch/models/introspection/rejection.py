"""Exceptions by which a user's function says that a point is not worth training.

They are known by their names, so that neither Optuna nor Keras Tuner is imported for them.
"""

from __future__ import annotations

REJECTIONS = (
    ("optuna", "TrialPruned", "PRUNED"),
    ("keras_tuner", "FailedTrialError", "FAILED"),
)


def get_rejection_state(error: BaseException) -> str | None:
    """PRUNED for `optuna.TrialPruned`, FAILED for Keras Tuner's `FailedTrialError`; else None."""
    for kind in type(error).__mro__:
        for package, name, state in REJECTIONS:
            if kind.__name__ == name and kind.__module__.partition(".")[0] == package:
                return state
    return None
