from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lines import element, patch

from vectorize.evaluate.config import EvaluateConfig
from vectorize.evaluate.evaluate_patches import evaluate_patches
from vectorize.evaluate.metrics.whole_lines import whole_lines
from vectorize.polyline import length_of

SOLID = element([[0, 0], [4, 0]], score=0.9)
DASHED = element([[4, 0], [10, 0], [14, 1]], style="dashed", score=0.5)
LENGTH_M = 10 + np.hypot(4, 1)


def spans(elements):
    return [e.vertices[[0, -1], 0].tolist() for e in elements]


@pytest.mark.parametrize("second", [DASHED, DASHED.reversed()])
def test_a_line_runs_on_where_its_style_changes(second):
    (line,) = whole_lines([SOLID, second])
    assert sorted(line.vertices[:, 0].tolist()) == [0, 4, 10, 14]
    assert np.ptp(np.sign(np.diff(line.vertices[:, 0]))) == 0  # one direction
    assert line.style == "dashed"
    assert len(line.seen) == len(line.confidence) == 4
    assert line.score == pytest.approx((4 * 0.9 + (LENGTH_M - 4) * 0.5) / LENGTH_M)


def test_lines_of_one_style_stay_cut_where_their_survey_cut_them():
    assert len(whole_lines([SOLID, replace(DASHED, style="solid")])) == 2


def test_sides_are_compared_along_one_direction():
    pair = [replace(SOLID, style="solid_dashed"), replace(DASHED, style="dashed_solid").reversed()]
    assert pair[1].style == "solid_dashed"
    assert len(whole_lines(pair)) == 1
    same = [replace(SOLID, style="solid_dashed"), replace(DASHED, style="solid_dashed").reversed()]
    assert len(whole_lines(same)) == 2


@pytest.mark.parametrize(
    "third",
    [
        element([[4, 0], [10, -3]], style="double"),  # a fork: none of the three goes on as the other
        element([[4, 0.05], [4, 9]], style="double"),
    ],
)
def test_a_fork_joins_nothing(third):
    assert len(whole_lines([SOLID, DASHED, third])) == 3


def test_corners_gaps_and_rings_join_nothing():
    corner = element([[4, 0], [4, 9]], style="dashed")
    apart = element([[4.2, 0], [9, 0]], style="dashed")
    ring = element([[4, 0], [9, 0], [9, 5]], style="dashed", closed=True)
    for other in (corner, apart, ring):
        assert spans(whole_lines([SOLID, other])) == spans([SOLID, other])


@given(st.lists(st.floats(1.0, 9.0), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_pieces_in_any_order_and_direction_make_their_line(steps, random):
    along = np.cumsum([0.0, *steps])
    styles = ["solid", "dashed"] * 3
    pieces = [element([[a, 0.0], [b, 0.0]], style=style) for a, b, style in zip(along, along[1:], styles, strict=False)]
    random.shuffle(pieces)
    pieces = [piece if random.random() < 0.5 else piece.reversed() for piece in pieces]
    (line,) = whole_lines(pieces)
    assert length_of(line.vertices) == pytest.approx(along[-1])
    assert np.allclose(np.sort(line.vertices[:, 0]), along)


def test_joined_truth_is_met_by_joined_labels_and_metres_keep_their_styles():
    split, joined = (
        evaluate_patches([patch([SOLID, DASHED], truth)], EvaluateConfig(join_styles=joins))
        for truth, joins in (([whole_lines([SOLID, DASHED])[0]], False), ([SOLID, DASHED], True))
    )
    assert split["full_range"]["classes"]["divider"]["frechet"]["ap"] == 0.0
    for scope in ("full_range", "observed"):
        assert joined[scope]["classes"]["divider"]["true"] == 1
        assert joined[scope]["classes"]["divider"]["frechet"]["ap"] == 1.0
        assert joined[scope]["style_accuracy"]["right"] == 1.0
        assert set(joined[scope]["style_accuracy"]["true"]) == {"solid", "dashed"}
