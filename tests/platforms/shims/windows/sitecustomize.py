"""Gives hpsearch on Linux some of what differs on Windows.

- Modules that Windows lacks cannot be imported.
- A file that this process has open can be neither replaced, renamed nor removed, and neither can
  a folder that holds one. `HELD=FILE:SECONDS` makes another program hold FILE for so long.
- A folder cannot be opened. Nothing can be made below the folder that `READ_ONLY` names.
- A child inherits no descriptor, and no function runs in it before it starts.
- Text without a named encoding is cp1252.
"""

import builtins
import io
import os
import subprocess
import sys
import time

MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "pty", "tty", "syslog", "posix"}
BORROWED = ("pathlib", "importlib", "contextlib", "tempfile", "shutil", "sitecustomize", "os")
SHARING_VIOLATION = 32

held, _, seconds = os.environ.get("HELD", "").rpartition(":")
held_until = None  # begins with the first try


def called_by_hpsearch() -> bool:
    frame = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "").startswith(BORROWED):
        if frame.f_globals["__name__"] == "tempfile":  # which has a way of its own on Windows
            return False
        frame = frame.f_back
    return frame is not None and frame.f_globals.get("__name__", "").startswith("hpsearch")


real_import = builtins.__import__


def guarded_import(name, globals=None, locals=None, fromlist=(), level=0):
    importer = (globals or {}).get("__name__", "")
    if level == 0 and name in MODULES and importer.startswith("hpsearch"):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return real_import(name, globals, locals, fromlist, level)


builtins.__import__ = guarded_import


def is_open(path) -> bool:
    """Whether this process has a file open that is `path` or lies below it."""
    try:
        whole = os.path.realpath(path)
        is_folder = os.path.isdir(whole)
        wanted = os.stat(whole)
    except (OSError, TypeError, ValueError):
        return False
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            found = os.fstat(int(descriptor))
            name = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:
            continue
        is_same = (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino)
        if is_same or (is_folder and name.startswith(f"{whole}/")):
            return True
    return False


def is_held(path) -> bool:
    """Whether another program holds `path`."""
    global held_until
    if not held or os.path.basename(os.fspath(path)) != held:
        return False
    if held_until is None:
        held_until = time.monotonic() + float(seconds)
    return time.monotonic() < held_until


def refusing(call, n_paths):
    def guarded(*arguments, **keywords):
        if called_by_hpsearch():
            for path in arguments[:n_paths]:
                if is_held(path) or is_open(path):
                    error = PermissionError(13, "The file is used by a process", str(path))
                    error.winerror = SHARING_VIOLATION
                    raise error
        return call(*arguments, **keywords)

    return guarded


for name, n_paths in (("replace", 2), ("rename", 2), ("unlink", 1), ("remove", 1), ("rmdir", 1)):
    setattr(os, name, refusing(getattr(os, name), n_paths))

real_os_open, real_open, real_mkdir = os.open, io.open, os.mkdir
read_only = os.environ.get("READ_ONLY")


def refuse_read_only(path) -> None:
    if read_only and f"{os.path.realpath(path)}/".startswith(f"{os.path.realpath(read_only)}/"):
        raise PermissionError(13, "Permission denied", str(path))


def guarded_mkdir(path, *arguments, **keywords):
    refuse_read_only(path)
    return real_mkdir(path, *arguments, **keywords)


def guarded_os_open(path, flags, *arguments, **keywords):
    if called_by_hpsearch() and os.path.isdir(path):
        raise PermissionError(13, "Permission denied", str(path))
    if flags & (os.O_WRONLY | os.O_RDWR):
        refuse_read_only(path)
    return real_os_open(path, flags, *arguments, **keywords)


def guarded_open(file, mode="r", buffering=-1, encoding=None, *arguments, **keywords):
    is_text = "b" not in mode and not isinstance(file, int)
    if encoding is None and is_text and called_by_hpsearch():
        encoding = "cp1252"
    if set(mode) & set("wax+") and not isinstance(file, int):
        refuse_read_only(file)
    return real_open(file, mode, buffering, encoding, *arguments, **keywords)


os.open, os.mkdir = guarded_os_open, guarded_mkdir
builtins.open = io.open = guarded_open

real_init = subprocess.Popen.__init__


def guarded_init(self, *arguments, **keywords):
    if called_by_hpsearch():
        assert not keywords.get("pass_fds"), "pass_fds not supported on Windows."
        if keywords.get("preexec_fn") is not None:
            raise ValueError("preexec_fn is not supported on Windows platforms")
    return real_init(self, *arguments, **keywords)


subprocess.Popen.__init__ = guarded_init
