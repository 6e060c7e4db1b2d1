"""The checkpoints of running trials, as files beside the journal.

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
    """Keeps the latest checkpoint of each running trial, up to a total size."""

    def __init__(self, study: Path, *, every: Interval = "off", max_gib: float = 5.0) -> None:
        """Keep checkpoints in the folder of a study.

        Args:
            study: The folder.
            every: When trainers make one; an int: after each multiple of it.
            max_gib: Largest total size; the least promising trials lose theirs first.
        """
        self._folder = study / FOLDER
        self._every = every
        self._max_bytes = int(max_gib * GIB)

    def prepare(self, spec: TrialSpec, trial: Trial) -> TrialSpec:
        """Return the spec with the trial's checkpoint, if there is one."""
        content = self.load(trial) if trial.attempt else None
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
        except OSError as error:
            logger.warning("trial %d: its checkpoint was not written: %s", trial.number, error)

    def load(self, trial: Trial) -> bytes | None:
        """Read a trial's checkpoint; None if it is missing, damaged or of another declaration."""
        try:
            whole = self._path(trial.number).read_bytes()
        except OSError:
            return None
        head, owner, content = whole[:DIGEST], whole[DIGEST : 2 * DIGEST], whole[2 * DIGEST :]
        why = None
        if hashlib.sha256(content).digest() != head:
            why = "its checkpoint is damaged"
        elif owner != _digest_trial(trial):
            why = "its checkpoint is of an earlier declaration"
        if why is None:
            logger.info("trial %d goes on from its checkpoint", trial.number)
            return content
        logger.warning("trial %d is trained from the first epoch: %s", trial.number, why)
        return None

    def remove(self, number: int) -> None:
        """Remove the checkpoint of a trial that has ended."""
        self._path(number).unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}.ckpt"

    def _make_room(self, size: int, trial: Trial, history: History) -> None:
        """Remove checkpoints of the least promising trials until `size` bytes fit."""
        sizes = {
            int(path.stem): path.stat().st_size
            for path in self._folder.glob("*.ckpt")
            if path.stem.isdecimal() and int(path.stem) != trial.number
        }
        excess = sum(sizes.values()) + size - self._max_bytes
        for number in sorted(sizes, key=lambda n: _get_promise(history, n)):
            if excess <= 0:
                return
            self.remove(number)
            excess -= sizes[number]


def _get_promise(history: History, number: int) -> float:
    """Return a trial's best mean score, oriented so that larger is better."""
    trial = history.last.get(number)
    scores = [] if trial is None else trial.mean_scores()
    return max((orient(s, history.direction) for s in scores), default=float("-inf"))


def _digest_trial(trial: Trial) -> bytes:
    """Digest everything that a trial's state depends on, besides data and model."""
    owner = (sorted(trial.params.items()), trial.seed, trial.epochs, trial.revision)
    return hashlib.sha256(repr(owner).encode()).digest()
