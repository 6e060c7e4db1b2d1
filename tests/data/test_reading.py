"""Memory use while a table is read and prepared."""

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "reading.py"


def test_reading_and_preparing_a_table_takes_less_than_four_times_its_size():
    command = [sys.executable, str(BENCHMARK), "--only", "memory"]
    told = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert 200_000 == told["rows"]
    assert told["features_mb"] < told["arrow_mb"]
    assert told["peak_over_arrow"] < 4
