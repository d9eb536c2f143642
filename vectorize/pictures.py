"""Pictures of a site: the bird's-eye map with its polylines, and the polylines drawn back into camera images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from recon.artifact import write_atomic
from recon.bev import BevMap
from recon.classes import COLORS_RGB, RoadClass
from recon.drive import DriveLog
from vectorize import polyline
from vectorize.overlay import draw_overlays
from vectorize.road_map import Element, RoadMap

U8 = npt.NDArray[np.uint8]
F64 = npt.NDArray[np.float64]

LONG_SIDE_PX = 2000
COLORS_BGR = {
    "divider": (0, 205, 255),
    "boundary": (80, 80, 255),
    "ped_crossing": (255, 170, 70),
    "stop_line": (110, 230, 60),
    "centerline": (220, 200, 200),
}
WIDTH_PX = {"divider": 2, "boundary": 3, "ped_crossing": 2, "stop_line": 4, "centerline": 1}
PALE_DIVIDER = (195, 230, 245)  # of unknown style: solid and dashed ones have the full colour
NIGHT = (26, 22, 20)
HATCH = (46, 40, 37)
TEXT = (225, 225, 225)
PATH = (190, 190, 190)
FOOT_PX = 64


@dataclass(frozen=True, slots=True)
class View:
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
    view = _view(drive, bev)
    paths = []
    for name, base in (("bev_color", _colour(bev, view)), ("bev_classes", _classes(bev, view))):
        picture = _hatched(base, bev, view)
        _lines(picture, road_map, drive, view)
        paths.append(_save(folder / f"{name}.png", np.vstack([picture, _foot(road_map, view, name)])))
    for name, picture in draw_overlays(drive, road_map, count=overlays, colors=COLORS_BGR, widths=WIDTH_PX):
        paths.append(_save(folder / f"{name}.png", picture))
    return paths


def _save(path: Path, picture: U8) -> Path:
    done, data = cv2.imencode(".png", picture)
    if not done:
        raise AssertionError(f"{path.name} did not encode as PNG")
    write_atomic(path, data.tobytes())
    return path


def _view(drive: DriveLog, bev: BevMap) -> View:
    """Choose rotation and scale: the path's main axis runs right, its travel direction too, if it is elongated."""
    path = drive.path_xy_m()
    rows, columns = np.nonzero(bev.seen)
    seen = bev.grid.to_m(np.stack([columns + 0.5, rows + 0.5], axis=1)[:: max(1, len(rows) // 20000)])
    seen = seen if len(seen) else bev.grid.to_m(np.array([[0.0, 0.0], [bev.grid.width, bev.grid.height]]))
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
    return View(matrix, max(width, 900), max(height, 120), scale, turn)


def _warp(raster: Any, bev: BevMap, view: View, interpolation: int) -> U8:
    """Return a raster of the site as the picture shows it."""
    grid = bev.grid
    # cv2 puts pixel centres at whole numbers, Grid at +0.5: both halves go into the translation.
    world_from_cell = np.array(
        [[grid.cell_m, 0, grid.west_m + 0.5 * grid.cell_m], [0, -grid.cell_m, grid.north_m - 0.5 * grid.cell_m]]
    )
    linear = view.matrix[:, :2] @ world_from_cell[:, :2]
    shift = view.matrix[:, :2] @ world_from_cell[:, 2] + view.matrix[:, 2] - 0.5
    size = (view.width, view.height)
    result: Any = cv2.warpAffine(raster, np.c_[linear, shift], size, flags=interpolation, borderValue=0)
    return result  # type: ignore[no-any-return]


def _colour(bev: BevMap, view: View) -> U8:
    """Return the ground's colours; what stands on the ground is smeared along the view, so it is dimmed."""
    picture = _warp(bev.rgb[..., ::-1].copy(), bev, view, cv2.INTER_LINEAR).astype(np.float32)
    standing = bev.class_probability[..., RoadClass.BACKGROUND].astype(np.float32)
    share = cv2.GaussianBlur(_warp(standing, bev, view, cv2.INTER_LINEAR).astype(np.float32), (0, 0), 3)[..., None]
    grey = picture.mean(axis=-1, keepdims=True)
    dimmed = 0.22 * (0.35 * picture + 0.65 * grey) + 14
    result: U8 = np.clip(picture * (1 - share) + dimmed * share, 0, 255).astype(np.uint8)
    return result


def _classes(bev: BevMap, view: View) -> U8:
    ids = bev.class_probability.argmax(axis=-1).astype(np.uint8)
    result: U8 = COLORS_RGB[_warp(ids, bev, view, cv2.INTER_NEAREST)][..., ::-1].copy()
    return result


def _hatched(picture: U8, bev: BevMap, view: View) -> U8:
    """Return the picture with unseen ground as dark hatching."""
    unseen = _warp((bev.seen * 255).astype(np.uint8), bev, view, cv2.INTER_LINEAR) < 128
    column, row = np.meshgrid(np.arange(view.width), np.arange(view.height))
    stripes = ((column + row) % 14 < 2)[..., None]
    result: U8 = np.where(unseen[..., None], np.where(stripes, HATCH, NIGHT), picture).astype(np.uint8)
    return result


def _lines(picture: U8, road_map: RoadMap, drive: DriveLog, view: View) -> None:
    path = view.to_px(drive.path_xy_m())
    cv2.polylines(picture, [_fixed(path)], False, PATH, 1, cv2.LINE_AA, 4)
    areas = picture.copy()
    for element in road_map.of("ped_crossing"):
        cv2.fillPoly(areas, [_fixed(view.to_px(element.vertices))], COLORS_BGR["ped_crossing"], cv2.LINE_AA, 4)
    cv2.addWeighted(areas, 0.35, picture, 0.65, 0, dst=picture)
    order = ("centerline", "ped_crossing", "boundary", "divider", "stop_line")
    for element in sorted(road_map.elements, key=lambda e: order.index(e.element_class)):
        for stretch, width in _strokes(element, view):
            points = [_fixed(stretch)]
            cv2.polylines(picture, points, False, (0, 0, 0), width + 2, cv2.LINE_AA, 4)
        for stretch, width in _strokes(element, view):
            color = _color(element.element_class, element.style)
            cv2.polylines(picture, [_fixed(stretch)], False, color, width, cv2.LINE_AA, 4)


def _color(element_class: str, style: str) -> tuple[int, int, int]:
    return PALE_DIVIDER if (element_class, style) == ("divider", "unknown") else COLORS_BGR[element_class]


def _fixed(points: F64) -> npt.NDArray[np.int32]:
    return np.round((points - 0.5) * 16).astype(np.int32)


def _strokes(element: Element, view: View) -> list[tuple[F64, int]]:
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
                strokes.append((view.to_px(dense[first:stop]), size))
    if element.style != "double":
        return strokes
    result = []
    for points, size in strokes:
        normal = polyline.left_normals(polyline.tangents(points))
        result += [(points + sign * 2.5 * normal, size) for sign in (-1, 1)]
    return result


def _foot(road_map: RoadMap, view: View, name: str) -> U8:
    """Return the strip below the map: legend, scale bar, north arrow."""
    foot = np.full((FOOT_PX, view.width, 3), 18, dtype=np.uint8)
    middle, x = FOOT_PX // 2, 20
    styles = {e.style for e in road_map.of("divider")}
    present = {e.element_class for e in road_map.elements}
    known_styles = ("solid", "dashed", "double", "unknown")
    entries: list[tuple[str, str]] = [("divider", style) for style in known_styles if style in styles]
    entries += [(name, "") for name in ("boundary", "ped_crossing", "stop_line") if name in present]
    for element_class, style in entries:
        color, width = _color(element_class, style), WIDTH_PX[element_class]
        spans = [(0, 14), (21, 35), (42, 56)] if style == "dashed" else [(0, 56)]
        for a, b in spans:
            for dy in (-3, 3) if style == "double" else (0,):
                cv2.line(foot, (x + a, middle + dy), (x + b, middle + dy), color, width, cv2.LINE_AA)
        label = f"{element_class.replace('_', ' ')} {style}".strip().replace("unknown", "(style unknown)")
        x = _write(foot, label, x + 64, middle) + 26
    cv2.rectangle(foot, (x, middle - 9), (x + 30, middle + 9), NIGHT, -1)
    for k in range(-9, 30, 10):
        cv2.line(foot, (x + max(k, 0), middle + 9 - max(-k, 0)), (x + min(k + 18, 30), middle - 9), HATCH, 2)
    x = _write(foot, "never seen", x + 38, middle) + 26
    # A thin light line along the street looks like paint that was missed, unless the legend names it.
    cv2.line(foot, (x, middle), (x + 56, middle), PATH, 1, cv2.LINE_AA)
    x = _write(foot, "path driven", x + 64, middle) + 26
    if name == "bev_classes":
        for road_class in (RoadClass.ROAD, RoadClass.LANE_MARKING, RoadClass.CURB, RoadClass.OFF_ROAD):
            fill = COLORS_RGB[road_class][::-1].tolist()
            cv2.rectangle(foot, (x, middle - 9), (x + 18, middle + 9), fill, -1)
            x = _write(foot, road_class.name.lower().replace("_", " "), x + 24, middle) + 16
    _scale_and_north(foot, view, middle)
    return foot


def _write(foot: U8, text: str, x: int, middle: int) -> int:
    cv2.putText(foot, text, (x, middle + 6), cv2.FONT_HERSHEY_SIMPLEX, 0.55, TEXT, 1, cv2.LINE_AA)
    return x + int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.55, 1)[0][0])


def _scale_and_north(foot: U8, view: View, middle: int) -> None:
    bar_m = next((m for m in (100, 50, 20, 10, 5, 2, 1) if m * view.px_per_m <= 0.14 * view.width), 1)
    bar_px = round(bar_m * view.px_per_m)
    right = view.width - 90
    cv2.line(foot, (right - bar_px, middle + 8), (right, middle + 8), TEXT, 2, cv2.LINE_AA)
    for x in (right - bar_px, right):
        cv2.line(foot, (x, middle + 2), (x, middle + 14), TEXT, 2, cv2.LINE_AA)
    _write(foot, f"{bar_m} m", right - bar_px // 2 - 18, middle - 12)
    # World north, turned as the picture is.
    north = np.array([np.sin(view.turn_rad), -np.cos(view.turn_rad)])
    centre = np.array([view.width - 40, middle])
    tail, head = (np.round(centre + sign * 20 * north).astype(int).tolist() for sign in (-1, 1))
    cv2.arrowedLine(foot, tail, head, TEXT, 2, cv2.LINE_AA, 0, 0.35)
    _write(foot, "N", view.width - 18, middle)
