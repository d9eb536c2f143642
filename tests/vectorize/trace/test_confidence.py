from __future__ import annotations

import numpy as np
import pytest
from painter import Canvas, shifted, street

from recon.classes import RoadClass
from vectorize.evaluate.metrics.calibration import calibration
from vectorize.trace.confidence import CEILING, CURVES, RIGHT_M, bridge_discount, curve, within
from vectorize.trace.trace import trace
from vectorize.trace_config import TraceConfig


@pytest.mark.parametrize("element_class", list(CURVES))
def test_confidence_rises_with_evidence_from_nothing_and_is_never_certain(element_class):
    value = np.linspace(-0.1, 1.1, 500)
    stated = curve(element_class, value)
    assert stated[0] == 0.0
    assert (np.diff(stated) >= 0).all()
    assert 0.9 * CEILING < stated.max() < CEILING
    assert curve(element_class, np.array([CURVES[element_class].half]))[0] == pytest.approx(CEILING / 2)


def test_a_long_bridge_is_believed_less_than_a_short_one_and_less_again_where_nobody_looked():
    both = np.array([True, False])
    short, long = bridge_discount(6.0, both), bridge_discount(30.0, both)
    assert (long < short).all()
    assert short[1] == short[0] / 2
    assert bridge_discount(0.0, both)[0] == 1.0


def test_a_well_seen_line_is_nearly_sure_and_a_barely_seen_one_less():
    stated = []
    for views in (40, 1):
        canvas, centre = street(length_m=20.0, half_width_m=3.0)
        canvas.stroke(shifted(centre, 0.5), strength=1.0 if views > 1 else 0.9)
        canvas.views[:] = views
        road_map = trace(canvas.bev(), TraceConfig())
        (divider,) = road_map.of("divider")
        stated.append(divider.score)
        assert calibration([divider], [divider])["right"] == 1.0
    assert 0.7 < stated[1] < stated[0] < 1.0
    assert stated[0] > 0.95


def test_a_place_as_uncertain_as_the_tolerance_is_right_two_times_in_three():
    chance = within(np.array([0.0, 0.1, RIGHT_M, 10.0]))
    assert chance[:2] == pytest.approx([1.0, 1.0], abs=1e-5)
    assert chance[2] == pytest.approx(0.6827, abs=1e-3)
    assert chance[3] < 0.05


@pytest.mark.parametrize("heading_rad", [0.0, 0.7, 2.0])
def test_a_line_is_doubted_as_far_as_a_wrong_height_moves_it_across(heading_rad):
    along, across = (
        np.array([np.cos(heading_rad), np.sin(heading_rad)]),
        np.array([-np.sin(heading_rad), np.cos(heading_rad)]),
    )
    canvas, centre = street(length_m=30.0, half_width_m=4.0, heading_rad=heading_rad)
    canvas.stroke(shifted(centre, 0.5))
    sure, moved_along, moved_across = (
        trace(canvas.bev(shift_m=tuple(shift)), TraceConfig()) for shift in (0.0 * along, 2.0 * along, 0.5 * across)
    )
    score = [m.of("divider")[0].score for m in (sure, moved_along, moved_across)]
    assert score[1] == pytest.approx(score[0], abs=0.02)
    assert score[2] / score[0] == pytest.approx(0.683, abs=0.02)
    edges = [max(e.score for e in m.of("boundary")) for m in (sure, moved_across)]
    assert edges[1] < 0.85 * edges[0]


def test_a_crossing_that_may_lie_elsewhere_is_doubted():
    canvas, _ = street(length_m=30.0, half_width_m=4.0)
    for y in np.arange(-3.5, 3.5, 1.0):
        canvas.stroke(np.array([[13.0, y], [17.0, y]]), width_m=0.5, road_class=RoadClass.CROSSWALK)
    scores = [trace(canvas.bev(shift_m=(s, s)), TraceConfig()).of("ped_crossing")[0].score for s in (0.0, 0.3, 0.6)]
    assert scores[0] > 1.05 * scores[1] > 1.2 * scores[2]


def test_the_gaps_of_a_row_of_dashes_are_no_doubt_and_a_missing_dash_is_some():
    canvas, centre = street(length_m=66.0, half_width_m=3.0)
    row = Canvas(canvas.grid)
    row.probability = canvas.probability.copy()
    canvas.dashes(centre, dash_m=3.0, gap_m=6.0)
    for begin in (0.0, 9.0, 18.0, 36.0, 45.0, 54.0):  # one dash of the same row is missing
        row.stroke(centre[round(begin / 0.05) : round((begin + 3.0) / 0.05) + 1])
    whole, holed = (max(trace(c.bev(), TraceConfig()).of("divider"), key=lambda e: e.score) for c in (canvas, row))
    assert whole.confidence.min() > 0.98 * whole.confidence.max()
    assert holed.confidence.min() == pytest.approx(np.exp(-9.0 / 60.0) * holed.confidence.max(), abs=0.05)


def test_the_confidence_of_a_gap_between_dashes_falls_with_its_length():
    canvas, centre = street(length_m=21.0, half_width_m=3.0)
    canvas.dashes(centre, dash_m=4.0, gap_m=8.5)
    (divider,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert divider.confidence.min() / divider.confidence.max() == pytest.approx(np.exp(-8.5 / 60.0), abs=0.03)
