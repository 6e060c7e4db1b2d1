"""Check that the files of a final fit are there, whole and of the present choice."""

from __future__ import annotations

from pathlib import Path

from ...events import WinnerEvaluated, WinnerFitted
from ...promotion.package import MODEL_FOLDER
from ...promotion.packed_code import find_own_code
from ..file_integrity import find_damaged_files
from .selection import Choice

NETWORK, PREDICTIONS = "model.keras", "predictions.npz"


def is_of_choice(event: WinnerFitted | WinnerEvaluated | None, choice: Choice) -> bool:
    """Whether a fit or an evaluation belongs to a choice."""
    return (
        event is not None
        and event.members == choice.recorded_members
        and event.threshold in (None, choice.threshold)
        and event.calibration == choice.calibration
    )


def find_broken_files(final: WinnerEvaluated, folder: Path, *, trust_code: bool) -> tuple[str, ...]:
    """Find the damaged and missing files of an evaluated winner.

    Args:
        final: The evaluation.
        folder: Folder of its files.
        trust_code: Whether the user's code is packed where the network needs it; the served model
            counts as broken if it is there and may not be, or the other way round.
    """
    broken = find_damaged_files(folder, final.digests or _expected_files(final))
    if broken:
        return broken
    may_be_packed = trust_code or find_own_code(folder / NETWORK) is None
    return () if (folder / MODEL_FOLDER).exists() == may_be_packed else (MODEL_FOLDER,)


def _expected_files(final: WinnerEvaluated) -> dict[str, None]:
    """Return the files of an older version's `final`, which has no digests."""
    names = [NETWORK, "schema.json", f"{MODEL_FOLDER}/MLmodel"]
    names.append(f"{MODEL_FOLDER}/artifacts/model.keras")
    names += [PREDICTIONS] if final.test_rows else []
    return dict.fromkeys(names)
