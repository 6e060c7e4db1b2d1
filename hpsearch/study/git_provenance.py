"""Record the git commit of the user's files, and uncommitted changes.

Applies if git is installed and the study's folder is in a repository. Only tracked files are
considered. Secrets are redacted, and files that consist of secrets are only named.
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

MAX_DIFF_BYTES = 1 << 20  # maximum characters of a diff
MARGIN = 4096  # extra characters that are scanned, so that no secret is split
DIFF = ("diff", "HEAD", "--no-color", "--no-ext-diff")
EXCLUDED_FILES = (  # names of files that consist of secrets
    *(".env", ".env.*", "*.env", ".netrc", ".pgpass", ".pypirc", ".npmrc", ".htpasswd"),
    *("*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "id_rsa*", "id_ed25519*"),
    *("credentials", "credentials.json", ".git-credentials", "kubeconfig"),
)
TIMEOUT_SECONDS = 10.0  # seconds for one git command


def record_git_state(folder: Path, study: Path) -> SourceVersion:
    """Return commit and branch of `folder`; write uncommitted changes to `source.diff` in `study`.

    Empty outside a repository.
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
    """Write uncommitted changes; a failure is only a warning."""
    try:
        make_folder(path.parent)
        write_text(path, text)
    except OSError as error:
        logger.warning("%s: could not be written: %s", path, error.strerror or error)


def _pathspecs(names: Sequence[str]) -> list[str]:
    return [f":(icase,glob)**/{name}" for name in names]


def _run_git(folder: Path, *arguments: str) -> str | None:
    """Run git; returns its output, or None if it is missing or fails in this folder."""
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
