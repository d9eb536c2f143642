from __future__ import annotations

import numpy as np
import pytest
import small_site
from hypothesis import given, settings
from hypothesis import strategies as st

from vectorize.formats.strips import find_strips, neighbours


def line(xy):
    return small_site.element("divider", xy)


def test_three_lines_make_two_strips_that_run_one_way():
    lines = [line(small_site.along(0.0)), line(small_site.along(3.5)[::-1]), line(small_site.along(-3.0))]
    strips = find_strips(lines)
    assert [(s.left, s.right) for s in strips] == [(1, 0), (0, 2)]
    assert neighbours(strips) == [(0, 1)]
    for strip, width in zip(strips, (3.5, 3.0), strict=True):
        assert np.allclose(strip.left_m - strip.right_m, [0, width, 0], atol=1e-9)
        assert np.all(np.diff(strip.left_m[:, 0]) > 0)


@pytest.mark.parametrize("gap", [0.3, 1.9, 6.5])
def test_lines_too_near_or_too_far_are_no_lane(gap):
    assert find_strips([line(small_site.along(0.0)), line(small_site.along(gap))]) == []


def test_a_line_between_two_others_parts_them():
    lines = [line(small_site.along(0.0)), line(small_site.along(5.0)), line(small_site.along(2.5, first=10, last=30))]
    found = {(s.left, s.right): s.left_m[[0, -1], 0].tolist() for s in find_strips(lines)}
    assert found[1, 2] == found[2, 0] == [10, 30]
    outer = [s for s in find_strips(lines) if {s.left, s.right} == {0, 1}]
    assert sorted(s.left_m[0, 0] for s in outer) == [0, 31]


def test_lines_that_run_aslant_or_across_are_no_lane():
    across = line([[20, -5], [20, 5]])
    aslant = line([[0, 3], [20, 12]])
    assert find_strips([line(small_site.along(0.0)), across]) == []
    assert find_strips([aslant, line(small_site.along(0.0))]) == []
    assert find_strips([]) == []


def test_height_is_read_where_the_other_line_is_met():
    tilted = small_site.element("boundary", [[0, 3], [40, 3]])
    tilted.vertices[:, 2] = 0, 4
    (strip,) = find_strips([line(small_site.along(0.0)), tilted])
    assert np.allclose(strip.left_m[:, 2], strip.left_m[:, 0] / 10)


@given(st.floats(-np.pi, np.pi), st.floats(2.2, 5.5), st.booleans())
@settings(max_examples=30, deadline=None)
def test_left_is_left_whichever_way_lines_were_traced(heading, width, turned):
    turn = np.array([[np.cos(heading), np.sin(heading)], [-np.sin(heading), np.cos(heading)]])
    one, two = small_site.along(0.0) @ turn, small_site.along(width) @ turn
    (strip,) = find_strips([line(one), line(two[::-1] if turned else two)])
    way, across = strip.right_m[-1] - strip.right_m[0], strip.left_m[0] - strip.right_m[0]
    assert way[0] * across[1] - way[1] * across[0] > 0
    assert np.allclose(np.hypot(*(strip.left_m - strip.right_m)[:, :2].T), width)
