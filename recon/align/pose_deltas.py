"""Small corrections of one trip's poses, one a frame, under which the frames show the same road.

Each frame is projected to a picture of the road from above. Pictures of frames some metres apart show the same ground.
Registering one to the other (direct image alignment after Lucas and Kanade, 1981: robust Gauss-Newton over shift and
turn) measures by how much the two poses disagree, with a covariance. With c_f = (east, north, turn) of frame f

    sum over pairs rho(|c_g - c_f at the pair's middle - measured|) + sum |c_f|^2 / prior^2 + sum |c_f''|^2 / bend^2

is minimised jointly: the poses of a log come from a filter, so their error is small and varies slowly. One more unknown
stretches the road along the path: a wrong height or lens does the same to every pair, and it is not an error of the
poses. A shift or turn of the whole trip changes no picture and is not corrected.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates
from scipy.sparse import block_diag, coo_matrix, csr_matrix, diags

from recon.align.alignment import corrected
from recon.arrays import F32, F64, I64, Bool
from recon.classes import RoadClass
from recon.drive import DriveLog
from recon.heights import ground_light_kernels
from recon.heights.height_field import HeightField, height_field
from recon.heights.plane_sweep import light_of
from recon.least_squares import solve_robust
from recon.progress import Tick
from recon.views.views import View, Views

CELL_M = 0.1
AHEAD_M, BESIDE_M = 18.0, 5.0  # of a picture, each way: farther beside the path the height is too uncertain
NEAR_M = 1.5
APART_M = (3.0, 18.0)  # between frames of a pair: nearer ones share their errors, farther ones share no ground
PARTNERS = 5  # of a frame, spread over that range
STANDS_M = 0.25  # from the last picture kept: pictures of a waiting vehicle add nothing
BLURS_CELLS = (4.0, 1.5)  # from coarse to fine: offsets of half a metre are still found
ROUNDS = 6  # of Gauss-Newton at each blur
LEAST_POINTS = 400  # with texture
STEEP = 0.7  # quantile of the gradient: flat asphalt carries no position
FLATTEN_WIDTHS = 0.1  # of the image: wider changes of light are exposure and vignetting
ALIKE_CELLS = 15.0  # neighbouring pixels of a blurred picture whose errors are not independent
USUAL = np.array([0.2, 0.2, np.radians(0.5)])  # prior standard deviation of a pair's disagreement
LEFT_SHARE = 0.8  # of the texture may stay unexplained; with more the pictures do not show the same ground
FARTHEST_M = 1.0  # a pair that disagrees by more was matched to the wrong stripe
FLOOR = np.array(
    [0.02, 0.02, np.radians(0.1)]
)  # standard deviation of a measurement: lenses and heights are not perfect
PRIOR = np.array([0.3, 0.3, np.radians(0.5)])
BEND = np.array([5e-4, 5e-4, 5e-4])  # per square metre driven: metres, metres, radians
STRETCH = 0.005
GRAPH_ROUNDS = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """The road around one frame from above; rows go north and columns east in the world's raster."""

    frame: int
    place_m: F64  # (2,) of the vehicle
    corner: I64  # (2,) column and row of the first cell
    light: F32  # (H, W) logarithm of the brightness
    valid: Bool  # (H, W)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """How the second frame must move for its picture to match that of the first."""

    first: int
    second: int
    middle_m: F64  # (2,) about which the turn was measured
    shift: F64  # (3,) metres east and north, radians
    covariance: F64  # (3, 3)


def posed(drive: DriveLog, report: dict[str, Any]) -> DriveLog:
    """Return a drive with the poses under which its surface was fitted: labels and surface belong to these."""
    if "poses" not in report:
        return drive
    return corrected(drive, np.array(report["poses"]["correction"], dtype=np.float64).reshape(-1, 4))


def pose_report(views: Views, drive: DriveLog, *, corridor_m: float, tick: Tick) -> dict[str, Any]:
    """Return the poses' entry in a surface's report: each frame's correction, as in an Alignment, and their size.

    Corrections of frames without views are interpolated by the smoothness prior.
    """
    field = height_field([drive], np.zeros((0, 3)), corridor_m=corridor_m, with_std=False)
    found = solve(list(pairs(pictures(views, drive, field, tick))), drive.path_xy_m())
    shift, turn = np.sqrt(np.square(found[:, :2]).sum(axis=1).mean()), np.sqrt(np.square(found[:, 2]).mean())
    return {
        "shift_m": round(float(shift), 4),
        "turn_deg": round(float(np.degrees(turn)), 4),
        "correction": np.round(np.insert(found, 2, 0.0, axis=1), 6).tolist(),
    }


def added(later: dict[str, Any], earlier: dict[str, Any] | None) -> dict[str, Any]:
    """Return the poses' entry of two corrections after each other: the second of poses that the first has moved."""
    if earlier is None:
        return later
    total = np.array(earlier["correction"]) + np.array(later["correction"])
    return {**earlier, **later, "correction": np.round(total, 6).tolist()}


