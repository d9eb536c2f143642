from __future__ import annotations

import numpy as np
import pytest

from vectorize.trace.styles.pattern import DASHED, SOLID, pattern_along
from vectorize.trace_config import StyleConfig


def painted(*lengths_m):
    """Return vertices 0.1 m apart, paint and gaps by turns."""
    return np.concatenate([np.full(round(m / 0.1), k % 2 == 0) for k, m in enumerate(lengths_m)])


@pytest.mark.parametrize("runs_m", [(7.5, 1.0, 2.0, 0.9, 7.0, 2.2, 2.5, 0.8, 7.2), (2.0, 0.8, 6.0, 1.0, 7.0, 2.4, 1.5)])
def test_irregular_runs_that_paint_most_of_a_line_are_a_worn_solid_one(runs_m):
    paint = painted(*runs_m)
    assert set(pattern_along(paint, paint, np.ones_like(paint), StyleConfig()).tolist()) == {SOLID}


@pytest.mark.parametrize(("dash_m", "gap_m"), [(3.0, 6.0), (6.0, 2.0), (9.0, 3.0), (1.0, 1.0)])
def test_equal_runs_with_equal_gaps_are_dashes(dash_m, gap_m):
    paint = painted(*[dash_m, gap_m] * 7, dash_m)
    assert set(pattern_along(paint, paint, np.ones_like(paint), StyleConfig()).tolist()) == {DASHED}


def test_a_long_run_among_short_ones_is_solid_though_much_of_the_line_is_worn():
    paint = painted(10.0, 7.0, 3.0, 1.2, 9.0)
    assert set(pattern_along(paint, paint, np.ones_like(paint), StyleConfig()).tolist()) == {SOLID}


def test_equal_pieces_with_breaks_too_short_for_dashes_are_solid():
    paint = painted(*[2.4, 0.6] * 7, 2.4)
    assert set(pattern_along(paint, paint, np.ones_like(paint), StyleConfig()).tolist()) == {SOLID}
