"""The state of a running trial after an epoch, as bytes: it goes on from there bit for bit.

A trainer makes them, the coordinator keeps them (`search/checkpoint_store.py`). Arrays only,
without pickled objects: a file beside a journal may come from anywhere.
"""

from __future__ import annotations

import io
import json
import logging
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

logger = logging.getLogger("hpsearch.training")

MIN_SECONDS = 5.0  # between two checkpoints of a trial, if they are `auto`
MAX_SHARE = 0.05  # of a trial's time that `auto` spends on checkpoints
FIXED_SECONDS = 0.01  # to write and sync a small file
BYTES_PER_SECOND = 2e8
COPIES = 3  # the weights, and the two moments of an optimizer like Adam

Arrays = Sequence[np.ndarray]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A running trial after an epoch."""

    rows: Mapping[str, np.ndarray]  # the curves, (n_epochs, n_folds) each
    states: Sequence[Arrays]  # of each fold: weights, optimizer and seeds; empty if it has stopped
    predictions: Arrays  # of each fold's validation rows, after its last epoch
    best_predictions: Arrays  # the same after the best epoch
    seconds: float  # of training so far

    @property
    def n_epochs(self) -> int:
        """Number of finished epochs."""
        return len(next(iter(self.rows.values())))

    def encode(self) -> bytes:
        """Convert to bytes."""
        arrays = {f"rows/{name}": values for name, values in self.rows.items()}
        for name, group in self._list_groups():
            arrays |= {f"{name}/{index}": each for index, each in enumerate(group)}
        sizes = {name: len(group) for name, group in self._list_groups()}
        facts = {"seconds": self.seconds, "sizes": sizes, "folds": len(self.states)}
        written = io.BytesIO()
        text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
        np.savez(written, allow_pickle=False, facts=text, **arrays)
        return written.getvalue()

    @classmethod
    def decode(cls, content: bytes) -> Checkpoint:
        """Convert from bytes.

        Raises:
            ValueError: If they are no checkpoint.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                found = {name: file[name] for name in file.files}
            facts = json.loads(found.pop("facts").tobytes())
            groups = {
                name: [found[f"{name}/{index}"] for index in range(size)]
                for name, size in facts["sizes"].items()
            }
            rows = {n.removeprefix("rows/"): v for n, v in found.items() if n.startswith("rows/")}
            states = [groups[f"fold {fold}"] for fold in range(facts["folds"])]
            return cls(rows, states, groups["last"], groups["best"], float(facts["seconds"]))
        except (zipfile.BadZipFile, EOFError, KeyError, OSError, TypeError, ValueError) as error:
            raise ValueError(f"not a checkpoint: {error}") from error

    def fits(self, fresh: Sequence[Arrays]) -> bool:
        """Whether its states have the shapes and types of `fresh` ones."""
        return len(fresh) == len(self.states) and all(
            not state or list(map(_describe, state)) == list(map(_describe, new))
            for state, new in zip(self.states, fresh, strict=True)
        )

    def _list_groups(self) -> Iterator[tuple[str, Arrays]]:
        yield "last", self.predictions
        yield "best", self.best_predictions
        yield from ((f"fold {fold}", state) for fold, state in enumerate(self.states))


def _describe(array: np.ndarray) -> tuple[tuple[int, ...], str]:
    return tuple(array.shape), np.dtype(array.dtype).name


def decode_fitting(
    content: bytes | None, make_fresh: Callable[[int], Sequence[Arrays]], trial: int
) -> Checkpoint | None:
    """Decode a checkpoint if it fits the untrained states of a trial; None if it does not.

    Args:
        content: From `Checkpoint.encode`; None: there is none.
        make_fresh: Returns a state of each fold as after that number of epochs, untrained.
        trial: The trial's number, for the log.
    """
    if content is None:
        return None
    try:
        found = Checkpoint.decode(content)
    except ValueError as error:
        logger.warning("trial %d is trained from the first epoch: %s", trial, error)
        return None
    if not found.fits(make_fresh(found.n_epochs)):
        logger.warning("trial %d is trained from the first epoch: its model has changed", trial)
        return None
    return found


def estimate_seconds(n_parameters: int, n_folds: int) -> float:
    """Estimate the time to copy and write a checkpoint."""
    return FIXED_SECONDS + 4 * COPIES * n_parameters * n_folds / BYTES_PER_SECOND
