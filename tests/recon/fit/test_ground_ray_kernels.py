"""The kernel against the same selection written with whole arrays."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from recon.fit.ground_ray_kernels import ground_rays
from recon.sensors.rectify import pixel_rays

WIDTH, HEIGHT = 24, 16


def slow(labels, k, rotation, up, above_m, max_distance_m):
    direction = pixel_rays(k, labels.shape) @ rotation.T
    descent = -(direction @ up)
    with np.errstate(divide="ignore"):
        distance = above_m / descent * np.linalg.norm(direction, axis=-1)
    usable = (labels > 0) & (descent > 1e-6) & (distance > 1.0) & (distance < max_distance_m)
    usable &= direction[..., 2] < -1e-3
    return np.flatnonzero(usable), direction[usable]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    yaw=st.floats(-3.0, 3.0),
    pitch=st.floats(-0.4, 0.9),
    roll=st.floats(-0.2, 0.2),
    above_m=st.floats(-0.5, 3.0),
)
def test_the_same_pixels_and_rays(seed: int, yaw: float, pitch: float, roll: float, above_m: float) -> None:
    labels = np.random.default_rng(seed).integers(0, 3, (HEIGHT, WIDTH)).astype(np.uint8)
    k = np.array([[20.0, 0.1, 12.3], [0.0, 21.0, 7.7], [0.0, 0.0, 1.0]])
    looking = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    rotation = Rotation.from_euler("zyx", [yaw, pitch, roll]).as_matrix() @ looking
    up = Rotation.from_euler("xy", [0.02, -0.03]).as_matrix()[:, 2]
    pixels, rays = ground_rays(labels, np.linalg.inv(k), np.ascontiguousarray(rotation), up, above_m, 15.0)
    expected_pixels, expected_rays = slow(labels, k, rotation, up, above_m, 15.0)
    assert np.array_equal(pixels, expected_pixels)
    assert rays.dtype == np.float32
    assert np.allclose(rays, expected_rays, atol=1e-6)
