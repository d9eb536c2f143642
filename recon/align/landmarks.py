"""Landmarks for aligning trips, frame by frame: points of paint, ends of dashes, and the foot of the kerb.

The foot of a kerb lies on the road, as paint does, so its position does not depend on the side it is seen from. The top
of the kerb would shift by parallax.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from recon.arrays import F64, I8, I32, I64, U8, Bool
from recon.classes import DRIVABLE, RoadClass
from recon.drive import DriveLog
from recon.geometry import apply, invert
from recon.heights.height_field import HeightField
from recon.progress import Tick, silent
from recon.segment.frame_labels import FrameLabels
from recon.sensors.rectify import Rectifier, pixel_rays

LINE, RIM, KERB, END = 0, 1, 2, 3  # groups: points are compared only within their group
GROUPS = 4
_BARE = 4  # road without paint: used only to find the ends of lines
_GROUP_OF = {
    RoadClass.ROAD: _BARE,
    RoadClass.LANE_MARKING: LINE,
    RoadClass.CROSSWALK: RIM,
    RoadClass.STOP_LINE: RIM,
    RoadClass.OTHER_MARKING: RIM,
}
_CONFIDENT = 128  # of 255
_THIN_M = 0.2  # one point per cell of this size, group and frame
_LINE_REACH_M, _LINE_POINTS, _LINE_RATIO = 0.9, 4, 0.1  # when neighbours form a line
_END_M, _DASH_M, _BEYOND_M = 0.12, 0.5, 0.5  # an end has paint behind it and bare road beyond
_ROUNDS = 3  # of intersecting ray and height field: on roads this converges to millimetres


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Landmarks:
    """The points of one trip."""

    frame: I32  # (N,) index into DriveLog.frames
    ego_xyz_m: F64  # (N, 3) in the frame's ego frame, at the frame's time
    group: I8  # (N,) LINE, RIM (of a painted area), KERB or END (of a line)
    normal: F64  # (N, 2) ego frame: across the line of the frame's points; for an END, out of the line


def landmarks(
    drive: DriveLog, labels: FrameLabels, field: HeightField, *, reach_m: float, tick: Tick = silent
) -> Landmarks:
    """Return the landmarks within `reach_m` of the cameras, on the ground that `field` describes."""
    faces = {camera.name: Rectifier.faces(camera) for camera in drive.cameras}
    images = {(index, image.camera): image for index, _, image in drive.images()}
    found: dict[int, list[tuple[F64, I8]]] = {}
    for done, labelled in enumerate(labels.images):
        tick(done, len(labels.images), "images")
        frame, camera = drive.frames[labelled.frame], drive.camera(labelled.camera)
        both = labels.read(labelled)
        pose = frame.pose_of(images[labelled.frame, labelled.camera])
        ground_z = float((pose @ [0.0, 0.0, drive.ground_z_ego_m, 1.0])[2])
        for face in faces[camera.name]:
            group = _groups(face.ids(both.ids), face.ids(both.confidence))
            place = pose @ camera.ego_from_camera @ face.camera_from_view
            points, which = _on_ground(group, face.k, place, ground_z, field, reach_m)
            # A correction belongs to the frame, not to the exposure times of its cameras.
            found.setdefault(labelled.frame, []).append((apply(invert(frame.world_from_ego), points), which))
    parts = [(index, *_directed(*_thinned(found[index]))) for index in sorted(found)]
    return Landmarks(
        frame=np.concatenate([np.zeros(0, np.int32), *(np.full(len(g), i, np.int32) for i, _, g, _ in parts)]),
        ego_xyz_m=np.concatenate([np.zeros((0, 3)), *(points for _, points, _, _ in parts)]),
        group=np.concatenate([np.zeros(0, np.int8), *(group for _, _, group, _ in parts)]),
        normal=np.concatenate([np.zeros((0, 2)), *(normal for _, _, _, normal in parts)]),
    )


def _groups(ids: U8, confidence: U8) -> I8:
    """Return the group of every pixel (H, W), -1 where there is no landmark."""
    table = np.full(256, -1, dtype=np.int8)
    for road_class, group in _GROUP_OF.items():
        table[road_class] = group
    groups = table[ids]
    painted = groups == RIM
    # Points inside a painted area carry no position. Only its border with the road does.
    inside = np.zeros_like(painted)
    inside[1:-1, 1:-1] = painted[1:-1, 1:-1]
    inside[1:-1, 1:-1] &= painted[:-2, 1:-1] & painted[2:, 1:-1] & painted[1:-1, :-2] & painted[1:-1, 2:]
    groups[inside] = -1
    on_road = np.isin(ids, DRIVABLE)
    foot = (ids[:-1] == RoadClass.CURB) & on_road[1:]
    groups[:-1][foot] = KERB
    groups[confidence < _CONFIDENT] = -1
    return groups


def _on_ground(
    group: I8,
    k: F64,
    world_from_camera: F64,
    ground_z: float,
    field: HeightField,
    reach_m: float,
) -> tuple[F64, I8]:
    """Return world points (N, 3) and groups of the pixels whose ray hits the ground within reach."""
    rows, columns = np.nonzero(group >= 0)
    direction = pixel_rays(k, group.shape)[rows, columns] @ world_from_camera[:3, :3].T
    origin = world_from_camera[:3, 3]
    falling = direction[:, 2] < -0.02 * np.linalg.norm(direction, axis=1)
    direction, which = direction[falling], group[rows, columns][falling]
    z = np.full(len(direction), ground_z)
    for _ in range(_ROUNDS):
        along = (z - origin[2]) / direction[:, 2]
        points = origin + np.clip(along, 0.0, None)[:, None] * direction
        near = np.hypot(*(points[:, :2] - origin[:2]).T) < reach_m
        z = np.where(near, field.at(points[:, :2])[0], z)
    return points[near], which[near]


def _thinned(parts: list[tuple[F64, I8]]) -> tuple[F64, I8]:
    """Return the mean point of every occupied cell and group."""
    points, group = (np.concatenate(column) for column in zip(*parts, strict=True))
    key = np.c_[_cells(points[:, :2]), group]
    kept, inverse = np.unique(key, axis=0, return_inverse=True)
    inverse = inverse.reshape(-1)
    count = np.bincount(inverse, minlength=len(kept))
    total = [np.bincount(inverse, weights=column, minlength=len(kept)) for column in points.T]
    return np.stack(total, axis=1) / np.maximum(count, 1)[:, None], kept[:, 2].astype(np.int8)


def _directed(points: F64, group: I8) -> tuple[F64, I8, F64]:
    """Return the landmarks of one frame (ego xyz, group, normal): points that form lines, and the lines' ends."""
    xy = points[:, :2]
    rows, normals = [np.zeros(0, np.intp)], [np.zeros((0, 2))]
    for which in (LINE, RIM, KERB):
        own = np.flatnonzero(group == which)
        if len(own) < _LINE_POINTS:
            continue
        straight, normal, tangent, ahead = _line_through(xy[own])
        rows.append(own[straight])
        normals.append(normal[straight])
        if which == LINE:
            bare = {tuple(cell) for cell in _cells(xy[group == _BARE])}
            ends, outward = _ends(xy[own], straight, tangent, ahead, bare)
            points = np.concatenate([points, points[own[ends]]])
            group = np.concatenate([group, np.full(len(ends), END, dtype=np.int8)])
            rows.append(np.arange(len(points) - len(ends), len(points)))
            normals.append(outward)
    kept = np.concatenate(rows)
    return points[kept], group[kept], np.concatenate(normals)


