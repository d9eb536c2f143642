"""Rays count up to where the model of a lens folds back, and a wide fisheye keeps its field."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon.drive import Camera
from recon.sensors.lens import Lens
from recon.sensors.project import project
from recon.sensors.rectify import Rectifier, pixel_rays

FORWARD = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1.6], [0, 0, 0, 1]])  # ego from a camera that looks ahead


def camera(
    distortion: list[float], model: Any = "pinhole", f: float = 150.0, size: tuple[int, int] = (320, 180)
) -> Camera:
    k = np.array([[f, 0, size[0] / 2], [0, f, size[1] / 2], [0, 0, 1.0]])
    return Camera(
        name="c",
        width_px=size[0],
        height_px=size[1],
        k=k,
        ego_from_camera=FORWARD,
        distortion=np.array(distortion),
        model=model,
    )


def rays_of(tangent: np.ndarray) -> np.ndarray:
    return np.stack([tangent, np.zeros_like(tangent), np.ones_like(tangent)], axis=-1)


@pytest.mark.parametrize("k1", [-0.1, -0.2, -0.3, -0.5])
def test_a_cubic_lens_ends_where_its_derivative_is_zero(k1: float) -> None:
    fold = 1 / np.sqrt(-3 * k1)
    tangent = np.linspace(0.0, 3.0 * fold, 3001)
    uv, _ = Lens.of(camera([k1, 0, 0, 0], size=(2000, 2000))).pixels(rays_of(tangent))
    shown = np.isfinite(uv[:, 0])
    assert not shown[tangent >= fold].any()
    # It ends where the image is about a pixel short of the fold, and loses nothing before.
    radius = 150 * (tangent + k1 * tangent**3)
    assert shown[(tangent < fold) & (radius < radius.max() - 2.5)].all()


@settings(max_examples=60, deadline=None)
@given(
    k=st.tuples(*[st.floats(-0.5, 0.5)] * 3),
    p=st.tuples(*[st.floats(-0.02, 0.02)] * 2),
    rational=st.tuples(*[st.floats(0.0, 0.4)] * 3),
    around=st.floats(-np.pi, np.pi),
)
def test_every_ray_that_is_shown_lies_before_the_fold(
    k: tuple[float, ...], p: tuple[float, ...], rational: tuple[float, ...], around: float
) -> None:
    """The oracle walks outwards along one direction in fine steps, with a numerical Jacobian of OpenCV's function."""
    distortion = np.array([*k[:2], *p, k[2], *rational])
    tangent = np.linspace(0.001, 6.0, 3000)
    points = np.stack([tangent * np.cos(around), tangent * np.sin(around)], axis=-1)

    def bent(xy: np.ndarray) -> np.ndarray:
        rays = np.c_[xy, np.ones(len(xy))].reshape(-1, 1, 3)
        return cv2.projectPoints(rays, np.zeros(3), np.zeros(3), np.eye(3), distortion)[0].reshape(-1, 2)

    step = 1e-6
    ax, ay = ((bent(points + d) - bent(points - d)) / (2 * step) for d in step * np.eye(2))
    regular = np.cumprod(ax[:, 0] * ay[:, 1] - ax[:, 1] * ay[:, 0] > 0).astype(bool)
    uv, _ = Lens.of(camera(distortion.tolist(), size=(4000, 4000))).pixels(np.c_[points, np.ones(len(points))])
    shown = np.isfinite(uv[:, 0])
    assert not (shown & ~regular).any()
    assert np.allclose(uv[shown], bent(points[shown]) * 150 + 2000, atol=1e-6)
    assert (np.diff(shown.astype(int)) <= 0).all()  # nothing comes back behind the fold


