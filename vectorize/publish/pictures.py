"""Pictures of a site: the bird's-eye map with its polylines, and the polylines drawn back into camera images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np

from recon.arrays import F64, I32, U8, Bool
from recon.artifact import write_atomic
from recon.bev.bev_map import BevMap
from recon.classes import COLORS_RGB, RoadClass
from recon.drive import DriveLog
from recon.grid import Grid
from vectorize import polyline
from vectorize.publish.overlay import draw_overlays
from vectorize.road_map import AREA_CLASSES, Element, RoadMap, Style

LONG_SIDE_PX = 2000
COLORS_BGR = {
    "divider": (0, 205, 255),
    "boundary": (80, 80, 255),
    "ped_crossing": (255, 170, 70),
    "stop_line": (110, 230, 60),
    "centerline": (220, 200, 200),
    "hatched": (220, 120, 196),
}
WIDTH_PX = {"divider": 2, "boundary": 3, "ped_crossing": 2, "stop_line": 4, "centerline": 1, "hatched": 1}
PAIRS = {"double": (False, False), "solid_dashed": (False, True), "dashed_solid": (True, False)}  # left, right dashed
DASH_PX, DASH_SHARE = 24.0, 0.6  # of the dashed line of a pair
PALE_DIVIDER = (195, 230, 245)  # of unknown style: solid and dashed ones have the full colour
NIGHT = (26, 22, 20)
HATCH = (46, 40, 37)
PLAIN = (64, 58, 54)
TEXT = (225, 225, 225)
PATH = (190, 190, 190)
FOOT_PX, ROW_PX = 64, 36  # height of a strip with one row of symbols, of every further row


@dataclass(frozen=True, slots=True)
class Viewport:
    """From world metres to pixels of a picture: rotated so that the drive runs left to right."""

    matrix: F64  # (2, 3): picture px from world x, y
    width: int
    height: int
    px_per_m: float
    turn_rad: float  # world angle that points right in the picture

    def to_px(self, xy_m: F64) -> F64:
        """Return (N, 2) picture pixels of world points."""
        result: F64 = xy_m[:, :2] @ self.matrix[:, :2].T + self.matrix[:, 2]
        return result


def draw(drive: DriveLog, bev: BevMap, road_map: RoadMap, folder: Path, *, overlays: int = 6) -> list[Path]:
    """Write bev_color.png, bev_classes.png, overlay_<n>.png and overlays.png (contact sheet); return their paths."""
    viewport = _viewport(drive, bev.grid, bev.seen)
    paths = []
    for name, base in (("bev_color", _colour(bev, viewport)), ("bev_classes", _classes(bev, viewport))):
        paths.append(_save(folder / f"{name}.png", _site(drive, base, bev.grid, bev.seen, road_map, viewport, name)))
    for name, picture in draw_overlays(drive, road_map, count=overlays, colors=COLORS_BGR, widths=WIDTH_PX):
        paths.append(_save(folder / f"{name}.png", picture))
    return paths


def map_picture(drive: DriveLog, road_map: RoadMap, grid: Grid, seen: Bool) -> U8:
    """Return (H, W, 3) BGR of a map without a raster behind it; ground outside of `seen` (H, W) is hatched."""
    viewport = _viewport(drive, grid, seen)
    plain = np.full((viewport.height, viewport.width, 3), PLAIN, dtype=np.uint8)
    return _site(drive, plain, grid, seen, road_map, viewport, "")


def _site(drive: DriveLog, base: U8, grid: Grid, seen: Bool, road_map: RoadMap, viewport: Viewport, name: str) -> U8:
    picture = _hatched(base, grid, seen, viewport)
    _lines(picture, road_map, drive, viewport)
    return np.vstack([picture, _foot(road_map, viewport, name)])


def _save(path: Path, picture: U8) -> Path:
    done, data = cv2.imencode(".png", picture)
    if not done:
        raise AssertionError(f"{path.name} did not encode as PNG")
    write_atomic(path, data.tobytes())
    return path


def _viewport(drive: DriveLog, grid: Grid, seen_cells: Bool) -> Viewport:
    """Choose rotation and scale: the path's main axis runs right, its travel direction too, if it is elongated."""
    path = drive.path_xy_m()
    rows, columns = np.nonzero(seen_cells)
    seen = grid.to_m(np.stack([columns + 0.5, rows + 0.5], axis=1)[:: max(1, len(rows) // 20000)])
    seen = seen if len(seen) else grid.to_m(np.array([[0.0, 0.0], [grid.width, grid.height]]))
    centred = path - path.mean(axis=0)
    spread, axes = np.linalg.eigh(centred.T @ centred / max(len(path), 1))
    turn = 0.0
    if len(path) > 1 and spread[1] > 4 * max(spread[0], 1e-9):
        axis = axes[:, 1] * (1 if axes[:, 1] @ (path[-1] - path[0]) >= 0 else -1)
        turn = float(np.arctan2(axis[1], axis[0]))
    cosine, sine = np.cos(turn), np.sin(turn)
    rotation = np.array([[cosine, sine], [sine, -cosine]])  # picture y points down
    turned = seen @ rotation.T
    low, high = turned.min(axis=0) - 1.0, turned.max(axis=0) + 1.0
    scale = LONG_SIDE_PX / float((high - low).max())
    width, height = np.ceil((high - low) * scale).astype(int).tolist()
    matrix = np.c_[rotation, -low] * scale
    return Viewport(matrix, max(width, 900), max(height, 120), scale, turn)


def _warp(raster: Any, grid: Grid, viewport: Viewport, interpolation: int) -> U8:
    """Return a raster of the site as the picture shows it."""
    # cv2 puts pixel centres at whole numbers, Grid at +0.5: both halves go into the translation.
    world_from_cell = np.array(
        [[grid.cell_m, 0, grid.west_m + 0.5 * grid.cell_m], [0, -grid.cell_m, grid.north_m - 0.5 * grid.cell_m]]
    )
    linear = viewport.matrix[:, :2] @ world_from_cell[:, :2]
    shift = viewport.matrix[:, :2] @ world_from_cell[:, 2] + viewport.matrix[:, 2] - 0.5
    size = (viewport.width, viewport.height)
    result: Any = cv2.warpAffine(raster, np.c_[linear, shift], size, flags=interpolation, borderValue=0)
    return result  # type: ignore[no-any-return]


def _colour(bev: BevMap, viewport: Viewport) -> U8:
    """Return the ground's colours; what stands on the ground is smeared along the line of sight, so it is dimmed."""
    picture = _warp(bev.rgb[..., ::-1].copy(), bev.grid, viewport, cv2.INTER_LINEAR).astype(np.float32)
    standing = bev.class_probability[..., RoadClass.BACKGROUND].astype(np.float32)
    share = cv2.GaussianBlur(_warp(standing, bev.grid, viewport, cv2.INTER_LINEAR).astype(np.float32), (0, 0), 3)[
        ..., None
    ]
    grey = picture.mean(axis=-1, keepdims=True)
    dimmed = 0.22 * (0.35 * picture + 0.65 * grey) + 14
    result: U8 = np.clip(picture * (1 - share) + dimmed * share, 0, 255).astype(np.uint8)
    return result


def _classes(bev: BevMap, viewport: Viewport) -> U8:
    ids = bev.class_probability.argmax(axis=-1).astype(np.uint8)
    result: U8 = COLORS_RGB[_warp(ids, bev.grid, viewport, cv2.INTER_NEAREST)][..., ::-1].copy()
    return result


def _hatched(picture: U8, grid: Grid, seen: Bool, viewport: Viewport) -> U8:
    """Return the picture with unseen ground as dark hatching."""
    unseen = _warp((seen * 255).astype(np.uint8), grid, viewport, cv2.INTER_LINEAR) < 128
    column, row = np.meshgrid(np.arange(viewport.width), np.arange(viewport.height))
    stripes = ((column + row) % 14 < 2)[..., None]
    result: U8 = np.where(unseen[..., None], np.where(stripes, HATCH, NIGHT), picture).astype(np.uint8)
    return result


def _lines(picture: U8, road_map: RoadMap, drive: DriveLog, viewport: Viewport) -> None:
    path = viewport.to_px(drive.path_xy_m())
    cv2.polylines(picture, [_fixed(path)], False, PATH, 1, cv2.LINE_AA, 4)
    areas = picture.copy()
    for element in (e for name in AREA_CLASSES for e in road_map.of(name)):
        points = [_fixed(viewport.to_px(element.vertices))]
        cv2.fillPoly(areas, points, COLORS_BGR[element.element_class], cv2.LINE_AA, 4)
    cv2.addWeighted(areas, 0.35, picture, 0.65, 0, dst=picture)
    order = ("centerline", "hatched", "ped_crossing", "boundary", "divider", "stop_line")
    for element in sorted(road_map.elements, key=lambda e: order.index(e.element_class)):
        for stretch, width in _strokes(element, viewport):
            points = [_fixed(stretch)]
            cv2.polylines(picture, points, False, (0, 0, 0), width + 2, cv2.LINE_AA, 4)
        for stretch, width in _strokes(element, viewport):
            color = _color(element.element_class, element.style)
            cv2.polylines(picture, [_fixed(stretch)], False, color, width, cv2.LINE_AA, 4)


def _color(element_class: str, style: str) -> tuple[int, int, int]:
    return PALE_DIVIDER if (element_class, style) == ("divider", "unknown") else COLORS_BGR[element_class]


def _fixed(points: F64) -> I32:
    return np.round((points - 0.5) * 16).astype(np.int32)


def _strokes(element: Element, viewport: Viewport) -> list[tuple[F64, int]]:
    """Return (pixel polyline, width) pieces: dashed dividers as dashes, unseen stretches thin."""
    vertices, seen = element.vertices[:, :2], element.seen
    if element.closed:
        vertices, seen = np.r_[vertices, vertices[:1]], np.r_[seen, seen[:1]]
    along = polyline.arc_length(vertices)
    count = max(2, round(along[-1] / 0.25) + 1)
    position = np.linspace(0, along[-1], count)
    dense = np.stack([np.interp(position, along, column) for column in vertices.T], axis=1)
    visible = np.interp(position, along, seen.astype(float)) > 0.99
    width = WIDTH_PX[element.element_class]
    ink = position % 3.0 < 2.0 if element.style == "dashed" else np.ones(count, dtype=bool)
    strokes = []
    for mask, size in ((ink & visible, width), (ink & ~visible, 1)):
        for start, stop in polyline.runs(mask):
            first = max(0, start - 1) if element.style != "dashed" else start
            if stop - first >= 2:
                strokes.append((viewport.to_px(dense[first:stop]), size))
    if element.style not in PAIRS:
        return strokes
    result = []
    for points, size in strokes:
        # Rows of a picture grow downwards, so its left normal is the right one of the map.
        normal = polyline.left_normals(polyline.tangents(points))
        for sign, dashed in zip((-1, 1), PAIRS[element.style], strict=True):
            ink = _along_px(points) % DASH_PX < DASH_SHARE * DASH_PX if dashed else np.ones(len(points), dtype=bool)
            line = points + sign * 2.5 * normal
            result += [(line[a:b], size) for a, b in polyline.runs(ink) if b - a >= 2]
    return result


def _along_px(points: F64) -> F64:
    result: F64 = np.r_[0.0, np.cumsum(np.hypot(*np.diff(points, axis=0).T))]
    return result


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """One symbol of the legend with its text."""

    text: str
    wide_px: int
    paint: Callable[[U8, int, int], None]  # on the strip, from x, around y

    @property
    def size_px(self) -> int:
        """Width with text and the gap to the next one."""
        return self.wide_px + 8 + _text_px(self.text) + 24


def _foot(road_map: RoadMap, viewport: Viewport, name: str) -> U8:
    """Return the strip below the map: legend, in as many rows as it takes, scale bar, north arrow."""
    bar_m = next((m for m in (100, 50, 20, 10, 5, 2, 1) if m * viewport.px_per_m <= 0.14 * viewport.width), 1)
    bar_px = round(bar_m * viewport.px_per_m)
    rows: list[list[LegendEntry]] = [[]]
    for entry in _legend(road_map, name):
        if rows[-1] and sum(e.size_px for e in [*rows[-1], entry]) > viewport.width - bar_px - 140:
            rows.append([])
        rows[-1].append(entry)
    foot = np.full((FOOT_PX + ROW_PX * (len(rows) - 1), viewport.width, 3), 18, dtype=np.uint8)
    for number, row in enumerate(rows):
        x, middle = 20, FOOT_PX // 2 + ROW_PX * number
        for entry in row:
            entry.paint(foot, x, middle)
            _write(foot, entry.text, x + entry.wide_px + 8, middle)
            x += entry.size_px
    _scale_and_north(foot, viewport, FOOT_PX // 2, bar_m, bar_px)
    return foot


def _legend(road_map: RoadMap, name: str) -> list[LegendEntry]:
    styles = {e.style for e in road_map.of("divider")}
    present = {e.element_class for e in road_map.elements}
    lines: list[tuple[str, str]] = [("divider", style) for style in get_args(Style) if style in styles]
    lines += [(c, "") for c in ("boundary", "ped_crossing", "stop_line", "hatched") if c in present]
    entries = []
    for element_class, style in lines:
        text = f"{element_class.replace('_', ' ')} {style}".strip().replace("unknown", "(style unknown)")
        entries.append(LegendEntry(text, 56, partial(_line_symbol, element_class, style)))
    entries.append(LegendEntry("never seen", 30, _hatch_symbol))
    # A thin light line along the street could be mistaken for missed paint, so the legend names it.
    entries.append(LegendEntry("path driven", 56, lambda foot, x, y: _stroke(foot, (x, y), (x + 56, y), PATH, 1)))
    if name == "bev_classes":
        for road_class in (RoadClass.ROAD, RoadClass.LANE_MARKING, RoadClass.CURB, RoadClass.OFF_ROAD):
            entries.append(
                LegendEntry(road_class.name.lower().replace("_", " "), 18, partial(_area_symbol, road_class))
            )
    return entries


def _line_symbol(element_class: str, style: str, foot: U8, x: int, y: int) -> None:
    color, width = _color(element_class, style), WIDTH_PX[element_class]
    sides = zip((-3, 3), PAIRS[style], strict=True) if style in PAIRS else [(0, style == "dashed")]
    for dy, dashed in sides:
        for a, b in [(0, 14), (21, 35), (42, 56)] if dashed else [(0, 56)]:
            _stroke(foot, (x + a, y + dy), (x + b, y + dy), color, width)


def _hatch_symbol(foot: U8, x: int, y: int) -> None:
    cv2.rectangle(foot, (x, y - 9), (x + 30, y + 9), NIGHT, -1)
    for k in range(-9, 30, 10):
        cv2.line(foot, (x + max(k, 0), y + 9 - max(-k, 0)), (x + min(k + 18, 30), y - 9), HATCH, 2)


def _area_symbol(road_class: RoadClass, foot: U8, x: int, y: int) -> None:
    cv2.rectangle(foot, (x, y - 9), (x + 18, y + 9), COLORS_RGB[road_class][::-1].tolist(), -1)


def _stroke(foot: U8, start: tuple[int, int], end: tuple[int, int], color: Sequence[int], width: int) -> None:
    cv2.line(foot, start, end, tuple(color), width, cv2.LINE_AA)


def _text_px(text: str) -> int:
    return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.55, 1)[0][0])


def _write(foot: U8, text: str, x: int, middle: int) -> None:
    cv2.putText(foot, text, (x, middle + 6), cv2.FONT_HERSHEY_SIMPLEX, 0.55, TEXT, 1, cv2.LINE_AA)


def _scale_and_north(foot: U8, viewport: Viewport, middle: int, bar_m: int, bar_px: int) -> None:
    right = viewport.width - 90
    cv2.line(foot, (right - bar_px, middle + 8), (right, middle + 8), TEXT, 2, cv2.LINE_AA)
    for x in (right - bar_px, right):
        cv2.line(foot, (x, middle + 2), (x, middle + 14), TEXT, 2, cv2.LINE_AA)
    _write(foot, f"{bar_m} m", right - bar_px // 2 - 18, middle - 12)
    # World north, turned as the picture is.
    north = np.array([np.sin(viewport.turn_rad), -np.cos(viewport.turn_rad)])
    centre = np.array([viewport.width - 40, middle])
    tail, head = (np.round(centre + sign * 20 * north).astype(int).tolist() for sign in (-1, 1))
    cv2.arrowedLine(foot, tail, head, TEXT, 2, cv2.LINE_AA, 0, 0.35)
    _write(foot, "N", viewport.width - 18, middle)
