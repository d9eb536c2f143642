"""The height of the ground of a tile before its fit: from the path, from LiDAR, or from images that agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from recon.arrays import F64, Bool
from recon.drive import DriveLog
from recon.heights.height_field import HeightField, height_field
from recon.heights.plane_sweep import BESIDE, COARSE, FINE, KERB, ROAD, Agreement, agreed_heights, compare
from recon.progress import Tick
from recon.surface.cells import Cells
from recon.views.views import Views

STEREO_GATE_M = 1.3  # from the field through the path: beyond the reach of the coarse sweep
OTHER_KIND = 0.02  # weight of heights of the road for the ground beside it, which they carry where it was not measured
KERB_M = 0.3  # raised ground begins so far from the road: nearer, its class is uncertain and its foot is road


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroundHeights:
    """Two smooth fields, of the road and of the ground beside it, and the places where the second one holds."""

    road: HeightField
    beside: HeightField
    raised: Cells | None  # places of the ground beside the road; None where images did not measure
    points: int  # heights on which images agreed

    def at(self, xy_m: F64) -> tuple[F64, F64]:
        """Return heights (N,) and slopes (N, 2) at world points (N, 2)."""
        z, slope = self.road.at(xy_m)
        if self.raised is not None:
            there = _holds(self.raised, xy_m)
            z[there], slope[there] = self.beside.at(xy_m[there])
        return z, slope

    def std_at(self, xy_m: F64) -> F64:
        """Return the standard deviations (N,) of the heights at world points (N, 2)."""
        std_m = self.road.std_at(xy_m)
        if self.raised is not None:
            there = _holds(self.raised, xy_m)
            std_m[there] = self.beside.std_at(xy_m[there])
        return std_m


def _holds(cells: Cells, xy_m: F64) -> Bool:
    """Return which points (N, 2) lie in one of the cells."""
    place, inside = cells.grid.cells(xy_m)
    key = place @ np.array([cells.grid.width, 1])
    own = cells.row.astype(np.int64) * cells.grid.width + cells.column
    return np.asarray(inside & np.isin(key, own), dtype=bool)


def from_images(
    drives: Sequence[DriveLog],
    views: Views,
    cells: Cells,
    field: HeightField,
    cloud: F64,
    *,
    corridor_m: float,
    weight: float,
    tick: Tick,
) -> GroundHeights:
    """Return the heights on which images agree, around a field through path and LiDAR points `cloud` (L, 3)."""
    path = np.concatenate([drive.path_xy_m() for drive in drives])

    def through(xyz_m: F64, certainty: F64) -> HeightField:
        points = np.concatenate([cloud, xyz_m])
        votes = np.r_[np.ones(len(cloud)), weight * certainty]
        return height_field(drives, points, corridor_m=corridor_m, certainty=votes, gate_m=STEREO_GATE_M)

    wide = agreed_heights(compare(views, cells, field, path, COARSE, tick), COARSE, (ROAD, BESIDE, KERB))
    found = compare(views, cells, through(wide.xyz_m, wide.certainty), path, FINE, tick)
    road, beside = (agreed_heights(found, FINE, (kind,)) for kind in (ROAD, BESIDE))
    merged = np.concatenate([beside.xyz_m, road.xyz_m])
    return GroundHeights(
        road=through(road.xyz_m, road.certainty),
        beside=through(merged, np.r_[beside.certainty, OTHER_KIND * road.certainty]),
        raised=raised(found),
        points=len(merged),
    )


def raised(found: Agreement) -> Cells:
    """Return the places whose ground lies beside the road, farther from it than KERB_M."""
    xy = found.xyz_m[:, :2]
    here = found.kind == BESIDE
    road: npt.NDArray[np.bool_] = found.kind == ROAD
    if road.any():
        here &= np.asarray(cKDTree(xy[road]).query(xy)[0]) > KERB_M
    return Cells.of(found.cells.grid, found.cells.row[here], found.cells.column[here])
