"""Exceptions with which a custom function rejects a point.

They are recognized by name, so that neither Optuna nor Keras Tuner must be imported.
"""

from __future__ import annotations

REJECTIONS = (
    ("optuna", "TrialPruned", "PRUNED"),
    ("keras_tuner", "FailedTrialError", "FAILED"),
)


def get_rejection_state(error: BaseException) -> str | None:
    """Return PRUNED for `optuna.TrialPruned`, FAILED for `FailedTrialError`, or None."""
    for kind in type(error).__mro__:
        for package, name, state in REJECTIONS:
            if kind.__name__ == name and kind.__module__.partition(".")[0] == package:
                return state
    return None
