"""Keeping freed memory in the process while a loop allocates and frees the same few megabytes thousands of times."""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
from collections.abc import Iterator

# Parameters of glibc's mallopt(3)
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_DEFAULT_TRIM, _DEFAULT_PAD, _DEFAULT_MMAP = 128 << 10, 0, 128 << 10
_LARGEST_MMAP = 32 << 20  # glibc refuses more
_KEPT = 1 << 30


@contextlib.contextmanager
def kept_memory() -> Iterator[None]:
    """Serve large blocks from memory that stays in the process instead of fresh pages from the system.

    By default glibc maps every block of a tensor's size anew, and each of its pages faults on first touch. On virtual
    machines that costs more than the arithmetic: a step of the surface fit took 3 to 7 times as long. The memory is
    returned to the system at the end. With another C library than glibc this does nothing.
    """
    libc = ctypes.CDLL(ctypes.util.find_library("c")) if ctypes.util.find_library("c") else None
    if libc is None or not hasattr(libc, "mallopt") or not hasattr(libc, "malloc_trim"):
        yield
        return
    for parameter, value in ((_MMAP_THRESHOLD, _LARGEST_MMAP), (_TRIM_THRESHOLD, _KEPT), (_TOP_PAD, 64 << 20)):
        libc.mallopt(parameter, value)
    try:
        yield
    finally:
        for parameter, value in (
            (_MMAP_THRESHOLD, _DEFAULT_MMAP),
            (_TRIM_THRESHOLD, _DEFAULT_TRIM),
            (_TOP_PAD, _DEFAULT_PAD),
        ):
            libc.mallopt(parameter, value)
        libc.malloc_trim(0)
