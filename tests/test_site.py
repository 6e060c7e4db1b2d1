"""The site of the docs: generated pages, links, and that a reader's browser asks no other host."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest

from hpsearch.cli import main

ROOT = Path(__file__).parents[1]
pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install 'hpsearch[docs]'")


def load_hook(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "hooks" / f"{name}.py")
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    return hook


def test_the_page_of_commands_has_each_command_and_option_with_its_default() -> None:
    page = load_hook("command_reference").write_page()
    for name, command in main.commands.items():
        section = page.split(f"## {name}\n")[1].split("\n## ")[0]
        for option in command.params:
            if isinstance(option, click.Option) and option.name not in ("verbose", "log_file"):
                assert f"`{option.opts[0]}" in section, f"{name} {option.opts[0]}"
    assert "| `--grace FLOAT RANGE` | `60.0` | Seconds that running trials" in page
    assert "| `--data, --no-data` | `--data` |" in page


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("index.md", "[a](docs/data.md#cells)", "[a](data.md#cells)"),
        ("index.md", "![a](docs/images/report.png)", "![a](images/report.png)"),
        ("data.md", "[a](../benchmarks/text.md)", "[a](benchmarks/text.md)"),
        ("benchmarks/text.md", "[a](../docs/data.md)", "[a](../data.md)"),
        ("benchmarks/text.md", "[text.py](text.py)", "text.py"),
        ("index.md", "[docs/data.md](docs/data.md)", "[Data](data.md)"),
        ("data.md", "[a](https://example.org/x.md)", "[a](https://example.org/x.md)"),
    ],
)
def test_links_for_the_repository_become_links_of_the_site(
    page: str, link: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = load_hook("repository_pages")
    monkeypatch.setattr(
        hook,
        "list_outside_pages",
        lambda: {"README.md": "index.md", "benchmarks/text.md": "benchmarks/text.md"},
    )
    known = {"index.md", "data.md", "images/report.png", "benchmarks/text.md"}
    assert expected == hook.rewrite_links(link, page, known)


def test_a_pipe_in_the_code_of_a_table_is_shown_without_a_backslash() -> None:
    show_pipes = load_hook("repository_pages").show_pipes
    assert "| `a|b` | c |\n`a\\|b`" == show_pipes("| `a\\|b` | c |\n`a\\|b`")


@pytest.mark.long
def test_the_site_is_built_without_a_warning_and_asks_no_other_host(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=\"?([^\" >]+)", text)
        assert [] == [address for address in loaded if re.match(r"https?:|//", address)]