def pictures(views: Iterable[View], drive: DriveLog, field: HeightField, tick: Tick) -> Iterator[Picture]:
    """Yield the picture of each frame that has images, in the order of the views."""
    half = round(AHEAD_M / CELL_M)
    columns, rows = np.meshgrid(np.arange(2 * half), np.arange(2 * half))
    cells = np.stack([columns, rows], axis=-1).reshape(-1, 2)
    for frame, images in groupby(views, key=lambda view: view.frame):
        tick(frame, len(drive.frames), "frames")
        pose = drive.frames[frame].world_from_ego
        corner = np.round(pose[:2, 3] / CELL_M).astype(np.int64) - half
        xy = (corner + cells + 0.5) * CELL_M
        ego = (xy - pose[:2, 3]) @ pose[:2, :2]
        inside = np.flatnonzero((np.abs(ego[:, 0]) < AHEAD_M) & (np.abs(ego[:, 1]) < BESIDE_M))
        x, y = (np.ascontiguousarray(column) for column in xy[inside].T)
        z = field.at(xy[inside])[0]
        weight, total = (np.zeros(len(inside), np.float32) for _ in range(2))
        for view in images:
            look = (view.camera_from_world, view.k, view.labels.ids, _flattened(view), NEAR_M, AHEAD_M)
            ground_light_kernels.add_light(x, y, z, *look, weight, total)
        seen = weight > 0
        light, valid = np.zeros(len(cells), np.float32), np.zeros(len(cells), dtype=bool)
        light[inside[seen]] = total[seen] / weight[seen]
        valid[inside[seen]] = True
        shape = columns.shape
        yield Picture(
            frame=frame,
            place_m=pose[:2, 3].copy(),
            corner=corner,
            light=light.reshape(shape),
            valid=valid.reshape(shape),
        )


def _flattened(view: View) -> F32:
    """Return the light (H, W) of an image without its wide changes, taken among pixels of the ground.

    The sky's light would darken far ground, at one distance in every frame, and pull each pair towards no motion.
    """
    light, ids = light_of(view), view.labels.ids
    ground = ((ids != RoadClass.BACKGROUND) & (ids != RoadClass.UNKNOWN)).astype(np.float32)
    sigma = FLATTEN_WIDTHS * light.shape[1]
    mean = cv2.GaussianBlur(light * ground, (0, 0), sigma) / np.maximum(cv2.GaussianBlur(ground, (0, 0), sigma), 1e-3)
    return np.asarray(light - mean, dtype=np.float32)


def pairs(found: Iterable[Picture]) -> Iterator[Pair]:
    """Yield the measurements; only pictures that a later one can be paired with are kept in memory."""
    recent: list[Picture] = []
    for picture in found:
        near = [(float(np.linalg.norm(picture.place_m - other.place_m)), other) for other in recent]
        near = [(apart, other) for apart, other in near if apart < APART_M[1]]
        partners = [(apart, other) for apart, other in near if apart >= APART_M[0]]
        chosen = {}
        for goal in np.linspace(*APART_M, PARTNERS) if partners else ():
            _, other = min(partners, key=lambda pair: (abs(pair[0] - goal), pair[1].frame))
            chosen[other.frame] = other
        for frame in sorted(chosen):
            pair = register_pair(chosen[frame], picture)
            if pair:
                yield pair
        recent = [other for _, other in near]
        if not near or near[-1][0] >= STANDS_M:
            recent.append(picture)


def register_pair(first: Picture, second: Picture) -> Pair | None:
    """Register the second picture to the first; None where they share too little texture or disagree too much."""
    middle = 0.5 * (first.place_m + second.place_m)
    shift, hessian = np.zeros(3), np.zeros((3, 3))
    for blur in BLURS_CELLS:
        (here, inner), (there, around) = _blurred(first, blur), _blurred(second, blur)
        rows, columns, slope = _textured(here, inner, first.corner - second.corner, around)
        if len(rows) < LEAST_POINTS:
            return None
        xy = (first.corner + np.stack([columns, rows], axis=-1) + 0.5) * CELL_M
        arm = xy - middle
        across = np.stack([-arm[:, 1], arm[:, 0]], axis=-1)
        jacobian = np.c_[slope, (slope * across).sum(axis=1)]
        for _ in range(ROUNDS):
            # Shifted, the second picture has at x the value that it had at x - shift(x).
            at = (xy - shift[:2] - shift[2] * across) / CELL_M - 0.5 - second.corner
            miss = map_coordinates(there, [at[:, 1], at[:, 0]], order=1, mode="nearest") - here[rows, columns]
            scale = 1.5 * float(np.median(np.abs(miss))) + 1e-6
            weighted = jacobian / (1.0 + (miss / scale) ** 2)[:, None]
            hessian = weighted.T @ jacobian / (scale**2 * ALIKE_CELLS)
            slant = weighted.T @ miss / (scale**2 * ALIKE_CELLS)
            # Where texture fixes no position, as along lines without ends, the prior does.
            shift = shift + np.linalg.solve(hessian + np.diag(USUAL**-2), slant - shift / USUAL**2)
            if np.abs(shift[:2]).max() > FARTHEST_M:
                return None
    if np.median(np.abs(miss)) > LEFT_SHARE * np.median(np.abs(here[rows, columns])):
        return None
    covariance = np.asarray(np.linalg.inv(hessian + np.diag(1e-3 / USUAL**2)), dtype=np.float64) + np.diag(FLOOR**2)
    return Pair(first=first.frame, second=second.frame, middle_m=middle, shift=shift, covariance=covariance)


