"""Feather tables as checked numpy columns: faults are reported with file, column and row."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recon.arrays import F64
from recon.errors import DriveInvalid, RoadscribeError
from recon.files import read_inside

Column = npt.NDArray[np.generic]

_HINT = "Restore the file as the data set distributes it."


def read_columns(
    root: Path, name: str, columns: Iterable[str], *, kind: type[RoadscribeError] = DriveInvalid
) -> dict[str, Column]:
    """Return the named columns of the table `root/name`; `kind` names the file, and the row where a value is bad."""
    return decode_columns(read_inside(root, name, where=name, kind=kind), columns, where=name, kind=kind)


def decode_columns(
    data: bytes, columns: Iterable[str], *, where: str, kind: type[RoadscribeError] = DriveInvalid
) -> dict[str, Column]:
    """Return columns of a table's bytes: text as objects, integers as int64, other numbers as finite float64."""
    import pyarrow as pa
    from pyarrow import feather

    try:
        table = feather.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise kind(f"the feather table does not parse: {error}", where=where, hint=_HINT) from error
    result: dict[str, Column] = {}
    for column in columns:
        if column not in table.column_names:
            found = ", ".join(table.column_names[:12])
            raise kind(f"the table has no column {column} (it has {found})", where=where, hint=_HINT)
        values = table.column(column).combine_chunks()
        if values.null_count:
            row = int(np.flatnonzero(np.asarray(values.is_null()))[0])
            raise kind(f"{column} is empty", where=f"{where}, row {row}", hint=_HINT)
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            result[column] = np.array(values.to_pylist(), dtype=object)
        elif pa.types.is_integer(values.type):
            result[column] = values.to_numpy(zero_copy_only=False).astype(np.int64)
        elif pa.types.is_floating(values.type):
            result[column] = _finite(values.to_numpy(zero_copy_only=False).astype(np.float64), column, where, kind)
        else:
            raise kind(f"{column} holds {values.type}, neither text nor numbers", where=where, hint=_HINT)
    return result


def _finite(values: F64, column: str, where: str, kind: type[RoadscribeError]) -> F64:
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise kind(f"{column} is {values[bad[0]]}", where=f"{where}, row {bad[0]}", hint=_HINT)
    return values
