"""The RoadSurface artifact: 2D Gaussian surfels on a sparse regular xy grid."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np

from recon.arrays import F32, I32, U16, U64, AnyArray
from recon.artifact import Parts
from recon.classes import CLASS_COUNT
from recon.grid import Grid
from recon.memmap import release


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RoadSurface:
    """N surfels, one per cell that some valid pixel saw. xy is the cell centre and never moves."""

    kind: ClassVar[str] = "RoadSurface"
    schema: ClassVar[int] = 3

    grid: Grid
    row: I32  # (N,)
    column: I32  # (N,)
    z: F32  # (N,) metres, world
    tilt: F32  # (N, 2) dz/dx, dz/dy of the surfel's plane
    log_scale: F32  # (N, 2) natural log of the standard deviations in metres
    opacity: F32  # (N,) logit
    rgb: F32  # (N, 3) 0..1, as seen at unit exposure
    class_logits: F32  # (N, CLASS_COUNT)
    views: U16  # (N,) images with a valid pixel on this cell
    trips: U64  # (N,) bit t: trip t is among them
    nearest_view_m: F32  # (N,) distance to the nearest camera that saw it
    shift_m: F32  # (N, 2) east, north: how far its looks lie aside where z is wrong by its standard deviation
    exposure: dict[str, tuple[float, float]]  # camera -> (a, b): observed = exp(a) rgb + b
    report: dict[str, Any]  # figures of the fit: steps, loss terms (value, live)

    def __post_init__(self) -> None:
        count = len(self.row)
        shapes = {"column": (count,), "z": (count,), "tilt": (count, 2), "log_scale": (count, 2), "opacity": (count,)}
        shapes |= {"rgb": (count, 3), "class_logits": (count, CLASS_COUNT), "views": (count,), "trips": (count,)}
        shapes |= {"shift_m": (count, 2)}
        for name, shape in {**shapes, "nearest_view_m": (count,)}.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name}: expected shape {shape}, got {getattr(self, name).shape}")

    @property
    def count(self) -> int:
        """Return the number of surfels."""
        return len(self.row)

    def arrays(self) -> dict[str, AnyArray]:
        """Return all arrays with one row a surfel."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("grid", "exposure", "report")}

    def release(self) -> None:
        """Free the memory of arrays that lie in files."""
        for array in self.arrays().values():
            release(array)

    def to_parts(self) -> Parts:
        """Return metadata and arrays."""
        exposure = {name: list(pair) for name, pair in self.exposure.items()}
        meta = {"grid": self.grid.record(), "exposure": exposure, "report": self.report}
        return Parts(meta=meta, arrays=self.arrays())

    @classmethod
    def from_parts(cls, parts: Parts) -> Self:
        """Build the surface from metadata and arrays."""
        exposure = {name: (float(a), float(b)) for name, (a, b) in parts.meta["exposure"].items()}
        grid = Grid(**parts.meta["grid"])
        arrays: dict[str, Any] = dict(parts.arrays)
        arrays.setdefault("shift_m", np.zeros((len(arrays["row"]), 2), np.float32))  # schema 2 did not know it
        return cls(grid=grid, exposure=exposure, report=parts.meta["report"], **arrays)