def _blurred(picture: Picture, cells: float) -> tuple[F32, Bool]:
    """Return the picture blurred among its valid cells, and which cells have valid ones all around."""
    weight = cv2.GaussianBlur(picture.valid.astype(np.float32), (0, 0), cells)
    light = cv2.GaussianBlur(picture.light, (0, 0), cells) / np.maximum(weight, 1e-3)
    return np.asarray(light, dtype=np.float32), np.asarray((weight > 0.9) & picture.valid, dtype=bool)


def _textured(
    light: F32, inner: Bool, offset: I64, other: Bool
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], F64]:
    """Return rows and columns of steep cells that both pictures show, and the slope there (N, 2) per metre."""
    rows, columns = np.nonzero(inner)
    r, c = rows + offset[1], columns + offset[0]
    shared = (r >= 0) & (c >= 0) & (r < other.shape[0]) & (c < other.shape[1])
    shared[shared] = other[r[shared], c[shared]]
    rows, columns = rows[shared], columns[shared]
    gradient: Any = np.gradient(light.astype(np.float64), CELL_M)
    north, east = gradient
    slope = np.stack([east[rows, columns], north[rows, columns]], axis=-1)
    size = np.linalg.norm(slope, axis=1)
    steep: Bool = size > np.quantile(size, STEEP) if len(size) else np.zeros(0, dtype=bool)
    return rows[steep], columns[steep], slope[steep]


def solve(measured: Sequence[Pair], place_m: F64) -> F64:
    """Return the corrections (F, 3) of frames at places (F, 2) that fit the pairs best under the priors."""
    count = len(place_m)
    if not measured:
        return np.zeros((count, 3))
    whiten: Any = block_diag([np.linalg.cholesky(np.linalg.inv(pair.covariance)).T for pair in measured], format="csr")
    matrix = whiten @ _observation_matrix(measured, place_m)
    target = whiten @ np.concatenate([pair.shift for pair in measured])
    smoothness = _smoothness_rows(place_m)
    prior = diags(np.r_[np.tile(PRIOR**-2, count), STRETCH**-2]) + smoothness.T @ smoothness
    start = np.zeros(3 * count + 1)
    found = solve_robust(prior, [], matrix, target, _trust, start=start, rounds=GRAPH_ROUNDS)
    return found[:-1].reshape(-1, 3)


def _trust(residual: F64) -> F64:
    """Return the weight of each whitened residual (3 pairs,): a pair's three share one, for they are wrong together."""
    miss = np.square(residual.reshape(-1, 3)).sum(axis=1)
    return np.repeat(1.0 / (1.0 + miss / 4.0), 3)


def _observation_matrix(measured: Sequence[Pair], place_m: F64) -> csr_matrix:
    """Return the matrix (3 pairs, 3 frames + 1) from corrections and stretch to what the pairs should measure."""
    first, second = (np.array([getattr(pair, end) for pair in measured]) for end in ("first", "second"))
    middle = np.array([pair.middle_m for pair in measured])
    row, one = 3 * np.arange(len(measured)), np.ones(len(measured))
    entries = []
    # At m, a correction of frame f moves the ground by t_f + turn_f x (m - o_f).
    for end, sign in ((first, -1.0), (second, 1.0)):
        arm = middle - place_m[end]
        entries += [(row + axis, 3 * end + axis, sign * one) for axis in range(3)]
        entries += [(row, 3 * end + 2, -sign * arm[:, 1]), (row + 1, 3 * end + 2, sign * arm[:, 0])]
    apart = place_m[second] - place_m[first]
    entries += [(row + axis, np.full(len(row), 3 * len(place_m)), apart[:, axis]) for axis in range(2)]
    rows, columns, values = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    return csr_matrix(coo_matrix((values, (rows, columns)), shape=(3 * len(measured), 3 * len(place_m) + 1)))


def _smoothness_rows(place_m: F64) -> csr_matrix:
    """Return second differences of neighbouring corrections, each in units of its usual size."""
    step = np.maximum(np.linalg.norm(np.diff(place_m, axis=0), axis=1), 0.1)
    inner = np.arange(max(len(place_m) - 2, 0))
    usual = BEND * (0.5 * (step[:-1] + step[1:]))[:, None] ** 2 if len(inner) else np.ones((0, 3))
    rows, columns, values = [], [], []
    for axis in range(3):
        for k, stencil in enumerate((1.0, -2.0, 1.0)):
            rows.append(3 * inner + axis)
            columns.append(3 * (inner + k) + axis)
            values.append(stencil / usual[:, axis])
    shape = (3 * len(inner), 3 * len(place_m) + 1)
    return csr_matrix(
        coo_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=shape)
    )
