"""A lock for promotions on a tracking server, which offers no locks and no compare-and-set.

Names in the registry are unique: if several clients create a name at the same time, one succeeds
and the others get an error. The creator removes the name when done.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import PromotionError
from ..platforms.identity import host_name, user_name

if TYPE_CHECKING:
    from mlflow import MlflowClient

# A registered model without versions that exists during a promotion; no `Reference` has a space.
LOCK_NAME = "hpsearch is promoting"
ALREADY_EXISTS = ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS")  # codes of servers
TIMEOUT_SECONDS = 60.0  # seconds; a promotion holds it for a few requests
POLL_SECONDS = 0.1  # seconds


def name_catalog_lock(model: str) -> str:
    """Return the lock's name in the schema of a model of Unity Catalog.

    Examples:
        >>> name_catalog_lock("main.sales.churn")
        'main.sales.hpsearch_is_promoting'
    """
    return f"{model.rpartition('.')[0]}.{LOCK_NAME.replace(' ', '_')}"


@contextmanager
def registry_lock(
    client: MlflowClient, name: str = LOCK_NAME, *, patience: float = TIMEOUT_SECONDS
) -> Iterator[None]:
    """Hold the lock inside the block.

    Args:
        client: Client of the registry.
        name: The registered model that is the lock.
        patience: Seconds to wait for it.

    A crashed holder keeps the lock: it cannot be told from a slow one.

    Raises:
        PromotionError: If another process holds it for longer than `patience` seconds; names the
            process and the remedy.
    """
    end = time.monotonic() + patience
    while not _try_acquire(client, name):
        if time.monotonic() > end:
            raise PromotionError(_format_timeout(client, name, patience))
        time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        client.delete_registered_model(name)


def _try_acquire(client: MlflowClient, name: str) -> bool:
    from mlflow.exceptions import MlflowException

    who = f"{user_name()} on {host_name()}, process {os.getpid()}"
    try:
        client.create_registered_model(name, description=who)
    except MlflowException as error:
        # The second: it was released before the server checked its permissions.
        if error.error_code in (*ALREADY_EXISTS, "RESOURCE_DOES_NOT_EXIST"):
            return False
        raise  # the caller knows which permission is missing
    return True


def _format_timeout(client: MlflowClient, name: str, patience: float) -> str:
    from mlflow.exceptions import MlflowException

    try:
        who = client.get_registered_model(name).description or "somebody"
    except MlflowException:
        who = "somebody"
    return (
        f"{who} has been promoting for {patience:.0f} s. Promote again; if that process has died, "
        f"delete the registered model {name!r} first, in MLflow's user interface (where "
        "there are "
        "logins, its owner or an administrator can)."
    )
