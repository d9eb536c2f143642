from __future__ import annotations

import numpy as np
import pytest

from vectorize import polyline
from vectorize.trace.lines.skeleton import trace_lines


def test_no_branch_is_lost_whichever_pixel_comes_first():
    star = np.zeros((120, 120), bool)
    star[60, 55:110] = True  # three long arms and a short one
    star[10:60, 60] = True
    for k in range(1, 45):
        star[60 + k, 60 - k] = True
    arms = 49 + 50 + 44 * np.sqrt(2)
    for turn in range(4):
        for flipped in (False, True):
            image = np.rot90(star[:, ::-1] if flipped else star, turn)
            lengths = [float(polyline.length_of(line)) for line in trace_lines(image, spur_px=8.0)]
            assert sum(lengths) == pytest.approx(arms, abs=6.0)
            assert min(lengths) > 35.0
