from __future__ import annotations

import numpy as np
import pytest
from painter import distance_to, shifted, street
from shapely import Polygon

from recon.classes import RoadClass
from vectorize.polyline import length_of, resample
from vectorize.road_map import RoadMap
from vectorize.trace.trace import trace
from vectorize.trace_config import TraceConfig


def lengths(road_map: RoadMap, name: str) -> list[float]:
    return [length_of(e.vertices, closed=e.closed) for e in road_map.of(name)]


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


def test_a_boundary_is_found_also_where_the_classes_are_unsure():
    canvas, _ = street(length_m=30.0)
    outside = canvas.probability[..., RoadClass.OFF_ROAD].copy()
    canvas.probability[..., RoadClass.ROAD] += 0.3 * outside
    canvas.probability[..., RoadClass.OFF_ROAD] -= 0.3 * outside
    assert sum(lengths(trace(canvas.bev(), TraceConfig()), "boundary")) == pytest.approx(2 * (30 + 12), abs=3.0)
