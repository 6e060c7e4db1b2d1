"""Files that a command writes where the user says: `-o FILE`.

A file is written under a draft name of our own and takes its name when it is complete. Refused
before anything is computed: an input of the command, anything inside a study or the store, and
an existing file unless the user says so.
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

OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace the file if there is one.")


def output_option(help: str, **settings: Any) -> Callable[[Any], Any]:
    """The option `-o`."""
    return click.option("-o", "--output", type=click.Path(path_type=Path), help=help, **settings)


@contextmanager
def new_file(path: Path, *, overwrite: bool = False, inputs: Sequence[Path] = ()) -> Iterator[Path]:
    """The draft of a file; it takes the name `path` once the block ends without an error.

    A device or pipe, such as /dev/null, has no draft: it is yielded itself.

    Args:
        path: What the user named.
        overwrite: Whether a file of that name is replaced.
        inputs: Files and folders that the command reads.

    Raises:
        HpsearchError: If nothing may be written there, or it cannot be.
    """
    with explain_os_errors(path), unwind_on_stop():
        check_output(path, overwrite=overwrite, inputs=inputs)
        target = path.resolve()  # of a link, the file that it leads to is replaced
        if _is_special(target):
            yield path
            return
        draft = draft_of(target)
        draft = draft.with_name(draft.name + target.suffix)  # some writers choose by it
        try:
            yield draft
            if not overwrite and target.exists():  # it was not there at the beginning
                raise _exists_error(path)
            publish_file(draft, target)
        finally:
            _remove_draft(draft)


@contextmanager
def unwind_on_stop() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end the command as Ctrl-C does, so drafts are removed."""
    before = handle_stop_signals(_stop)
    try:
        yield
    finally:
        restore_handlers(before)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def check_output(path: Path, *, overwrite: bool = False, inputs: Sequence[Path] = ()) -> None:
    """Refuse a name at which something may be lost.

    Raises:
        HpsearchError: With the reason and what to do.
    """
    target = path.resolve()
    for source in inputs:
        if target == source.resolve() or (path.exists() and _is_same_file(path, source)):
            raise HpsearchError(f"{path} is what the command reads: name another file")
        if source.is_dir() and target.is_relative_to(source.resolve()):
            raise HpsearchError(f"{path} is in {source}, which the command reads: name another")
    if owner := _find_store(target):
        raise HpsearchError(
            f"{path} is in {owner}, where hpsearch and MLflow keep their own files: "
            "name a file elsewhere"
        )
    if path.is_dir():
        raise HpsearchError(f"{path} is a folder: name a file")
    if not target.parent.is_dir():
        raise HpsearchError(f"{path}: there is no folder {path.parent}: make it first")
    if target.exists() and not overwrite and not _is_special(target):
        raise _exists_error(path)


@contextmanager
def explain_os_errors(path: Path) -> Iterator[None]:
    """What the operating system refuses while `path` is written, as a message for people."""
    try:
        yield
    except OSError as error:
        if error.filename is not None and not _is_part_of(Path(str(error.filename)), path):
            raise  # of something that is read
        reason = error.strerror or str(error)
        raise HpsearchError(f"{path}: cannot be written: {reason}") from None


def _exists_error(path: Path) -> HpsearchError:
    return HpsearchError(f"{path} exists: name another file, or replace it with --overwrite")


def _is_part_of(found: Path, path: Path) -> bool:
    """Whether a file is `path`, a draft of it or a part of either."""
    return found.name.startswith(path.name[:80]) or found.is_relative_to(path)


def _is_special(path: Path) -> bool:
    return path.exists() and not (path.is_file() or path.is_dir())


def _is_same_file(path: Path, other: Path) -> bool:
    """Whether two names lead to one file, by whatever links."""
    return other.exists() and path.samefile(other)


def _find_store(target: Path) -> Path | None:
    """The folder of a study, or of a store with studies, in which a path lies."""
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
