"""The catalogue in docs/reliability.md and the figures that its tests measured.

python tests/faults/table.py            shows what a row of the page lacks
python tests/faults/table.py --write    writes the last run's figures into the page
python tests/faults/table.py --tests    names the rows' tests for pytest
"""

import json
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
FIGURES = Path(os.environ.get("HPSEARCH_FIGURES", ROOT / ".pytest_cache" / "faults.json"))
ROW = re.compile(
    r"^\| (?P<fault>.+?) \| (?P<told>.+?) \| (?P<figure>.*?) \| `(?P<test>test_\w+)` \|$"
)


def rows() -> list[re.Match[str]]:
    """The catalogue's rows."""
    return [m for line in PAGE.read_text(encoding="utf-8").splitlines() if (m := ROW.match(line))]


def known() -> dict[str, str]:
    """Every test there is, and where."""
    files = (ROOT / "tests").rglob("test_*.py")
    return {
        name: str(path.relative_to(ROOT))
        for path in files
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)
    }


def write() -> None:
    """Put the measured figures into their rows; a row without one keeps what it has."""
    measured = json.loads(FIGURES.read_text(encoding="utf-8"))
    lines = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if (row := ROW.match(line)) and row["test"] in measured:
            figure = "; ".join(f"{k} {shown(v)}" for k, v in measured[row["test"]].items())
            line = f"| {row['fault']} | {row['told']} | {figure} | `{row['test']}` |"
        lines.append(line)
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def shown(value: object) -> str:
    """A figure for people."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    if "--tests" in sys.argv:
        places = known()
        names = {f"{places[row['test']]}::{row['test']}" for row in rows()}
        print(*sorted(name for name in names if not name.startswith("tests/faults/")))
        raise SystemExit
    if "--write" in sys.argv:
        write()
    missing = [row["test"] for row in rows() if row["test"] not in known()]
    print(f"{len(rows())} rows; tests that do not exist: {missing or 'none'}")
    raise SystemExit(bool(missing))
