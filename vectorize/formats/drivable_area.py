"""The observed drivable area as polygons, for formats with an area layer."""

from __future__ import annotations

import numpy as np
import shapely
from scipy.ndimage import distance_transform_edt
from skimage.measure import find_contours

from recon.arrays import F64
from recon.bev.bev_map import BevMap
from recon.classes import DRIVABLE

SIMPLIFY_M = 0.1
SMALLEST_M2 = 2.0
SMALLEST_HOLE_M2 = 0.25  # smaller ones are single misclassified cells

OUTLINE_NOTE = (
    "reason for the end of the drivable area: the end of the road, or of the observed area. Its outline is a road"
    " boundary only where a boundary of the map lies on it"
)
SMALL_AREAS_NOTE = "small areas: drivable areas below 2 m2 are left out, holes below 0.25 m2 are filled"


def drivable_polygons(bev: BevMap) -> list[shapely.Polygon]:
    """Return polygons (with holes) of the cells seen as drivable, in world metres, largest first, rings oriented."""
    probability = np.zeros(bev.grid.shape, np.float32)
    for road_class in DRIVABLE:  # class by class, to save memory
        probability += bev.class_probability[:, :, road_class]
    inside = np.pad(np.where(bev.seen, probability, 0.0), 1)
    contours: list[F64] = find_contours(inside, 0.5)  # type: ignore[no-untyped-call]
    # A pixel of the padded raster at (r, c) is the centre of cell (r - 1, c - 1).
    rings = [shapely.LinearRing(bev.grid.to_m(contour[:, ::-1] - 0.5)) for contour in contours if len(contour) >= 4]
    faces = shapely.get_parts(shapely.polygonize([shapely.unary_union(rings)])).tolist() if rings else []
    result = []
    for face in faces:
        point = shapely.get_coordinates(face.representative_point())
        (row, column), _ = (one[0] for one in bev.grid.cells(point))
        if 0 <= row < bev.grid.height and 0 <= column < bev.grid.width and inside[row + 1, column + 1] >= 0.5:
            smooth = shapely.simplify(face, SIMPLIFY_M, preserve_topology=True)
            result += [_without_small_holes(p) for p in shapely.get_parts(shapely.make_valid(smooth)) if _is_area(p)]
    return sorted((shapely.orient_polygons(p) for p in result), key=lambda p: (-p.area, p.bounds))


def without_holes(polygon: shapely.Polygon) -> list[shapely.Polygon]:
    """Return the polygon cut into pieces that have no holes, for formats whose areas are single rings."""
    if not polygon.interiors:
        return [polygon] if _is_area(polygon) else []
    west, south, east, north = polygon.bounds
    # The cut goes through the middle hole, with half of the other holes on each side.
    middles = sorted(shapely.Polygon(hole).centroid.x for hole in polygon.interiors)
    cut = middles[len(middles) // 2]
    halves = [shapely.box(west, south, cut, north), shapely.box(cut, south, east, north)]
    parts = [part for half in halves for part in shapely.get_parts(shapely.intersection(polygon, half)).tolist()]
    return [piece for part in parts if part.geom_type == "Polygon" for piece in without_holes(part)]


def _without_small_holes(polygon: shapely.Polygon) -> shapely.Polygon:
    holes = [hole for hole in polygon.interiors if shapely.Polygon(hole).area >= SMALLEST_HOLE_M2]
    return shapely.Polygon(polygon.exterior, holes)


def ground_under(bev: BevMap, xy_m: F64) -> F64:
    """Return (N,) heights in metres of the seen cells nearest to points (N, 2); NaN where nothing was seen at all."""
    known = bev.seen & np.isfinite(bev.height_m)
    if not known.any():
        return np.full(len(xy_m), np.nan)
    nearest = distance_transform_edt(~known, return_distances=False, return_indices=True)
    cells, _ = bev.grid.cells(xy_m)
    row, column = np.clip(cells, 0, np.array(bev.grid.shape) - 1).T
    result: F64 = bev.height_m[nearest[0][row, column], nearest[1][row, column]].astype(np.float64)
    return result


def _is_area(geometry: shapely.Geometry) -> bool:
    return bool(geometry.geom_type == "Polygon" and geometry.area >= SMALLEST_M2)
