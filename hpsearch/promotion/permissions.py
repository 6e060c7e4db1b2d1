"""What a registry's refusals mean: which permission to ask for, and from whom."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import PromotionError
from ..tracking.refusals import describe_refusal, http_status


def model_permission(permission: str, name: str) -> str:
    """A permission on a registered model, as an administrator knows it."""
    return f"{permission} on the registered model {name!r} (who registered it may grant it too)"


def experiment_permission(permission: str, study: str = "") -> str:
    """A permission on a study's experiment."""
    named = f" {study!r}" if study else ""
    return f"{permission} on the study's experiment{named} (whose study it is may grant it too)"


@contextmanager
def explain_refusals(permission: str) -> Iterator[None]:
    """Tell what a server refuses inside the block for people.

    Raises:
        PromotionError: That names `permission` where it is missing.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except PromotionError:
        raise
    except Exception as error:  # of MLflow, of requests, of an artifact store
        if not isinstance(error, MlflowException) and http_status(error) is None:
            raise
        raise PromotionError(
            f"{_error_prefix(error)}{describe_refusal(error, needs=permission)}"
        ) from None


def _error_prefix(error: Exception) -> str:
    return "" if http_status(error) in (401, 403) else "the registry does not answer: "