def test_labels_behind_the_fold_are_unknown_and_the_others_are_right() -> None:
    """A lens with k1 = -0.3, whose pinhole image reaches behind the fold: classes are bands of the tangent."""
    lens, k1 = camera([-0.3, 0, 0, 0]), -0.3
    u, v = np.meshgrid(np.arange(320) + 0.5, np.arange(180) + 0.5)
    distorted = np.hypot((u - 160) / 150, (v - 90) / 150)
    fold = 1 / np.sqrt(-3 * k1)
    table = np.linspace(0, fold, 20001)
    true = np.interp(distorted, table + k1 * table**3, table)
    ids = (1 + np.floor(true / 0.1)).astype(np.uint8)
    found = Rectifier.of(lens).ids(ids)
    tangent = np.linalg.norm(pixel_rays(lens.k, (180, 320))[..., :2], axis=-1)
    assert (tangent > fold).any()
    assert (found[tangent >= fold] == 0).all()
    known = (found > 0) & (np.abs(tangent / 0.1 - np.round(tangent / 0.1)) > 0.15)
    assert (found[known] == 1 + np.floor(tangent[known] / 0.1)).all()
    assert (found[tangent < 0.9 * fold] > 0).all()


def test_points_behind_the_fold_are_not_projected() -> None:
    lens = camera([-0.3, 0, 0, 0])
    tangent = np.array([0.3, 0.9, 1.2, 1.6, 2.5])
    world = np.c_[10 * np.ones(5), -10 * tangent, np.full(5, 1.6)]
    _, _, inside = project(lens, np.eye(4), world)
    assert inside.tolist() == [True, True, False, False, False]


@pytest.mark.parametrize("field_deg", [100.0, 150.0, 190.0])
def test_a_fisheye_sees_the_ground_in_all_of_its_field(field_deg: float) -> None:
    """Every ground point whose ray the lens shows lies in one face, with the label of its own pixel."""
    half = np.radians(field_deg / 2)
    f = 100.0 / half
    lens = camera([0.0, 0.0, 0.0, 0.0], "fisheye", f=f, size=(200, 200))
    x, y = np.meshgrid(np.arange(-3.0, 15.0, 0.25), np.arange(-15.0, 15.0, 0.25))
    points = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)
    uv, _, inside = project(lens, np.eye(4), points)
    rays = (points - FORWARD[:3, 3]) @ FORWARD[:3, :3]
    angle = np.arctan2(np.hypot(rays[:, 0], rays[:, 1]), rays[:, 2])
    assert inside[angle < half - 0.01].all()  # a square image cuts nothing off the circle
    ids = np.random.default_rng(0).integers(1, 9, (200, 200), dtype=np.uint8)
    ids = cv2.resize(ids[::10, ::10], (200, 200), interpolation=cv2.INTER_NEAREST)
    seen = np.zeros(len(points), int)
    right = np.zeros(len(points), int)
    for face in Rectifier.faces(lens):
        local = rays @ face.camera_from_view[:3, :3]
        ahead = local[:, 2] > 1e-6
        pixel = local[ahead] / local[ahead, 2:] @ face.k.T
        column, row = np.floor(pixel[:, :2]).astype(int).T
        width, height = face.size_px
        within = (column >= 0) & (row >= 0) & (column < width) & (row < height)
        number = np.flatnonzero(ahead)[within]
        label = face.ids(ids)[row[within], column[within]]
        seen[number] += label > 0
        own = ids[np.clip(uv[number, 1], 0, 199).astype(int), np.clip(uv[number, 0], 0, 199).astype(int)]
        right[number] += label == own
    deep = angle < half - np.radians(1.0)
    assert (seen[deep] == 1).all()
    assert (right[deep] == 1).mean() > 0.85  # blocks of ten pixels: rays at their borders round to either side


def test_a_camera_of_an_ordinary_field_is_one_pinhole_image() -> None:
    for lens in (camera([]), camera([-0.1, 0.0, 0.0, 0.0]), camera([0.0] * 4, "fisheye", f=300.0)):
        (only,) = Rectifier.faces(lens)
        assert only.size_px == (320, 180)
        assert np.array_equal(only.k, lens.k)
