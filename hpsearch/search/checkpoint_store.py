"""The checkpoints of trials, as files beside the journal: running ones, and those to be extended.

A file begins with two digests: of its content, and of the trial that it belongs to, so that a
damaged one, or one of another declaration, is not used.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from pathlib import Path
from typing import Literal

from ..history import History
from ..platforms.files import atomic_write, make_folder
from ..trial import Trial, TrialSpec, orient

logger = logging.getLogger("hpsearch.search")

FOLDER = "checkpoints"  # in the study's folder
DIGEST = 32  # bytes of a SHA-256
GIB = 2**30

Interval = Literal["auto", "off"] | int


class CheckpointStore:
    """Keeps the latest checkpoint of each trial, up to a total size."""

    def __init__(self, study: Path, *, every: Interval = "off", max_gib: float = 5.0) -> None:
        """Keep checkpoints in the folder of a study.

        Args:
            study: The folder.
            every: When trainers make one; an int: after each multiple of it.
            max_gib: Largest total size; ended trials lose theirs first, of these and of running
                ones the least promising.
        """
        self._folder = study / FOLDER
        self._every = every
        self._max_bytes = int(max_gib * GIB)
        self._sizes: dict[int, int] | None = None  # bytes by trial; None: not read yet

    def prepare(self, spec: TrialSpec, trial: Trial) -> TrialSpec:
        """Return the spec with the trial's checkpoint, if there is one."""
        is_resumed = trial.attempt or trial.n_epochs
        content = self.load(trial) if is_resumed else None
        return replace(spec, checkpoint=self._every, resume_from=content)

    def save(self, trial: Trial, content: bytes, history: History) -> None:
        """Write a trial's checkpoint; a full disk costs the checkpoint, not the study."""
        size = len(content) + 2 * DIGEST
        if size > self._max_bytes:
            logger.info("trial %d: its checkpoint exceeds budget.checkpoint_gib", trial.number)
            return
        try:
            make_folder(self._folder)
            self._make_room(size, trial, history)
            with atomic_write(self._path(trial.number)) as file:
                file.write(hashlib.sha256(content).digest() + _digest_trial(trial))
                file.write(content)
            self._list_sizes()[trial.number] = size
        except OSError as error:
            logger.warning("trial %d: its checkpoint was not written: %s", trial.number, error)

    def load(self, trial: Trial) -> bytes | None:
        """Read a trial's checkpoint; None if it is missing, damaged or of another declaration."""
        try:
            whole = self._path(trial.number).read_bytes()
        except OSError:
            if self._every != "off":
                number = trial.number
                logger.info(
                    "trial %d is trained from the first epoch: it has no checkpoint", number
                )
            return None
        head, owner, content = whole[:DIGEST], whole[DIGEST : 2 * DIGEST], whole[2 * DIGEST :]
        damage = None
        if hashlib.sha256(content).digest() != head:
            damage = "its checkpoint is damaged"
        elif owner != _digest_trial(trial):
            damage = "its checkpoint is of an earlier declaration"
        if damage is None:
            logger.info("trial %d goes on from its checkpoint", trial.number)
            return content
        logger.warning("trial %d is trained from the first epoch: %s", trial.number, damage)
        return None

    def has(self, number: int) -> bool:
        """Whether there is a checkpoint of a trial."""
        return self._path(number).exists()

    def remove(self, number: int) -> None:
        """Remove the checkpoint of a trial, if there is one."""
        self._path(number).unlink(missing_ok=True)
        self._list_sizes().pop(number, None)

    def _list_sizes(self) -> dict[int, int]:
        """Return the size of each checkpoint by trial; the folder is read once."""
        if self._sizes is None:
            files = [p for p in self._folder.glob("*.ckpt") if p.stem.isdecimal()]
            self._sizes = {int(path.stem): path.stat().st_size for path in files}
        return self._sizes

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}.ckpt"

    def _make_room(self, size: int, trial: Trial, history: History) -> None:
        """Remove checkpoints of the least promising trials until `size` bytes fit."""
        sizes = {n: each for n, each in self._list_sizes().items() if n != trial.number}
        excess = sum(sizes.values()) + size - self._max_bytes
        if excess <= 0:
            return
        for number in sorted(sizes, key=lambda n: _get_worth(history, n)):
            if excess <= 0:
                return
            self.remove(number)
            excess -= sizes[number]


def _get_worth(history: History, number: int) -> tuple[bool, float]:
    """Return whether a trial is running, and its best mean score, larger is better."""
    trial = history.last.get(number)
    if trial is None:
        return False, float("-inf")
    scores = (orient(score, history.direction) for score in trial.mean_scores())
    is_running = not trial.is_finished or number in history.extensions
    return is_running, max(scores, default=float("-inf"))


def _digest_trial(trial: Trial) -> bytes:
    """Digest what a trial's state depends on, besides data and model.

    Not its number of epochs: a trial is trained further only where they do not matter.
    """
    owner = (sorted(trial.params.items()), trial.seed, trial.training_revision)
    return hashlib.sha256(repr(owner).encode()).digest()
