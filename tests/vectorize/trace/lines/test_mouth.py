"""A row of dashes goes on over missing dashes, but not past the mouth of a side street."""

from __future__ import annotations

import numpy as np
import pytest
from painter import Canvas, arc
from shapely import LineString

from recon.classes import RoadClass
from recon.grid import Grid
from vectorize.evidence import Evidence
from vectorize.polyline import resample
from vectorize.trace.lines.mouth import Mouths
from vectorize.trace.lines.rows import join_rows
from vectorize.trace.lines.strand import STEP_M, Strand
from vectorize.trace.trace import trace
from vectorize.trace_config import RowConfig, TraceConfig

GRID = Grid(west_m=-31.0, north_m=22.0, cell_m=0.1, width=620, height=270)
HOLE = (-6.0, 9.0)  # from the end of a dash to the start of the third after it


DASHES = tuple(float(start) for start in np.arange(-27.0, 26.0, 9.0))
WORN = tuple(start for start in DASHES if not HOLE[0] <= start < HOLE[1])


def street(beside=(), *, hidden=False):
    """Return the raster of a street along x with another area of road north of it."""
    canvas = Canvas(GRID)
    canvas.area([(-31, -4), (31, -4), (31, 4), (-31, 4)], RoadClass.ROAD)
    if len(beside):
        canvas.area(beside, RoadClass.ROAD)
    if hidden:
        north = GRID.to_m(np.stack(np.indices(GRID.shape)[::-1], axis=-1) + 0.5)[..., 1]
        canvas.hide(north > 5.0)
    return canvas


def rows_of(canvas, starts, *, turned=0):
    """Return the rows of dashes of 3 m along the street's axis; one of them runs the other way."""
    evidence, strands = Evidence.of(canvas.bev(), min_views=1), []
    for start in starts:
        xy = resample(np.array([[start, 0.0], [start + 3.0, 0.0]]), STEP_M)
        xy = xy[::-1] if start == starts[turned] else xy
        nothing = np.zeros(len(xy), bool)
        strands.append(Strand(xy_m=xy, paint=np.ones(len(xy)), bridged=nothing, faint=nothing, width_m=0.15))
    return join_rows(strands, RowConfig(), [], Mouths(evidence, RowConfig()))


def street_to_the_north(width_m, slant=0.0):
    middle = sum(HOLE) / 2
    foot, head = (middle - width_m / 2, middle + width_m / 2), 18.0 * slant
    return [(foot[0], 3), (foot[1], 3), (foot[1] + head, 21), (foot[0] + head, 21)]


@pytest.mark.parametrize(("width_m", "slant"), [(6.0, 0.0), (10.0, 0.0), (8.0, 0.6), (8.0, -0.6)])
def test_a_row_ends_at_the_mouth_of_a_side_street(width_m, slant):
    rows = rows_of(street(street_to_the_north(width_m, slant)), WORN)
    assert sorted(tuple(np.sort(one.xy_m[[0, -1], 0]).round(1)) for one in rows) == [(-27.0, -6.0), (9.0, 21.0)]


@pytest.mark.parametrize(
    "beside",
    [
        [],
        [(-3, 3), (6, 3), (6, 9), (-3, 9)],  # bays
        street_to_the_north(3.0),  # a driveway
        [(-31, 3), (31, 3), (31, 21), (-31, 21)],  # a square
    ],
)
def test_elsewhere_a_row_goes_on_over_missing_dashes(beside):
    assert len(rows_of(street(beside), WORN)) == 1


def test_a_row_that_is_painted_through_the_mouth_is_one():
    assert len(rows_of(street(street_to_the_north(10.0)), DASHES)) == 1


def test_what_was_not_seen_beside_the_road_is_no_mouth():
    assert len(rows_of(street(street_to_the_north(10.0), hidden=True), WORN)) == 1


def test_no_divider_is_published_in_the_mouth():
    canvas = street(street_to_the_north(10.0))
    for start in WORN:
        canvas.stroke(arc(radius_m=np.inf, length_m=2.9, start=(start + 0.05, 0.0)))
    dividers = [LineString(e.vertices[:, :2]) for e in trace(canvas.bev(), TraceConfig()).of("divider")]
    assert len(dividers) == 2
    assert all(line.disjoint(LineString([(HOLE[0] + 0.5, 0), (HOLE[1] - 0.5, 0)])) for line in dividers)


def test_unseen_specks_beside_the_dashes_make_no_mouth():
    """Vehicles parked beside a dash hide the side of a wide road there, and not beside the hole."""
    canvas = street([(-31, -4), (31, -4), (31, 9), (-31, 9)])
    x, y = np.moveaxis(GRID.to_m(np.stack(np.indices(GRID.shape)[::-1], axis=-1) + 0.5), -1, 0)
    canvas.hide((x > -9.0) & (x < -8.0) & (y > 1.0) & (y < 2.0))
    assert len(rows_of(canvas, WORN)) == 1


@pytest.mark.parametrize("turned", range(len(WORN)))
def test_a_street_wider_on_one_side_has_no_mouth_whichever_way_its_dashes_run(turned):
    canvas = street([(-31, -4), (31, -4), (31, 16), (-31, 16)])
    assert len(rows_of(canvas, WORN, turned=turned)) == 1
