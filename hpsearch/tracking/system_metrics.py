"""How busy the coordinator's machine is, as MLflow's "system metrics" of the study's run.

MLflow's own monitors measure; its thread that sends them does not suit a store that may go away.
A measurement that cannot be sent is lost: it is no part of the study.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from ..compat.mlflow import system_monitors
from .mlflow_layout import MetricPoint


class SystemMeter:
    """Measures the time since it was last asked."""

    def __init__(self) -> None:
        self._monitors = system_monitors()
        for monitor in self._monitors:  # the first look says nothing of the processor
            monitor.collect_metrics()
            monitor.clear_metrics()

    def points(self, began: int) -> Iterator[MetricPoint]:
        """One value of each metric, now.

        Args:
            began: The study's beginning in milliseconds since the epoch; the step is the number
                of seconds since then.
        """
        now = int(time.time() * 1000)
        for monitor in self._monitors:
            monitor.collect_metrics()
            for name, value in monitor.aggregate_metrics().items():
                yield MetricPoint(
                    f"system/{name}", float(value), now, max(0, (now - began) // 1000)
                )
            monitor.clear_metrics()
