"""Where an outline leaves what was seen."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from painter import Canvas

from recon.classes import RoadClass
from recon.grid import Grid
from vectorize.evidence import Evidence
from vectorize.trace.crossings.seen_ring import with_ends_of_view
from vectorize.trace.trace import trace
from vectorize.trace_config import TraceConfig

GRID = Grid(west_m=-12.0, north_m=12.0, cell_m=0.1, width=240, height=240)
RING = np.array([[-7.0, -2.0], [7.0, -2.0], [7.0, 2.0], [-7.0, 2.0]])


def seen_from(hidden):
    """Return evidence of which the cells under a function of x, y are not seen."""
    canvas = Canvas(GRID)
    rows, columns = np.indices(GRID.shape)
    xy = GRID.to_m(np.stack([columns + 0.5, rows + 0.5], axis=-1).reshape(-1, 2)).reshape(*GRID.shape, 2)
    canvas.hide(hidden(xy[..., 0], xy[..., 1]))
    return Evidence.of(canvas.bev(), min_views=1)


@settings(max_examples=30, deadline=None)
@given(turn=st.floats(-np.pi, np.pi), edge_m=st.floats(-6.0, 6.0))
def test_both_long_sides_get_vertices_at_the_edge_of_the_view(turn, edge_m):
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    along = rotation[:, 0]
    ring = RING @ rotation.T
    evidence = seen_from(lambda x, y: x * along[0] + y * along[1] > edge_m)
    result = with_ends_of_view(evidence, ring)
    assert len(result) == 8
    assert np.count_nonzero(np.abs(result @ along - edge_m) < 0.35) == 4
    assert shapely.Polygon(result).symmetric_difference(shapely.Polygon(ring)).area < 1e-6


def test_what_was_seen_whole_keeps_its_corners():
    assert np.array_equal(with_ends_of_view(seen_from(lambda x, y: x > 50.0), RING), RING)
    assert np.array_equal(with_ends_of_view(seen_from(lambda x, y: x > -50.0), RING), RING)


def test_cells_that_alternate_at_the_edge_of_the_view_give_one_change():
    ragged = seen_from(lambda x, y: (x > 3.0) | ((x > 1.5) & (np.sin(20.0 * x) > 0.0)))
    assert len(with_ends_of_view(ragged, RING)) == 8


@pytest.mark.parametrize("hidden_from_m", [2.0, 3.0])
def test_an_unseen_end_costs_the_seen_part_of_a_crossing_no_confidence(hidden_from_m):
    canvas = Canvas(GRID)
    canvas.area([(-12, -7), (12, -7), (12, 7), (-12, 7)], RoadClass.ROAD)
    for y in np.arange(-6.5, 6.5, 1.0):
        canvas.area([(-2, y), (2, y), (2, y + 0.5), (-2, y + 0.5)], RoadClass.CROSSWALK)
    rows = np.indices(GRID.shape)[0]
    canvas.hide(12.0 - 0.1 * (rows + 0.5) > hidden_from_m)
    for area in trace(canvas.bev(), TraceConfig()).of("ped_crossing"):
        seen = area.vertices[:, 1] < hidden_from_m - 0.3
        assert area.confidence[seen].min() > 0.8
