"""Pages of the site that are not in docs/: README, CHANGELOG, CONTRIBUTING and the benchmarks.

Links are written for the files of the repository, so that they work there. For the site, links
between pages are made relative to the site, a link that shows a file's name shows the page's title,
and links to other files become plain text.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
OUTSIDE = {  # a file of the repository -> its page
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?![a-z]+:|#)([^)#\s]*)(#[^)\s]*)?\)")


def list_outside_pages() -> dict[str, str]:
    """Return the page of each file outside docs/ that the site contains."""
    benchmarks = sorted(p.name for p in (ROOT / "benchmarks").glob("*.md"))
    return OUTSIDE | {f"benchmarks/{name}": f"benchmarks/{name}" for name in benchmarks}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages."""
    for source, page in list_outside_pages().items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Let the links of a page lead to pages of the site."""
    known = {file.src_uri for file in files}
    return show_pipes(rewrite_links(markdown, page.file.src_uri, known))


def show_pipes(markdown: str) -> str:
    """Return a page whose tables have no backslash before a pipe in code: it would be shown."""
    return re.sub(
        r"^\|.*$",
        lambda row: re.sub(r"`[^`]*`", lambda code: code[0].replace("\\|", "|"), row[0]),
        markdown,
        flags=re.M,
    )


def rewrite_links(markdown: str, uri: str, known: set[str]) -> str:
    """Return a page with links between pages of the site.

    Args:
        markdown: The page.
        uri: Its address in the site.
        known: Addresses of all pages and files of the site.
    """
    pages = list_outside_pages()
    homes = {page: source for source, page in pages.items()}
    folder = posixpath.dirname(homes.get(uri, f"docs/{uri}"))

    def rewrite(match: re.Match[str]) -> str:
        image, text, target, anchor = match.groups()
        source = posixpath.normpath(posixpath.join(folder, target))
        page = pages.get(source, source.removeprefix("docs/"))
        if page.endswith(".ipynb"):
            page = f"{page.removesuffix('.ipynb')}.md"
        if page not in known:  # a file that is no page, or a broken link, which mkdocs reports
            return text if (ROOT / source).exists() else match[0]
        if text.removeprefix("docs/") == PurePosixPath(target).name and not image:
            text = find_title(ROOT / source) or text
        relative = posixpath.relpath(page, PurePosixPath(uri).parent)
        return f"{image}[{text}]({relative}{anchor or ''})"

    return LINK.sub(rewrite, markdown)


def find_title(path: Path) -> str | None:
    """Return the first heading of a file; None if there is no file."""
    if not path.exists():
        return None
    return path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
