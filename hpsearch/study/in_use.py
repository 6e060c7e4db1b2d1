"""Promote a study's winner, roll back, and list registered models.

Implements the package's functions and the commands of the same names. Finds the study and records
the promotion in its journal; `promotion/` moves the aliases.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from .. import promotion
from ..errors import PromotionError, TrackingError
from ..journal import Journal
from ..tracking.registry_database import open_registry_database
from ..tracking.store import (
    artifact_location,
    default_uri,
    find_journal,
    limited_requests,
    open_store,
)
from ..tracking.store_database import open_store_database
from ..tracking.study_runs import find_study_run, journal_key
from ..tracking.study_sync import sync_study
from ..tracking.summary_update import update_summary

logger = logging.getLogger("hpsearch.study")


@contextmanager
def open_registry(tracking_uri: str | None, root: Path) -> Iterator[Any]:
    """Open an `MlflowClient` of a store; requests in the block have timeouts.

    Args:
        tracking_uri: Address of the store; None: the SQLite file below `root`.
        root: The folder that contains `mlruns/`.
    """
    uri = tracking_uri or default_uri(root)
    client = open_store(uri)
    with limited_requests(uri):
        yield client


@contextmanager
def open_aliases(tracking_uri: str | None, root: Path) -> Iterator[Any]:
    """Open a client that lists models, moves aliases and finds files; see `open_registry`.

    An SQLite database is opened directly, since importing MLflow takes seconds.
    """
    uri = tracking_uri or default_uri(root)
    if (registry := open_registry_database(uri)) is not None:
        yield registry
        return
    with open_registry(tracking_uri, root) as client:
        yield client


@contextmanager
def _open_store(tracking_uri: str | None, root: Path) -> Iterator[Any]:
    """Open a client for a promotion; see `open_aliases`."""
    if (store := open_store_database(tracking_uri or default_uri(root))) is not None:
        yield store
        return
    with open_registry(tracking_uri, root) as client:
        yield client


def promote(
    study: str,
    name: str,
    *,
    margin: float = 0.0,
    confidence: float = 0.95,
    force: bool = False,
    key: str = "",
    tracking_uri: str | None = None,
    root: Path | str | None = None,
) -> promotion.Promotion:
    """Promote the winner of a study if it beats the champion on the same locked rows.

    Args:
        study: The study's name.
        name: `NAME` or `NAME@ALIAS` of the registered model; the alias is `champion` if none is
            given.
        margin: Minimum improvement, in units of the objective.
        confidence: Required confidence that it is better, at least 0.5 and below 1.
        force: Promote the winner even if it is not better.
        key: Selects the study if the store has several of that name.
        tracking_uri: As for `tune`.
        root: The folder that contains `mlruns/`; None: the working folder.

    Returns:
        The version and its alias; `comparison` is None if no model had the alias.

    Raises:
        NotBetterError: If it is not better; the champion is unchanged.
        PromotionError: If the study has no fitted winner, or a name is not allowed.
        TrackingError: If the store does not have the study, or is unavailable.
    """
    if not 0.5 <= confidence < 1:
        raise PromotionError(f"confidence: at least 0.5 and below 1. Received: {confidence}")
    if not math.isfinite(margin):
        raise PromotionError(f"margin: a finite number is needed. Received: {margin}")
    reference = promotion.parse_reference(name)
    folder = Path.cwd() if root is None else Path(root).resolve()
    journal = find_journal(folder, study)
    with _open_store(tracking_uri, folder) as client:
        run = find_study_run(client, study, key=key, journal=journal)
        own = journal if journal is not None and journal_key(journal) == run.key else None
        # Open the journal first: while another process locks it, nothing could be recorded.
        with nullcontext() if own is None else Journal(own) as opened:
            gate = promotion.Gate(margin, confidence)
            done = promotion.promote_run(client, run.run_id, reference, gate=gate, force=force)
            if opened is not None:
                opened.append(done.to_record())
        if own is not None:
            _send_promotion_event(own, client.tracking_uri, folder)
    return done


def rollback(
    name: str, *, tracking_uri: str | None = None, root: Path | str | None = None
) -> promotion.Promotion:
    """Make the previous champion of a registered model the champion again.

    Args:
        name: Name of the registered model.
        tracking_uri: As for `tune`.
        root: As for `promote`.

    Raises:
        PromotionError: If there is no previous champion.
    """
    model = promotion.parse_reference(name).name
    with open_aliases(tracking_uri, Path.cwd() if root is None else Path(root)) as client:
        return promotion.rollback_model(client, model)


def list_models(
    *, tracking_uri: str | None = None, root: Path | str | None = None
) -> list[promotion.RegisteredVersion]:
    """List the versions of registered models by name, newest first.

    Args:
        tracking_uri: As for `tune`.
        root: As for `promote`.
    """
    with open_aliases(tracking_uri, Path.cwd() if root is None else Path(root)) as client:
        return promotion.list_versions(client)


def _send_promotion_event(journal: Path, uri: str, root: Path) -> None:
    """Record the promotion on the study's run; a failure does not undo the promotion."""
    try:
        if not update_summary(journal, uri):
            sync_study(journal, uri, artifact_location(uri, root))
    except TrackingError as error:
        logger.warning("note: the study's run was not updated: %s", error)
