"""Pictures of matched, missed and false elements in a patch or a site."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from recon.arrays import F64, U8
from vectorize import polyline
from vectorize.evaluate.clip import Region, clip
from vectorize.evaluate.config import CLASSES, EvaluateConfig
from vectorize.evaluate.evaluate_site import SiteArea
from vectorize.evaluate.metrics.extent import distances_along
from vectorize.evaluate.metrics.frechet import FrechetBatch
from vectorize.evaluate.metrics.matching import nearest_match
from vectorize.evaluate.metrics.pairing import pair
from vectorize.evaluate.patch import Patch
from vectorize.evaluate.scope import of_class
from vectorize.publish.pictures import COLORS_BGR
from vectorize.road_map import Element, RoadMap

# They differ in brightness too, for readers who cannot distinguish red and green; RGB as in the page's legend.
FOUND_RGB, MISSED_RGB, FALSE_RGB = (46, 204, 140), (255, 159, 28), (235, 64, 190)
BEYOND_RGB = (120, 126, 138)
KNOWN_RGB, UNKNOWN_RGB, HATCH_RGB = (40, 44, 52), (20, 22, 26), (30, 33, 39)
WIDTH_PX = {"divider": 3, "boundary": 5, "ped_crossing": 3, "stop_line": 6}
PX_PER_M = 16.0
LONG_SIDE_PX = 1800
STEP_M = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Stroke:
    """A line of the picture."""

    vertices: F64  # (N, 2) metres
    rgb: tuple[int, int, int]
    width_px: int


def patch_picture(patch: Patch, config: EvaluateConfig | None = None) -> U8:
    """Return (H, W, 3) u8 BGR: whole elements of the observed area, matched at the middle threshold.

    The vehicle faces right. Truth outside the observed area is grey.
    """
    config = config or EvaluateConfig()
    middle = config.thresholds_m[len(config.thresholds_m) // 2]
    predicted, true = (clip(s, patch.region, join_gap_m=config.join_gap_m) for s in (patch.predicted, patch.true))
    strokes = [_stroke(e, BEYOND_RGB, thin=True) for e in patch.true]
    for name in CLASSES:
        ours, theirs = of_class(predicted, name), of_class(true, name)
        pairs = pair(ours, theirs, config, FrechetBatch(config), canvas_m=patch.size_m)
        match = nearest_match(pairs.chamfer, pairs.scores, middle).tolist()
        strokes += [_stroke(e, FOUND_RGB if j in match else MISSED_RGB) for j, e in enumerate(theirs)]
        strokes += [
            _stroke(e, FOUND_RGB if match[i] >= 0 else FALSE_RGB, thin=match[i] >= 0) for i, e in enumerate(ours)
        ]
    matrix, size = _patch_frame(patch)
    picture = _background(patch.region, matrix, size)
    _draw(picture, strokes, matrix)
    _vehicle(picture, matrix)
    return picture


def plain_picture(patch: Patch) -> U8:
    """Return (H, W, 3) u8 BGR: the predictions of a patch in the colours of their classes, paler where less sure.

    The vehicle faces right; the hatched ground is not known.
    """
    matrix, size = _patch_frame(patch)
    picture = _background(patch.region, matrix, size)
    strokes = [
        _stroke(e, mixed(COLORS_BGR[e.element_class][::-1], KNOWN_RGB, 0.3 + 0.7 * e.score)) for e in patch.predicted
    ]
    _draw(picture, strokes, matrix)
    _vehicle(picture, matrix)
    return picture


def mixed(rgb: Sequence[int], other: Sequence[int], share: float) -> tuple[int, int, int]:
    """Return a colour between two, `share` of the first."""
    red, green, blue = (round(share * a + (1.0 - share) * b) for a, b in zip(rgb, other, strict=True))
    return red, green, blue


def _patch_frame(patch: Patch) -> tuple[F64, tuple[int, int]]:
    """Return picture-from-metres (2, 3) of a patch, the vehicle facing right, and (width, height)."""
    length, width = patch.size_m
    matrix = PX_PER_M * np.array([[1.0, 0.0, length / 2], [0.0, -1.0, width / 2]])
    return matrix, (round(length * PX_PER_M), round(width * PX_PER_M))


def site_picture(
    predicted: RoadMap, true: RoadMap, area: SiteArea, paths_xy_m: Sequence[F64], config: EvaluateConfig | None = None
) -> U8:
    """Return (H, W, 3) u8 BGR of a site, its longer axis along the drive; every half metre is compared separately."""
    config = config or EvaluateConfig()
    middle = config.thresholds_m[len(config.thresholds_m) // 2]
    beyond = clip(true.elements, area.labelled, join_gap_m=config.join_gap_m)
    strokes = [_stroke(e, BEYOND_RGB, thin=True) for e in beyond]
    ours, theirs = (clip(m.elements, area.observed, join_gap_m=config.join_gap_m) for m in (predicted, true))
    for name in CLASSES:
        a, b = of_class(ours, name), of_class(theirs, name)
        strokes += _strokes_by_match(b, a, middle, MISSED_RGB, WIDTH_PX[name])
        strokes += [s for s in _strokes_by_match(a, b, middle, FALSE_RGB, WIDTH_PX[name]) if s.rgb == FALSE_RGB]
    matrix, size = _site_frame(area, np.concatenate(paths_xy_m), paths_xy_m[0])
    picture = _background(area.observed, matrix, size)
    paths = [np.round((path @ matrix[:, :2].T + matrix[:, 2] - 0.5) * 16).astype(np.int32) for path in paths_xy_m]
    cv2.polylines(picture, paths, False, (150, 150, 150), 1, cv2.LINE_AA, 4)
    _draw(picture, strokes, matrix)
    return picture


def _strokes_by_match(
    side: Sequence[Element], other: Sequence[Element], threshold: float, bad: tuple[int, int, int], width: int
) -> list[Stroke]:
    """Return the lines of one side as strokes, split where found and not found stretches meet."""
    strokes = []
    for element in side:
        _, _, away = distances_along([element], other, STEP_M, threshold)
        line = element.vertices[:, :2]
        line = np.concatenate([line, line[:1]]) if element.closed else line
        along = polyline.arc_length(line)
        edges = np.linspace(0.0, along[-1], len(away) + 1)
        points = np.stack([np.interp(edges, along, line[:, k]) for k in (0, 1)], axis=1)
        for mask, rgb in ((away <= threshold, FOUND_RGB), (away > threshold, bad)):
            strokes += [Stroke(points[a : b + 1], rgb, width) for a, b in polyline.runs(mask)]
    return strokes


def _stroke(element: Element, rgb: tuple[int, int, int], *, thin: bool = False) -> Stroke:
    line = element.vertices[:, :2]
    width = WIDTH_PX.get(element.element_class, 1)
    return Stroke(
        np.concatenate([line, line[:1]]) if element.closed else line, rgb, max(1, width // 3) if thin else width
    )


def _draw(picture: U8, strokes: Sequence[Stroke], matrix: F64) -> None:
    # Wide strokes are drawn first, so that thin ones on top of them stay visible.
    order = sorted(strokes, key=lambda s: (s.rgb == FALSE_RGB, -s.width_px))
    order = [s for s in order if s.rgb == BEYOND_RGB] + [s for s in order if s.rgb != BEYOND_RGB]
    for stroke in order:
        px = stroke.vertices @ matrix[:, :2].T + matrix[:, 2]
        fixed = [np.round((px - 0.5) * 16).astype(np.int32)]
        cv2.polylines(picture, fixed, False, stroke.rgb[::-1], stroke.width_px, cv2.LINE_AA, 4)


def _background(region: Region, matrix: F64, size: tuple[int, int]) -> U8:
    """Return the picture with a plain observed area and hatched ground elsewhere."""
    metres_from_px = np.linalg.inv(np.vstack([matrix, [0.0, 0.0, 1.0]]))
    mask_from_px = np.vstack([region.px_from_m, [0.0, 0.0, 1.0]]) @ metres_from_px
    # cv2 counts pixels from their centres.
    shift = mask_from_px[:2, :2] @ np.array([0.5, 0.5]) + mask_from_px[:2, 2] - 0.5
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    known = cv2.warpAffine(region.known.astype(np.uint8), np.c_[mask_from_px[:2, :2], shift], size, flags=flags) > 0
    column, row = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    hatch = ((column + row) % 12 < 2)[..., None]
    unknown = np.where(hatch, HATCH_RGB, UNKNOWN_RGB)
    picture: U8 = np.where(known[..., None], KNOWN_RGB, unknown)[..., ::-1].astype(np.uint8).copy()
    return picture


def _vehicle(picture: U8, matrix: F64) -> None:
    car = np.array([[3.5, 0.0], [2.6, 0.95], [-1.0, 0.95], [-1.0, -0.95], [2.6, -0.95]])
    px = np.round((car @ matrix[:, :2].T + matrix[:, 2] - 0.5) * 16).astype(np.int32)
    cv2.polylines(picture, [px], True, (200, 200, 200), 1, cv2.LINE_AA, 4)


def _site_frame(area: SiteArea, places: F64, first: F64) -> tuple[F64, tuple[int, int]]:
    """Return picture-from-metres (2, 3) and (width, height): the trips' longer axis runs right, as the first trip."""
    rows, columns = np.nonzero(area.labelled.known)
    every = max(1, len(rows) // 20000)
    ground = area.grid.to_m(np.stack([columns + 0.5, rows + 0.5], axis=1)[::every])
    centred = places - places.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    axis = axes[:, 1] * (1.0 if axes[:, 1] @ (first[-1] - first[0]) >= 0 else -1.0)
    rotation = np.array([[axis[0], axis[1]], [axis[1], -axis[0]]])  # rows of a picture run down
    turned = ground @ rotation.T
    low, high = turned.min(axis=0) - 1.0, turned.max(axis=0) + 1.0
    scale = min(LONG_SIDE_PX / float((high - low).max()), PX_PER_M)
    width, height = np.ceil((high - low) * scale).astype(int).tolist()
    return np.c_[rotation, -low] * scale, (width, height)


def png(picture: U8) -> bytes:
    """Return a picture as PNG."""
    done, data = cv2.imencode(".png", picture)
    assert done
    result: Any = data.tobytes()
    return bytes(result)
