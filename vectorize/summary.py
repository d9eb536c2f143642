"""What a map holds, in numbers: elements, metres, coverage, reprojection error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from recon.bev import BevMap
from recon.classes import RoadClass
from recon.drive import DriveLog
from recon.progress import Tick, silent
from recon.segment.frame_labels import FrameLabels
from vectorize.labels import LabelSet
from vectorize.polyline import length_of, resample
from vectorize.project import project
from vectorize.reprojection import ClassErrors
from vectorize.road_map import RoadMap
from vectorize.seen import Evidence, smooth_known

F64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

SAMPLE_M = 0.5
NEAREST_M, FARTHEST_M = 3.0, 20.0
MET_PX = 4.0  # samples 0.5 m apart project up to 8 px from each other
PAINTED = 0.3  # marking probability from which a place of the raster counts as painted


def map_summary(road_map: RoadMap, labels: LabelSet | None = None) -> dict[str, Any]:
    """Return elements, metres, seen share and mean score per class, and the labels' coverage (share of cells known)."""
    classes: dict[str, dict[str, Any]] = {}
    for name in ("divider", "boundary", "ped_crossing", "stop_line"):
        elements = [e for e in road_map.elements if e.element_class == name]
        lengths = [length_of(e.vertices, closed=e.closed) for e in elements]
        styles = [e.style for e in elements]
        classes[name] = {
            "elements": len(elements),
            "length_m": round(sum(lengths), 2),
            "longest_m": round(max(lengths, default=0.0), 2),
            "score": round(float(np.average([e.score for e in elements], weights=lengths)), 4) if elements else 0.0,
        }
        if name == "divider":
            classes[name]["styles"] = {style: styles.count(style) for style in sorted(set(styles))}
    body: dict[str, Any] = {"classes": classes}
    if labels is not None and labels.labels:
        body["keyframes"] = len(labels.labels)
        body["coverage"] = round(float(np.mean([one.coverage for one in labels.labels])), 4)
    return body


def reprojection_error(
    drive: DriveLog,
    labels: FrameLabels,
    road_map: RoadMap,
    frames: Sequence[int],
    *,
    bev: BevMap | None = None,
    tick: Tick = silent,
) -> dict[str, Any]:
    """Return how far projected dividers lie from marking pixels of the given (held-out) frames, in pixels.

    Dividers are sampled every 0.5 m where they were seen, and projected where they lie 3 m to 20 m ahead of the camera
    and inside the image. `all_*` counts every sample; `painted_*` only those where `bev` (if given) shows paint, since
    the gap between two dashes has no pixel to meet. An image without a marking pixel is counted in `images_skipped`.
    `marks_met` is the other direction: of the marking pixels in the rows between the nearest and farthest sample of an
    image, the share within MET_PX of one. The labels come from the same net: this measures consistency, not truth.
    `classes` holds the error of every class, see vectorize/reprojection.py.
    """
    points = divider_samples(road_map)
    painted = _painted(bev, points) if bev is not None else np.ones(len(points), dtype=bool)
    wanted = set(frames)
    images = {(image.frame, image.camera): image for image in labels.images}
    distances: list[F64] = []
    met = marked = 0
    on_paint: list[Bool] = []
    skipped = used = 0
    by_class = ClassErrors(road_map)
    todo = [entry for entry in drive.images() if entry[0] in wanted]
    for done, (index, frame, image) in enumerate(todo, start=1):
        labelled = images.get((index, image.camera))
        if labelled is None:
            continue
        ids = labels.read(labelled).ids
        by_class.add(ids, drive.camera(image.camera), frame.pose_of(image))
        uv, depth, inside = project(drive.camera(image.camera), frame.pose_of(image), points)
        inside &= (depth >= NEAREST_M) & (depth <= FARTHEST_M)
        marks = ids == RoadClass.LANE_MARKING
        if not marks.any() or not inside.any():
            skipped += 1
            continue
        used += 1
        distances.append(_nearest_px(marks, uv[inside]))
        found, all_marks = _marks_met(marks, uv[inside])
        met, marked = met + found, marked + all_marks
        on_paint.append(painted[inside])
        tick(done, len(todo), "images")
    every = np.concatenate([np.zeros(0), *distances])
    paint = every[np.concatenate([np.zeros(0, bool), *on_paint])]
    return {
        "images": used,
        "images_skipped": skipped,
        "marks_met": round(met / marked, 4) if marked else None,
        **_quantiles("all", every),
        **_quantiles("painted", paint),
        "median_px": _median(paint),
        "classes": by_class.record(),
    }


def divider_samples(road_map: RoadMap) -> F64:
    """Return (N, 3) points every 0.5 m along the seen stretches of all dividers."""
    result: list[F64] = [np.zeros((0, 3))]
    for element in road_map.of("divider"):
        if element.vertices.shape[1] != 3:
            continue
        both = element.seen[:-1] & element.seen[1:]
        for i in np.flatnonzero(both):
            result.append(resample(element.vertices[i : i + 2], SAMPLE_M)[:-1])
    return np.concatenate(result)


def _painted(bev: BevMap, points: F64) -> Bool:
    evidence = Evidence.of(bev, min_views=1)
    smoothed = smooth_known(evidence.marking, evidence.known, max(0.12 / bev.grid.cell_m, 0.7))
    result: Bool = evidence.sample(smoothed, points[:, :2]) >= PAINTED
    return result


def _nearest_px(marks: Bool, uv: F64) -> F64:
    """Return the distance in pixels from each point to the nearest marking pixel (0 inside one)."""
    away = cv2.distanceTransform((~marks).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    column, row = np.floor(uv).astype(int).T
    result: F64 = away[row, column].astype(np.float64)
    return result


def _marks_met(marks: Bool, uv: F64) -> tuple[int, int]:
    """Return how many marking pixels between the outermost samples' rows lie near a sample, and how many there are."""
    column, row = np.floor(uv).astype(int).T
    away = np.ones(marks.shape, np.uint8)
    away[row, column] = 0
    distance = cv2.distanceTransform(away, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    between = marks.copy()
    between[: row.min()] = False
    between[row.max() + 1 :] = False
    return int((between & (distance <= MET_PX)).sum()), int(between.sum())


def _median(values: F64) -> float | None:
    return round(float(np.median(values)), 3) if values.size else None


def _quantiles(name: str, values: F64) -> dict[str, Any]:
    p90 = round(float(np.quantile(values, 0.9)), 3) if values.size else None
    return {f"{name}_vertices": int(values.size), f"{name}_median_px": _median(values), f"{name}_p90_px": p90}
