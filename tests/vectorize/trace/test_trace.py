from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from painter import Canvas, arc, distance_to, shifted, street
from shapely import LineString, Polygon, box

from recon.artifact import Parts
from recon.classes import RoadClass
from recon.errors import Cancelled, NoRoadFound
from recon.grid import Grid
from vectorize.polyline import length_of, resample
from vectorize.road_map import RoadMap
from vectorize.trace.trace import trace
from vectorize.trace_config import TraceConfig


def lengths(road_map: RoadMap, name: str) -> list[float]:
    return [length_of(e.vertices, closed=e.closed) for e in road_map.of(name)]


def _along(element) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(element.vertices[:, 0])
    return element.vertices[order, 0], element.seen[order].astype(float)


def assert_no_crossing(road_map: RoadMap) -> None:
    lines = [LineString(e.vertices[:, :2]) for e in road_map.of("divider")]
    assert not any(a.crosses(b) for a, b in itertools.combinations(lines, 2))


@pytest.mark.parametrize("radius_m", [np.inf, 80.0])
def test_a_solid_line_is_found_to_a_fraction_of_a_cell(radius_m):
    canvas, centre = street(radius_m=radius_m, heading_rad=0.37)
    line = shifted(centre, 1.234)
    canvas.stroke(line)
    (divider,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert divider.style == "solid"
    assert length_of(divider.vertices) == pytest.approx(length_of(line), abs=0.4)
    # The raster error is measured before simplification, whose tolerance is 0.1 m.
    (fine,) = trace(canvas.bev(), TraceConfig(simplify_m=0.001)).of("divider")
    # The last decimetre may stand out beyond the paint's end: it is measured by the length.
    dense = resample(fine.vertices[:, :2], 0.1)[2:-2]
    assert np.median(distance_to(line, dense)) < 0.02
    assert distance_to(line, dense).max() < 0.06
    assert distance_to(line, resample(divider.vertices[:, :2], 0.1)).max() < 0.16
    assert divider.seen.all()
    assert 0.5 < divider.score <= 1


@pytest.mark.parametrize("radius_m", [np.inf, 60.0])
def test_dashes_become_one_dashed_divider(radius_m):
    canvas, centre = street(radius_m=radius_m, length_m=66.1)
    canvas.dashes(centre, dash_m=3.0, gap_m=6.0)
    (divider,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert divider.style == "dashed"
    assert length_of(divider.vertices) == pytest.approx(66.0, abs=1.0)
    assert distance_to(centre, resample(divider.vertices[:, :2], 0.2)).max() < 0.25


def test_dashes_of_which_the_segmentation_is_half_sure_are_one_divider_and_a_wash_of_as_much_is_none():
    canvas, centre = street(length_m=30.0, half_width_m=4.0)
    canvas.dashes(shifted(centre, 1.5), dash_m=3.0, gap_m=6.0, strength=0.5)
    canvas.stroke(shifted(centre, -1.5), width_m=0.9, strength=0.2)
    (divider,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert divider.style == "dashed"
    assert length_of(divider.vertices) == pytest.approx(30.0, abs=1.0)


@pytest.mark.parametrize(("length_m", "gap_m", "count"), [(20.0, 11.0, 2), (60.0, 11.0, 1), (70.0, 16.0, 4)])
def test_dashes_farther_apart_than_the_gap_stay_apart(length_m, gap_m, count):
    """Two of them, or too far for any row; four at one period are a row."""
    canvas, centre = street(length_m=length_m)
    canvas.dashes(centre, dash_m=4.0, gap_m=gap_m)
    assert len(trace(canvas.bev(), TraceConfig()).of("divider")) == count


def test_a_sideways_step_is_not_bridged():
    canvas, centre = street()
    along = centre[:, 0]
    canvas.stroke(centre[along < 25])
    canvas.stroke(shifted(centre, 0.9)[along > 29])
    assert len(trace(canvas.bev(), TraceConfig()).of("divider")) == 2


def test_a_bridge_never_crosses_a_divider():
    canvas, centre = street()
    canvas.stroke(arc(radius_m=np.inf, length_m=14.0, start=(25.0, -5.0), heading_rad=0.8))
    canvas.dashes(centre, dash_m=3.0, gap_m=6.0)
    road_map = trace(canvas.bev(), TraceConfig())
    assert len(road_map.of("divider")) >= 3
    assert_no_crossing(road_map)


def test_painted_lines_that_cross_do_not_cross_in_the_map():
    canvas, centre = street()
    canvas.stroke(centre)
    canvas.stroke(arc(radius_m=np.inf, length_m=20.0, start=(20.0, -4.0), heading_rad=0.42))
    road_map = trace(canvas.bev(), TraceConfig())
    assert_no_crossing(road_map)
    assert sum(lengths(road_map, "divider")) > 75.0


def test_a_branch_is_kept_where_a_lane_begins():
    canvas, centre = street()
    canvas.stroke(centre)
    canvas.stroke(arc(radius_m=90.0, length_m=25.0, start=(25.0, 0.0)))
    found = sorted(lengths(trace(canvas.bev(), TraceConfig()), "divider"))
    assert len(found) == 2
    assert found[0] > 17.0  # from where the two are a hand apart
    assert sum(found) == pytest.approx(85.0, abs=8.0)


def test_an_occluded_solid_line_stays_solid_and_says_what_was_not_seen():
    canvas, centre = street()
    canvas.stroke(centre)
    x = canvas.grid.centres()[..., 0]
    canvas.hide((x > 18) & (x < 23))
    canvas.hide((x > 38) & (x < 43))
    (divider,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert divider.style == "solid"
    hidden = [np.interp(at, *_along(divider)) for at in (18.2, 20.5, 22.8, 38.2, 42.8)]
    seen = [np.interp(at, *_along(divider)) for at in (5.0, 17.8, 23.2, 30.0, 37.8, 43.2, 55.0)]
    assert max(hidden) < 0.01
    assert min(seen) > 0.99
    assert divider.confidence[~divider.seen].max() < divider.confidence[divider.seen].max() / 2


def test_a_worn_edge_line_follows_the_kerb():
    canvas, centre = street(radius_m=100.0, length_m=70.0)
    line = shifted(centre, -5.5)
    canvas.stroke(line[:400])
    canvas.stroke(line[-400:])
    (divider,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert length_of(divider.vertices) == pytest.approx(length_of(line), abs=0.6)
    assert distance_to(line, resample(divider.vertices[:, :2], 0.2)).max() < 0.25
    assert len(trace(canvas.bev(), TraceConfig(guided_gap_m=0.0)).of("divider")) == 2


def test_a_line_far_from_the_kerb_does_not_follow_it():
    canvas, centre = street(radius_m=100.0, length_m=70.0)
    line = shifted(centre, -2.0)  # 5 m from the kerb
    canvas.stroke(line[:400])
    canvas.stroke(line[-400:])
    assert len(trace(canvas.bev(), TraceConfig()).of("divider")) == 2


def test_no_edge_line_is_led_round_a_street_corner():
    canvas = Canvas(Grid(west_m=-30, north_m=25, cell_m=0.1, width=600, height=350))
    rounded = np.asarray(box(-28, -5, 28, 5).union(box(-5, 0, 5, 24)).buffer(5).buffer(-5).exterior.coords)
    canvas.area(rounded[:-1], RoadClass.ROAD)
    for line in ([[-27.0, 4.5], [-12.0, 4.5]], [[-4.5, 12.0], [-4.5, 22.0]]):
        canvas.stroke(np.array(line))
    dividers = trace(canvas.bev(), TraceConfig()).of("divider")
    assert sorted(round(length_of(e.vertices)) for e in dividers) == [10, 15]


def test_two_lines_side_by_side_are_one_double_divider():
    canvas, centre = street()
    canvas.stroke(shifted(centre, 0.2))
    canvas.stroke(shifted(centre, -0.2))
    (divider,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert divider.style == "double"
    assert distance_to(centre, resample(divider.vertices[:, :2], 0.2)).max() < 0.15


def test_boundaries_lie_on_the_kerb_line():
    canvas, centre = street(radius_m=70.0)
    left, right = shifted(centre, 6.0), shifted(centre, -6.0)
    canvas.stroke(shifted(centre, -6.15), width_m=0.3, road_class=RoadClass.CURB)
    boundaries = trace(canvas.bev(), TraceConfig()).of("boundary")
    for rim in (left, right):
        nearest = min(boundaries, key=lambda e: float(distance_to(rim, e.vertices).min()))
        middle = resample(nearest.vertices[:, :2], 0.2)
        middle = middle[distance_to(rim[100:-100], middle) < 1.0]
        assert len(middle) > 200
        assert distance_to(rim, middle).max() < 0.2


def test_an_edge_against_unseen_ground_is_no_boundary():
    canvas, _ = street()
    y = canvas.grid.centres()[..., 1]
    canvas.hide(y > 4.0)
    boundaries = trace(canvas.bev(), TraceConfig()).of("boundary")
    assert boundaries
    # The road's ends are real edges up to where they were seen; no boundary runs along the unseen side.
    for element in boundaries:
        steps = np.abs(np.diff(element.vertices[:, :2], axis=0))
        near = element.vertices[:-1, 1] > 3.5
        assert steps[near, 0].sum() < 1.0


def test_a_jagged_edge_against_background_is_withheld_and_a_smooth_one_published_with_less_confidence():
    canvas, _ = street()
    x, y = np.moveaxis(canvas.grid.centres(), -1, 0)
    background = canvas.probability[..., RoadClass.OFF_ROAD].copy()
    canvas.probability[..., RoadClass.OFF_ROAD] = 0
    canvas.probability[..., RoadClass.BACKGROUND] += background
    teeth = (y > 4.0 + 1.5 * ((x / 2.5) % 1.0)) & (y < 7)
    canvas.probability[teeth] = np.eye(len(RoadClass))[RoadClass.BACKGROUND]
    boundaries = trace(canvas.bev(), TraceConfig()).of("boundary")
    smooth = [e for e in boundaries if abs(np.median(e.vertices[:, 1]) + 6.0) < 0.3]
    assert max(length_of(e.vertices) for e in smooth) > 45
    assert max(e.score for e in smooth) <= 0.5
    assert not [e for e in boundaries if np.all((e.vertices[:, 1] > 3.0) & (np.abs(e.vertices[:, 0] - 30) < 25))]


def test_an_island_is_a_closed_boundary_and_a_speck_is_none():
    canvas, _ = street()
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    canvas.area(np.array([30.0, 0.0]) + np.array([4.0, 1.5]) * circle, RoadClass.OFF_ROAD)
    canvas.area(np.array([15.0, 0.0]) + 0.3 * circle, RoadClass.OFF_ROAD)
    closed = [e for e in trace(canvas.bev(), TraceConfig()).of("boundary") if e.closed]
    islands = [e for e in closed if Polygon(e.vertices[:, :2]).area < 100]
    assert len(islands) == 1
    assert Polygon(islands[0].vertices[:, :2]).area == pytest.approx(np.pi * 4 * 1.5, rel=0.06)


def test_a_zebra_becomes_one_polygon_of_its_outline():
    canvas, _ = street(heading_rad=0.0)
    for k in range(10):
        y = -5.0 + k
        canvas.area([(28, y), (32, y), (32, y + 0.5), (28, y + 0.5)], RoadClass.CROSSWALK)
    (crossing,) = trace(canvas.bev(), TraceConfig()).of("ped_crossing")
    assert crossing.closed
    truth = Polygon([(28, -5), (32, -5), (32, 4.5), (28, 4.5)])
    found = Polygon(crossing.vertices[:, :2])
    assert found.intersection(truth).area / found.union(truth).area > 0.93


def test_stop_lines_of_their_own_class_and_painted_as_marking():
    for road_class in (RoadClass.STOP_LINE, RoadClass.LANE_MARKING):
        canvas, centre = street()
        canvas.stroke(centre)
        canvas.stroke(shifted(centre, -3.5))
        canvas.stroke(np.array([[50.0, -3.1], [50.0, -0.4]]), width_m=0.45, road_class=road_class)
        road_map = trace(canvas.bev(), TraceConfig())
        (stop,) = road_map.of("stop_line")
        assert np.abs(stop.vertices[:, 0] - 50.0).max() < 0.15
        assert length_of(stop.vertices) == pytest.approx(2.9, abs=0.7)
        assert len(road_map.of("divider")) == 2


def test_tracing_is_deterministic_and_survives_parts():
    canvas, centre = street(radius_m=50.0)
    canvas.dashes(centre)
    one, two = (trace(canvas.bev(), TraceConfig()).to_parts() for _ in range(2))
    assert one.meta == two.meta
    for name, array in one.arrays.items():
        assert np.array_equal(array, two.arrays[name])
    again = RoadMap.from_parts(Parts(meta=one.meta, arrays=one.arrays))
    assert [e.style for e in again.elements] == [e["style"] for e in one.meta["elements"]]


def test_vertices_carry_the_surface_height():
    canvas, centre = street()
    canvas.stroke(centre)
    for element in trace(canvas.bev(height_m=7.5), TraceConfig()).elements:
        assert element.vertices.shape[1] == 3
        assert np.allclose(element.vertices[:, 2], 7.5)


def test_no_road_is_an_error_of_its_own():
    canvas = Canvas(Grid(west_m=0, north_m=10, cell_m=0.1, width=100, height=100))
    with pytest.raises(NoRoadFound):
        trace(canvas.bev(), TraceConfig())
    bev = canvas.bev()
    with pytest.raises(NoRoadFound):
        trace(replace(bev, views=np.zeros_like(bev.views)), TraceConfig())


def test_a_road_without_paint_has_boundaries_only_and_cells_of_few_views_count_as_unseen():
    canvas, _ = street()
    road_map = trace(canvas.bev(), TraceConfig())
    assert not road_map.of("divider")
    assert road_map.of("boundary")
    with pytest.raises(NoRoadFound):
        trace(canvas.bev(), TraceConfig(min_views=21))


def test_cancelling_stops_the_stage():
    canvas, _ = street(length_m=20.0)

    def stop(done: int, total: int, unit: str = "") -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        trace(canvas.bev(), TraceConfig(), tick=stop)


def test_cells_that_no_image_saw_are_ignored_whatever_their_classes():
    canvas, centre = street(length_m=20.0, half_width_m=3.0)
    canvas.stroke(centre)
    x = canvas.grid.centres()[..., 0]
    canvas.hide(x > 10.0)
    bev = canvas.bev()
    # Whatever stands in unseen cells, paint included, means nothing.
    noise = np.random.default_rng(2).dirichlet(np.ones(bev.class_probability.shape[-1]), bev.grid.shape)
    lying = np.where(bev.seen[..., None], bev.class_probability, noise).astype(np.float16)
    one, two = trace(bev, TraceConfig()), trace(replace(bev, class_probability=lying), TraceConfig())
    assert len(one.elements) == len(two.elements) > 0
    for a, b in zip(one.elements, two.elements, strict=True):
        assert np.array_equal(a.vertices, b.vertices)
        assert a.vertices[a.seen, 0].max() < 10.3


def test_a_short_line_at_an_angle_has_no_stairs():
    canvas, centre = street(length_m=16.0, half_width_m=3.0, heading_rad=0.3)
    canvas.stroke(centre[100:180])
    (short,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert len(short.vertices) == 2
    assert distance_to(centre, short.vertices).max() < 0.1


@pytest.mark.parametrize(("dash_m", "gap_m"), [(3.0, 9.0), (1.5, 4.5)])
def test_dashes_as_far_apart_as_nuscenes_paints_them_are_one_divider(dash_m, gap_m):
    canvas, centre = street(length_m=4 * dash_m + 3 * gap_m, half_width_m=3.0)
    canvas.dashes(shifted(centre, 0.5), dash_m=dash_m, gap_m=gap_m - 0.2)
    (divider,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert divider.style == "dashed"
    assert length_of(divider.vertices) == pytest.approx(4 * dash_m + 3 * (gap_m - 0.2), abs=0.6)


def test_a_single_dash_of_faint_paint_is_haze_and_a_strong_one_a_divider():
    counts = []
    for strength in (0.3, 0.4, 0.8):
        canvas, centre = street(length_m=16.0, half_width_m=3.0)
        canvas.stroke(centre[120:200], width_m=0.25, strength=strength)
        counts.append(len(trace(canvas.bev(), TraceConfig()).of("divider")))
    assert counts == [0, 0, 1]


def test_a_few_views_do_not_make_a_boundary_against_background():
    found = []
    for views in (2, 20):
        canvas, _ = street()
        canvas.probability[..., RoadClass.BACKGROUND] += canvas.probability[..., RoadClass.OFF_ROAD]
        canvas.probability[..., RoadClass.OFF_ROAD] = 0
        canvas.views[:] = views
        found.append(sum(lengths(trace(canvas.bev(), TraceConfig()), "boundary")))
    assert found[0] == 0
    assert found[1] > 100


@pytest.mark.parametrize(("hidden_m", "pieces"), [(2.0, 1), (6.0, 2)])
def test_a_boundary_is_joined_over_a_short_hidden_stretch_only(hidden_m, pieces):
    canvas, _ = street(length_m=40.0, half_width_m=4.0)
    x, y = np.moveaxis(canvas.grid.centres(), -1, 0)
    canvas.hide((np.abs(x - 20.0) > 17.0) | ((y > 2.0) & (np.abs(x - 20.0) < hidden_m / 2)))
    boundaries = trace(canvas.bev(), TraceConfig()).of("boundary")
    assert len([e for e in boundaries if e.vertices[:, 1].min() > 3.5]) == pieces


@pytest.mark.parametrize(("width_m", "count"), [(0.4, 1), (0.12, 0)])
def test_thin_paint_across_a_lane_is_not_a_stop_line(width_m, count):
    canvas, centre = street(length_m=30.0)
    canvas.stroke(centre)
    canvas.stroke(shifted(centre, -3.5))
    canvas.stroke(np.array([[20.0, -3.1], [20.0, -0.4]]), width_m=width_m)
    road_map = trace(canvas.bev(), TraceConfig())
    assert len(road_map.of("stop_line")) == count
    assert len(road_map.of("divider")) == 2


@pytest.mark.parametrize(("length_m", "count"), [(1.2, 0), (2.6, 1)])
def test_a_patch_of_stop_line_paint_shorter_than_a_lane_is_dropped(length_m, count):
    canvas, _ = street(length_m=20.0, half_width_m=4.0)
    canvas.stroke(np.array([[10.0, 0.4], [10.0, 0.4 + length_m]]), width_m=0.4, road_class=RoadClass.STOP_LINE)
    assert len(trace(canvas.bev(), TraceConfig()).of("stop_line")) == count


@pytest.mark.parametrize(("width_m", "count"), [(0.3, 1), (1.0, 0)])
def test_a_patch_wider_than_any_line_is_not_a_divider(width_m, count):
    canvas, _ = street(length_m=16.0, half_width_m=3.0)
    away = np.abs(canvas.grid.centres()[..., 1])
    here = np.abs(canvas.grid.centres()[..., 0] - 8.0) < 2.5
    canvas._paint(np.where(here, np.clip(1.0 - away / width_m, 0.0, 1.0), 0.0), RoadClass.LANE_MARKING)
    assert len(trace(canvas.bev(), TraceConfig()).of("divider")) == count


@pytest.mark.parametrize(("apart_m", "count"), [(0.45, 1), (1.0, 2)])
def test_two_lines_a_step_apart_are_two_dividers(apart_m, count):
    canvas, centre = street(length_m=20.0, half_width_m=3.0)
    for side in (-apart_m / 2, apart_m / 2):
        canvas.stroke(shifted(centre, side))
    assert len(trace(canvas.bev(), TraceConfig()).of("divider")) == count


@pytest.mark.parametrize(("turn_deg", "count"), [(20.0, 1), (60.0, 2)])
def test_paint_that_turns_sharply_is_two_lines(turn_deg, count):
    canvas, centre = street(length_m=40.0, half_width_m=15.0)
    canvas.stroke(centre[80:401])
    way = np.radians(turn_deg)
    canvas.stroke(np.array([[20.0, 0.0], [20.0 + 16.0 * np.cos(way), 16.0 * np.sin(way)]]))
    assert len(trace(canvas.bev(), TraceConfig()).of("divider")) == count


def test_a_boundary_is_found_also_where_the_classes_are_unsure():
    canvas, _ = street(length_m=30.0)
    outside = canvas.probability[..., RoadClass.OFF_ROAD].copy()
    canvas.probability[..., RoadClass.ROAD] += 0.3 * outside
    canvas.probability[..., RoadClass.OFF_ROAD] -= 0.3 * outside
    assert sum(lengths(trace(canvas.bev(), TraceConfig()), "boundary")) == pytest.approx(2 * (30 + 12), abs=3.0)
