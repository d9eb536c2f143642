from typing import Any

import cv2
import numpy as np
import pytest

from recon.classes import RoadClass
from recon.drive import Camera
from recon.sensors.rectify import Rectifier, pixel_rays

K = np.array([[150.0, 0, 100], [0, 150.0, 60], [0, 0, 1]])


def camera(distortion: list[float], model: Any = "pinhole") -> Camera:
    return Camera(
        name="c",
        width_px=200,
        height_px=120,
        k=K,
        ego_from_camera=np.eye(4),
        distortion=np.array(distortion),
        model=model,
    )


@pytest.mark.parametrize(
    ("distortion", "model"), [([-0.2, 0.05, 0.001, -0.001, 0.0], "pinhole"), ([0.05, -0.01, 0.0, 0.0], "fisheye")]
)
def test_a_distorted_dot_lands_where_the_pinhole_sees_it(distortion: list[float], model: str) -> None:
    lens = camera(distortion, model)
    point = np.array([[[0.3, -0.15, 1.0]]])
    shift = np.array([0.5, 0.5])  # OpenCV's pixel centres lie at integers
    k = K.copy()
    k[:2, 2] -= 0.5
    if model == "fisheye":
        projected, _ = cv2.fisheye.projectPoints(point, np.zeros(3), np.zeros(3), k, np.array(distortion))
    else:
        projected, _ = cv2.projectPoints(point, np.zeros(3), np.zeros(3), k, np.array(distortion))
    columns, rows = np.meshgrid(np.arange(200), np.arange(120))
    blob = np.exp(-((columns - projected[0, 0, 0]) ** 2 + (rows - projected[0, 0, 1]) ** 2) / 8)
    image = np.repeat((blob * 255).astype(np.uint8)[..., None], 3, axis=2)
    rectified = Rectifier.of(lens).image(image)[..., 0].astype(float)
    found = np.array([(rectified * columns).sum(), (rectified * rows).sum()]) / rectified.sum() + shift
    assert np.allclose(found, (K @ point[0, 0])[:2], atol=0.1)


def test_labels_from_outside_the_image_are_unknown() -> None:
    ids = np.full((120, 200), int(RoadClass.ROAD), dtype=np.uint8)
    pincushion = Rectifier.of(camera([0.4, 0.1, 0.0, 0.0]))
    warped = pincushion.ids(ids)
    assert warped[60, 100] == RoadClass.ROAD
    assert warped[0, 0] == RoadClass.UNKNOWN


def test_without_distortion_images_pass_untouched() -> None:
    image = np.random.default_rng(0).integers(0, 255, (120, 200, 3), dtype=np.uint8)
    assert Rectifier.of(camera([])).image(image) is image


def test_rays_go_through_pixel_centres() -> None:
    rays = pixel_rays(K, (120, 200))
    assert np.allclose(rays[59, 99] * 150, [-0.5, -0.5, 150])