def _line_through(points: F64) -> tuple[Bool, F64, F64, F64]:
    """Return which points lie on a line of neighbours, its normal and tangent, and its reach along it; each (N, 2)."""
    distance, near = cKDTree(points).query(points, k=min(len(points), 16), distance_upper_bound=_LINE_REACH_M)
    valid = np.isfinite(distance)
    neighbours = points[np.where(valid, near, 0)]
    count = valid.sum(axis=1)
    mean = (neighbours * valid[..., None]).sum(axis=1) / count[:, None]
    spread = (neighbours - mean[:, None]) * valid[..., None]
    moments, axes = np.linalg.eigh(np.einsum("nki,nkj->nij", spread, spread))
    straight = (count >= _LINE_POINTS) & (moments[:, 0] < _LINE_RATIO * moments[:, 1])
    along = np.einsum("nki,ni->nk", (neighbours - points[:, None]) * valid[..., None], axes[..., 1])
    return straight, axes[..., 0], axes[..., 1], np.stack([along.min(axis=1), along.max(axis=1)], axis=1)


def _ends(
    points: F64, straight: Bool, tangent: F64, ahead: F64, bare: set[tuple[int, int]]
) -> tuple[npt.NDArray[np.intp], F64]:
    """Return the points in which a line ends on bare road, not at the view's edge, and outward directions (N, 2)."""
    rows, outward = [], []
    for sign in (1.0, -1.0):
        low, high = (ahead[:, 0], ahead[:, 1]) if sign > 0 else (-ahead[:, 1], -ahead[:, 0])
        last = np.flatnonzero(straight & (high < _END_M) & (low < -_DASH_M))
        direction = sign * tangent[last]
        beyond = _cells(points[last] + _BEYOND_M * direction)
        open_end = np.array([tuple(cell) in bare for cell in beyond], dtype=bool)
        rows.append(last[open_end])
        outward.append(direction[open_end])
    return np.concatenate(rows), np.concatenate(outward)


def _cells(xy_m: F64) -> I64:
    return np.floor(xy_m / _THIN_M).astype(np.int64)
