"""Importing large libraries."""

import gc
from contextlib import suppress

from hpsearch.gc_pause import pause_gc


def test_garbage_is_looked_for_again_afterwards() -> None:
    with suppress(ImportError), pause_gc():
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled()


def test_a_disabled_garbage_collector_stays_disabled() -> None:
    gc.disable()
    try:
        with pause_gc():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
