"""A divider has one style: it is cut where its style changes, and two lines close together are one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from painter import distance_to, shifted, street

from vectorize.polyline import length_of, resample
from vectorize.trace.trace import trace
from vectorize.trace_config import TraceConfig

pytestmark = pytest.mark.slow


def styles_along(canvas) -> list[tuple[str, int, int]]:
    """Return (style, first, last) of the dividers in whole metres along x, from west to east."""
    found = trace(canvas.bev(), TraceConfig()).of("divider")
    ends = [(e.style, *sorted(round(float(x)) for x in e.vertices[[0, -1], 0])) for e in found]
    return sorted(ends, key=lambda one: one[1:])


def style_from_the_west(canvas) -> str:
    """Return the style of the only divider as seen when it runs eastwards."""
    (divider,) = trace(canvas.bev(), TraceConfig()).of("divider")
    return (divider if divider.vertices[0, 0] < divider.vertices[-1, 0] else divider.reversed()).style


@pytest.mark.parametrize(("dash_m", "gap_m"), [(3.0, 6.0), (3.0, 3.0), (3.05, 9.14), (6.0, 12.0), (1.0, 1.0)])
def test_a_line_that_is_solid_and_then_dashed_is_cut_there(dash_m, gap_m):
    canvas, centre = street(length_m=30.0 + 4 * (dash_m + gap_m), half_width_m=3.0)
    canvas.stroke(centre[:601])
    canvas.dashes(centre[round((30 + gap_m) / 0.05) :], dash_m=dash_m, gap_m=gap_m)
    found = styles_along(canvas)
    assert [one[0] for one in found] == ["solid", "dashed"]
    assert found[0][2] == found[1][1] == 30


def test_each_style_of_a_line_has_the_score_of_its_own_stretch():
    canvas, centre = street(length_m=66.0, half_width_m=3.0)
    canvas.stroke(centre[:601])
    canvas.dashes(centre[720:], dash_m=3.0, gap_m=6.0)
    bev = canvas.bev()
    shift_m = bev.shift_m.copy()
    shift_m[:, canvas.grid.to_px(centre[600:601])[0, 0].astype(int) :] = 0.4  # there the height is doubtful
    traced = trace(replace(bev, shift_m=shift_m), TraceConfig(min_views=1))
    elements = sorted(traced.of("divider"), key=lambda e: e.style)
    assert [e.style for e in elements] == ["dashed", "solid"]
    dashed, solid = elements
    assert dashed.score < solid.score - 0.05
    for one in elements:
        assert one.confidence.min() <= one.score <= one.confidence.max()


def test_a_double_line_that_goes_on_as_one_is_cut_where_the_second_ends():
    canvas, centre = street(length_m=40.0, half_width_m=3.0, heading_rad=0.05)
    canvas.stroke(shifted(centre, -0.15), width_m=0.12)
    canvas.stroke(shifted(centre, 0.15)[:401], width_m=0.12)
    found = styles_along(canvas)
    assert [one[0] for one in found] == ["double", "solid"]
    assert found[0][2] == pytest.approx(20, abs=1)


@pytest.mark.parametrize("apart_m", [0.24, 0.3, 0.4, 0.48])
@pytest.mark.parametrize("heading_rad", [0.0, 0.35])
@pytest.mark.parametrize(("solid_left", "style"), [(True, "solid_dashed"), (False, "dashed_solid")])
def test_a_solid_line_beside_a_dashed_one_is_one_divider_that_names_both(apart_m, heading_rad, solid_left, style):
    canvas, centre = street(length_m=41.0, half_width_m=3.0, heading_rad=heading_rad)
    side = apart_m / 2 if solid_left else -apart_m / 2
    canvas.stroke(shifted(centre, side), width_m=0.12)
    canvas.dashes(shifted(centre, -side)[20:], dash_m=3.0, gap_m=6.0, width_m=0.12)
    assert style_from_the_west(canvas) == style


@pytest.mark.parametrize("apart_m", [0.24, 0.3, 0.4, 0.48])
def test_two_solid_lines_are_one_double_line_in_their_middle(apart_m):
    canvas, centre = street(length_m=30.0, half_width_m=3.0, heading_rad=0.2)
    for side in (-apart_m / 2, apart_m / 2):
        canvas.stroke(shifted(centre, side), width_m=0.12)
    (divider,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert divider.style == "double"
    assert distance_to(centre, resample(divider.vertices[:, :2], 0.2)).max() < 0.2
    assert length_of(divider.vertices) == pytest.approx(30.0, abs=1.5)


def test_lines_that_part_are_double_only_while_they_are_close():
    canvas, centre = street(length_m=60.0)
    x = centre[:, 0]
    away = 0.12 + np.clip((x - 30.0) * 0.05, 0.0, None)
    for sign in (-1, 1):
        canvas.stroke(np.stack([x, sign * away], axis=1), width_m=0.12)
    found = styles_along(canvas)
    assert sorted(one[0] for one in found) == ["double", "solid", "solid"]
    double = next(one for one in found if one[0] == "double")
    assert double[1] == 0
    assert 28 <= double[2] <= 35


def test_two_dashed_lines_side_by_side_are_dashed():
    canvas, centre = street(length_m=48.0, half_width_m=3.0, heading_rad=0.3)
    for side in (-0.15, 0.15):
        canvas.dashes(shifted(centre, side), dash_m=3.0, gap_m=6.0, width_m=0.12)
    assert {e.style for e in trace(canvas.bev(), TraceConfig()).of("divider")} == {"dashed"}


def test_a_row_with_a_hidden_dash_stays_one_dashed_divider():
    canvas, centre = street(length_m=66.1, half_width_m=3.0)
    canvas.dashes(centre, dash_m=3.0, gap_m=6.0)
    canvas.hide(np.abs(canvas.grid.centres()[..., 0] - 28.5) < 4.0)
    (divider,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert divider.style == "dashed"
    assert length_of(divider.vertices) == pytest.approx(66.0, abs=1.0)


def test_neighbouring_elements_of_one_line_share_their_vertex():
    canvas, centre = street(length_m=57.0, half_width_m=3.0)
    canvas.stroke(centre[:601])
    canvas.dashes(centre[721:], dash_m=3.0, gap_m=6.0)
    solid, dashed = sorted(trace(canvas.bev(), TraceConfig()).of("divider"), key=lambda e: e.vertices[:, 0].min())
    ends = [{tuple(v) for v in e.vertices[[0, -1]].tolist()} for e in (solid, dashed)]
    assert len(ends[0] & ends[1]) == 1


def pieces(canvas, line, borders_m):
    """Paint the line between pairs of places, in metres along it."""
    for start, stop in borders_m:
        canvas.stroke(line[round(start / 0.05) : round(stop / 0.05) + 1])


@pytest.mark.parametrize(("dash_m", "gap_m"), [(3.2, 1.9), (3.8, 2.4), (3.0, 3.5)])
def test_a_solid_line_that_opens_for_one_dash_stays_solid(dash_m, gap_m):
    """Before an entrance a solid line may be left for one dash, and twice within some metres."""
    canvas, centre = street(length_m=80.0, half_width_m=3.0, heading_rad=0.2)
    first, second = 30.0 + gap_m, 41.4 + 3 * gap_m + dash_m
    dashes = [(first, first + dash_m), (second, second + dash_m)]
    pieces(canvas, centre, [(0, 30), dashes[0], (dashes[0][1] + gap_m, second - gap_m), dashes[1]])
    pieces(canvas, centre, [(dashes[1][1] + gap_m, 80)])
    (divider,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert divider.style == "solid"
    assert length_of(divider.vertices) == pytest.approx(80.0, abs=1.0)


@pytest.mark.parametrize("haze", [0.3, 0.5])
@pytest.mark.parametrize(("dash_m", "gap_m"), [(3.0, 3.0), (3.4, 2.6), (4.0, 4.0)])
def test_a_gap_full_of_haze_leaves_a_row_dashed(dash_m, gap_m, haze):
    canvas, centre = street(length_m=12 * (dash_m + gap_m), half_width_m=3.0)
    period_m = dash_m + gap_m
    for k in (3, 4, 7):
        start = k * period_m + dash_m
        hazy = centre[round(start / 0.05) : round((start + gap_m) / 0.05)]
        canvas.stroke(hazy, strength=haze)
    canvas.dashes(centre, dash_m=dash_m, gap_m=gap_m)
    (divider,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert divider.style == "dashed"


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_what_wear_leaves_of_the_end_of_a_solid_line_is_no_row(seed):
    """Pieces of different lengths with different gaps have no period."""
    rng = np.random.default_rng(seed)
    canvas, centre = street(length_m=90.0, half_width_m=3.0)
    lengths, gaps = rng.permutation([8.6, 3.1, 6.4]), rng.permutation([7.0, 1.2, 1.5])
    ends = 60.0 + np.cumsum(gaps + lengths)
    pieces(canvas, centre, [(0, 60), *zip(ends - lengths, ends, strict=True)])
    (divider,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert divider.style == "solid"
    assert length_of(divider.vertices) == pytest.approx(ends[-1], abs=1.0)


@pytest.mark.slow
@pytest.mark.parametrize("apart_m", [0.24, 0.3])
@pytest.mark.parametrize("heading_rad", [0.2, 0.47, 0.8])
def test_a_solid_line_beside_dashes_is_one_line_of_one_style_at_every_heading(heading_rad, apart_m):
    """At a hand's distance some dashes are ridges of their own, and the ridge of the line goes over to them."""
    canvas, centre = street(length_m=80.0, half_width_m=8.0, heading_rad=heading_rad)
    canvas.stroke(shifted(centre, apart_m / 2)[20:-20], width_m=0.12)
    canvas.dashes(shifted(centre, -apart_m / 2)[20:-20], dash_m=3.0, gap_m=6.0, width_m=0.12)
    dividers = trace(canvas.bev(), TraceConfig()).of("divider")
    total = sum(length_of(e.vertices) for e in dividers)
    told = [e for e in dividers if e.style in ("solid_dashed", "dashed_solid")]
    assert total == pytest.approx(78.0, abs=2.0)
    assert sum(length_of(e.vertices) for e in told) > 0.9 * total


