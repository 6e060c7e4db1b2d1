"""Takes from Python on Linux what it lacks on macOS, and /proc, /sys and /dev/shm from hpsearch."""

import builtins
import os
import sys

MISSING = (
    "fdatasync",
    "sched_getaffinity",
    "sched_setaffinity",
    "memfd_create",
    "posix_fallocate",
    "sendfile",
    "eventfd",
    "pidfd_open",
    "O_TMPFILE",
)
for name in MISSING:
    if hasattr(os, name):
        delattr(os, name)

real_open, real_readlink = builtins.open, os.readlink
BORROWED = ("pathlib", "os", "contextlib", "tempfile", "shutil", "sitecustomize")


def called_by_hpsearch() -> bool:
    frame = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "").startswith(BORROWED):
        frame = frame.f_back
    return frame is not None and frame.f_globals.get("__name__", "").startswith("hpsearch")


def refuse_linux_only(path: object) -> None:
    if str(path).startswith(("/proc", "/sys/", "/dev/shm")):
        raise FileNotFoundError(2, "No such file or directory", str(path))


def guarded_open(file, *arguments, **keywords):
    if called_by_hpsearch():
        refuse_linux_only(file)
    return real_open(file, *arguments, **keywords)


def guarded_readlink(path, **keywords):
    if called_by_hpsearch():
        refuse_linux_only(path)
    return real_readlink(path, **keywords)


builtins.open = guarded_open
os.readlink = guarded_readlink
