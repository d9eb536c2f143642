"""Rows of dashes of any country: one dashed divider each."""

from __future__ import annotations

import numpy as np
import pytest
from painter import Canvas, arc, distance_to, shifted, street
from shapely import LineString

from recon.classes import RoadClass
from recon.grid import Grid
from vectorize.polyline import length_of, resample
from vectorize.trace.lines.rows import join_rows
from vectorize.trace.lines.strand import STEP_M, Strand
from vectorize.trace.trace import trace
from vectorize.trace_config import RowConfig, TraceConfig

pytestmark = pytest.mark.slow

# Dash and gap in metres, as published for lane lines, guide lines and warning lines.
PATTERNS = {
    "US": (3.05, 9.14), "France T1": (3, 10), "France T3": (3, 1.33), "Germany motorway": (6, 12), "UK": (2, 7),
    "UK warning": (4, 2), "Japan expressway": (8, 12), "China": (6, 9), "Korea": (8, 10), "Sweden": (3, 9),
    "Norway": (1, 2), "Italy": (4.5, 7.5), "guide line": (1, 1), "give way": (0.6, 0.3), "short": (0.5, 0.5),
    "longest": (12, 14),
}  # fmt: skip


def dash(line) -> Strand:
    xy = resample(np.asarray(line, dtype=float), STEP_M)
    nothing = np.zeros(len(xy), bool)
    return Strand(xy_m=xy, paint=np.full(len(xy), 0.8), bridged=nothing, faint=nothing, width_m=0.15)


def row(line, dash_m, gap_m, *, missing=()) -> list[Strand]:
    """Return the dashes along a line of points 5 cm apart."""
    size, period = round(dash_m / 0.05), round((dash_m + gap_m) / 0.05)
    starts = range(0, len(line) - size, period)
    return [dash(line[k : k + size + 1]) for number, k in enumerate(starts) if number not in missing]


def rows_of(strands, config=None, barriers=()) -> list[Strand]:
    return [s for s in join_rows(strands, config or RowConfig(), barriers) if s.gap_m > 0]


