"""Find the copies of addresses and the cached features that `hpsearch gc` removes."""

from __future__ import annotations

from pathlib import Path

from ...data import image_copies
from ...data.address_cache import CachedCopy, has_digest, list_copies
from ...data.row_store import FOLDER, list_stores
from ...errors import JournalError
from ...events import CURVES
from ...history import History, load_history
from ...journal import find_owner
from ...spec.environment_references import list_variables
from ...tracking.garbage import Garbage
from ...tracking.store import features_folder, list_journals, source_folder


def find_unneeded_copies(root: Path) -> list[Garbage]:
    """Find the copies below `root` that no unfinished study has read."""
    folder = source_folder(root)
    copies = list_copies(folder)
    if not copies:
        return []
    needed = [pin for journal in list_journals(root) for pin in _list_needed_versions(journal)]
    shown = folder.relative_to(root).as_posix()
    return [
        Garbage(shown, "copy of what an address holds", c.size, folders=(c.folder,))
        for c in copies
        if not any(_is_needed(c, *pin) for pin in needed)
    ]


def find_cached_features(root: Path) -> list[Garbage]:
    """Find the cached outputs of frozen models, which a study computes again if it needs them."""
    folder = features_folder(root)
    shown = folder.relative_to(root).as_posix()
    return [
        Garbage(shown, "outputs of a frozen model", path.stat().st_size, files=(path,))
        for path in sorted(folder.glob("*.npy"))
    ]


def find_decoded_images(root: Path) -> list[Garbage]:
    """Find the decoded images, which a study can decode again."""
    folder = source_folder(root) / image_copies.FOLDER
    if any(find_owner(journal) for journal in list_journals(root)):
        return []  # a running study maps them
    shown = folder.relative_to(root).as_posix()
    return [
        Garbage(shown, "decoded images", path.stat().st_size, files=(path,))
        for path in image_copies.list_copies(folder)
    ]


def find_stored_rows(root: Path) -> list[Garbage]:
    """Find the rows on disk of data that exceed the memory, which a study can store again."""
    folder = source_folder(root) / FOLDER
    if any(find_owner(journal) for journal in list_journals(root)):
        return []  # the workers of a running study map them
    shown = folder.relative_to(root).as_posix()
    found = []
    for store in list_stores(folder):
        size = sum(file.stat().st_size for file in store.iterdir())
        found.append(Garbage(shown, "rows that exceed the memory", size, folders=(store,)))
    return found


def _is_needed(copy: CachedCopy, location: str, version: str) -> bool:
    """Whether a study that read this version needs the copy; of a Delta table, any may hold it."""
    if version.startswith("sha256"):
        return has_digest(version, copy.digest)
    return copy.is_of(location) or bool(list_variables(location))  # its value is not recorded


def _list_needed_versions(journal: Path) -> list[tuple[str, str]]:
    """List the versions that an unfinished study has read, with their locations."""
    try:
        history: History = load_history(journal, without=CURVES)
    except JournalError:
        return []
    if history.final is not None and not history.asked_since_final:
        return []
    return list(history.study.data.versions.items())
