"""Explain a registry's refusals: the missing permission, and who can grant it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import PromotionError
from ..tracking.refusals import describe_refusal, error_code, http_status


def model_permission(permission: str, name: str) -> str:
    """Name a permission on a registered model for the administrator."""
    return f"{permission} on the registered model {name!r} (who registered it may grant it too)"


def experiment_permission(permission: str, study: str = "") -> str:
    """Name a permission on a study's experiment."""
    named = f" {study!r}" if study else ""
    return f"{permission} on the study's experiment{named} (whose study it is may grant it too)"


@contextmanager
def explain_refusals(permission: str) -> Iterator[None]:
    """Convert refusals of a server inside the block to readable errors.

    Raises:
        PromotionError: Names `permission` if it is missing.
    """
    try:
        yield
    except PromotionError:
        raise
    except Exception as error:  # of MLflow, of requests, of an artifact store
        if error_code(error) is None and http_status(error) is None:
            raise
        raise PromotionError(
            f"{_error_prefix(error)}{describe_refusal(error, needs=permission)}"
        ) from None


def _error_prefix(error: Exception) -> str:
    return "" if http_status(error) in (401, 403) else "the registry does not answer: "
