from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from painter import arc

from vectorize.trace.direction_field import DirectionField, between_deg


@given(st.floats(-np.pi, np.pi), st.floats(-np.pi, np.pi))
@settings(max_examples=50, deadline=None)
def test_the_angle_between_lines_does_not_ask_which_way_they_run(one, other):
    apart = np.degrees(abs((one - other + np.pi / 2) % np.pi - np.pi / 2))
    for turn in (0.0, np.pi):
        found = between_deg(np.exp(2j * (one + turn)), np.exp(2j * other))
        assert found == pytest.approx(apart, abs=1e-6) or found == pytest.approx(180.0 - apart, abs=1e-6)
        assert 0.0 <= found <= 90.0


def test_opposite_lines_agree_and_perpendicular_ones_cancel_out():
    east = arc(radius_m=np.inf, length_m=10.0)
    north = arc(radius_m=np.inf, length_m=10.0, start=(5.0, -5.0), heading_rad=np.pi / 2)
    field = DirectionField.of([east, east[::-1], north])
    near = field.near(np.array([5.0, 0.0]), 4.0)
    both = near[field.owner[near] < 2]
    assert between_deg(field.mean(both, np.ones(len(both))), 1.0 + 0.0j) < 1e-6
    share = np.where(field.owner[near] == 2, 2.0, 1.0) * field.closeness(np.array([5.0, 0.0]), near, 2.0)
    assert abs(field.mean(near, share)) < 1e-2 * share.sum()


def test_without_lines_nothing_is_near():
    assert not len(DirectionField.of([]).near(np.zeros(2), 100.0))
