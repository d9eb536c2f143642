from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lines import box, element, random_elements

from recon.grid import Grid
from vectorize.evaluate.clip import Region, clip, known_area, spans_inside
from vectorize.evaluate.metrics.areas import polygon_of
from vectorize.polyline import length_of


def region_of(known, cell=0.5):
    rows, columns = known.shape
    grid = Grid(west_m=-columns * cell / 2, north_m=rows * cell / 2, cell_m=cell, width=columns, height=rows)
    return Region.of_grid(known, grid)


def slow_area(region):
    """Return the union of the true cells in metres, one box at a time."""
    corners = [region.to_m(np.array([[c, r], [c + 1, r + 1]], float)) for r, c in np.argwhere(region.known).tolist()]
    boxes = [shapely.box(*np.r_[p.min(axis=0), p.max(axis=0)]) for p in corners]
    return shapely.union_all(boxes)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.2, 0.95))
def test_lines_are_cut_as_shapely_cuts_them(seed, share):
    generator = np.random.default_rng(seed)
    region = region_of(generator.uniform(size=(24, 30)) < share)
    (line,) = random_elements(generator, 1)
    spans = spans_inside(region, line.vertices)
    index = np.arange(len(line.vertices))
    along = np.r_[0, np.cumsum(np.hypot(*np.diff(line.vertices, axis=0).T))]
    length = sum(np.interp(b, index, along) - np.interp(a, index, along) for a, b in spans)
    expected = shapely.LineString(line.vertices).intersection(slow_area(region)).length
    assert length == pytest.approx(expected, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.3, 0.95))
@example(25162, 0.875)  # a self-crossing ring of 0.32 m2 that nothing cuts
def test_areas_are_cut_as_shapely_cuts_them(seed, share):
    generator = np.random.default_rng(seed)
    region = region_of(generator.uniform(size=(16, 16)) < share)
    (ring,) = random_elements(generator, 1, closed=True, name="ped_crossing")
    pieces = clip([ring], region)
    known = slow_area(region)
    if known.covers(polygon_of(ring)):
        assert pieces == (ring,)
        return
    expected = shapely.intersection(polygon_of(ring), known)
    kept = [p.area for p in shapely.get_parts(expected) if p.area >= 0.5]
    holes = sum(shapely.Polygon(i).area for p in shapely.get_parts(expected) if p.area >= 0.5 for i in p.interiors)
    assert sum(polygon_of(p).area for p in pieces) == pytest.approx(sum(kept) + holes, abs=1e-6)


def test_known_cells_make_their_union():
    known = np.random.default_rng(3).uniform(size=(9, 13)) < 0.6
    assert known_area(known).area == pytest.approx(known.sum())
    assert known_area(np.zeros((3, 3), bool)).is_empty


def test_a_patch_mask_has_forward_up_and_left_left():
    known = np.zeros((400, 200), bool)
    known[0, 0] = True
    region = Region.of_patch(known, 60.0, 30.0)
    at = np.array([[29.95, 14.95], [29.95, -14.95], [-29.95, 14.95], [31.0, 0.0]])
    assert region.at_px(region.to_px(at)).tolist() == [True, False, False, False]
    assert region.to_m(region.to_px(at)) == pytest.approx(at)


def test_a_line_by_hand():
    known = np.ones((4, 20), bool)
    known[:, 8:10] = False  # x from -1 to 0
    line = element([[-4, 0.1, 7], [4, 0.1, 15]])
    left, right = clip([line], region_of(known))
    assert left.vertices.tolist() == [[-4, 0.1, 7], [-1, 0.1, 10]]
    assert right.vertices.tolist() == [[0, 0.1, 11], [4, 0.1, 15]]
    # A gap of a metre does not cut it when gaps of a metre are joined.
    (whole,) = clip([line], region_of(known), join_gap_m=1.0)
    assert length_of(whole.vertices) == pytest.approx(8.0)


