"""One division of rows into those that train and those that judge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Split:
    """Row indices into the arrays of the development rows, int64, sorted."""

    train: np.ndarray  # shape (n_train,)
    validation: np.ndarray  # shape (n_validation,); empty in the final fit
