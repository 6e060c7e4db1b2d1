"""System metrics of the coordinator's machine for the study's run.

Uses MLflow's monitors, but not its sending thread, which cannot handle an unreachable store. A
measurement that cannot be sent is dropped, since it is not a result of the study.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from ..compat.mlflow import system_monitors
from .mlflow_layout import MetricPoint


class SystemMeter:
    """Measures the load since the last call."""

    def __init__(self) -> None:
        self._monitors = system_monitors()
        for monitor in self._monitors:  # the first measurement of the processor is meaningless
            monitor.collect_metrics()
            monitor.clear_metrics()

    def points(self, began: int) -> Iterator[MetricPoint]:
        """Measure each metric.

        Args:
            began: Start of the study in milliseconds since the epoch; the step is the number
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
