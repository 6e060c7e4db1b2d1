"""A page for each notebook: its texts, its code, and the outputs that are stored with it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

FOLDER = Path(__file__).parents[1] / "notebooks"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages; the notebooks themselves stay files of the site, for downloads."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        page = File.generated(config, f"notebooks/{path.stem}.md", content=write_page(path))
        files.append(page)
    return files


def write_page(path: Path) -> str:
    """Return a notebook as Markdown."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    parts = [write_cell(cell) for cell in cells]
    title, *rest = parts
    download = f"[Download this notebook]({path.name})"
    return "\n\n".join([title, download, *rest]) + "\n"


def write_cell(cell: dict[str, Any]) -> str:
    """Return a cell, and below code its outputs."""
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return source
    outputs = [write_output(output) for output in cell["outputs"]]
    return "\n\n".join([f"```python\n{source}\n```", *filter(None, outputs)])


def write_output(output: dict[str, Any]) -> str:
    """Return what a cell printed or displayed; nothing for progress on stderr."""
    if output["output_type"] == "stream":
        return "" if output["name"] == "stderr" else fence("".join(output["text"]))
    data = output.get("data", {})
    if "text/html" in data:
        return f'<div class="output">{"".join(data["text/html"])}</div>'
    return fence("".join(data.get("text/plain", "")))


def fence(text: str) -> str:
    """Return a block of plain text; nothing for no text."""
    text = COLOURS.sub("", text).strip("\n")
    return f"```text\n{text}\n```" if text else ""
