"""The geometry of cameras agrees with `recon.sensors.project`, for lenses of every kind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recon.drive import Camera
from recon.geometry import invert, rotation_from_euler, transform
from recon.segment.net_frame import NetFrame
from recon.sensors.lens import Lens
from recon.sensors.project import project
from training.data.rig import UNSEEN, camera_geometry, camera_of, lens_rays
from training.model.config import ModelConfig

AHEAD = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
CONFIG = ModelConfig(backbone="swin", image_px=(320, 192), stride=16, bev_px=(64, 48), heights_m=(0.0, 0.5))
LENSES = {
    "pinhole": {"model": "pinhole", "distortion": np.zeros(0)},
    "barrel": {"model": "pinhole", "distortion": np.array([-0.33, 0.11, 0.001, -0.0006, -0.015])},
    "rational": {"model": "pinhole", "distortion": np.array([0.6, -0.1, 0.0003, 0.0002, 0.01, 0.9, -0.05, 0.02])},
    "fisheye": {"model": "fisheye", "distortion": np.array([0.05, -0.01, 0.002, -0.0004])},
}


def camera(kind, *, width=640, height=480, yaw=0.4):
    focal = 200.0 if kind == "fisheye" else 380.0
    k = np.array([[focal, 0.7, width / 2 + 5.0], [0, focal * 1.02, height / 2 - 8.0], [0, 0, 1]])
    pose = transform(rotation_from_euler(yaw_rad=yaw) @ AHEAD, (1.2, 0.3, 1.6))
    return Camera(name=kind, width_px=width, height_px=height, k=k, ego_from_camera=pose, **LENSES[kind])


def folding():
    """Return a camera whose model turns back before the corners of its image."""
    return Camera(
        name="folding",
        width_px=640,
        height_px=480,
        k=np.array([[170.0, 0, 320], [0, 170, 240], [0, 0, 1]]),
        ego_from_camera=camera("barrel").ego_from_camera,
        distortion=np.array([-0.3, 0.0, 0, 0]),
    )


def geometry_of(one, pose=None, ground=-0.3):
    return camera_geometry(one, one.ego_from_camera if pose is None else pose, ground, CONFIG)


@pytest.mark.parametrize("kind", [*LENSES, "folding"])
def test_cells_lie_where_their_centres_are_projected(kind):
    one = folding() if kind == "folding" else camera(kind)
    geometry = geometry_of(one)
    assert geometry.cell_uv.shape == (2, 64, 48, 2)
    centres = CONFIG.patch.cell_centres((64, 48)).reshape(-1, 2)
    frame = NetFrame.of((640, 480), CONFIG.image_px)
    seen = 0
    for height, uv in zip(CONFIG.heights_m, geometry.cell_uv.reshape(2, -1, 2), strict=True):
        world = np.c_[centres, np.full(len(centres), -0.3 + height)]  # ego is the world here
        pixels, _, inside = project(one, np.eye(4), world)
        expected = (pixels * frame.width / 640 + (frame.left, frame.top)) / CONFIG.image_px
        assert np.array_equal(uv[:, 0] != UNSEEN, inside)
        assert np.array_equal(uv[:, 1] != UNSEEN, inside)
        assert uv[inside] == pytest.approx(expected[inside], abs=1e-6)
        seen += inside.sum()
    assert 100 < seen < 2 * len(centres)


@pytest.mark.parametrize("kind", LENSES)
def test_rays_fall_on_the_centres_of_their_feature_cells(kind):
    one = camera(kind)
    geometry = geometry_of(one)
    assert geometry.rays.shape == (12, 20, 3)
    assert geometry.origin == pytest.approx(one.ego_from_camera[:3, 3])
    frame = NetFrame.of((640, 480), CONFIG.image_px)
    rows, columns = np.nonzero(geometry.image_cells)
    assert 0.6 * 12 * 16 < len(rows) <= 12 * 16  # the content of 4:3 leaves two columns of padding on each side
    assert not geometry.rays[~geometry.image_cells].any()
    rays = geometry.rays[rows, columns].astype(np.float64)
    depth = invert(one.ego_from_camera)[2, :3] @ rays.T
    assert depth == pytest.approx(np.ones(len(rays)), abs=1e-5)
    points = geometry.origin + rays * 7.0
    pixels, metres, inside = project(one, np.eye(4), points)
    assert inside.all()
    assert metres == pytest.approx(np.full(len(rays), 7.0), abs=1e-4)
    net = pixels * frame.width / 640 + (frame.left, frame.top)
    assert net == pytest.approx(np.stack([columns + 0.5, rows + 0.5], 1) * 16, abs=0.1)


@pytest.mark.parametrize("kind", LENSES)
def test_rays_of_a_resnet_go_to_where_its_features_look(kind):
    shifted = replace(CONFIG, backbone="resnet18")
    assert shifted.feature_shift_px == -7.5
    one = camera(kind)
    geometry = camera_geometry(one, one.ego_from_camera, -0.3, shifted)
    rows, columns = np.nonzero(geometry.image_cells)
    pixels, _, inside = project(one, np.eye(4), geometry.origin + geometry.rays[rows, columns].astype(np.float64) * 7.0)
    frame = NetFrame.of((640, 480), CONFIG.image_px)
    assert inside.all()
    net = pixels * frame.width / 640 + (frame.left, frame.top)
    assert net == pytest.approx(np.stack([columns, rows], 1) * 16 + 0.5, abs=0.1)


def test_lifted_points_and_projected_cells_agree():
    one = camera("barrel")
    geometry = geometry_of(one)
    rows, columns = np.nonzero(geometry.image_cells)
    rays, origin = geometry.rays[rows, columns], geometry.origin
    down = rays[:, 2] < -0.2
    ground = origin + rays[down] * ((-0.3 - origin[2]) / rays[down, 2])[:, None]
    unit = CONFIG.patch.to_unit(ground.astype(np.float64))
    inside = np.all((unit > 0.1) & (unit < 0.9), axis=1)
    assert inside.sum() > 10
    cell = (unit[inside] * (48, 64)).astype(int)
    uv = geometry.cell_uv[0, cell[:, 1], cell[:, 0]]
    expected = (np.stack([columns, rows], 1)[down][inside] + 0.5) / (20, 12)
    near = np.linalg.norm(ground[inside] - origin, axis=1) < 8
    near &= uv[:, 0] != UNSEEN  # the centre of a cell at the border may lie outside
    assert near.sum() >= 3
    assert np.abs(uv[near] - expected[near]).max() < 0.1  # a cell of half a metre


def test_a_pose_of_its_own_moves_a_camera():
    one = camera("pinhole")
    moved = transform(np.eye(3), (2.0, 0, 0)) @ one.ego_from_camera
    late, on_time = geometry_of(one, moved), geometry_of(one)
    assert late.origin - on_time.origin == pytest.approx([2, 0, 0])
    assert np.allclose(late.rays, on_time.rays)
    assert not np.allclose(late.cell_uv, on_time.cell_uv)


def test_equal_cameras_share_one_geometry():
    one, two = camera("barrel"), camera("barrel")
    assert geometry_of(one) is geometry_of(two)
    assert geometry_of(one) is not geometry_of(camera("barrel", yaw=0.5))


def test_rays_beyond_the_fold_of_a_lens_show_no_image():
    geometry = geometry_of(folding())
    assert not geometry.image_cells[0, 2]  # a corner, which the model never reaches
    assert geometry.image_cells[6, 10]


def test_a_record_gives_back_its_camera():
    one = camera("fisheye")
    entry = {
        "name": one.name,
        "width_px": one.width_px,
        "height_px": one.height_px,
        "model": one.model,
        "k": one.k.tolist(),
        "distortion": one.distortion.tolist(),
        "ego_from_camera": one.ego_from_camera.tolist(),
    }
    assert geometry_of(camera_of(entry)) is geometry_of(one)


@pytest.mark.parametrize("kind", LENSES)
def test_rays_of_pixels_come_back_to_them(kind):
    lens = Lens.of(camera(kind))
    random = np.random.default_rng(1)
    pixels = random.uniform((100, 80), (540, 400), (200, 2))
    again, _ = lens.pixels(lens_rays(lens, pixels))
    assert again == pytest.approx(pixels, abs=0.02)
