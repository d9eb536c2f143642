"""What the reprojection error cannot see: paint that is not there, paint that was missed, and views that disagree.

The distance from a projected line to the nearest mark is small wherever the segmentation that made the map is looked at
again. It skips images without marks, and along a straight path a line at a wrong height meets its marks in every image,
metres aside. Therefore each metre of a divider is looked at across its direction, at the height of the map: how far
aside does each image show a mark there?

- No image shows one: the paint is false. Gaps between marks of one line are no error up to GAP_M.
- Images that look across the line from different sides, or from different heights, show it in different places: the
  height of the map, or a pose, is wrong. What they disagree by is given in metres. Where all images look from one side,
  nothing tests the height, and that is said.
- Hatching, arrows and box junctions are paint, so lines along their bars meet it. But such lines lie closer together
  than any lane is wide, or slant across the way that was driven.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from recon.arrays import F64, U8, Bool
from recon.classes import RoadClass
from recon.drive import Camera
from recon.sensors.project import project
from vectorize import polyline
from vectorize.road_map import Element, RoadMap

STEP_M = 0.5  # along a line
SEARCH_M, SEARCH_STEP_M = 2.5, 0.05  # across it: half a lane, beyond which a mark belongs to another line
MET_M = 0.4  # aside: a wide line's half, and the error of a good pose at 20 m
MET_PX = 2.0  # aside, where pixels are larger than that
NEAREST_M, FARTHEST_M = 3.0, 20.0
GAP_M = 12.5  # between two marks of one line: the longest gap in use is 12 m
CROWDED_M = (0.7, 1.9)  # between two parallel lines: wider than a double line, narrower than a lane
PARALLEL = np.cos(np.radians(15.0))
SLANTED = np.cos(np.radians(75.0)), PARALLEL  # neither along the way nor across it, as side streets are
STANDING_M = 0.05  # between two poses: less has no direction
BESIDE_WAY_M = 10.0  # farther from the way the road may have another direction
TWO_SIDES = 0.5  # of the slope of the view across a line, sideways over down: 0.75 m aside for a camera at 1.5 m


class Limit(NamedTuple):
    """A figure of the verdict."""

    name: str
    most: float  # worth a remark above that
    words: str  # what it says, with its value as {}
    percent: bool = False


LIMITS = (
    Limit("false_paint", 0.05, "{} % of the divider metres meet paint in no image", percent=True),
    Limit("paint_missed", 0.15, "{} % of the painted metres meet no divider", percent=True),
    Limit("crowded", 0.1, "{} % of the divider metres lie closer to another divider than a lane is wide", percent=True),
    Limit("slanted", 0.1, "{} % of the divider metres slant across the way that was driven", percent=True),
    Limit("sides_disagree_p90_m", 0.2, "images from different sides see a divider up to {} m apart (90 %)"),
    Limit("median_px", 2.0, "painted dividers lie {} px from their marks (median)"),
)
UNTESTED = Limit(
    "untested", 0.5, "{} % of the divider metres are seen from one side only, which hides a wrong height", True
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinePoints:
    """Seen points along the dividers of a map, STEP_M apart."""

    xyz_m: F64  # (N, 3)
    across: F64  # (N, 2) unit normals, level
    run: F64  # (N,) number of the seen stretch

    @classmethod
    def of(cls, elements: Iterable[Element]) -> LinePoints:
        """Sample the seen stretches of dividers that have heights."""
        xyz, across, run = [np.zeros((0, 3))], [np.zeros((0, 2))], [np.zeros(0)]
        number = 0
        for element in elements:
            vertices = element.vertices
            if element.element_class != "divider" or vertices.shape[1] != 3 or not np.isfinite(vertices).all():
                continue
            for start, stop in polyline.runs(element.seen[:-1] & element.seen[1:]):
                points = polyline.resample(vertices[start : stop + 1], STEP_M)
                xyz.append(points)
                across.append(polyline.left_normals(polyline.tangents(points[:, :2])))
                run.append(np.full(len(points), number))
                number += 1
        return cls(xyz_m=np.concatenate(xyz), across=np.concatenate(across), run=np.concatenate(run))


class PaintCheck:
    """Looks at every point of the dividers in one image after another."""

    def __init__(self, road_map: RoadMap, way_m: F64) -> None:
        """Take the map and the way driven, (F, 2) in its frame."""
        self._points, self._way_m = LinePoints.of(road_map.elements), way_m
        count = len(self._points.run)
        self._looked = np.zeros(count, dtype=bool)
        self._met = np.zeros(count, dtype=bool)
        self._seen: list[tuple[F64, F64, F64]] = []  # points, slopes of the view, metres aside

    def add(self, ids: U8, camera: Camera, world_from_ego: F64) -> None:
        """Look at an id image (H, W)."""
        xyz, across = self._points.xyz_m, self._points.across
        uv, depth, inside = project(camera, world_from_ego, xyz)
        chosen = np.flatnonzero(inside & (depth >= NEAREST_M) & (depth <= FARTHEST_M))
        column, row = np.floor(uv[chosen]).astype(int).T
        chosen = chosen[ids[row, column] != RoadClass.UNKNOWN]
        if not len(chosen):
            return
        offsets = np.arange(-SEARCH_M, SEARCH_M + SEARCH_STEP_M / 2, SEARCH_STEP_M)
        profile = np.repeat(xyz[chosen][:, None], len(offsets), axis=1)
        profile[..., :2] += offsets[:, None] * across[chosen][:, None]
        marks, pixel_m = _marks_along(ids, camera, world_from_ego, profile)
        aside = _nearest_mark(marks, offsets)
        self._looked[chosen] = True
        self._met[chosen] |= np.abs(aside) <= np.maximum(MET_M, MET_PX * pixel_m)
        eye = (world_from_ego @ camera.ego_from_camera)[:3, 3]
        down = eye[2] - xyz[chosen, 2]
        sideways = np.einsum("ij,ij->i", xyz[chosen, :2] - eye[:2], across[chosen])
        usable = np.isfinite(aside) & (down > 0.2)
        slope = sideways[usable] / down[usable]
        self._seen.append((chosen[usable].astype(np.float64), slope, aside[usable]))

    def record(self) -> dict[str, Any]:
        """Return metres looked at, the share that no image paints, and how far images from two sides disagree."""
        metres = float(self._looked.sum()) * STEP_M
        unmet = self._looked & ~self._met & ~_in_gap(self._points, self._met, self._looked)
        apart = self._disagreement()
        every = max(len(self._points.run), 1)
        tested = float(len(apart)) * STEP_M
        return {
            "divider_m": round(metres, 1),
            "false_paint_m": round(float(unmet.sum()) * STEP_M, 1),
            "false_paint": round(float(unmet.sum()) * STEP_M / metres, 4) if metres else None,
            "crowded": round(float(_crowded(self._points).sum()) / every, 4),
            "slanted": round(float(_slanted(self._points, self._way_m).sum()) / every, 4),
            "two_sides_m": round(tested, 1),
            "untested": round(1.0 - tested / metres, 4) if metres else None,
            "sides_disagree_median_m": round(float(np.median(apart)), 3) if len(apart) else None,
            "sides_disagree_p90_m": round(float(np.quantile(apart, 0.9)), 3) if len(apart) else None,
        }

    def _disagreement(self) -> F64:
        """Return for each point seen from two sides (K,) how far apart these see its mark, in metres."""
        if not self._seen:
            return np.zeros(0)
        point, slope, aside = (np.concatenate(part) for part in zip(*self._seen, strict=True))
        order = np.argsort(point, kind="stable")
        result = []
        for group in np.split(order, np.flatnonzero(np.diff(point[order])) + 1):
            low, high = slope[group].min(), slope[group].max()
            if high - low < TWO_SIDES:
                continue
            upper = slope[group] > (low + high) / 2
            result.append(abs(float(np.median(aside[group][upper]) - np.median(aside[group][~upper]))))
        return np.array(result)


def verdict(figures: dict[str, Any]) -> str:
    """Return a sentence that names the figure farthest beyond its limit, or nearest to it, and one on what is untested.

    What nothing tests is no error, so it is said beside the worst figure and does not hide it.
    """
    known = [(figures[limit.name] / limit.most, limit) for limit in LIMITS if figures.get(limit.name) is not None]
    if not known:
        return "Nothing could be checked: no held-out image shows a divider."
    worst, limit = max(known, key=lambda pair: pair[0])
    said = _said(limit, figures[limit.name])
    text = f"Worst: {said}." if worst > 1.0 else f"No figure stands out; the nearest to its limit: {said}."
    untested = figures.get(UNTESTED.name)
    if untested is not None and untested > UNTESTED.most:
        text += f" But {_said(UNTESTED, untested)}."
    return text


def remarks(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """Return every figure in words, each with the value from which it is worth a remark."""
    known = [limit for limit in (*LIMITS, UNTESTED) if figures.get(limit.name) is not None]
    return [(_said(limit, figures[limit.name]), _number(limit, limit.most)) for limit in known]


def _said(limit: Limit, value: float) -> str:
    return limit.words.format(_number(limit, value))


def _number(limit: Limit, value: float) -> str:
    return f"{100 * value:.0f}" if limit.percent else f"{value:.2f}"


def _marks_along(ids: U8, camera: Camera, world_from_ego: F64, profile: F64) -> tuple[Bool, F64]:
    """Return (N, K) where profiles (N, K, 3) lie on marks, and (N,) how many metres across the line a pixel is wide."""
    count, steps = profile.shape[:2]
    uv, _, inside = project(camera, world_from_ego, profile.reshape(-1, 3))
    marks = np.zeros(count * steps, dtype=bool)
    column, row = np.floor(uv[inside]).astype(int).T
    marks[inside] = ids[row, column] == RoadClass.LANE_MARKING
    middle = uv.reshape(count, steps, 2)[:, steps // 2 - 1 : steps // 2 + 2]
    moved = np.linalg.norm(middle[:, 2] - middle[:, 0], axis=1)
    return marks.reshape(count, steps), 2 * SEARCH_STEP_M / np.maximum(moved, 1e-6)


def _nearest_mark(marks: Bool, offsets: F64) -> F64:
    """Return (N,) the offset of the middle of the mark nearest to the line, NaN without one."""
    result = np.full(len(marks), np.nan)
    for i in np.flatnonzero(marks.any(axis=1)):
        middles = [(offsets[a] + offsets[b - 1]) / 2 for a, b in polyline.runs(marks[i])]
        result[i] = min(middles, key=abs)
    return result


def _crowded(points: LinePoints) -> Bool:
    """Return (N,) which points have another line beside them that is too near to be the other side of a lane."""
    result = np.zeros(len(points.run), dtype=bool)
    if not len(result):
        return result
    near, far = CROWDED_M
    for i, others in enumerate(cKDTree(points.xyz_m[:, :2]).query_ball_point(points.xyz_m[:, :2], far)):
        beside = np.array(others)[points.run[others] != points.run[i]]
        aside = np.abs((points.xyz_m[beside, :2] - points.xyz_m[i, :2]) @ points.across[i])
        parallel = np.abs(points.across[beside] @ points.across[i]) > PARALLEL
        result[i] = bool((parallel & (aside >= near)).any())
    return result


def _slanted(points: LinePoints, way_m: F64) -> Bool:
    """Return (N,) which points lie beside the way, on a line that runs neither along it nor across it."""
    steps = np.linalg.norm(np.diff(way_m, axis=0), axis=1) > STANDING_M if len(way_m) > 1 else np.zeros(0, bool)
    if not steps.any() or not len(points.run):
        return np.zeros(len(points.run), dtype=bool)
    ahead = np.diff(way_m, axis=0)[steps]
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    away, nearest = cKDTree((way_m[:-1] + way_m[1:])[steps] / 2).query(points.xyz_m[:, :2])
    along = np.stack([points.across[:, 1], -points.across[:, 0]], axis=1)
    agreement = np.abs(np.einsum("ij,ij->i", along, ahead[nearest]))
    result: Bool = (away < BESIDE_WAY_M) & (agreement > SLANTED[0]) & (agreement < SLANTED[1])
    return result


def _in_gap(points: LinePoints, met: Bool, looked: Bool) -> Bool:
    """Return (N,) which points lie between marks at most GAP_M apart, or as near to an end as such marks are."""
    result = np.zeros(len(met), dtype=bool)
    borders = np.flatnonzero(np.diff(points.run, prepend=-1.0, append=-1.0))
    for start, stop in itertools.pairwise(borders.tolist()):
        places = start + np.flatnonzero(met[start:stop])
        gaps = np.diff(places)
        gaps = gaps[(gaps - 1) * STEP_M <= GAP_M]
        longest = int(gaps.max(initial=1))
        for before, after in itertools.pairwise([start - 1, *places.tolist(), stop]):
            at_end = before < start or after == stop
            if len(places) and after - before <= (longest if at_end else GAP_M / STEP_M + 1):
                result[before + 1 : after] = looked[before + 1 : after]
    return result
