from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from painter import Canvas
from scipy.ndimage import gaussian_filter
from shapely import LineString, Point, Polygon, box
from shapely.affinity import rotate, translate

from recon.classes import RoadClass
from recon.grid import Grid
from vectorize.evidence import Evidence
from vectorize.trace.crossings.crosswalk import find_crossings
from vectorize.trace_config import TraceConfig

pytestmark = pytest.mark.slow


def _stripes(half_m: float, depth_m: float, *, step_m: float = 1.1, stripe_m: float = 0.5) -> list[Polygon]:
    """Return stripes of a zebra along y, `depth_m` long, whose middle is the origin."""
    starts = np.arange(-half_m + 0.3, half_m - 0.3, step_m)
    return [box(-depth_m / 2, low, depth_m / 2, low + stripe_m) for low in starts]


def _junction(headings_deg, *, half_m=5.0, depth_m=3.5, gap_m=0.3, turn_deg=0.0, **stripes):
    """Return (canvas of road, outlines) with one zebra at the mouth of every arm, `gap_m` apart at the corners."""
    canvas = Canvas(Grid(west_m=-18, north_m=18, cell_m=0.1, width=360, height=360))
    canvas.area([(-17.9, -17.9), (17.9, -17.9), (17.9, 17.9), (-17.9, 17.9)], RoadClass.ROAD)
    outlines = []
    for heading in headings_deg:
        between = min(abs((heading - other + 180) % 360 - 180) for other in headings_deg if other != heading)
        away = half_m / np.tan(np.radians(between / 2)) + 0.7 * gap_m + depth_m / 2
        for area in [*_stripes(half_m, depth_m, **stripes), box(-depth_m / 2, -half_m, depth_m / 2, half_m)]:
            placed = rotate(translate(area, away, 0), heading + turn_deg, origin=(0, 0))
            if area.area < depth_m * half_m:
                ring = np.asarray(placed.exterior.coords)[:-1]
                canvas._paint((canvas._signed(ring) > 0).astype(float), RoadClass.CROSSWALK)
            else:
                outlines.append(placed)
    return canvas, outlines


def _found(canvas: Canvas, *, blur_m: float = 0.0) -> list[Polygon]:
    bev = canvas.bev()
    if blur_m:
        soft = gaussian_filter(bev.class_probability.astype(np.float32), (blur_m / 0.1, blur_m / 0.1, 0))
        bev = replace(bev, class_probability=soft.astype(np.float16))
    return [Polygon(ring) for ring, _ in find_crossings(Evidence.of(bev, min_views=1), TraceConfig())]


def _ious(found: list[Polygon], outlines: list[Polygon]) -> list[float]:
    return [max((p.intersection(t).area / p.union(t).area for p in found), default=0.0) for t in outlines]


@settings(max_examples=12, deadline=None)
@given(gap_m=st.floats(0.0, 2.5), turn_deg=st.floats(0.0, 90.0), blur_m=st.sampled_from([0.0, 0.1, 0.2]))
def test_four_zebras_that_meet_at_the_corners_are_four_crossings(gap_m, turn_deg, blur_m):
    canvas, outlines = _junction([0, 90, 180, 270], gap_m=gap_m, turn_deg=turn_deg)
    found = _found(canvas, blur_m=blur_m)
    assert len(found) == 4
    assert min(_ious(found, outlines)) > 0.8


@pytest.mark.parametrize("headings_deg", [[0, 120, 240], [0, 72, 144, 216, 288], [0, 90, 180], [0, 63, 180, 243]])
def test_zebras_of_other_junctions_are_told_apart(headings_deg):
    canvas, outlines = _junction(headings_deg, half_m=4.0, turn_deg=11.0)
    found = _found(canvas, blur_m=0.1)
    assert len(found) == len(outlines)
    assert min(_ious(found, outlines)) > 0.75


@pytest.mark.parametrize(("stripe_m", "step_m"), [(0.3, 0.6), (0.3, 1.0), (0.4, 0.8), (0.6, 1.2), (0.6, 1.5)])
def test_stripes_of_every_width_tell_zebras_apart(stripe_m, step_m):
    canvas, outlines = _junction([0, 90, 180, 270], stripe_m=stripe_m, step_m=step_m, turn_deg=7.0)
    found = _found(canvas, blur_m=0.12)
    assert len(found) == 4
    assert min(_ious(found, outlines)) > 0.8


