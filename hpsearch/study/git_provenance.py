"""Which version of the user's files a study ran with: the commit, and what differs from it.

Asks git, where there is one and the study's folder lies in a repository. Only files that git
tracks are looked at. Secrets are hidden, and files that hold little else are named, not shown.
"""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ..events import SourceVersion
from ..platforms.files import make_folder, write_text
from ..redaction import redact
from ..tracking.mlflow_layout import SOURCE_DIFF

logger = logging.getLogger("hpsearch.study")

MAX_DIFF_BYTES = 1 << 20  # characters of a diff
MARGIN = 4096  # more characters that are looked at, so that no secret is cut in two
DIFF = ("diff", "HEAD", "--no-color", "--no-ext-diff")
EXCLUDED_FILES = (  # names of files that hold secrets in forms of their own
    *(".env", ".env.*", "*.env", ".netrc", ".pgpass", ".pypirc", ".npmrc", ".htpasswd"),
    *("*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "id_rsa*", "id_ed25519*"),
    *("credentials", "credentials.json", ".git-credentials", "kubeconfig"),
)
TIMEOUT_SECONDS = 10.0  # for one answer of git


def record_git_state(folder: Path, study: Path) -> SourceVersion:
    """The commit and branch of `folder`; what is not committed goes to `source.diff` in `study`.

    Outside of a repository there is nothing to say.
    """
    commit = _run_git(folder, "rev-parse", "HEAD")
    if not commit:
        return SourceVersion()
    shown = (".", *(f":(exclude,icase,glob)**/{name}" for name in EXCLUDED_FILES))
    diff = _run_git(folder, *DIFF, "--", *shown) or ""
    unseen = _run_git(folder, *DIFF, "--name-only", "--", *_pathspecs(EXCLUDED_FILES)) or ""
    if diff or unseen:
        text = redact(diff[: MAX_DIFF_BYTES + MARGIN])[:MAX_DIFF_BYTES]
        if len(diff) > MAX_DIFF_BYTES:
            text += f"\n… cut after {MAX_DIFF_BYTES:,} characters\n"
        text += "".join(f"\n# changed, not shown: {name}" for name in unseen.splitlines())
        _write_diff(study / SOURCE_DIFF, f"{text}\n")
    branch = _run_git(folder, "rev-parse", "--abbrev-ref", "HEAD") or ""
    return SourceVersion(commit, branch, "yes" if diff or unseen else "no")


def _write_diff(path: Path, text: str) -> None:
    """Write what is not committed; a study begins without it, too."""
    try:
        make_folder(path.parent)
        write_text(path, text)
    except OSError as error:
        logger.warning("%s: could not be written: %s", path, error.strerror or error)


def _pathspecs(names: Sequence[str]) -> list[str]:
    return [f":(icase,glob)**/{name}" for name in names]


def _run_git(folder: Path, *arguments: str) -> str | None:
    """What git prints; None where it is not there, or has nothing to say of this folder."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            check=True,
            timeout=TIMEOUT_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace").strip()
