"""Heights of the ground from the agreement of images, where no LiDAR measured them: plane sweeps, coarse to fine.

At a wrong height, a place projects to different pieces of ground in images from two sides: at 7 m beside a camera 1.5 m
high, 5 cm of height are 0.25 m on the ground. Therefore the images are compared at a range of heights for every place.
The share of their contrast that the images do not have in common is the cost of a height.

The range grows with the distance from the path, which knows the height and the cross slope under the vehicle only.
Where texture is weak, many heights look alike. Semi-global matching (Hirschmueller 2008) therefore chooses all heights
together: a step between neighbours costs, so that confident ones carry theirs outward. The first sweep is coarse and
wide. The second one is fine, around the field through the first, and takes drivable ground and the raised ground beside
it apart: a kerb is a step, not a slope.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from recon.arrays import F32, F64, I64, U8, Bool
from recon.classes import DRIVABLE, RoadClass
from recon.grid import Grid
from recon.heights import plane_sweep_kernels
from recon.heights.height_field import HeightField
from recon.heights.smooth_cost_kernels import smooth_costs
from recon.progress import Tick
from recon.surface.cells import Cells
from recon.views.views import View, Views

NOT_GROUND, ROAD, BESIDE, KERB = range(4)  # kinds of pixels
HALVINGS = 5
NEAR_M = 1.5
WINDOW_M = 1.2  # half the window of the mean light around a place
LIGHT_NOISE = 0.015  # of the logarithm: what grain of a sensor and codec is left in halved images
LIGHT_FLOOR = 0.05  # of the logarithm, in which exposures differ by a constant
ONE_LOOK = 0.75  # sum of squared weights over squared sum: above it a place was seen once, in effect
PARALLAX = 0.1  # of the distance to a place, that its looks must lie apart: from a creeping vehicle all heights agree
MOST_LOOKS = 8.0  # independent looks that count: a place beside the lane is not a hundred times as sure
LEAST_LOOKS = 0.1  # of a block, after spreading
SAME_LOOKS = 0.8  # of the most looks at a height, so that a height is measured
LEAST_LEVELS = 0.6  # of the range must be measured: a minimum beside an unmeasured height may not be the least
UNDER_WHEELS_M = 1.2  # from the path: the vehicle stands there
WHEELS_NOISE_M, WHEELS_COST, WHEELS_MOST = 0.03, 0.5, 4.5  # of a height there that differs from the path's
LEAN_COST = 0.1  # of the range's end against its middle: decides where many heights look alike
CLEAR_LEVELS, CLEAR_COST = 2, 0.3  # a minimum is sure when the cost of all levels farther away is so much greater
LEVEL_NOISE = 0.005  # of the logarithm: half a grey level of dark ground, the least that looks differ
CHANCE, PROOF = 2.5, 3.5  # standard errors: noise alone tells heights apart so well, and proof is complete
LEAST_CERTAINTY = 0.25  # below it a minimum is chance: bare lines along the street have such


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """How finely and how widely a sweep looks."""

    spacing_m: float  # between places
    block_m: float  # places of a block share a height
    spread_m: float  # of the window that shares its costs, standard deviation
    step_m: float  # between heights
    reach_m: float  # of heights at the path
    slope: float  # by which the reach grows away from the path
    most_m: float  # of the reach
    far_m: float  # of a place from the camera
    step_cost: float  # of one step between neighbouring blocks
    jump_cost: float  # of any greater step


COARSE = Sweep(
    spacing_m=0.4,
    block_m=0.8,
    spread_m=0.8,
    step_m=0.06,
    reach_m=0.25,
    slope=0.08,
    most_m=1.0,
    far_m=22.0,
    step_cost=0.02,
    jump_cost=0.25,
)
FINE = Sweep(
    spacing_m=0.2,
    block_m=0.4,
    spread_m=0.6,
    step_m=0.03,
    reach_m=0.15,
    slope=0.02,
    most_m=0.3,
    far_m=18.0,
    step_cost=0.02,
    jump_cost=0.25,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Agreement:
    """How well images agree at places (M) for heights (K) around a field."""

    cells: Cells  # the places, on a grid of their spacing
    xyz_m: F64  # (M, 3) on the field
    from_path_m: F64  # (M,)
    reach_m: F64  # (M,)
    lifts_m: F64  # (K,) 0 is in the middle
    looks: F32  # (M, K) number of independent looks less one, 0 where there are fewer than two
    apart: F32  # (M, K) variance of the contrast between looks, times that number
    contrast: F32  # (M, K) mean square of the contrast, times that number
    kind: U8  # (M,) ROAD, BESIDE or KERB, as most looks say; NOT_GROUND without any


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Heights:
    """Heights (L) that images agree on."""

    xyz_m: F64  # (L, 3)
    certainty: F64  # (L,) 0..1


def light_of(view: View) -> F32:
    """Return the logarithm of the brightness (H, W)."""
    return np.asarray(np.log(view.rgb.mean(axis=2, dtype=np.float32) / 255.0 + LIGHT_FLOOR), dtype=np.float32)


def compare(views: Views, cells: Cells, field: HeightField, path_xy_m: F64, sweep: Sweep, tick: Tick) -> Agreement:
    """Return how well the images of each trip agree at the places of the cells, at heights around the field."""
    places = spaced(cells, sweep.spacing_m)
    xy = places.centres()
    z = field.at(xy)[0]
    from_path_m = np.asarray(cKDTree(path_xy_m).query(xy)[0], dtype=np.float64)
    reach_m = np.minimum(sweep.reach_m + sweep.slope * from_path_m, sweep.most_m)
    count = int(np.ceil(reach_m.max(initial=sweep.step_m) / sweep.step_m))
    lifts_m: F64 = np.arange(-count, count + 1, dtype=np.float64) * sweep.step_m
    votes = np.zeros((len(xy), KERB + 1), dtype=np.float32)
    looks, apart, contrast = (np.zeros((len(xy), len(lifts_m)), dtype=np.float32) for _ in range(3))
    # Trips are compared apart: light and weather change the contrast between them, and their heights may disagree.
    for _, images in groupby(_told(views, tick), key=lambda view: view.trip):
        sums = [np.zeros_like(apart) for _ in range(4)]
        stood = _Stood.nowhere(len(xy))
        for view in images:
            window = places.window(*view.footprint(sweep.far_m))
            if len(window.ids):
                stood.add(window.ids, xy, view.world_from_camera[:2, 3])
                sets = (window.row, window.column, *np.c_[xy, z, reach_m][window.ids].T.copy())
                add_look(view, sets, lifts_m, sweep, window.ids, votes, sums)
        sums[0][~stood.apart()] = 0.0
        add_disagreement(sums, looks, apart, contrast)
    kind = np.where(votes.max(axis=1) > 0, votes.argmax(axis=1), NOT_GROUND).astype(np.uint8)
    return Agreement(
        cells=places,
        xyz_m=np.c_[xy, z],
        from_path_m=from_path_m,
        reach_m=reach_m,
        lifts_m=lifts_m,
        looks=looks,
        apart=apart,
        contrast=contrast,
        kind=kind,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Stood:
    """The box of the cameras that look towards each place (M, 2), and how near the nearest one stood (M,)."""

    low_m: F64
    high_m: F64
    near_m: F64

    @classmethod
    def nowhere(cls, count: int) -> _Stood:
        """Return no camera at all."""
        return cls(np.full((count, 2), np.inf), np.full((count, 2), -np.inf), np.full(count, np.inf))

    def add(self, ids: I64, xy_m: F64, camera_m: F64) -> None:
        """Add a camera (2,) to the places `ids`."""
        self.low_m[ids] = np.minimum(self.low_m[ids], camera_m)
        self.high_m[ids] = np.maximum(self.high_m[ids], camera_m)
        self.near_m[ids] = np.minimum(self.near_m[ids], np.hypot(*(xy_m[ids] - camera_m).T))

    def apart(self) -> Bool:
        """Return (M,) whether the cameras lie so far apart that their images tell heights."""
        seen = np.isfinite(self.near_m)
        extent = np.where(seen[:, None], self.high_m, 0.0) - np.where(seen[:, None], self.low_m, 0.0)
        told: Bool = seen & (np.hypot(*extent.T) > PARALLAX * np.where(seen, self.near_m, 0.0))
        return told


def _told(views: Views, tick: Tick) -> Iterator[View]:
    for done, view in enumerate(views):
        tick(done, len(views), "images")
        yield view


def spaced(cells: Cells, spacing_m: float) -> Cells:
    """Return places so far apart that hold one of the cells each."""
    n, grid = max(1, round(spacing_m / cells.grid.cell_m)), cells.grid
    wide, high = -(-grid.width // n), -(-grid.height // n)
    wider = Grid(west_m=grid.west_m, north_m=grid.north_m, cell_m=n * grid.cell_m, width=wide, height=high)
    middle = (cells.row % n == n // 2) & (cells.column % n == n // 2)
    return Cells.of(wider, cells.row[middle] // n, cells.column[middle] // n)


def add_look(
    view: View,
    places: tuple[npt.NDArray[np.generic], ...],
    lifts_m: F64,
    sweep: Sweep,
    ids: I64,
    votes: F32,
    sums: Sequence[F32],
) -> None:
    """Add one image to the votes and sums of the places `ids`, whose rows, columns, x, y, z and reach are `places`."""
    kinds = np.full(256, NOT_GROUND, dtype=np.uint8)
    kinds[list(DRIVABLE)], kinds[RoadClass.OFF_ROAD], kinds[RoadClass.CURB] = ROAD, BESIDE, KERB
    light, starts = halvings(light_of(view))
    image = (view.camera_from_world, view.k, kinds[view.labels.ids], light, starts)
    limits = (sweep.spacing_m, NEAR_M, sweep.far_m, max(1, round(WINDOW_M / sweep.spacing_m)))
    parts = [array[ids] for array in (votes, *sums)]
    plane_sweep_kernels.sweep(places, image, lifts_m, limits, *parts)
    for array, part in zip((votes, *sums), parts, strict=True):
        array[ids] = part


def halvings(light: F32) -> tuple[F32, I64]:
    """Return an image (H, W) and its halvings, one after another, and where each begins, its width and height."""
    images = [light]
    for _ in range(HALVINGS):
        height, width = images[-1].shape
        if min(height, width) < 8:
            break
        halved = cv2.resize(images[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        images.append(np.asarray(halved, dtype=np.float32))
    starts = np.cumsum([0, *(image.size for image in images)])[:-1]
    table = [(start, image.shape[1], image.shape[0]) for start, image in zip(starts.tolist(), images, strict=True)]
    return np.concatenate([image.ravel() for image in images]), np.array(table, dtype=np.int64)


def add_disagreement(sums: Sequence[F32], looks: F32, apart: F32, contrast: F32) -> None:
    """Add what the looks in `sums` (see `plane_sweep_kernels.sweep`) say to the three arrays of an Agreement."""
    weight, weight2, total, square = sums
    share = np.maximum(weight, 1e-9)
    alone = weight2 / share**2
    free = np.where((weight > 0) & (alone < ONE_LOOK), np.minimum(1.0 / np.maximum(alone, 1e-3), MOST_LOOKS) - 1.0, 0.0)
    mean_square = square / share
    looks += free
    apart += free * np.maximum(mean_square - (total / share) ** 2, 0.0) / np.maximum(1.0 - alone, 1.0 - ONE_LOOK)
    contrast += free * mean_square


def agreed_heights(found: Agreement, sweep: Sweep, kinds: Sequence[int]) -> Heights:
    """Return the height of each block of places of some kinds where a height is clearly better than others."""
    chosen = np.isin(found.kind, kinds)
    places = found.cells
    pool = max(1, round(sweep.block_m / places.grid.cell_m))
    if not chosen.any():
        return Heights(xyz_m=np.zeros((0, 3)), certainty=np.zeros(0))
    block = np.stack([places.row[chosen], places.column[chosen]], axis=-1).astype(np.int64) // pool
    block -= block.min(axis=0)
    shape = (int(block[:, 0].max()) + 1, int(block[:, 1].max()) + 1)
    flat = block[:, 0] * shape[1] + block[:, 1]

    def summed(values: npt.NDArray[np.generic]) -> F64:
        counted = np.bincount(flat, weights=values.astype(np.float64), minlength=shape[0] * shape[1])
        return np.asarray(counted, dtype=np.float64).reshape(shape)

    sigma = sweep.spread_m / (pool * places.grid.cell_m)
    cost, looks, noise = (np.zeros((*shape, len(found.lifts_m)), dtype=np.float32) for _ in range(3))
    for number in range(len(found.lifts_m)):
        own = (found.looks[chosen, number], found.apart[chosen, number], found.contrast[chosen, number])
        many, apart, contrast = (gaussian_filter(summed(v), sigma, mode="constant") for v in own)
        looks[..., number] = many
        noise[..., number] = apart / np.maximum(many, 1e-12)
        cost[..., number] = apart / np.maximum(contrast + LIGHT_NOISE**2 * many, 1e-12)
    count = summed(np.ones(len(flat)))
    columns = (*found.xyz_m[chosen].T, found.from_path_m[chosen], found.reach_m[chosen])
    x, y, z, from_path_m, reach_m = (summed(column) / np.maximum(count, 1.0) for column in columns)
    within = np.abs(found.lifts_m) <= reach_m[..., None] + 1e-9
    # Costs are compared over the same images: few that look from one side agree at any height.
    known = within & (looks > np.maximum(LEAST_LOOKS, SAME_LOOKS * looks.max(axis=-1, keepdims=True)))
    told = (count > 0) & (known.sum(axis=-1) >= LEAST_LEVELS * within.sum(axis=-1))
    cost = np.where(known, cost, np.float32(1.0))
    wheels = (count > 0) & (from_path_m < UNDER_WHEELS_M)
    lift_m, level = _chosen(cost, told, within, wheels, found.lifts_m, sweep)
    certainty = _certainty(cost, known, level)
    independent = 4.0 * np.pi * sigma**2 * _at(looks, level)  # blocks of a Gaussian window with a weight of 1 in all
    proof = _proof(noise, known, level, independent)
    sure = told & (certainty > LEAST_CERTAINTY) & (proof > 0)
    certainty = certainty * proof
    return Heights(xyz_m=np.stack([x, y, z + lift_m], axis=-1)[sure], certainty=certainty[sure])


def _chosen(cost: F32, told: Bool, within: Bool, wheels: Bool, lifts_m: F64, sweep: Sweep) -> tuple[F64, I64]:
    """Return the lift of every block (R, C) and its level, from costs (R, C, K) of levels `within` reach."""
    lean = LEAN_COST * np.abs(lifts_m) / np.maximum(np.abs(lifts_m * within).max(axis=-1, keepdims=True), 1e-9)
    joint = np.where(told[..., None], cost, 0.0) + lean + np.where(within, 0.0, 1.0)
    joint[wheels] += np.minimum(WHEELS_COST * (lifts_m / WHEELS_NOISE_M) ** 2, WHEELS_MOST)
    smooth = smooth_costs(np.ascontiguousarray(joint, dtype=np.float32), sweep.step_cost, sweep.jump_cost)
    level = np.clip(smooth.argmin(axis=-1), 1, len(lifts_m) - 2)
    below, least, above = (_at(smooth, level + step) for step in (-1, 0, 1))
    bend = np.maximum(below - 2.0 * least + above, 1e-6)
    return lifts_m[level] + sweep.step_m * np.clip(0.5 * (below - above) / bend, -0.5, 0.5), level


def _at(costs: npt.NDArray[np.generic], level: I64) -> F64:
    there = np.clip(level, 0, costs.shape[-1] - 1)[..., None]
    return np.take_along_axis(costs, there, axis=-1)[..., 0].astype(np.float64)


def _certainty(cost: F32, known: Bool, level: I64) -> F64:
    """Return 0..1 for each block (R, C): how much better the chosen level is than any other one farther away.

    A line along the street looks the same from everywhere on the street, at any height: its minimum says nothing.
    """
    away = np.abs(np.arange(cost.shape[-1]) - level[..., None]) > CLEAR_LEVELS
    other = np.where(known & away, cost, np.float32(1.0)).min(axis=-1)
    inner = (_at(known, level - CLEAR_LEVELS) > 0) & (_at(known, level + CLEAR_LEVELS) > 0)
    clear = np.clip((other - _at(cost, level)) / CLEAR_COST, 0.0, 1.0)
    return np.where(inner, clear, 0.0)


def _proof(noise: F32, known: Bool, level: I64, independent: F64) -> F64:
    """Return 0..1 for each block (R, C): whether noise alone could make the chosen level look better than others.

    `noise` (R, C, K) is the variance between looks at a level, from so many `independent` looks (R, C). The logarithm
    of the ratio of two such variances has the standard error 2 / sqrt(independent). So the images' own noise is the
    measure. Where there is no texture, no height leaves less of it than others. Nor does one where a bare line along
    the street enters the window at some heights: the line only adds contrast that all looks share.
    """
    away = np.abs(np.arange(noise.shape[-1]) - level[..., None]) > CLEAR_LEVELS
    other = np.where(known & away, noise, np.float32(np.inf)).min(axis=-1)
    other = np.where(np.isfinite(other), other, 0.0)
    ratio = np.log((other + LEVEL_NOISE**2) / (_at(noise, level) + LEVEL_NOISE**2))
    errors = 0.5 * np.sqrt(np.maximum(independent, 0.0)) * ratio
    return np.asarray(np.clip((errors - CHANCE) / (PROOF - CHANCE), 0.0, 1.0), dtype=np.float64)
