"""Crops have the asked size, targets keep thin paint, and a seed gives one crop."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recon.classes import RoadClass
from training.segmenter.augment import example_of, rarity, soft_target
from training.segmenter.config import TrainConfig
from training.segmenter.sources import IGNORED


def picture(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    ids = np.full((height, width), int(RoadClass.ROAD), np.uint8)
    ids[:, width // 2] = int(RoadClass.LANE_MARKING)
    return random.integers(0, 256, (height, width, 3), dtype=np.uint8), ids


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), height=st.integers(20, 200), width=st.integers(20, 300), paint=st.floats(0, 1))
def test_an_example_has_the_working_size_and_shares_that_add_up(
    seed: int, height: int, width: int, paint: float
) -> None:
    image, ids = picture(height, width)
    example = example_of(image, ids, np.random.default_rng(seed), TrainConfig(size_px=(96, 64), paint_share=paint), 2)
    assert example.image.shape == (64, 96, 3)
    assert example.share.shape == (9, 32, 48)
    total = example.share.astype(int).sum(axis=0)
    assert np.abs(total - example.valid).max() <= 5  # rounding, once a class
    again = example_of(image, ids, np.random.default_rng(seed), TrainConfig(size_px=(96, 64), paint_share=paint), 2)
    assert again.image.tobytes() == example.image.tobytes()


def test_a_line_narrower_than_a_cell_counts_by_its_width() -> None:
    _, ids = picture(64, 96)
    share, valid = soft_target(ids, (24, 16))
    assert np.allclose(share[RoadClass.LANE_MARKING].sum(axis=1) / 255, 0.25, atol=0.01)
    assert (valid == 255).all()
    ids[:32] = IGNORED
    assert soft_target(ids, (24, 16))[1][:8].max() == 0


def test_crops_look_for_paint() -> None:
    image = np.zeros((240, 320, 3), np.uint8)
    ids = np.full((240, 320), int(RoadClass.BACKGROUND), np.uint8)
    ids[200:230, 40:80] = int(RoadClass.STOP_LINE)

    def found(paint_share: float) -> float:
        config = TrainConfig(size_px=(96, 64), paint_share=paint_share)
        made = [
            example_of(image, ids, np.random.default_rng(i), config, 2).share[RoadClass.STOP_LINE].any()
            for i in range(60)
        ]
        return float(np.mean(made))

    assert found(1.0) > found(0.0)


def test_an_image_with_a_stop_line_is_rarer_than_one_full_of_kerb() -> None:
    _, plain = picture(64, 96)
    assert rarity(np.full((64, 96), int(RoadClass.ROAD), np.uint8)) == 0.0
    stop, kerb = plain.copy(), plain.copy()
    stop[30:32] = int(RoadClass.STOP_LINE)
    kerb[:40] = int(RoadClass.CURB)
    assert rarity(stop) > rarity(kerb) > rarity(plain) > 0.0
    more = stop.copy()
    more[:20] = int(RoadClass.STOP_LINE)
    assert rarity(more) < 2 * rarity(stop)
    assert rarity(np.full((64, 96), IGNORED, np.uint8)) == 0.0


def test_a_smaller_crop_keeps_the_magnification_of_the_working_size() -> None:
    image = np.zeros((128, 192, 3), np.uint8)
    ids = np.full((128, 192), int(RoadClass.ROAD), np.uint8)
    ids[:, 90:102] = int(RoadClass.LANE_MARKING)  # a sixteenth of the image: 12 px at a working width of 192
    config = TrainConfig(size_px=(192, 128), crop_px=(96, 64), paint_share=1.0)
    seen = [example_of(image, ids, np.random.default_rng(i), config, 2) for i in range(80)]
    assert {example.image.shape for example in seen} == {(64, 96, 3)}
    widths = [(e.share[RoadClass.LANE_MARKING] > 127).sum(axis=1).max() * 2 for e in seen]
    whole = [width for width in widths if width]
    assert 12 * 0.7 < np.median(whole) < 12 * 1.7


def test_a_crop_of_a_wide_image_has_the_scale_at_which_the_net_sees_the_whole() -> None:
    """Bands of 100 px: at the scale of the frame, 0.08, a crop shows 1200 px over its zoom, which is 1.7 at most."""
    ids = np.full((300, 1200), int(RoadClass.ROAD), np.uint8)
    for left in range(0, 1200, 200):
        ids[:, left : left + 100] = int(RoadClass.OFF_ROAD)
    image = np.zeros((300, 1200, 3), np.uint8)
    config = TrainConfig(size_px=(96, 64), paint_share=0.0)
    for seed in range(10):
        share = example_of(image, ids, np.random.default_rng(seed), config, 2).share[RoadClass.ROAD]
        row = share[share.max(axis=1).argmax()] > 127
        assert np.count_nonzero(row[1:] != row[:-1]) >= 5