def test_slivers_are_no_elements():
    known = np.zeros((4, 20), bool)
    known[:, 5] = True
    line, small = element([[-4, 0.1], [4, 0.1]]), box(-2.6, -0.4, -2.4, 0.4)
    assert len(clip([line], region_of(known))) == 1  # 0.5 m, the shortest
    assert clip([element([[-2.4, 0.1], [4, 0.1]])], region_of(known)) == ()
    assert clip([small], region_of(known)) == ()


def test_an_area_that_nothing_cuts_comes_back_as_it_is():
    known = np.ones((40, 40), bool)
    known[0, 0] = known[19, 20] = False  # the latter x from 0 to 0.5, y from 0 to 0.5
    triangle = element([[-0.6, -0.6], [0.6, -0.6], [-0.6, 0.6]], name="ped_crossing", closed=True)
    small = element([[-0.4, -0.4], [0.4, -0.4], [-0.4, 0.4]], name="ped_crossing", closed=True)
    bow = element([[-4, -2], [-1, 2], [-1, -2], [-4, 2]], name="ped_crossing", closed=True)
    for ring in (triangle, small, bow):
        # Unknown cells lie in its box and beyond it, and none of them under it.
        assert clip([ring], region_of(known)) == (ring,)
        assert clip([ring], region_of(np.ones((40, 40), bool))) == (ring,)
    known[20, 20] = False  # y from -0.5 to 0: this one cuts
    assert clip([small], region_of(known)) == ()


def test_an_island_is_one_line_around_what_is_hidden():
    known = np.ones((40, 40), bool)
    known[:, :18] = False  # x below -1
    ring = element([[-3, -3], [3, -3], [3, 3], [-3, 3]], name="boundary", closed=True)
    for shift in range(4):
        rolled = element(np.roll(ring.vertices, shift, axis=0), name="boundary", closed=True)
        (piece,) = clip([rolled], region_of(known))
        assert not piece.closed
        assert length_of(piece.vertices) == pytest.approx(4 + 6 + 4)
    assert clip([ring], region_of(np.ones((40, 40), bool))) == (ring,)
    # A small hole anywhere on the ring leaves it closed.
    known = np.ones((40, 40), bool)
    known[25:27, 13:15] = False
    assert clip([ring], region_of(known), join_gap_m=2.0) == (ring,)


def test_a_crossing_stays_a_polygon_at_the_edge():
    known = np.ones((40, 40), bool)
    known[:, 20:] = False
    (piece,) = clip([box(-2, -1, 2, 1, score=0.4)], region_of(known))
    assert piece.closed
    assert piece.score == 0.4
    assert polygon_of(piece).area == pytest.approx(4.0)
    assert clip([box(2, -1, 4, 1)], region_of(known)) == ()
    bow = element([[-4, -2], [-1, 2], [-1, -2], [-4, 2]], name="ped_crossing", closed=True)
    assert clip([bow], region_of(np.ones((40, 40), bool))) == (bow,)
    known[:, :14] = False  # x below -3: the lobes are cut as two polygons
    assert len(clip([bow], region_of(known))) >= 1


def test_what_lies_outside_the_raster_is_not_known():
    region = region_of(np.ones((4, 4), bool))
    assert clip([element([[-9, 0], [9, 0]])], region)[0].vertices.tolist() == [[-1, 0], [1, 0]]
    assert clip([element([[5, 5], [9, 9]]), box(5, 5, 8, 8)], region) == ()


def test_a_filled_region_has_no_holes_and_the_same_rim():
    known = np.zeros((12, 16), bool)
    known[2:10, 2:14] = True
    known[4:7, 5:9] = False  # a hole
    known[2:5, 11] = False  # a bay, open to the outside
    filled = region_of(known).filled().known
    assert filled[4:7, 5:9].all()
    assert not filled[2:5, 11].any()
    assert filled.sum() == known.sum() + 12
    line = element([[-2.0, 0.25], [2.0, 0.25]])
    assert len(clip([line], region_of(known))) == 2
    assert len(clip([line], region_of(known).filled())) == 1
