from __future__ import annotations

import numpy as np
import pytest
from lines import element

from vectorize.evaluate.metrics.style_metres import style_metres, style_record

LINE = [[0.0, 0.0], [10.0, 0.0]]


def shifted(y: float, *, turned=False, **fields):
    line = np.array(LINE) + [0.0, y]
    return element(line[::-1] if turned else line, **fields)


def metres(predicted, true):
    return {key: pytest.approx(value) for key, value in style_metres(predicted, true, 0.5, 0.5).items()}


def test_every_metre_counts_for_the_style_of_the_nearest_true_line():
    true = [element([[0, 0], [4, 0]], style="dashed"), element([[4, 0], [10, 0]])]
    assert metres([shifted(0.2)], true) == {("dashed", "solid"): 4.0, ("solid", "solid"): 6.0}
    assert metres([shifted(0.6)], true) == {}
    record = style_record([style_metres([shifted(0.2)], true, 0.5, 0.5)] * 2, 0.5)
    assert (record["matched_m"], record["right"]) == (20.0, 0.6)
    assert record["true"] == {"dashed": {"solid": 8.0}, "solid": {"solid": 12.0}}


def test_two_true_solid_lines_beside_a_double_label_are_double():
    double = shifted(0.0, style="double")
    assert metres([double], [shifted(-0.2), shifted(0.2)]) == {("double", "double"): 10.0}
    assert metres([double], [shifted(0.2)]) == {("solid", "double"): 10.0}


@pytest.mark.parametrize(("turned", "seen_as"), [(False, "solid_dashed"), (True, "dashed_solid")])
def test_left_and_right_are_those_of_the_label(turned, seen_as):
    true = shifted(0.1, style="solid_dashed", turned=turned)
    assert metres([shifted(0.0, style="solid_dashed")], [true]) == {(seen_as, "solid_dashed"): 10.0}


def test_without_matches_there_is_no_share():
    assert style_record([style_metres([], [shifted(0.0)], 0.5, 0.5)], 0.5) == {
        "threshold_m": 0.5, "matched_m": 0.0, "right": None, "true": {},
    }  # fmt: skip
