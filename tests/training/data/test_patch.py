"""Unit coordinates are those of the `known` mask: row 0 farthest forward, column 0 farthest left."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.data.patch import PatchSize

SIDE = st.floats(1.0, 500.0)


@given(SIDE, SIDE, st.floats(-300.0, 300.0), st.floats(-300.0, 300.0))
def test_metres_go_to_units_and_back(length_m: float, width_m: float, x: float, y: float) -> None:
    patch = PatchSize(length_m=length_m, width_m=width_m)
    there = patch.to_unit(np.array([[x, y, 7.0]]))
    assert np.allclose(patch.to_ego(there), [[x, y]], atol=1e-9)


def test_forward_left_is_the_first_cell() -> None:
    patch = PatchSize(length_m=60.0, width_m=30.0)
    assert np.allclose(
        patch.to_unit(np.array([[30.0, 15.0], [-30.0, -15.0], [0.0, 0.0]])), [[0, 0], [1, 1], [0.5, 0.5]]
    )
    centres = patch.cell_centres((400, 200))
    assert centres.shape == (400, 200, 2)
    assert np.allclose(centres[0, 0], [30.0 - 0.075, 15.0 - 0.075])
    assert np.allclose(centres[-1, 0], [-30.0 + 0.075, 15.0 - 0.075])
