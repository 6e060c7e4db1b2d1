"""Which version of the user's own files a study ran with: the commit, and what differs from it.

Asks git, where there is one and the study's folder lies in a repository. Only files that git
tracks are looked at, and passwords in URIs are hidden.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from ..errors import redacted
from ..tracking.layout import SOURCE_DIFF

LONGEST = 1 << 20  # characters of a diff
SECONDS = 10.0  # for one answer of git


def source_of(folder: Path, study: Path) -> dict[str, str]:
    """The commit and branch of `folder`; what is not committed goes to `source.diff` in `study`.

    Returns:
        "commit", "branch" and "changed" ("yes" or "no"); nothing outside of a repository.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {}
    diff = _git(folder, "diff", "HEAD", "--no-color", "--no-ext-diff", "--", ".") or ""
    if diff:
        cut = "" if len(diff) <= LONGEST else f"\n… cut after {LONGEST:,} characters\n"
        study.mkdir(parents=True, exist_ok=True)
        (study / SOURCE_DIFF).write_text(redacted(diff[:LONGEST]) + cut + "\n", encoding="utf-8")
    branch = _git(folder, "rev-parse", "--abbrev-ref", "HEAD") or ""
    return {"commit": commit, "branch": branch, "changed": "yes" if diff else "no"}


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints; None where it is not there, or has nothing to say of this folder."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            check=True,
            timeout=SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace").strip()
