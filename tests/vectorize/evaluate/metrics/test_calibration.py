from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from lines import box, element
from shapely import LineString, Point

from vectorize.evaluate.metrics.calibration import BINS, calibration, reliability, step_outcomes


def _sure(one, *confidence):
    return replace(one, confidence=np.array(confidence, dtype=np.float32))


def test_a_worked_example():
    true = [element([[0, 0], [40, 0]])]
    right = _sure(element([[0, 0.4], [30, 0.4]]), 0.95, 0.95)
    wrong = _sure(element([[0, 0.6], [10, 0.6]]), 0.95, 0.95)
    record = calibration([right, wrong], true)
    assert record["metres"] == 40.0
    assert record["bins"] == [{"low": 0.9, "high": 1.0, "metres": 40.0, "confidence": 0.95, "right": 0.75}]
    assert record["ece"] == pytest.approx(0.2)
    assert record["classes"]["divider"]["ece"] == record["ece"]
    assert record["classes"]["boundary"] == {"metres": 0.0, "confidence": None, "right": None, "ece": None, "bins": []}


def test_confidence_runs_from_vertex_to_vertex_and_length_counts_not_vertices():
    line = _sure(element([[0, 0], [1, 0], [11, 0]]), 0.0, 0.0, 1.0)
    metres, confidence, right = step_outcomes([line], [element([[0, 0], [20, 0]])], 0.5)
    assert metres.sum() == pytest.approx(11.0)
    assert metres @ confidence / metres.sum() == pytest.approx(5.0 / 11.0, abs=0.01)
    assert right.all()


def test_only_a_true_line_of_the_same_class_makes_a_label_right():
    boundary = element([[0, 0], [10, 0]], name="boundary")
    assert not step_outcomes([element([[0, 0], [10, 0]])], [boundary], 0.5)[2].any()
    _, _, right = step_outcomes([box(0, 0, 4, 3)], [box(0.3, 0, 4.3, 3)], 0.5)
    assert right.all()


def test_labels_that_mean_what_they_say_have_no_error():
    generator = np.random.default_rng(3)
    confidence = generator.uniform(0, 1, 200_000)
    right = (generator.uniform(0, 1, confidence.size) < confidence).astype(float)
    metres = generator.uniform(0.1, 2.0, confidence.size)
    assert reliability(metres, confidence, right)["ece"] < 0.01
    assert reliability(metres, confidence**2, right)["ece"] > 0.1


def test_the_curve_equals_a_slow_count():
    generator = np.random.default_rng(5)
    true = [element(np.c_[np.arange(0, 30, 3.0), generator.normal(0, 0.4, 10)]) for _ in range(3)]
    ours = [_sure(element([[0, y], [30, y]]), *generator.uniform(0, 1, 2)) for y in (-0.6, 0.0, 0.5)]
    metres, sums = np.zeros(BINS), np.zeros(BINS)
    for line in ours:
        start, end = line.vertices[:, :2]
        for k in range(60):
            share = (k + 0.5) / 60
            value = line.confidence[0] + share * (line.confidence[1] - line.confidence[0])
            near = min(LineString(t.vertices).distance(Point(start + share * (end - start))) for t in true) <= 0.5
            metres[int(value * BINS)] += 0.5
            sums[int(value * BINS)] += 0.5 * near
    bins = calibration(ours, true)["bins"]
    assert [b["metres"] for b in bins] == metres[metres > 0].tolist()
    assert [b["right"] for b in bins] == pytest.approx((sums[metres > 0] / metres[metres > 0]).tolist(), abs=1e-4)


def test_without_labels_nothing_is_claimed():
    assert calibration([], [element([[0, 0], [10, 0]])])["ece"] is None
