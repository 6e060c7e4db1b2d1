"""Importing large libraries."""

import gc
from contextlib import suppress

from hpsearch.gc_pause import pause_gc


def test_garbage_is_looked_for_again_afterwards() -> None:
    with suppress(ImportError), pause_gc():
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled()


def test_who_looks_for_none_keeps_to_it() -> None:
    gc.disable()
    try:
        with pause_gc():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
