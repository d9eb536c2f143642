"""Lines as surveys draw them: twice, in pieces, and forked."""

from itertools import pairwise

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from recon.formats.drawn_lines import joined_lines, without_duplicates


def straight(x0, x1, y=0.0, dy=0.0):
    return np.array([[x0, y, 1.0], [x1, y + dy, 2.0]])


def lengths(lines):
    return sorted(round(shapely.LineString(line[:, :2]).length, 1) for line in lines)


def kept(*lines):
    return [line for _, line in without_duplicates(lines)]


def test_a_line_drawn_twice_in_other_pieces_is_kept_once():
    # Two lanes state one border of 40 m, cut at 25 m and at 10 m.
    pieces = kept(straight(0, 25), straight(25, 40), straight(0, 10, 0.05), straight(10, 40, 0.05))
    (line,) = joined_lines(pieces)
    assert shapely.LineString(line[:, :2]).length == pytest.approx(40.0, abs=0.2)
    assert np.ptp(line[:, 1]) < 0.1


def test_what_only_meets_or_crosses_a_line_is_kept_whole():
    across = np.array([[20.0, -5.0, 0.0], [20.0, 5.0, 0.0]])
    skew = np.array([[10.0, -3.0, 0.0], [30.0, 3.0, 0.0]])
    assert lengths(kept(straight(0, 40), straight(40, 60), across, skew)) == [10.0, 20.0, 20.9, 40.0]
    assert len(kept(straight(0, 40), straight(0, 40, 0.3))) == 2  # two lines beside each other


def test_the_index_names_the_line_that_was_given():
    lines = [straight(0, 10), straight(0, 30, 0.05), straight(30, 38)]
    assert [(index, len(line)) for index, line in without_duplicates(lines)] == [(1, 2), (2, 2)]


def test_at_a_fork_the_straightest_pair_is_one_line():
    trunk, on, off = straight(0, 20), straight(20, 50, 0.0, 1.0), straight(20, 40, 0.0, -6.0)
    for lines in ([trunk, on, off], [off[::-1], on[::-1], trunk], [on, trunk[::-1], off]):
        assert lengths(joined_lines(lines)) == [20.9, 50.0]


def ray(x, y):
    return np.array([[0.0, 0.0, 0.0], [x, y, 0.0]])


def test_ends_that_meet_at_sharp_angles_stay_apart():
    assert lengths(joined_lines([ray(20, 0), ray(0, 20), ray(-15, -15)])) == [20.0, 20.0, 21.2]


def test_a_crossing_of_two_lines_keeps_both():
    lines = joined_lines([ray(20, 0), ray(-20, 0), ray(0, 20), ray(0, -20)])
    assert lengths(lines) == [40.0, 40.0]
    assert all(min(np.ptp(line[:, 0]), np.ptp(line[:, 1])) == 0.0 for line in lines)


def test_a_ring_with_a_spur_is_walked_once():
    angles = np.linspace(0.0, 2 * np.pi, 25)
    ring = np.stack([10 * np.cos(angles), 10 * np.sin(angles), 0 * angles], axis=-1)
    ring[-1] = ring[0]
    lines = joined_lines([ring[:13], ring[12:], np.array([[10.0, 0.0, 0.0], [30.0, 0.0, 0.0]])])
    assert sum(lengths(lines)) == pytest.approx(82.6, abs=0.3)


CUTS = st.sets(st.integers(1, 32).map(lambda n: 3.0 * n), max_size=5)


@settings(max_examples=60, deadline=None)
@given(turn=st.floats(-np.pi, np.pi), cuts=CUTS, others=CUTS, shift=st.floats(-0.1, 0.1))
def test_pieces_and_a_copy_cut_elsewhere_give_one_line_at_any_angle(turn, cuts, others, shift):
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    lines = [
        np.array([[a, y], [b, y]]) @ rotation.T
        for at, y in ((cuts, 0.0), (others, shift))
        for a, b in pairwise(sorted({0.0, 99.0, *at}))
    ]
    (line,) = joined_lines(kept(*lines))
    assert shapely.LineString(line).length == pytest.approx(99.0, abs=0.5)
