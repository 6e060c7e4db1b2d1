"""Names and logins of Databricks and Unity Catalog, which differ from MLflow's own servers.

Experiments are named by absolute paths of the workspace, and registered models by three levels
(`catalog.schema.model`). MLflow's client sends the requests, with the logins of Databricks' SDK.
"""

from __future__ import annotations

import os
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from ..compat.mlflow import registry_uri
from ..errors import PromotionError, TrackingError, first_line

if TYPE_CHECKING:
    from mlflow import MlflowClient

CATALOG = "databricks-uc"  # scheme of the registry in Unity Catalog
LOGIN_NEEDED = (
    "Check the login: DATABRICKS_HOST and DATABRICKS_TOKEN, or a profile of ~/.databrickscfg "
    "(databricks://PROFILE)."
)


def is_databricks(uri: str) -> bool:
    """Whether a URI is a Databricks workspace's, or its registry's."""
    return re.match(r"databricks(-uc)?($|:)", uri) is not None


def check_workspace_uri(uri: str) -> None:
    """Refuse the URI of a registry as that of a tracking store.

    Raises:
        TrackingError: With the URI to give instead.
    """
    if re.match(rf"{CATALOG}($|:)", uri):
        raise TrackingError(
            f"{uri}: is a registry of models and stores no runs. Give "
            f"--tracking-uri {uri.replace(CATALOG, 'databricks', 1)}: its models are registered in "
            "Unity Catalog, unless MLFLOW_REGISTRY_URI names another registry."
        )


def experiment_name(uri: str, study: str) -> str:
    """Return the name of a study's experiment in the store at `uri`.

    In a Databricks workspace it is the path MLFLOW_EXPERIMENT_NAME, or /Users/USER/STUDY.

    Raises:
        TrackingError: If the workspace does not say who the user is.
    """
    if not is_databricks(uri):
        return study
    named = os.environ.get("MLFLOW_EXPERIMENT_NAME", "")
    return named if named.startswith("/") else f"/Users/{_find_user(uri)}/{study}"


def workspace_page(uri: str, page: str) -> str:
    """Return the address in a workspace of a page of MLflow's, such as `#/experiments/1/runs?…`.

    Raises:
        TrackingError: If no login names the workspace.
    """
    try:
        host = _open_workspace(uri).config.host
    except Exception as error:  # the SDK raises several kinds
        raise TrackingError(f"{uri}: {first_line(error)[:300]}. {LOGIN_NEEDED}") from None
    return f"{host}/ml/{page.removeprefix('#/').partition('?')[0]}"


def _open_workspace(uri: str) -> Any:
    from databricks.sdk import WorkspaceClient

    profile = uri.partition("://")[2]
    return WorkspaceClient(profile=profile) if profile else WorkspaceClient()


@cache
def _find_user(uri: str) -> str:
    try:
        user: str | None = _open_workspace(uri).current_user.me().user_name
    except Exception as error:  # the SDK raises several kinds
        raise TrackingError(
            f"{uri}: the workspace refuses the login: {first_line(error)[:300]}"
        ) from None
    if not user:
        raise TrackingError(
            f"{uri}: the workspace does not name the user. Set MLFLOW_EXPERIMENT_NAME to the path "
            "of the study's experiment, such as /Shared/churn."
        )
    return user


def uses_catalog(client: MlflowClient) -> bool:
    """Whether the registry of a client is Unity Catalog."""
    return registry_uri(client).startswith(CATALOG)


def check_model_name(client: MlflowClient, name: str) -> None:
    """Refuse a model's name without catalog and schema, where the registry needs them.

    Raises:
        PromotionError: With the form that is needed.
    """
    levels = name.split(".")
    if uses_catalog(client) and (len(levels) != 3 or not all(levels)):
        raise PromotionError(
            f"model's name {name!r}: Unity Catalog needs three levels, CATALOG.SCHEMA.MODEL, such "
            f"as main.default.{levels[-1] or 'churn'}. MLFLOW_REGISTRY_URI=databricks selects the "
            "workspace's own registry."
        )
