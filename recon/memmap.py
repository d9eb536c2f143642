"""Arrays in files: they grow by appending, and take memory only while they are looked at."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recon.arrays import AnyArray

CHUNK_BYTES = 16 << 20


class MemmapBuilder:
    """Rows appended to a nameless file, which goes when the last array on it goes."""

    def __init__(self, kind: npt.DTypeLike, shape: tuple[int, ...], folder: Path | None = None) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 closed when the rows are complete
        self._dtype, self._shape, self._count = np.dtype(kind), shape, 0

    def append(self, rows: AnyArray) -> None:
        """Add rows (N, *shape)."""
        if (rows.dtype, rows.shape[1:]) != (self._dtype, self._shape):
            raise ValueError(f"rows of {rows.dtype} {rows.shape[1:]} do not continue {self._dtype} {self._shape}")
        self._file.write(np.ascontiguousarray(rows).tobytes())
        self._count += len(rows)

    def finish(self) -> AnyArray:
        """Return all rows as one array on the file, at the end."""
        shape = (self._count, *self._shape)
        if not self._count:
            return np.zeros(shape, self._dtype)
        self._file.flush()
        rows = np.memmap(self._file, dtype=self._dtype, mode="r+", shape=shape)
        self._file.close()  # the map keeps a handle of its own
        return rows

    def __del__(self) -> None:
        self._file.close()


def on_file(array: AnyArray) -> bool:
    """Return whether an array lies in a file."""
    return _map_of(array) is not None


def release(array: AnyArray) -> None:
    """Let go of the memory that looking at an array on a file took; nothing for any other array."""
    pages = _map_of(array)
    if pages is not None and hasattr(pages, "madvise"):
        pages.madvise(mmap.MADV_DONTNEED)


def _map_of(array: AnyArray) -> mmap.mmap | None:
    base: Any = array
    while base is not None and not isinstance(base, mmap.mmap):
        base = getattr(base, "base", None)
    return base


def in_chunks(array: AnyArray) -> Iterator[AnyArray]:
    """Yield an array's rows in pieces of about CHUNK_BYTES, releasing each when the next is asked for."""
    rows = max(1, CHUNK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        yield array[start : start + rows]
        release(array)
