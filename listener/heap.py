"""The heap of a process that receives: how many places its threads allocate from."""

from __future__ import annotations

import ctypes

__all__ = ["share_heap"]

_ARENAS = 2
_M_ARENA_MAX = -8  # malloc.h of the GNU C library


def share_heap() -> bool:
    """Have all threads of this process allocate from two arenas; return whether that took hold.

    The GNU C library gives each of the first threads an arena of its own, eight for each core, and
    what a thread has let go stays in its arena: with every association that receives large objects
    the process would keep some 5 MB more, for good. Other C libraries have no arenas.

    The source is mallopt(3), M_ARENA_MAX.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt and mallopt(_M_ARENA_MAX, _ARENAS))
