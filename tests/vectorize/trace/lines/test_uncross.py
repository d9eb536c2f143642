from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import LineString

from vectorize.polyline import resample
from vectorize.trace.lines.uncross import uncross


@given(st.lists(st.tuples(*[st.floats(0, 30)] * 4), min_size=2, max_size=12))
@settings(max_examples=40, deadline=None)
def test_whatever_is_given_nothing_crosses_afterwards(segments):
    lines = [resample(np.array([[a, b], [c, d]]), 0.5) for a, b, c, d in segments if np.hypot(a - c, b - d) > 1.0]
    spans = uncross(lines, [float(len(line)) for line in lines])
    kept = [LineString(line[a:b]) for line, parts in zip(lines, spans, strict=True) for a, b in parts]
    owner = [i for i, parts in enumerate(spans) for _ in parts]
    for (i, one), (j, other) in itertools.combinations(zip(owner, kept, strict=True), 2):
        assert i == j or not one.crosses(other)
