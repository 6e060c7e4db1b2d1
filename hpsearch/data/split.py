"""One split of rows into training and validation rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Split:
    """Sorted int64 row indices into the arrays of the development rows."""

    train: np.ndarray  # shape (n_train,)
    validation: np.ndarray  # shape (n_validation,); empty in the final fit