def test_zebras_that_meet_keep_their_ends_though_stripes_are_worn_away():
    canvas, outlines = _junction([0, 90, 180, 270])
    for outline, along in zip(outlines, (0.35, 0.55, 0.45, 0.65), strict=True):
        low, high = np.array(outline.bounds).reshape(2, 2)
        middle = low + np.where(high - low > 5.0, along, 0.5) * (high - low)
        lengthwise = (high - low) > 5.0  # across the stripes, over a good metre of which they are worn away
        half = np.where(lengthwise, 0.65, 3.0)
        worn = box(*(middle - half), *(middle + half))
        inside = canvas._signed(np.asarray(worn.exterior.coords)[:-1]) > 0
        canvas.probability[inside] = np.eye(len(RoadClass))[RoadClass.ROAD]
    found = _found(canvas)
    assert min(_ious(found, outlines)) > 0.75


def test_worn_ladders_round_a_junction_are_no_crossings_from_arm_to_arm():
    arms, half_m = 4, 4.5
    canvas = Canvas(Grid(west_m=-16, north_m=16, cell_m=0.1, width=320, height=320))
    canvas.area(np.asarray(Point(0, 0).buffer(half_m).exterior.coords)[:-1], RoadClass.ROAD)
    headings = np.arange(arms) * 360 / arms
    for heading in headings:
        arm = rotate(box(0, -half_m, 15, half_m), heading, origin=(0, 0))
        canvas.area(np.asarray(arm.exterior.coords)[:-1], RoadClass.ROAD)
    bare = canvas.probability.copy()
    inner_m = half_m / np.tan(np.pi / arms) + 0.3
    outlines = []
    for heading in headings:
        lines = [[(x, -half_m), (x, half_m)] for x in (inner_m, inner_m + 3.0)]
        stripes = [[(inner_m, y), (inner_m + 3.0, y)] for y in np.arange(-half_m + 0.5, half_m - 0.3, 1.2)]
        for line, width_m in [*((line, 0.3) for line in lines), *((stripe, 0.4) for stripe in stripes)]:
            turned = rotate(LineString(line), heading, origin=(0, 0))
            canvas.stroke(np.asarray(turned.coords), width_m=width_m, road_class=RoadClass.CROSSWALK)
        outlines.append(rotate(box(inner_m, -half_m, inner_m + 3.0, half_m), heading, origin=(0, 0)))
    noise = gaussian_filter(np.random.default_rng(1).standard_normal(canvas.grid.shape), 4)
    worn = noise < np.quantile(noise, 0.25)
    canvas.probability[worn] = bare[worn]
    found = _found(canvas, blur_m=0.1)
    assert arms - 1 <= len(found) <= arms + 1
    for crossing in found:
        assert max(crossing.intersection(outline).area for outline in outlines) > 0.75 * crossing.area


def test_stripes_that_fan_out_round_a_corner_are_two_crossings():
    """Maps give a crossing two edges that are not parallel: its stripes turn from one end to the other."""
    canvas = Canvas(Grid(west_m=-4, north_m=16, cell_m=0.1, width=200, height=200))
    canvas.area([(-3.9, -3.9), (15.9, -3.9), (15.9, 15.9), (-3.9, 15.9)], RoadClass.ROAD)
    sides = [((3.0, 3.0), (12.0, 3.0), (-0.5, 2.0), (13.0, -0.5)), ((3.0, 3.0), (3.0, 12.0), (2.0, -0.5), (-0.5, 13.0))]
    outlines = []
    for inner, inner_end, outer, outer_end in (np.array(side) for side in sides):
        for t in np.arange(0.02, 0.93, 0.095):
            corners = [a + s * (b - a) for s in (t, t + 0.045) for a, b in ((inner, inner_end), (outer, outer_end))]
            ring = np.array([corners[0], corners[1], corners[3], corners[2]])
            canvas._paint((canvas._signed(ring) > 0).astype(float), RoadClass.CROSSWALK)
        outlines.append(Polygon([inner, outer, outer_end, inner_end]))
    found = _found(canvas)
    assert len(found) == 2
    assert min(_ious(found, outlines)) > 0.7


def test_a_single_zebra_beside_a_stop_line_called_crosswalk_is_one_crossing():
    canvas = Canvas(Grid(west_m=-12, north_m=12, cell_m=0.1, width=240, height=240))
    canvas.area([(-11.9, -11.9), (11.9, -11.9), (11.9, 11.9), (-11.9, 11.9)], RoadClass.ROAD)
    for area in [*_stripes(5.0, 4.0), box(3.0, 0.0, 3.4, 8.0)]:
        canvas.area(np.asarray(area.exterior.coords)[:-1], RoadClass.CROSSWALK)
    found = _found(canvas)
    assert max(_ious(found, [box(-2, -4.7, 2, 4.8)])) > 0.9
    assert sum(p.area > 8 for p in found) == 1