@pytest.mark.parametrize("country", PATTERNS)
def test_a_row_of_any_pattern_is_one_dashed_divider(country):
    dash_m, gap_m = PATTERNS[country]
    canvas, centre = street(length_m=max(15.0, 4 * dash_m + 3 * gap_m + 0.1), half_width_m=3.0, heading_rad=0.3)
    # A stroke ends round, half of its width beyond its line.
    canvas.dashes(centre, dash_m=dash_m - 0.15, gap_m=gap_m + 0.15, width_m=0.15)
    (divider,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert divider.style == "dashed"
    count = int((length_of(centre) - dash_m) // (dash_m + gap_m)) + 1
    assert length_of(divider.vertices) == pytest.approx(count * (dash_m + gap_m) - gap_m, abs=0.7)


@pytest.mark.parametrize("radius_m", [12.0, 15.0, 30.0])
@pytest.mark.parametrize(("dash_m", "gap_m"), [(3.0, 6.0), (3.0, 3.0), (1.0, 2.0)])
def test_a_row_on_a_tight_curve_keeps_to_its_curve(radius_m, dash_m, gap_m):
    line = arc(radius_m=radius_m, length_m=1.9 * radius_m)
    (found,) = rows_of(row(line, dash_m, gap_m))
    assert distance_to(line, found.xy_m).max() < 0.08


@pytest.mark.parametrize("apart_m", [2.5, 3.0, 3.7])
def test_neighbouring_rows_on_a_tight_curve_are_not_exchanged(apart_m):
    middle = arc(radius_m=14.0, length_m=30.0)
    lines = [shifted(middle, side * apart_m) for side in (-1, 0, 1)]
    found = rows_of([one for line in lines for one in row(line, 3.0, 6.0)])
    assert len(found) == 3
    assert {min(range(3), key=lambda k: distance_to(lines[k], one.xy_m).max()) for one in found} == {0, 1, 2}
    assert all(min(distance_to(line, one.xy_m).max() for line in lines) < 0.1 for one in found)


@pytest.mark.parametrize(("missing", "count"), [((3,), 1), ((3, 4), 1), ((3, 4, 5), 2)])
def test_a_row_goes_on_over_two_missing_dashes_and_no_more(missing, count):
    line = arc(radius_m=150.0, length_m=110.0)
    assert len(rows_of(row(line, 3.0, 9.0, missing=missing))) == count


def test_three_dashes_without_a_common_period_are_no_row():
    line = arc(radius_m=np.inf, length_m=40.0)
    pieces = [dash(line[a : a + 60]) for a in (0, 150, 500)]
    assert not rows_of(pieces)


def test_a_row_does_not_go_through_a_barrier_or_another_line():
    line = arc(radius_m=np.inf, length_m=66.0)
    wall = np.array([[31.5, -3.0], [31.5, 3.0]])
    for barriers, others in (([LineString(wall)], []), ([], [dash(np.array([[31.5, -9.0], [31.5, 9.0]]))])):
        found = rows_of([*row(line, 3.0, 6.0), *others], barriers=barriers)
        assert len(found) == 2
        assert all(np.ptp(one.xy_m[:, 0]) < 34 for one in found)


def test_bars_side_by_side_and_a_worn_solid_line_are_no_rows():
    bars = [dash(np.array([[k, -2.0], [k, 2.0]])) for k in np.arange(0.0, 8.0, 1.0)]
    assert not rows_of(bars)
    line = arc(radius_m=np.inf, length_m=60.0)
    assert not rows_of(row(line, 10.0, 1.0))


def test_a_dot_between_two_dashes_does_not_part_their_row():
    line = arc(radius_m=np.inf, length_m=60.0)
    studs = [dash(line[k : k + 5]) for k in range(150, 1200, 243)]
    assert len(rows_of([*row(line, 3.05, 9.1), *studs])) == 1


@pytest.mark.parametrize("size_m", [0.12, 0.3])
def test_dots_are_a_dashed_divider(size_m):
    canvas, centre = street(length_m=20.0, half_width_m=3.0, heading_rad=0.2)
    canvas.dashes(centre, dash_m=0.05, gap_m=1.15, width_m=size_m)
    (divider,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert divider.style == "dashed"
    assert length_of(divider.vertices) == pytest.approx(19.2, abs=0.5)


def test_groups_of_dots_are_the_dashes_of_a_row():
    """Four dots 0.9 m apart every 7.3 m, as some highways have them."""
    canvas, centre = street(length_m=40.0, half_width_m=3.0)
    for start in np.arange(1.0, 36.0, 7.3):
        for k in range(4):
            at = centre[round((start + 0.91 * k) / 0.05)]
            canvas.stroke(np.array([at, at + [0.01, 0.0]]), width_m=0.12)
    (divider,) = trace(canvas.bev(), TraceConfig(row=RowConfig(least_dots=4))).of("divider")
    assert divider.style == "dashed"


def test_a_row_that_a_solid_line_continues_is_one_line_of_two_styles():
    canvas = Canvas(Grid(west_m=-2, north_m=6, cell_m=0.1, width=840, height=120))
    canvas.area([(0, -4), (80, -4), (80, 4), (0, 4)], RoadClass.ROAD)
    centre = arc(radius_m=np.inf, length_m=80.0)
    canvas.stroke(centre[:501])
    canvas.dashes(centre[round(59.14 / 0.05) :], dash_m=3.05, gap_m=9.14)
    canvas.dashes(centre[round(59.14 / 0.05) :], dash_m=3.05, gap_m=9.14)
    found = trace(canvas.bev(), TraceConfig()).of("divider")
    assert [e.style for e in sorted(found, key=lambda e: e.vertices[:, 0].min())] == ["solid", "dashed"]


@pytest.mark.parametrize("gap_first", [False, True])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("dash_m", "gap_m"), [(3.05, 9.14), (3.0, 6.0), (2.0, 4.0), (6.0, 12.0)])
@pytest.mark.parametrize("radius_m", [np.inf, 80.0])
def test_two_dashes_after_a_solid_line_continue_it(gap_first, turned, dash_m, gap_m, radius_m):
    # The line ends with the first dash, which touches it, or a gap follows it.
    solid_m = 20.0
    line = arc(radius_m=radius_m, length_m=solid_m + 60.0, heading_rad=0.4)
    at = solid_m + (0.0 if gap_first else dash_m)
    pieces = [dash(line[: round(at / 0.05) + 1])]
    for _ in range(2):
        at += gap_m
        pieces.append(dash(line[round(at / 0.05) : round((at + dash_m) / 0.05) + 1]))
        at += dash_m
    strands = [p.reversed() for p in pieces] if turned else pieces
    found = join_rows(strands, RowConfig(), [])
    (dashed,) = [s for s in found if s.gap_m > 0]
    (solid,) = [s for s in found if s.gap_m == 0]
    assert dashed.length_m == pytest.approx(3 * dash_m + 2 * gap_m, abs=0.3)
    assert solid.length_m == pytest.approx(solid_m - (dash_m if gap_first else 0.0), abs=0.3)
    assert distance_to(line, dashed.xy_m).max() < 0.05


@pytest.mark.parametrize(
    ("shift_m", "turn_rad", "second_m"), [(0.9, 0.0, 3.0), (0.0, 0.5, 3.0), (0.0, 0.0, 6.0), (3.5, 0.0, 3.0)]
)
def test_two_marks_beside_or_unlike_a_line_do_not_continue_it(shift_m, turn_rad, second_m):
    solid = dash([[0.0, 0.0], [20.0, 0.0]])
    way = np.array([np.cos(turn_rad), np.sin(turn_rad)])
    start = np.array([29.0, shift_m])
    marks = [dash([start, start + 3.0 * way]), dash([start + 12.0 * way, start + (12.0 + second_m) * way])]
    assert rows_of([solid, *marks]) == []


def test_a_line_of_its_own_between_bars_the_way():
    solid, across = dash([[0.0, 0.0], [20.0, 0.0]]), dash([[24.0, -9.0], [24.0, 9.0]])
    marks = [dash([[29.0, 0.0], [32.0, 0.0]]), dash([[41.0, 0.0], [44.0, 0.0]])]
    assert len(rows_of([solid, *marks])) == 1
    assert rows_of([solid, across, *marks]) == []


@pytest.mark.parametrize("gap_m", [12.6, 13.4, 16.4, 17.2, 22.0])
def test_behind_a_side_street_the_beat_begins_anew(gap_m):
    # 3 m dashes every 9 m: with one or two dashes missing the gap measures 15 m or 24 m.
    first = arc(radius_m=np.inf, length_m=30.1)
    second = arc(radius_m=np.inf, length_m=30.1, start=(30.0 + gap_m, 0.0))
    assert len(rows_of(row(first, 3.0, 6.0) + row(second, 3.0, 6.0))) == 2
    on_beat = arc(radius_m=np.inf, length_m=30.1, start=(45.0, 0.0))
    assert len(rows_of(row(first, 3.0, 6.0) + row(on_beat, 3.0, 6.0))) == 1
