"""Private parts of Ray on Spark. Importing this module imports neither Ray nor Spark."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

logger = logging.getLogger("hpsearch.execution")

TOKEN_SETTINGS = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")
node_settings: dict[str, str] = {}  # more environment variables of nodes on executors
STARTER = "ray.util.spark.start_ray_node"  # the module that runs `ray start`


class _LogOutput:
    """Writes the output of Ray's head into the log: stdout belongs to the study."""

    def write(self, line: str) -> None:
        if line.strip():
            logger.debug("Ray on Spark: %s", line.rstrip())


def configure_ray_on_spark(settings: Mapping[str, str]) -> None:
    """Make Ray on Spark give its nodes the token, keep stdout clean, and not stop by itself.

    Args:
        settings: Environment variables of its nodes on executors.
    """
    import ray.util.spark.utils

    node_settings.update({name: os.environ[name] for name in TOKEN_SETTINGS}, **settings)
    os.environ["RAY_ON_SPARK_START_HOOK"] = f"{__name__}.make_start_hook"
    # On Databricks, Ray would end when no cell of the notebook has been started for 30 minutes.
    os.environ.setdefault("DATABRICKS_RAY_ON_SPARK_AUTOSHUTDOWN_MINUTES", "0")
    ray.util.spark.utils.sys = SimpleNamespace(stdout=_LogOutput())
    logging.getLogger("ray.util.spark").setLevel(logging.ERROR)
    # It reports at the end that each node has exited. A failed start is an error of the setup.
    logging.getLogger("ray.autoscaler._private.spark.spark_job_server").disabled = True


def make_start_hook() -> Any:
    """Return the hook of this platform, which also gives nodes on executors their settings."""
    from ray.util.spark.databricks_hook import DefaultDatabricksRayOnSparkStartHook
    from ray.util.spark.start_hook_base import RayOnSparkStartHook
    from ray.util.spark.utils import is_in_databricks_runtime

    is_databricks = is_in_databricks_runtime()
    base = DefaultDatabricksRayOnSparkStartHook if is_databricks else RayOnSparkStartHook

    class StartHook(base):  # type: ignore[misc, valid-type]
        def custom_environment_variables(self) -> dict[str, str]:
            return {**super().custom_environment_variables(), **node_settings}

    return StartHook(is_global=False)


def end_started_heads() -> None:
    """End heads that this process started: a start that was interrupted leaves one behind.

    Ray would wait for its output when this process ends, and it for the end of this process.
    """
    import psutil

    heads = [p for p in psutil.Process().children() if STARTER in p.cmdline()]
    for head in heads:
        head.terminate()
    psutil.wait_procs(heads, timeout=30)
