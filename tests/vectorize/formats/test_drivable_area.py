from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely
import small_site
from hypothesis import given, settings
from hypothesis import strategies as st

from recon.classes import RoadClass
from vectorize.formats.drivable_area import drivable_polygons, ground_under, without_holes


def test_the_drivable_area_has_the_shape_of_the_road_with_its_island():
    (polygon,) = drivable_polygons(small_site.bev())
    west, south, east, north = polygon.bounds
    assert (west, south, east, north) == pytest.approx((-5, -3.5, 45, 3.5), abs=0.13)  # half a cell
    (hole,) = polygon.interiors
    assert shapely.Polygon(hole).centroid.distance(shapely.Point(5, 0)) < 0.1
    assert polygon.exterior.is_ccw
    assert not hole.is_ccw


def test_unseen_cells_are_no_road():
    bev = small_site.bev()
    views = bev.views.copy()
    views[:, 100:] = 0
    (polygon,) = drivable_polygons(replace(bev, views=views))
    assert polygon.bounds[2] == pytest.approx(20.0, abs=0.13)
    assert drivable_polygons(replace(bev, views=np.zeros_like(views))) == []


@given(st.lists(st.tuples(st.floats(1, 9), st.floats(1, 9), st.floats(0.2, 1.5)), max_size=5))
@settings(max_examples=40, deadline=None)
def test_pieces_without_holes_cover_the_same_ground(islands):
    discs = shapely.unary_union([shapely.Point(x, y).buffer(radius, quad_segs=4) for x, y, radius in islands])
    areas = [p for p in shapely.get_parts(shapely.box(0, 0, 10, 10).difference(discs)) if p.area > 5]
    for area in areas:
        pieces = without_holes(area)
        assert not any(piece.interiors for piece in pieces)
        # Slivers below the smallest area are dropped.
        assert sum(piece.area for piece in pieces) == pytest.approx(area.area, abs=2.0 * len(pieces) + 2.0)
        assert shapely.unary_union(pieces).difference(area).area < 1e-9


def test_specks_are_filled_and_many_holes_are_cut_in_seconds():
    bev = small_site.bev()
    probability = bev.class_probability.copy()
    probability[45, 100, RoadClass.ROAD] = 0.0  # one cell of 0.06 m2
    probability[40:43, 80:83, RoadClass.ROAD] = 0.0  # nine cells, 0.56 m2
    (polygon,) = drivable_polygons(replace(bev, class_probability=probability))
    assert len(polygon.interiors) == 2  # the nine cells and the island
    holes = [shapely.box(x, y, x + 0.6, y + 0.6) for x in range(40) for y in range(40)]
    pieces = without_holes(shapely.box(-1, -1, 41, 41).difference(shapely.unary_union(holes)))
    assert not any(piece.interiors for piece in pieces)
    assert sum(piece.area for piece in pieces) == pytest.approx(42 * 42 - 1600 * 0.36, rel=0.01)


def test_height_beyond_the_seen_is_that_of_the_nearest_seen_cell():
    bev = small_site.bev()
    heights = ground_under(bev, np.array([[0.0, 0.0], [100.0, 0.0]]))
    assert heights == pytest.approx([1.0, 1.45], abs=0.01)
    assert np.isnan(ground_under(replace(bev, views=np.zeros_like(bev.views)), np.zeros((1, 2)))).all()
