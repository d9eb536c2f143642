"""Images keep their aspect in the input of a net, and planes come back to the very pixels they belong to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recon.segment.net_frame import PAD, NetFrame, size_of

LENGTH = st.integers(16, 400)


@settings(max_examples=200, deadline=None)
@given(LENGTH, LENGTH, LENGTH, LENGTH)
@example(48, 16, 50, 16)  # at a factor of 1.03125 both sides round to the input's
def test_the_aspect_is_kept_to_within_a_pixel_and_one_side_is_filled(w: int, h: int, net_w: int, net_h: int) -> None:
    frame = NetFrame.of((w, h), (net_w, net_h))
    assert frame.width == net_w or frame.height == net_h
    # One factor takes both sides to whole pixels: the factors that round to each side have one in common.
    least = max((frame.width - 0.5) / w, (frame.height - 0.5) / h)
    most = min((frame.width + 0.5) / w, (frame.height + 0.5) / h)
    assert least <= most
    assert frame.top + frame.height == net_h  # the road stays at the bottom
    assert abs((net_w - frame.width) - 2 * frame.left) <= 1


@settings(max_examples=60, deadline=None)
@given(LENGTH, LENGTH, LENGTH, LENGTH)
def test_coordinates_go_to_the_net_and_back(w: int, h: int, net_w: int, net_h: int) -> None:
    """The oracle is the formula of the module: pixel edges map to pixel edges. Planes hold coordinates."""
    frame = NetFrame.of((w, h), (net_w, net_h))
    net_x = (np.arange(net_w) + 0.5 - frame.left) * w / frame.width  # image x of each column of the input
    net_y = (np.arange(net_h) + 0.5 - frame.top) * h / frame.height
    image_x, image_y = np.arange(w) + 0.5, np.arange(h) + 0.5
    for values, true in (
        (np.tile(net_x, (net_h, 1)), image_x[None]),
        (np.tile(net_y[:, None], net_w), image_y[:, None]),
    ):
        back = frame.from_net(values.astype(np.float32))
        assert back.shape == (h, w)
        # Up to the outermost half pixel of the input a bilinear plane of a linear function is that function.
        margin = np.array([h, w]) / [frame.height, frame.width]
        rows, columns = (slice(int(np.ceil(m)), n - int(np.ceil(m))) for m, n in zip(margin, (h, w), strict=True))
        wanted = np.broadcast_to(true, (h, w))[rows, columns]
        # Shrinking averages whole pixels of the input by how much of them a pixel covers: up to an eighth of one off.
        shrinks = w <= frame.width and h <= frame.height
        worst = 0.13 * max(w / frame.width, h / frame.height) if shrinks else 1e-3
        assert np.abs(back[rows, columns] - wanted).max(initial=0.0) <= worst


def test_a_mirrored_image_is_framed_as_its_mirror() -> None:
    image = np.random.default_rng(0).integers(0, 256, (120, 398, 3), dtype=np.uint8)
    frame = NetFrame.of(size_of(image), (96, 64))
    there, mirrored = frame.to_net(image), frame.to_net(np.ascontiguousarray(image[:, ::-1]))
    assert np.array_equal(there[:, ::-1], mirrored)
    assert frame.top == 35
    assert (there[: frame.top] == PAD).all()


def test_an_image_of_the_nets_aspect_fills_the_input() -> None:
    for image_px, net_px in (((800, 450), (512, 288)), ((1226, 370), (2048, 618)), ((5, 5), (64, 64))):
        frame = NetFrame.of(image_px, net_px)
        assert (frame.left, frame.top, frame.width, frame.height) == (0, 0, *net_px)


def test_an_image_of_the_nets_size_passes_untouched() -> None:
    image = np.zeros((64, 96, 3), np.uint8)
    assert NetFrame.of((96, 64), (96, 64)).to_net(image) is image


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_coarser_planes_share_the_edges_of_the_input(stride: int) -> None:
    """A net at a fraction of its input's resolution: a step in its output lands on the same pixel of the image."""
    frame = NetFrame.of((128, 64), (64, 64))
    plane = np.zeros((64 // stride, 64 // stride), np.float32)
    plane[:, plane.shape[1] // 2 :] = 1.0
    back = frame.from_net(plane)
    crossing = int(np.argmax(back[32] >= 0.5))
    assert abs(crossing - 64) <= 1
