from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from painter import distance_to
from shapely import LineString, box

from vectorize import polyline
from vectorize.trace_config import TraceConfig

lines = arrays(np.float64, st.tuples(st.integers(2, 30), st.just(2)), elements=st.floats(-50, 50, width=32))


@given(lines, st.floats(0.01, 5.0))
@settings(max_examples=60, deadline=None)
def test_simplified_lines_stay_within_the_tolerance_and_keep_their_ends(line, tolerance):
    kept = polyline.simplify(line, tolerance)
    assert kept[0] == 0
    assert kept[-1] == len(line) - 1
    for first, last in itertools.pairwise(kept.tolist()):
        chord = LineString(line[[first, last]]) if np.any(line[first] != line[last]) else LineString([line[first]] * 2)
        for point in line[first : last + 1]:
            assert np.hypot(*(np.array(chord.interpolate(chord.project(_point(point))).coords[0]) - point)) <= (
                tolerance + 1e-6
            )


def _point(xy):
    from shapely import Point

    return Point(xy)


def test_marked_vertices_survive_simplification():
    line = np.c_[np.linspace(0, 10, 11), np.zeros(11)]
    keep = np.zeros(11, bool)
    keep[4] = True
    assert polyline.simplify(line, 1.0, keep=keep).tolist() == [0, 4, 10]


@given(lines)
@settings(max_examples=100, deadline=None)
def test_clipping_agrees_with_shapely(line):
    # Segments that run along the box's edge have no area on either side; shapely may keep or drop them.
    low, high = np.array([-20.013, -10.017]), np.array([20.013, 10.017])
    pieces = polyline.clip_to_box(line, low, high)
    total = sum(polyline.length_of(piece) for piece, _ in pieces)
    inside = sum(
        LineString(line[i : i + 2]).intersection(box(*low, *high)).length
        for i in range(len(line) - 1)
        if np.any(line[i] != line[i + 1])
    )
    assert total == pytest.approx(inside, abs=1e-6)
    for piece, where in pieces:
        assert np.all(piece >= low - 1e-6)
        assert np.all(piece <= high + 1e-6)
        assert np.all(np.diff(where) > 0)


def test_a_line_that_leaves_and_re_enters_is_two_pieces():
    line = np.array([[-1.0, 0], [1, 0], [1, 5], [0, 5], [0, 0.5], [-1, 0.5]])
    pieces = polyline.clip_to_box(line, np.array([-2.0, -1]), np.array([2.0, 1]))
    assert [p.round(6).tolist() for p, _ in pieces] == [[[-1, 0], [1, 0], [1, 1]], [[0, 1], [0, 0.5], [-1, 0.5]]]
    assert pieces[1][1][0] == pytest.approx(3 + 4 / 4.5)


@pytest.mark.parametrize("least", [np.nextafter(0.0, 1.0), 2.2e-309, 1e-300, 1e-13])
def test_clipping_bears_steps_of_next_to_nothing(least):
    line = np.array([[1.0, 0.0], [0.5, least], [2.0, 3.0]])
    ((piece, where),) = polyline.clip_to_box(line, np.array([-30.0, -15.0]), np.array([30.0, 15.0]))
    assert np.array_equal(piece, line)
    assert where.tolist() == [0.0, 1.0, 2.0]
    assert not polyline.clip_to_box(line - (0.0, 20.0), np.array([-30.0, -15.0]), np.array([30.0, 15.0]))


def test_resampling_is_even_and_smoothing_keeps_ends_and_straight_lines():
    line = polyline.resample(np.array([[0.0, 0], [3, 4], [3, 10]]), 0.5)
    assert np.allclose(polyline.arc_length(line)[-1], 11, atol=0.05)
    straight = np.c_[np.linspace(0, 5, 51), np.full(51, 2.0)]
    assert np.allclose(polyline.smooth(straight, 4.0), straight, atol=1e-9)
    bent = polyline.smooth(line, 3.0)
    assert np.allclose(bent[[0, -1]], line[[0, -1]])


@given(arrays(np.bool_, st.integers(1, 40)))
def test_runs_cover_exactly_the_true_values(mask):
    again = np.zeros(len(mask), bool)
    for start, stop in polyline.runs(mask):
        assert mask[start:stop].all()
        again[start:stop] = True
    assert np.array_equal(again, mask)


def test_only_inner_short_gaps_close():
    mask = np.array([0, 1, 0, 0, 1, 0, 0, 0, 1, 0], bool)
    assert polyline.close_gaps(mask, 2).astype(int).tolist() == [0, 1, 1, 1, 1, 0, 0, 0, 1, 0]


def test_a_winding_line_keeps_its_shape():
    along = np.arange(0.0, 600.0, 0.1)
    winding = np.stack([along, 8.0 * np.sin(along / 12.0)], axis=1)
    kept = winding[polyline.simplify(winding, TraceConfig().simplify_m)]
    assert len(kept) > 20
    assert distance_to(kept, winding).max() <= TraceConfig().simplify_m + 1e-9


def test_a_profile_lies_across_its_line_left_of_it_first_where_offsets_are_positive():
    line = np.stack([np.arange(5.0), np.zeros(5)], axis=1)
    places = polyline.across(line, np.array([0.5, -1.0]))
    np.testing.assert_allclose(places[2], [[2.0, 0.5], [2.0, -1.0]])


def test_a_cubic_has_the_velocities_it_is_given():
    leave, arrive = np.array([2.0, 0.0]), np.array([0.0, 3.0])
    curve = polyline.cubic(np.zeros(2), np.ones(2), leave, arrive, 1001)
    np.testing.assert_allclose(curve[[0, -1]], [[0.0, 0.0], [1.0, 1.0]])
    np.testing.assert_allclose(np.diff(curve[[0, 1, -2, -1]], axis=0)[[0, 2]] * 1000, [leave, arrive], atol=0.02)
