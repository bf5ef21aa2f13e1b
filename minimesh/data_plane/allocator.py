"""The C library's allocator, told to keep what a proxy frees and soon wants again."""

from __future__ import annotations

import ctypes

# mallopt(3), glibc's own numbers.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
#: Far above a piece of a body, which is 256 KiB at most.
_MAPPED_FROM_BYTES = 1024 * 1024
_KEPT_BYTES = 16 * 1024 * 1024


def keep_freed_memory() -> bool:
    """Have this process keep up to 16 MiB that it has freed; false where the C library is not glibc.

    Pieces of bodies are large enough for glibc to give them back to the kernel with each request, and what is
    asked for anew is faulted in and zeroed anew, page by page.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    # Either alone would leave the other at its start, for glibc no longer adjusts them then.
    return bool(mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM_BYTES) and mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES))
