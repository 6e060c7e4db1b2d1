"""Output files of commands: `-o FILE`.

A file is written under a draft name and renamed when it is complete. Before anything is computed,
these are refused: inputs of the command, paths inside a study or the store, and existing files
without `--overwrite`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from ..errors import HpsearchError
from ..platforms.files import draft_of, publish_file
from ..platforms.interrupts import handle_stop_signals, restore_handlers
from .locations import Address, Location, LocationType, new_at_address

OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace the file if there is one.")


def output_option(help: str, **settings: Any) -> Callable[[Any], Any]:
    """Return the option `-o`."""
    return click.option("-o", "--output", type=LocationType(), help=help, **settings)


@contextmanager
def new_file(
    path: Location, *, overwrite: bool = False, inputs: Sequence[Path] = ()
) -> Iterator[Path]:
    """Yield the draft of a file; it is renamed to `path` if the block succeeds.

    A device or pipe, such as /dev/null, is yielded directly. A file for an address is written here
    and copied there.

    Args:
        path: The requested file.
        overwrite: Whether an existing file is replaced.
        inputs: Files and folders that the command reads.

    Raises:
        HpsearchError: If the file must not or cannot be written.
    """
    if isinstance(path, Address):
        with unwind_on_stop(), new_at_address(path, overwrite=overwrite) as draft:
            yield draft
        return
    with explain_os_errors(path), unwind_on_stop():
        check_output(path, overwrite=overwrite, inputs=inputs)
        target = path.resolve()  # a link's target is replaced
        if _is_special(target):
            yield path
            return
        draft = draft_of(target)
        draft = draft.with_name(draft.name + target.suffix)  # some writers choose the format by it
        try:
            yield draft
            if not overwrite and target.exists():  # created in the meantime
                raise _exists_error(path)
            publish_file(draft, target)
        finally:
            _remove_draft(draft)


@contextmanager
def unwind_on_stop() -> Iterator[None]:
    """Handle SIGTERM and SIGHUP like Ctrl-C, so that drafts are removed."""
    before = handle_stop_signals(_stop)
    try:
        yield
    finally:
        restore_handlers(before)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def check_output(path: Path, *, overwrite: bool = False, inputs: Sequence[Path] = ()) -> None:
    """Refuse a path where a file could be lost.

    Raises:
        HpsearchError: Says why, and what to do.
    """
    target = path.resolve()
    for source in inputs:
        if target == source.resolve() or (path.exists() and _is_same_file(path, source)):
            raise HpsearchError(f"{path} is an input of the command: name another file")
        if source.is_dir() and target.is_relative_to(source.resolve()):
            raise HpsearchError(f"{path} is inside {source}, an input of the command: name another")
    if owner := _find_store(target):
        raise HpsearchError(
            f"{path} is inside {owner}, which belongs to hpsearch and MLflow: name a file elsewhere"
        )
    if path.is_dir():
        raise HpsearchError(f"{path} is a folder: name a file")
    if not target.parent.is_dir():
        raise HpsearchError(f"{path}: there is no folder {path.parent}: create it first")
    if target.exists() and not overwrite and not _is_special(target):
        raise _exists_error(path)


@contextmanager
def explain_os_errors(path: Path) -> Iterator[None]:
    """Convert an operating-system error while writing `path` to an HpsearchError."""
    try:
        yield
    except OSError as error:
        if error.filename is not None and not _is_part_of(Path(str(error.filename)), path):
            raise  # about a file that is read
        reason = error.strerror or str(error)
        raise HpsearchError(f"{path}: cannot be written: {reason}") from None


def _exists_error(path: Path) -> HpsearchError:
    return HpsearchError(f"{path} exists: name another file, or replace it with --overwrite")


def _is_part_of(found: Path, path: Path) -> bool:
    """Whether a file is `path`, its draft, or inside one of these."""
    return found.name.startswith(path.name[:80]) or found.is_relative_to(path)


def _is_special(path: Path) -> bool:
    return path.exists() and not (path.is_file() or path.is_dir())


def _is_same_file(path: Path, other: Path) -> bool:
    """Whether two paths lead to the same file, links followed."""
    return other.exists() and path.samefile(other)


def _find_store(target: Path) -> Path | None:
    """Find the study or store folder that contains a path."""
    for folder in target.parents:
        is_store = folder.name == "mlruns" and any(
            (folder / name).exists() for name in ("studies", "mlflow.db")
        )
        if is_store or (folder / "journal.jsonl").exists():
            return folder
    return None


def _remove_draft(draft: Path) -> None:
    with suppress(OSError):
        draft.unlink()
    shutil.rmtree(draft, ignore_errors=True)
