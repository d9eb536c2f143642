"""Vehicles that a net calls BACKGROUND and that never leave their place: no boundary runs along them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from painter import Canvas

from recon.classes import RoadClass
from recon.grid import Grid
from vectorize.road_map import Element
from vectorize.trace.trace import trace
from vectorize.trace_config import TraceConfig

HALF_ROAD_M = 7.0


def street(*, beside: RoadClass = RoadClass.OFF_ROAD, cell_m: float = 0.1) -> Canvas:
    width, height = round(80 / cell_m), round(24 / cell_m)
    canvas = Canvas(Grid(west_m=-40, north_m=12, cell_m=cell_m, width=width, height=height))
    canvas.probability[:] = np.eye(len(RoadClass))[beside]
    canvas.area(box(-60, 0, 120, 2 * HALF_ROAD_M), RoadClass.ROAD)
    return canvas


def box(x: float, y: float, length: float, width: float, angle: float = 0.0) -> np.ndarray:
    """Return the corners of a rectangle that begins in the middle of a side."""
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]]) * width / 2
    start = np.array([x, y])
    return np.array([start - across, start + along * length - across, start + along * length + across, start + across])


def away_from_kerbs_m(element: Element) -> float:
    return float(np.abs(np.abs(element.vertices[:, 1]) - HALF_ROAD_M).max())


def boundaries(canvas: Canvas) -> tuple[Element, ...]:
    return tuple(trace(canvas.bev(), TraceConfig()).of("boundary"))


@settings(max_examples=5, deadline=None)
@given(
    length=st.floats(3.5, 18.0),
    width=st.floats(1.5, 3.0),
    angle=st.floats(-0.3, 0.3),
    y=st.floats(-1.0, 1.0),
    cell_m=st.sampled_from([0.1, 0.15, 0.2]),
)
def test_a_vehicle_on_the_road_has_no_boundary(
    length: float, width: float, angle: float, y: float, cell_m: float
) -> None:
    canvas = street(cell_m=cell_m)
    canvas.area(box(-8, y - length / 2 * np.sin(angle), length, width, angle), RoadClass.BACKGROUND)
    found = boundaries(canvas)
    assert len(found) == 2
    assert max(map(away_from_kerbs_m, found)) < 0.1


@pytest.mark.parametrize("length", [4.5, 8.0, 12.0, 17.0])
@pytest.mark.parametrize("beside", [RoadClass.OFF_ROAD, RoadClass.CURB])
def test_the_side_of_a_vehicle_at_the_kerb_is_no_boundary(length: float, beside: RoadClass) -> None:
    canvas = street(beside=beside)
    canvas.area(box(-8, -HALF_ROAD_M + 1.2, length, 2.5), RoadClass.BACKGROUND)
    found = boundaries(canvas)
    assert max(map(away_from_kerbs_m, found)) < 0.35  # the corner between kerb and vehicle is rounded
    metres = sum(float(np.ptp(e.vertices[:, 0])) for e in found)
    assert metres > 2 * 79 - length - 6


def test_a_row_of_cars_parked_across_has_no_boundary() -> None:
    canvas = street()
    for i in range(8):
        canvas.area(box(-20 + 2.7 * i, -5.5, 1.9, 4.6), RoadClass.BACKGROUND)
    assert max(map(away_from_kerbs_m, boundaries(canvas))) < 0.35


def test_barriers_buildings_and_islands_with_kerbs_keep_their_boundaries() -> None:
    barrier = street()
    barrier.area(box(-30, 0, 40, 0.6), RoadClass.BACKGROUND)
    assert sum(e.closed for e in boundaries(barrier)) == 1
    building = street()
    building.area(box(-10, -9.5, 15, 5), RoadClass.BACKGROUND)
    assert min(float(np.ptp(e.vertices[:, 0])) for e in boundaries(building)) > 75
    island = street()
    island.area(box(-8, 0, 12, 3.4), RoadClass.CURB)
    island.area(box(-7.7, 0, 11.4, 2.8), RoadClass.BACKGROUND)
    assert sum(e.closed for e in boundaries(island)) == 1


def test_a_wide_place_without_road_keeps_its_boundary() -> None:
    canvas = street()
    canvas.area(box(-10, 0, 16, 6.0), RoadClass.BACKGROUND)
    assert sum(e.closed for e in boundaries(canvas)) == 1


@pytest.mark.parametrize(("length_m", "pieces"), [(3.0, 1), (5.0, 1), (14.0, 2)])
def test_an_edge_goes_on_over_a_soft_stretch_but_not_over_a_long_one(length_m: float, pieces: int) -> None:
    """There the net hesitates between road and BACKGROUND on both sides of the edge."""
    canvas = street(beside=RoadClass.BACKGROUND)
    xy = canvas.grid.centres()
    soft = (np.abs(xy[..., 0]) < length_m / 2) & (np.abs(xy[..., 1] - HALF_ROAD_M) < 1.5)
    road = canvas.probability[..., RoadClass.ROAD].copy()
    canvas.probability[soft] = 0.0
    canvas.probability[soft, RoadClass.ROAD] = np.where(road[soft] > 0.5, 0.56, 0.44)
    canvas.probability[soft, RoadClass.BACKGROUND] = 1.0 - canvas.probability[soft, RoadClass.ROAD]
    upper = [e for e in boundaries(canvas) if e.vertices[:, 1].mean() > 0]
    assert len(upper) == pieces
    assert max(map(away_from_kerbs_m, upper)) < 0.1
