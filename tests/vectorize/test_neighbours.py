from __future__ import annotations

import numpy as np
import pytest
from shapely import LineString

from vectorize.neighbours import LineIndex


def test_lines_are_met_nearest_first_and_each_once():
    comb = LineString([(-5, 3), (5, 3), (5, 4), (-5, 4)])  # crosses the way twice
    index = LineIndex.of([LineString([(-5, 0), (5, 0)]), comb, LineString([(-5, 1.5), (5, 1.5)])])
    met = index.across(0, np.array([0.0, 0.0]), np.array([0.0, 6.0]))
    assert [(one.line, one.away_m) for one in met] == [(2, 1.5), (1, 3.0)]
    assert index.across(0, np.array([0.0, 0.0]), np.array([0.0, 1.0])) == []


def test_the_height_is_that_of_the_line_where_it_is_met_and_nan_where_it_has_none():
    start, end = np.array([2.5, 0.0]), np.array([2.5, 2.0])
    (tilted,) = LineIndex.of([LineString([(0, 1, 0), (10, 1, 4)])]).across(-1, start, end)
    assert tilted.at == pytest.approx([2.5, 1.0, 1.0])
    (flat,) = LineIndex.of([LineString([(0, 1), (10, 1)])]).across(-1, start, end)
    assert np.isnan(flat.at[2])


@pytest.mark.parametrize("x_m", [0.1, 5.0])
@pytest.mark.parametrize(("turn_deg", "parallel"), [(0.0, True), (14.0, True), (16.0, False), (166.0, True)])
def test_parallel_is_told_where_the_line_is_met_also_near_its_ends(x_m, turn_deg, parallel):
    # The last stretch leads back above the first one: the two ends of the line have nothing to do with each other.
    index = LineIndex.of([LineString([(0, 1), (10, 1), (10, 9), (0, 9)])])
    (met,) = index.across(-1, np.array([x_m, 0.0]), np.array([x_m, 2.0]))
    direction = np.array([np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))])
    assert index.is_parallel(met, direction) == parallel