@pytest.mark.slow
@pytest.mark.parametrize("heading_rad", [0.47, -0.47])
@pytest.mark.parametrize("changes", [False, True])
@pytest.mark.parametrize("first_side", [1, -1])
def test_dashes_beside_a_solid_line_keep_their_side_along_a_street(heading_rad, changes, first_side):
    """The ridge goes over to single dashes and back, and may be bridged along the line beside them."""
    canvas, centre = street(length_m=90.0, half_width_m=9.0, heading_rad=heading_rad)
    halves = [(centre[20:901], first_side), (centre[900:-20], -first_side if changes else first_side)]
    for part, side in halves:
        canvas.stroke(shifted(part, side * 0.15), width_m=0.12)
        canvas.dashes(shifted(part, -side * 0.15)[60:], dash_m=3.0, gap_m=6.0, width_m=0.12)
    road_map = trace(canvas.bev(), TraceConfig())
    along = np.array([np.cos(heading_rad), np.sin(heading_rad)])
    right_m = total_m = 0.0
    for e in road_map.of("divider"):
        one = e if (e.vertices[-1] - e.vertices[0])[:2] @ along > 0 else e.reversed()
        start, stop = ((v[:2] - centre[0]) @ along for v in one.vertices[[0, -1]])
        total_m += stop - start
        for low, high, side in ((0.0, 45.0, halves[0][1]), (45.0, 90.0, halves[1][1])):
            told = one.style == ("solid_dashed" if side > 0 else "dashed_solid")
            right_m += max(0.0, min(stop, high) - max(start, low)) if told else 0.0
    assert total_m == pytest.approx(88.0, abs=2.0)
    assert right_m > 0.8 * 88.0
    assert not road_map.of("stop_line")


@pytest.mark.parametrize("heading_rad", [0.0, 0.4, 1.1])
@pytest.mark.parametrize("width_m", [0.15, 0.3])
def test_the_lines_of_a_gore_are_solid_from_their_nose_on(width_m, heading_rad):
    canvas, centre = street(length_m=60.0, half_width_m=9.0, heading_rad=heading_rad)
    turn = np.array([[np.cos(heading_rad), np.sin(heading_rad)], [-np.sin(heading_rad), np.cos(heading_rad)]])
    x = np.linspace(12.0, 56.0, 441)
    canvas.stroke(centre[80:-80], width_m=width_m)
    canvas.stroke(np.stack([x, 0.2 * (x - 12.0)], axis=1) @ turn, width_m=width_m)
    for at in np.arange(18.0, 52.0, 3.0):
        half = 0.1 * (at - 12.0)
        arms = np.array([[at + 0.8 * half, 0.0], [at, half], [at + 0.8 * half, 2 * half]])
        canvas.stroke(arms @ turn, width_m=0.4)
    found = trace(canvas.bev(), TraceConfig())
    assert found.of("hatched")
    assert {e.style for e in found.of("divider")} == {"solid"}
    assert sum(length_of(e.vertices) for e in found.of("divider")) > 92.0
