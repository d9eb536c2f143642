"""The rasters that a surveyed plan is read through, against geometry."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from recon.demo_city.noise_kernels import bilinear
from recon.demo_city.plan.mapped_streets import KERB_CELL_M, STEEPEST, graded, kerb_distances
from recon.demo_city.plan.reference_line import STEP_M, ReferenceLine
from recon.demo_city.plan.strokes import line_paint, style_of, zebra


@settings(max_examples=25, deadline=None)
@given(
    turn=st.floats(-np.pi, np.pi),
    shift=st.tuples(st.floats(-1.0, 1.0), st.floats(-1.0, 1.0)),
    arm=st.floats(3.0, 9.0),
    hole=st.booleans(),
)
def test_kerb_distances_are_those_of_the_polygons(turn, shift, arm, hole):
    area = shapely.union(shapely.box(-15, -4, 15, 4), shapely.box(-arm / 2, -12, arm / 2, 12))
    if hole:
        area = shapely.difference(area, shapely.box(6, -1, 12, 1))
    area = shapely.affinity.translate(shapely.affinity.rotate(area, turn, (0, 0), use_radians=True), *shift)
    raster = (-20.0, -20.0, KERB_CELL_M)
    field = kerb_distances(area, raster[0], raster[1], 400, 400).astype(np.float64)
    rng = np.random.default_rng(1)
    # Beside straight edges the field is exact; corners are cut by less than a cell.
    on_edge = shapely.get_coordinates(
        shapely.line_interpolate_point(area.boundary, rng.uniform(0, 1, 60), normalized=True)
    )
    off = np.array([bilinear(field, raster, x, y) for x, y in on_edge])
    assert np.median(np.abs(off)) < 0.002
    assert np.abs(off).max() < 0.6 * KERB_CELL_M
    xy = rng.uniform(-18, 18, (200, 2))
    exact = shapely.distance(area.boundary, shapely.points(xy)) * np.where(shapely.contains_xy(area, xy), -1, 1)
    found = np.array([bilinear(field, raster, x, y) for x, y in xy])
    assert np.abs(found - exact).max() < 1.5 * KERB_CELL_M
    clear = np.abs(exact) > KERB_CELL_M
    assert (np.sign(found) == np.sign(exact))[clear].all()


@pytest.mark.parametrize("step_m", [0.3, 3.0, 12.0])
def test_graded_land_is_never_too_steep_and_flat_land_is_untouched(step_m):
    x = np.arange(0.0, 160.0, 0.5)
    height = np.broadcast_to(np.where(x > 80.0, step_m, 0.0) + 0.05 * x, (120, len(x))).copy()
    result = graded(height, 0.5)
    assert np.hypot(*np.gradient(result, 0.5)).max() < 0.195
    gentle = 0.8 * STEEPEST * np.broadcast_to(x, (120, len(x)))
    assert np.array_equal(graded(gentle, 0.5), gentle)


@settings(max_examples=40, deadline=None)
@given(radius=st.floats(12.0, 200.0), angle=st.floats(0.4, 1.5), smooth=st.sampled_from([0.0, 0.5, 1.0]))
def test_a_line_through_points_of_an_arc_is_the_arc(radius, angle, smooth):
    at = np.linspace(0.0, angle, max(3, int(radius * angle / 0.3)))
    arc = radius * np.stack([np.cos(at), np.sin(at)], axis=-1)
    line = ReferenceLine.through(arc, smooth_m=smooth)
    assert line.s[-1] == pytest.approx(radius * angle, abs=2 * STEP_M + 0.01 * radius)
    # Smoothing draws a line inwards by sigma^2 / 2R.
    assert np.abs(np.linalg.norm(line.xy, axis=1) - radius).max() < 0.02 + 0.6 * smooth**2 / radius
    assert np.linalg.norm(line.xy[0] - arc[0]) < 1e-6
    if smooth:  # without it the line has the corners of its points
        assert np.diff(line.heading)[10:-10] * radius / STEP_M == pytest.approx(1.0, abs=0.35)


def test_points_that_do_not_move_are_no_line():
    with pytest.raises(ValueError, match=r"span 0\.00 m"):
        ReferenceLine.through(np.zeros((5, 2)))


def test_a_style_names_the_left_stroke_first():
    assert [style_of(None, kind) for kind in ("solid", "dashed")] == ["solid", "dashed"]
    assert style_of("solid", "solid") == "double"
    assert style_of("dashed", "dashed") == "dashed"
    assert style_of("dashed", "solid") == "dashed_solid"


def test_the_two_strokes_of_a_mixed_line_lie_on_their_sides():
    line = shapely.LineString([(0.0, 0.0), (30.0, 0.0)])
    assert style_of("solid", "dashed") == "solid_dashed"
    painted = line_paint(line, "solid", "dashed", dash_m=3.0, gap_m=6.0, yellow=True)
    above = [p.area for p in painted if p.area.centroid.y > 0.0]
    below = [p.area for p in painted if p.area.centroid.y < 0.0]
    assert len(above) == 1
    assert len(below) == 4
    assert above[0].bounds == pytest.approx((0.0, 0.045, 30.0, 0.195))
    assert all(p.yellow for p in painted)


@pytest.mark.parametrize("turned", [False, True])
def test_stripes_lie_between_the_edges_of_a_crossing(turned):
    first, second = np.array([[0.0, 0.0], [12.0, 1.0]]), np.array([[0.5, 3.0], [12.5, 4.5]])
    if turned:
        first, second = second, first
    ring = shapely.Polygon(np.concatenate([first, second[::-1]]))
    stripes = [paint.area for paint in zebra(first, second)]
    assert len(stripes) in (12, 13)
    assert all(stripe.is_valid and ring.buffer(1e-6).contains(stripe) for stripe in stripes)
    assert sum(stripe.area for stripe in stripes) == pytest.approx(0.5 * ring.area, rel=0.06)
