from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vectorize.centre_lines import centre_lines


def bar(angle_rad: float, width_px: float, offset_px: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the mask of a bar 120 pixels long and the position of every pixel along it."""
    at = np.arange(160) + 0.5 - 80.0
    x, y = np.meshgrid(at, at)
    along, across = x * np.cos(angle_rad) + y * np.sin(angle_rad), y * np.cos(angle_rad) - x * np.sin(angle_rad)
    return (np.abs(across - offset_px) <= width_px / 2) & (np.abs(along) <= 60.0), along


@given(st.floats(-np.pi, np.pi), st.floats(1.2, 4.0), st.floats(-0.5, 0.5))
@settings(max_examples=60, deadline=None)
def test_a_bar_keeps_its_length_at_any_angle_and_width(angle_rad, width_px, offset_px):
    mask, along = bar(angle_rad, width_px, offset_px)
    assert np.ptp(along[centre_lines(mask)]) > 120.0 - width_px - 2.0


@pytest.mark.parametrize("width_px", [1, 2, 3])
def test_a_diagonal_and_its_mirror_image_keep_every_row(width_px):
    mask = np.zeros((200, 200), bool)
    rows = np.arange(20, 180)
    for k in range(width_px):
        mask[rows, rows + k] = True
    for image in (mask, mask[:, ::-1], mask[::-1], mask[::-1, ::-1]):
        assert centre_lines(image).any(axis=1).sum() >= 158


def test_a_mask_at_the_rim_of_the_image_is_thinned_too_and_an_empty_one_stays_empty():
    mask = np.zeros((30, 40), bool)
    assert not centre_lines(mask).any()
    mask[:3] = True
    thinned = centre_lines(mask)
    assert thinned.sum() >= 36
    assert thinned.sum(axis=0).max() == 1
