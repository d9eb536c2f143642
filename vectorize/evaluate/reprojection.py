"""The reprojection error: pixels from the projected map to the nearest pixel of its class in held-out images.

It needs no true map. Sample points lie every 0.5 m along the elements where these were seen, and are projected where
they are 3 m to 20 m ahead of the camera. Each class has its target pixels: marking for dividers, stop line for stop
lines, the outline of crosswalk areas for crossings, the outline of the drivable area for boundaries. Outlines against
UNKNOWN are ignored, since a vehicle may hide the ground there. The segmentation comes from the same net as the map, so
the error measures consistency, not truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from scipy.spatial import cKDTree

from recon.arrays import F64, U8, Bool
from recon.bev.bev_map import BevMap
from recon.classes import DRIVABLE, RoadClass
from recon.drive import Camera, DriveLog
from recon.progress import Tick, silent
from recon.segment.frame_labels import FrameLabels
from recon.sensors.project import project
from vectorize.centre_lines import centre_lines
from vectorize.evaluate.paint_check import PaintCheck, verdict
from vectorize.evidence import Evidence, smooth_known
from vectorize.polyline import resample
from vectorize.road_map import ElementClass, RoadMap

CLASSES: tuple[ElementClass, ...] = ("divider", "boundary", "ped_crossing", "stop_line")
SAMPLE_M = 0.5
NEAREST_M, FARTHEST_M = 3.0, 20.0
WITHIN_PX = (1, 2, 4)
DENSE_M = 0.02  # 3 m ahead of a camera with a focal length of 1000 px these are 3 px apart
ROW_STEPS = 20_000  # of the ground ahead, of which each row gets its share
PAINTED = 0.3  # marking probability from which a cell counts as painted


def reprojection_error(
    drive: DriveLog,
    labels: FrameLabels,
    road_map: RoadMap,
    frames: Sequence[int],
    *,
    bev: BevMap | None = None,
    beside: RoadMap | None = None,
    tick: Tick = silent,
) -> dict[str, Any]:
    """Return the distances in pixels from projected dividers to marking pixels of the given (held-out) frames.

    `all_*` uses every sample point that is not hidden. `painted_*` uses those where `bev` (if given) has paint, since a
    gap between two dashes has no target pixel. `common_*` uses those of them at which `beside`, another map of the
    place, has a divider too.
    An image without marking pixels or without sample points is counted in `images_skipped`.
    `marks_within_px` is the other direction. It takes the middles of all marks of these images, in the rows of flat
    ground 3 m to 20 m ahead, and gives the share within so many pixels of a seen stretch of a divider; `marks_met` is
    the share within 4 px.
    `classes` holds the error of every class. `check` holds what these errors cannot see (`paint_check`), the share of
    painted metres that no divider meets, and a verdict.
    """
    check = PaintCheck(road_map, np.array([frame.world_from_ego[:2, 3] for frame in drive.frames]))
    points, dense = sample_points(road_map, "divider"), sample_points(road_map, "divider", step_m=DENSE_M)
    painted = _painted(bev, points) if bev is not None else np.ones(len(points), dtype=bool)
    common = painted & _close_to(points, sample_points(beside, "divider")) if beside is not None else painted
    wanted = set(frames)
    images = {(image.frame, image.camera): image for image in labels.images}
    distances, chosen, left = [np.zeros(0)], [np.zeros((0, 2), bool)], [np.zeros((0, 2))]
    skipped = used = 0
    by_class = ClassErrors(road_map)
    rows = {camera.name: row_metres(camera, drive.ground_z_ego_m) for camera in drive.cameras}
    todo = [entry for entry in drive.images() if entry[0] in wanted]
    for done, (index, frame, image) in enumerate(todo, start=1):
        labelled = images.get((index, image.camera))
        if labelled is None:
            continue
        ids, camera, pose = labels.read(labelled).ids, drive.camera(image.camera), frame.pose_of(image)
        by_class.add(ids, camera, pose)
        check.add(ids, camera, pose)
        uv, inside = _ahead(camera, pose, points)
        inside[inside] = _unoccluded(ids, uv[inside])
        marks = ids == RoadClass.LANE_MARKING
        left.append(_from_marks(marks, rows[camera.name], _ahead(camera, pose, dense)))
        if not marks.any() or not inside.any():
            skipped += 1
            continue
        used += 1
        distances.append(_distance_to(marks, uv[inside]))
        chosen.append(np.c_[painted, common][inside])
        tick(done, len(todo), "images")
    every, picks, missed = np.concatenate(distances), np.concatenate(chosen), np.concatenate(left)
    figures = {"all": _figures(every), "painted": _figures(every[picks[:, 0]])}
    if beside is not None:
        figures["common"] = _figures(every[picks[:, 1]])
    missed_px, painted_m = missed.T
    checked = {
        **check.record(),
        "paint_missed": _share(missed_px > WITHIN_PX[-1], painted_m),
        "median_px": figures["painted"]["median_px"],
    }
    return {
        "images": used,
        "images_skipped": skipped,
        "marks": len(missed),
        "marks_within_px": _within(missed_px),
        "marks_met": _within(missed_px)["4"],
        **{f"{name}_{key}": value for name, entry in figures.items() for key, value in entry.items()},
        "median_px": figures["painted"]["median_px"],
        "classes": by_class.record(),
        "check": {**checked, "verdict": verdict(checked)},
    }


def sample_points(road_map: RoadMap, element_class: ElementClass, *, step_m: float = SAMPLE_M) -> F64:
    """Return (N, 3) points along the seen stretches of a class; elements without heights are left out."""
    result: list[F64] = [np.zeros((0, 3))]
    for element in road_map.of(element_class):
        vertices, seen = element.vertices, element.seen
        if vertices.shape[1] != 3 or not np.isfinite(vertices).all():
            continue
        if element.closed:
            vertices, seen = np.concatenate([vertices, vertices[:1]]), np.concatenate([seen, seen[:1]])
        for i in np.flatnonzero(seen[:-1] & seen[1:]):
            result.append(resample(vertices[i : i + 2], step_m)[:-1])
    return np.concatenate(result)


def target_pixels(ids: U8, element_class: ElementClass) -> Bool:
    """Return (H, W) the pixels of an id image on which elements of the class should be projected."""
    if element_class in ("divider", "stop_line"):
        paint: Bool = ids == (RoadClass.LANE_MARKING if element_class == "divider" else RoadClass.STOP_LINE)
        return paint
    inside = ids == RoadClass.CROSSWALK if element_class == "ped_crossing" else np.isin(ids, DRIVABLE)
    outside = ~inside & (ids != RoadClass.UNKNOWN)
    near = cv2.dilate(outside.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))).astype(bool)
    result: Bool = inside & near
    return result


class ClassErrors:
    """Distances of all classes, collected over images."""

    def __init__(self, road_map: RoadMap) -> None:
        self._samples = {name: sample_points(road_map, name) for name in CLASSES}
        self._distances: dict[str, list[F64]] = {name: [] for name in CLASSES}
        self._without_pixels = dict.fromkeys(CLASSES, 0)

    def add(self, ids: U8, camera: Camera, world_from_ego: F64) -> None:
        """Measure one image."""
        for name, points in self._samples.items():
            if not len(points):
                continue
            uv, inside = _ahead(camera, world_from_ego, points)
            if not inside.any():
                continue
            wanted = target_pixels(ids, name)
            if not wanted.any():
                self._without_pixels[name] += 1
                continue
            self._distances[name].append(_distance_to(wanted, uv[inside][_unoccluded(ids, uv[inside])]))

    def record(self) -> dict[str, Any]:
        """Return per class: images and sample points used, their distances, and the reason if there are none."""
        body: dict[str, Any] = {}
        for name in CLASSES:
            every = np.concatenate([np.zeros(0), *self._distances[name]])
            why = ""
            if not len(self._samples[name]):
                why = f"the map has no {name} with seen vertices and heights"
            elif not every.size:
                why = f"no held-out image shows a {name} within {FARTHEST_M:.0f} m"
            body[name] = {
                "images": len(self._distances[name]),
                "images_without_pixels": self._without_pixels[name],
                **_figures(every),
                "why": why,
            }
        return body


def ground_rows(camera: Camera, ground_z_ego_m: float) -> tuple[int, int]:
    """Return the rows (first, end) of an image in which flat ground lies NEAREST_M to FARTHEST_M ahead."""
    forward = camera.ego_from_camera[:2, 2]
    if np.linalg.norm(forward) < 0.5:  # a camera that faces straight down has no such rows
        return 0, camera.height_px
    ahead = np.linspace(NEAREST_M, FARTHEST_M, 200)[:, None] * forward / np.linalg.norm(forward)
    ground = np.c_[camera.ego_from_camera[:2, 3] + ahead, np.full(len(ahead), ground_z_ego_m)]
    uv, depth, _ = project(camera, np.eye(4), ground)
    row = np.clip(uv[depth > 0, 1], 0, camera.height_px)
    return (int(row.min()), int(np.ceil(row.max()))) if row.size else (0, 0)


def row_metres(camera: Camera, ground_z_ego_m: float) -> F64:
    """Return (H,) how many metres of flat ground each row of an image spans ahead; 0 in rows without such ground."""
    first, end = ground_rows(camera, ground_z_ego_m)
    metres = np.zeros(camera.height_px)
    forward = camera.ego_from_camera[:2, 2]
    if np.linalg.norm(forward) < 0.5:
        metres[first:end] = 1.0
        return metres
    away = np.linspace(NEAREST_M, FARTHEST_M, ROW_STEPS)
    ahead = away[:, None] * forward / np.linalg.norm(forward)
    ground = np.c_[camera.ego_from_camera[:2, 3] + ahead, np.full(len(ahead), ground_z_ego_m)]
    uv, depth, _ = project(camera, np.eye(4), ground)
    row = np.floor(uv[depth > 0, 1]).astype(int)
    counts = np.bincount(row[(row >= first) & (row < end)], minlength=camera.height_px)[: camera.height_px]
    metres[first:end] = counts[first:end] * (FARTHEST_M - NEAREST_M) / ROW_STEPS
    return metres


def _ahead(camera: Camera, world_from_ego: F64, points: F64) -> tuple[F64, Bool]:
    uv, depth, inside = project(camera, world_from_ego, points)
    result: Bool = inside & (depth >= NEAREST_M) & (depth <= FARTHEST_M)
    return uv, result


def _unoccluded(ids: U8, uv: F64) -> Bool:
    """Return (N,) whether the pixels at points show the ground: UNKNOWN pixels may hide it."""
    column, row = np.floor(uv).astype(int).T
    result: Bool = ids[row, column] != RoadClass.UNKNOWN
    return result


def _painted(bev: BevMap, points: F64) -> Bool:
    evidence = Evidence.of(bev, min_views=1)
    smoothed = smooth_known(evidence.marking, evidence.known, max(0.12 / bev.grid.cell_m, 0.7))
    result: Bool = evidence.sample(smoothed, points[:, :2]) >= PAINTED
    return result


def _close_to(points: F64, others: F64) -> Bool:
    if not len(points) or not len(others):
        return np.zeros(len(points), dtype=bool)
    result: Bool = np.asarray(cKDTree(others[:, :2]).query(points[:, :2])[0]) <= SAMPLE_M
    return result


def _distance_to(pixels: Bool, uv: F64) -> F64:
    """Return the distance in pixels from each point to the nearest of the pixels (0 inside one)."""
    away = cv2.distanceTransform((~pixels).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    column, row = np.floor(uv).astype(int).T
    result: F64 = away[row, column].astype(np.float64)
    return result


def _from_marks(marks: Bool, row_m: F64, dense: tuple[F64, Bool]) -> F64:
    """Return (M, 2) of the middles of marks in the rows of the ground: pixels to the nearest projected point, metres.

    Without a projected point the distance is infinite. The metres are those of ground that the pixel's row spans. Near
    the camera a mark is many pixels wide, so its outline is far from the middle, along which a divider runs.
    """
    where = np.argwhere(centre_lines(marks) & (row_m > 0)[:, None])
    uv, inside = dense
    if not inside.any():
        return np.stack([np.full(len(where), np.inf), row_m[where[:, 0]]], axis=1)
    drawn = np.zeros_like(marks)
    column, row = np.floor(uv[inside]).astype(int).T
    drawn[row, column] = True
    away = _distance_to(drawn, where[:, ::-1].astype(np.float64))
    return np.stack([away, row_m[where[:, 0]]], axis=1)


def _share(chosen: Bool, weight: F64) -> float | None:
    total = float(weight.sum())
    return round(float(weight[chosen].sum()) / total, 4) if total > 0 else None


def _within(distances: F64) -> dict[str, float | None]:
    return {str(px): round(float((distances <= px).mean()), 4) if distances.size else None for px in WITHIN_PX}


def _figures(distances: F64) -> dict[str, Any]:
    """Return number, median, mean, 90 % quantile and the shares within 1, 2 and 4 px."""
    if not distances.size:
        return {"samples": 0, "median_px": None, "mean_px": None, "p90_px": None, "within_px": _within(distances)}
    values = {
        "median_px": np.median(distances),
        "mean_px": distances.mean(),
        "p90_px": np.quantile(distances, 0.9),
    }
    rounded = {name: round(float(value), 3) for name, value in values.items()}
    return {"samples": int(distances.size), **rounded, "within_px": _within(distances)}
