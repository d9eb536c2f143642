"""Heights of the road from the agreement of images, where no LiDAR measured them: a plane sweep over the ground.

At a wrong height, a place projects to different pieces of road in images from two sides: at 7 m beside a camera 1.5 m
high, 5 cm of height are 0.25 m on the ground. Therefore the images are compared at a range of heights for every place,
and the height at which they agree best becomes a measurement for `recon.heights.height_field`. The path alone gives the
cross slope under the vehicle only and misses the crown beside it, so kerbs would lie up to 0.4 m too far inside.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from recon.arrays import F32, F64
from recon.classes import DRIVABLE
from recon.heights import plane_sweep_kernels
from recon.heights.height_field import HeightField
from recon.progress import Tick
from recon.surface.cells import Cells
from recon.views.views import View, Views

LIFT_STEP_M = 0.025
LIFTS_M = (
    np.arange(-7, 8) * LIFT_STEP_M
)  # the crown and its uncertainty; in a wider range other texture matches by chance
NEAR_M, FAR_M = 1.5, 14.0  # beyond, a pixel covers more ground than the grain of the texture
SPACING_M = 0.2  # between places
BLOCK_M, SPREAD_BLOCKS = 1.0, 2.5  # places of a block and its neighbours are averaged
ROAD_SHARE = 0.95  # of the views must label a place drivable: behind a kerb the height differs
LEAST_WEIGHT = 0.25  # of a place: two views at 8 m
LEAST_PLACES = 0.5  # of a block, after spreading
CLEAR = 1.0  # excess of the median cost over the best, relative, for full weight: noisy poses blur the minimum
LIGHT_NOISE = 0.03  # of the logarithm: a sensor's grain and a codec's
LIGHT_FLOOR = 0.05  # of the logarithm, in which exposures differ by a constant


def agreed_heights(views: Views, cells: Cells, field: HeightField, tick: Tick) -> tuple[F64, F64]:
    """Return world points (L, 3) of the road where images agree, near `field`, and their weights (L,) in 0..1."""
    stride = max(1, round(SPACING_M / cells.grid.cell_m))
    chosen = (cells.row % stride == 0) & (cells.column % stride == 0)
    places = Cells.of(cells.grid, cells.row[chosen], cells.column[chosen])
    xy = places.centres()
    z, _ = field.at(xy)
    drivable = np.zeros(256, dtype=np.float32)
    drivable[list(DRIVABLE)] = 1.0
    road = np.zeros(len(xy), dtype=np.float32)
    weight, total, square = (np.zeros((len(xy), len(LIFTS_M)), dtype=np.float32) for _ in range(3))
    for done, view in enumerate(views):
        tick(done, len(views), "images")
        ids = places.window(*view.footprint(FAR_M)).ids
        sums = [array[ids] for array in (road, weight, total, square)]
        x, y = xy[ids].T
        image = (view.camera_from_world, view.k, view.labels.ids, drivable, light_of(view), NEAR_M, FAR_M, LIFTS_M)
        plane_sweep_kernels.sweep(np.ascontiguousarray(x), np.ascontiguousarray(y), z[ids], *image, *sums)
        road[ids], weight[ids], total[ids], square[ids] = sums
    seen = (weight[:, 0] > LEAST_WEIGHT) & (road > ROAD_SHARE * weight[:, 0])
    spread = np.maximum(square - total**2 / np.maximum(weight, 1e-6), 0.0)
    return _best(np.c_[xy, z][seen], weight[seen, 0], spread[seen])


def light_of(view: View) -> F32:
    """Return the logarithm of the brightness (H, W)."""
    return np.asarray(np.log(view.rgb.mean(axis=2, dtype=np.float32) / 255.0 + LIGHT_FLOOR), dtype=np.float32)


def _best(places: F64, weight: F32, spread: F32) -> tuple[F64, F64]:
    """Return the mean place of every block (L, 3), at the height of least spread, and its weight (L,)."""
    if not len(places):
        return np.zeros((0, 3)), np.zeros(0)
    block = np.floor(places[:, :2] / BLOCK_M).astype(np.int64)
    block -= block.min(axis=0)
    shape = tuple(block.max(axis=0) + 1)
    flat = block[:, 0] * shape[1] + block[:, 1]

    def blurred(values: npt.NDArray[np.floating]) -> F64:
        raster = np.bincount(flat, weights=values, minlength=shape[0] * shape[1]).reshape(shape)
        return np.asarray(gaussian_filter(raster, SPREAD_BLOCKS, mode="constant"), dtype=np.float64)

    count, share = blurred(np.ones(len(places))), np.maximum(blurred(weight), 1e-9)
    cost = np.stack([blurred(column) / share for column in spread.T], axis=-1)
    middle = np.stack([blurred(column) / np.maximum(count, 1e-9) for column in places.T], axis=-1)
    level = np.clip(cost.argmin(axis=-1), 1, len(LIFTS_M) - 2)
    below, least, above = (np.take_along_axis(cost, (level + d)[..., None], axis=-1)[..., 0] for d in (-1, 0, 1))
    bend = below - 2.0 * least + above
    # A cost that still falls at the end of the range has no best height.
    found = (count > LEAST_PLACES) & (least < below) & (least < above)
    lift = LIFTS_M[level] + LIFT_STEP_M * 0.5 * (below - above) / np.where(found, bend, 1.0)
    clear = np.clip((np.median(cost, axis=-1) - least) / (least + LIGHT_NOISE**2) / CLEAR, 0.0, 1.0)
    middle[..., 2] += lift
    return middle[found], clear[found] ** 2
