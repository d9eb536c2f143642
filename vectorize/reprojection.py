"""How far the map of each class lies from what images say, in pixels: the measure where no true map exists.

Elements are sampled every 0.5 m where they were seen and projected where they lie 3 m to 20 m ahead of the camera. Each
class has its own pixels to meet: dividers marking, stop lines stop line, crossings the rim of crosswalk, boundaries the
rim of the drivable area. A rim against UNKNOWN is none: a vehicle may stand there.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from recon.classes import DRIVABLE, RoadClass
from recon.drive import Camera
from vectorize.polyline import resample
from vectorize.project import project
from vectorize.road_map import ElementClass, RoadMap

F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]
Bool = npt.NDArray[np.bool_]

CLASSES: tuple[ElementClass, ...] = ("divider", "boundary", "ped_crossing", "stop_line")
SAMPLE_M = 0.5
NEAREST_M, FARTHEST_M = 3.0, 20.0


def samples_of(road_map: RoadMap, element_class: ElementClass) -> F64:
    """Return (N, 3) points every 0.5 m along the seen stretches of a class; elements without heights have none."""
    result: list[F64] = [np.zeros((0, 3))]
    for element in road_map.of(element_class):
        vertices, seen = element.vertices, element.seen
        if vertices.shape[1] != 3 or not np.isfinite(vertices).all():
            continue
        if element.closed:
            vertices, seen = np.concatenate([vertices, vertices[:1]]), np.concatenate([seen, seen[:1]])
        for i in np.flatnonzero(seen[:-1] & seen[1:]):
            result.append(resample(vertices[i : i + 2], SAMPLE_M)[:-1])
    return np.concatenate(result)


def pixels_to_meet(ids: U8, element_class: ElementClass) -> Bool:
    """Return (H, W) the pixels of an id image that an element of the class should meet."""
    if element_class in ("divider", "stop_line"):
        paint: Bool = ids == (RoadClass.LANE_MARKING if element_class == "divider" else RoadClass.STOP_LINE)
        return paint
    inside = ids == RoadClass.CROSSWALK if element_class == "ped_crossing" else np.isin(ids, DRIVABLE)
    outside = ~inside & (ids != RoadClass.UNKNOWN)
    near = cv2.dilate(outside.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))).astype(bool)
    result: Bool = inside & near
    return result


class ClassErrors:
    """Collects distances of all classes over images."""

    def __init__(self, road_map: RoadMap) -> None:
        self._samples = {name: samples_of(road_map, name) for name in CLASSES}
        self._distances: dict[str, list[F64]] = {name: [] for name in CLASSES}
        self._bare = dict.fromkeys(CLASSES, 0)

    def add(self, ids: U8, camera: Camera, world_from_ego: F64) -> None:
        """Measure one image."""
        for name, points in self._samples.items():
            if not len(points):
                continue
            uv, depth, inside = project(camera, world_from_ego, points)
            inside &= (depth >= NEAREST_M) & (depth <= FARTHEST_M)
            if not inside.any():
                continue
            wanted = pixels_to_meet(ids, name)
            if not wanted.any():
                self._bare[name] += 1
                continue
            away = cv2.distanceTransform((~wanted).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            column, row = np.floor(uv[inside]).astype(int).T
            # What moves or hides the road says nothing about the line behind it.
            clear = ids[row, column] != RoadClass.UNKNOWN
            self._distances[name].append(away[row, column][clear].astype(np.float64))

    def record(self) -> dict[str, Any]:
        """Return per class: images and samples used, median and 90 % quantile in pixels, and why there are none."""
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
                "images_without_pixels": self._bare[name],
                "samples": int(every.size),
                "median_px": round(float(np.median(every)), 3) if every.size else None,
                "p90_px": round(float(np.quantile(every, 0.9)), 3) if every.size else None,
                "why": why,
            }
        return body
