"""The height of the road before the fit: a smooth height field through the path and the LiDAR.

The field lives on a coarse grid (1 m). It minimises, by iteratively reweighted least squares,

    sum_path w (z - z_path)^2 + sum_lidar rho(z - z_lidar) + c1 bending + c2 |first differences|^2

where bending is that of a thin plate, z_xx^2 + 2 z_xy^2 + z_yy^2, which no turn of the axes changes (Duchon 1977).
rho is the Cauchy loss, because kerbs, cars and vegetation in the LiDAR are outliers to the ground.

The weights are also what the field knows about itself: where they leave it free, it may be wrong. A measurement of
weight 1 has the standard deviation UNIT_STD_M, and the spread of the minimiser follows from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates, maximum_filter
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.spatial import cKDTree

from recon.arrays import F64, I64, Bool
from recon.drive import DriveLog, Frame
from recon.geometry import apply
from recon.grid import Grid
from recon.least_squares import Term, cauchy_weight, solve, solve_robust, spread

FIELD_CELL_M = 1.0
PATH_WEIGHT = 4.0
BESIDE_WEIGHT = 0.2  # the vehicle's roll is that of the road within its width, less so beyond
BESIDE_M = 1.5
CURVATURE_WEIGHT = 4.0
SLOPE_WEIGHT = 0.002  # flattens the field where there is no measurement
RIDGE = 1e-9  # keeps the system regular
LIDAR_GATE_M = 0.6  # returns farther from the field through the path are not road
LIDAR_SCALE_M = 0.05
LIDAR_ROUNDS = 6
UNIT_STD_M = 0.025  # of a measurement of weight 1: on a road without LiDAR (`make confidence`) errors were so large
LIDAR_CELL_WEIGHT = 20.0
LIFT_NEIGHBOURS = 5
LIFT_REACH_M = 0.4
LIFT_NOISE_M = 0.015


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeightField:
    """A smooth ground height over a site."""

    grid: Grid
    z: F64  # (height, width) metres
    std_m: F64 | None  # (height, width) standard deviation of z; None where nobody asked for it

    def at(self, xy_m: npt.NDArray[np.floating]) -> tuple[F64, F64]:
        """Return heights (N,) and slopes (N, 2) dz/dx, dz/dy at world points (N, 2)."""
        step = 0.25
        shifted = [xy_m, *(xy_m + np.array(d) for d in ((step, 0), (-step, 0), (0, step), (0, -step)))]
        z, east, west, north, south = (self._sample(self.z, points) for points in shifted)
        return z, np.stack([east - west, north - south], axis=-1) / (2 * step)

    def std_at(self, xy_m: npt.NDArray[np.floating]) -> F64:
        """Return the standard deviations (N,) of the heights at world points (N, 2); the field must have them."""
        assert self.std_m is not None
        return self._sample(self.std_m, xy_m)

    def _sample(self, raster: F64, xy_m: npt.NDArray[np.floating]) -> F64:
        px = self.grid.to_px(xy_m) - 0.5
        sampled = map_coordinates(raster, [px[..., 1], px[..., 0]], order=1, mode="nearest")
        return np.asarray(sampled, dtype=np.float64)


def ground_under(frame: Frame, ground_z_ego_m: float) -> F64:
    """Return (5, 3) world points of the road under the vehicle: centre, then a cross around it."""
    offsets = [(0, 0), (BESIDE_M, 0), (-BESIDE_M, 0), (0, BESIDE_M), (0, -BESIDE_M)]
    ego = np.array([(x, y, ground_z_ego_m) for x, y in offsets], dtype=np.float64)
    return apply(frame.world_from_ego, ego)


def _difference_rows(active: Bool) -> tuple[csr_matrix, csr_matrix, csr_matrix]:
    """Return sparse first, second and mixed second differences between active cells (numbered row by row).

    Without the mixed ones z = x y would cost nothing, and a road's bank would depend on its direction on the grid.
    """
    number = np.cumsum(active).reshape(active.shape) - 1
    first: list[list[I64]] = []
    second: list[list[I64]] = []
    for axis in (0, 1):
        n, a = np.moveaxis(number, axis, 0), np.moveaxis(active, axis, 0)
        pair = a[:-1] & a[1:]
        triple = a[:-2] & a[1:-1] & a[2:]
        first.append([n[:-1][pair], n[1:][pair]])
        second.append([n[:-2][triple], n[1:-1][triple], n[2:][triple]])
    count = int(active.sum())

    def matrix(columns: list[list[I64]], stencil: tuple[float, ...]) -> csr_matrix:
        merged = [np.concatenate(parts) for parts in zip(*columns, strict=True)]
        rows = np.arange(len(merged[0]))
        values = np.concatenate([np.full(len(rows), weight) for weight in stencil])
        shape = (len(rows), count)
        return csr_matrix(coo_matrix((values, (np.tile(rows, len(stencil)), np.concatenate(merged))), shape=shape))

    square = active[:-1, :-1] & active[:-1, 1:] & active[1:, :-1] & active[1:, 1:]
    corners = [number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]]
    twist = matrix([[corner[square] for corner in corners]], (1.0, -1.0, -1.0, 1.0))
    return matrix(first, (-1.0, 1.0)), matrix(second, (1.0, -2.0, 1.0)), twist


def _bilinear(grid: Grid, active: Bool, xy_m: F64) -> tuple[csr_matrix, npt.NDArray[np.intp]]:
    """Return the bilinear matrix from cells to points, and the indices of the points among active cells (its rows)."""
    number = np.cumsum(active).reshape(active.shape) - 1
    px = grid.to_px(xy_m) - 0.5
    corner = np.floor(px).astype(np.int64)
    inside = np.all((corner >= 0) & (corner + 1 < (grid.width, grid.height)), axis=1)
    offsets = ((0, 0), (1, 0), (0, 1), (1, 1))
    for dc, dr in offsets:
        inside[inside] &= active[corner[inside, 1] + dr, corner[inside, 0] + dc]
    kept = np.flatnonzero(inside)
    corner, fraction = corner[kept], px[kept] - corner[kept]
    columns = [number[corner[:, 1] + dr, corner[:, 0] + dc] for dc, dr in offsets]
    values = [np.abs(1 - dc - fraction[:, 0]) * np.abs(1 - dr - fraction[:, 1]) for dc, dr in offsets]
    rows = np.tile(np.arange(len(kept)), 4)
    shape = (len(kept), int(active.sum()))
    return csr_matrix(coo_matrix((np.concatenate(values), (rows, np.concatenate(columns))), shape=shape)), kept


def _weight_of_cell(cells: I64, grid: Grid, weight: F64) -> F64:
    """Return for each point (N,) the total weight of the points in its cell."""
    _, group = np.unique(cells[:, 0] * grid.width + cells[:, 1], return_inverse=True)
    return np.maximum(np.bincount(group, weights=weight)[group], 1e-9).astype(np.float64)


def height_field(
    drives: Iterable[DriveLog],
    measured_xyz_m: F64,
    *,
    corridor_m: float,
    certainty: F64 | None = None,
    gate_m: float = LIDAR_GATE_M,
    with_std: bool = True,
) -> HeightField:
    """Return the ground height within `corridor_m` (and a margin) of the paths.

    Measured points (L, 3) come from LiDAR or the plane sweep, L may be 0. Each has weight 1, or `certainty` (L,). Those
    farther than `gate_m` from the field through the path do not count. Without `with_std` the deviations are left out,
    which take as long as the heights.
    """
    under = np.concatenate([ground_under(f, drive.ground_z_ego_m) for drive in drives for f in drive.frames])
    weight = np.tile([PATH_WEIGHT, *[BESIDE_WEIGHT] * 4], len(under) // 5)
    grid = Grid.around(under[:, :2], margin_m=corridor_m + 5.0, cell_m=FIELD_CELL_M)
    cells, _ = grid.cells(under[:, :2])
    active = np.zeros(grid.shape, dtype=bool)
    active[cells[:, 0], cells[:, 1]] = True
    active = np.asarray(maximum_filter(active, size=2 * int((corridor_m + 4.0) / FIELD_CELL_M) + 1))
    first, second, twist = _difference_rows(active)
    prior = CURVATURE_WEIGHT * (second.T @ second + 2.0 * twist.T @ twist) + SLOPE_WEIGHT * (first.T @ first)
    ridge = csr_matrix(diags(np.full(prior.shape[0], RIDGE)))
    prior = prior + ridge
    # Consecutive poses repeat a cell many times. Each cell counts once, whatever the frame rate and the speed.
    weight = weight / _weight_of_cell(cells, grid, np.ones(len(cells)))
    # Heights count from the middle of the path: the ridge would pull towards zero of the world, wherever that is.
    datum = float(np.median(under[:, 2]))
    measured_xyz_m = measured_xyz_m - [0.0, 0.0, datum]
    path = Term(matrix=_bilinear(grid, active, under[:, :2])[0], target=under[:, 2] - datum, weight=weight)
    solution = solve(prior, [path])

    matrix, kept = _bilinear(grid, active, measured_xyz_m[:, :2])
    close = np.abs(measured_xyz_m[kept, 2] - matrix @ solution) < gate_m
    matrix, points = matrix[close], measured_xyz_m[kept][close]
    votes = np.ones(len(points)) if certainty is None else certainty[kept][close]
    cells, _ = grid.cells(points[:, :2])

    def weight_of(residual: F64) -> F64:
        robust = cauchy_weight(residual, LIDAR_SCALE_M, weight=votes)
        # A cell's returns together weigh at most as much as a few path points: their errors are shared.
        return robust * np.minimum(1.0, LIDAR_CELL_WEIGHT / _weight_of_cell(cells, grid, robust))

    rounds = LIDAR_ROUNDS if len(points) else 0
    solution = solve_robust(prior, [path], matrix, points[:, 2], weight_of, start=solution, rounds=rounds)
    z_field = np.full(grid.shape, float(np.median(solution)))
    z_field[active] = solution
    if not with_std:
        return HeightField(grid=grid, z=z_field + datum, std_m=None)
    measured = Term(matrix=matrix, target=points[:, 2], weight=weight_of(points[:, 2] - matrix @ solution))
    smooth = ((second, CURVATURE_WEIGHT), (twist, 2.0 * CURVATURE_WEIGHT), (first, SLOPE_WEIGHT))
    std_m = UNIT_STD_M * spread(ridge, [path, measured, *(_smoothness(rows, weight) for rows, weight in smooth)])
    std_field = np.full(grid.shape, float(std_m.max()))
    std_field[active] = std_m
    return HeightField(grid=grid, z=z_field + datum, std_m=std_field)


def _smoothness(rows: csr_matrix, weight: float) -> Term:
    """Return what is believed of differences: they are 0."""
    return Term(matrix=rows, target=np.zeros(rows.shape[0]), weight=np.full(rows.shape[0], weight))


def local_lift(xy_m: F64, above_m: F64) -> F64:
    """Return how far the ground at places (N, 2) lies above a field, given where some of them were measured.

    `above_m` (N,) is NaN where there is no measurement. The median of the nearest measured places keeps the step of a
    kerb. The field's metre-wide cells turn it into a slope, on which paint and the foot of the kerb lie too high.
    """
    lift = np.zeros(len(xy_m))
    measured = np.flatnonzero(np.isfinite(above_m))
    if len(measured) < LIFT_NEIGHBOURS:
        return lift
    tree = cKDTree(xy_m[measured])
    distance, nearest = map(np.asarray, tree.query(xy_m, k=LIFT_NEIGHBOURS, distance_upper_bound=LIFT_REACH_M))
    found = np.isfinite(distance).all(axis=1)
    middle = np.median(above_m[measured][nearest[found]], axis=1)
    lift[found] = middle * middle**2 / (middle**2 + LIFT_NOISE_M**2)  # shrinks lifts within the noise to 0
    return lift
