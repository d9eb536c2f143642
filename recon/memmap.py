"""Arrays in files: they grow by appending, and occupy memory only while they are read."""

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
    """Appends rows to an unnamed file, which is deleted with the last array that maps it."""

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
    """Free the memory that reading an array in a file took; other arrays are left alone."""
    pages = _map_of(array)
    if pages is not None and hasattr(pages, "madvise"):
        pages.madvise(mmap.MADV_DONTNEED)


def _map_of(array: AnyArray) -> mmap.mmap | None:
    base: Any = array
    while base is not None and not isinstance(base, mmap.mmap):
        base = getattr(base, "base", None)
    return base


def in_chunks(array: AnyArray) -> Iterator[AnyArray]:
    """Yield an array's rows in pieces of about CHUNK_BYTES, releasing each before the next."""
    rows = max(1, CHUNK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        yield array[start : start + rows]
        release(array)
