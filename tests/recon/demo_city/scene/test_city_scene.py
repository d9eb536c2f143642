import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from recon.classes import RoadClass
from recon.demo_city.city_drive import _nearest_first
from recon.demo_city.config import CityConfig
from recon.demo_city.render.camera_response import camera_response
from recon.demo_city.render.candidate_kernels import BLOCK_PX, candidates, in_cone, pixel_ray
from recon.demo_city.render.image_kernels import render
from recon.demo_city.render.optics import Optics
from recon.demo_city.render.rig import calibrated_camera, posed_camera
from recon.demo_city.render.shadow_kernels import may_be_shadowed, shadow_cells, sunlit
from recon.demo_city.scene.city_scene import CityScene
from recon.demo_city.scene.ground_kernels import ground_class
from recon.demo_city.scene.ray_kernels import ground_hit
from recon.demo_city.scene.solid_columns import CENTER
from recon.demo_city.true_map import true_map
from recon.geometry import apply, invert

CONFIG = CityConfig(seed=9, frames=12, width_px=320, height_px=180)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scene():
    return CityScene.build(CONFIG)


@pytest.fixture(scope="module")
def coarse():
    """The same street for tests that look at its shape alone: fine paint takes seconds."""
    return CityScene.build(replace(CONFIG, texel_m=0.1))


def picture(scene, camera_index, frame, *, exposure=0.0):
    camera = calibrated_camera(CONFIG.cameras[camera_index], CONFIG)
    pose = scene.ego_pose(frame * CONFIG.spacing_m)
    solids, posed = scene.solids_at(frame * 0.5), posed_camera(camera, pose)
    order = _nearest_first(solids, posed.position)
    heads = scene.heads_at(frame * 0.5, pose)
    linear, ids, depth = render(scene.ground, solids, len(scene.static), order, scene.light, heads, posed)
    rgb = camera_response(linear, Optics(exposure=exposure, gain=scene.light.gain), 1)
    return camera, pose @ camera.ego_from_camera, rgb, ids, depth


def visible(camera, world_from_camera, depth, vertices):
    """Return pixel positions of the vertices that the camera sees within 25 m, by its own depth."""
    points = apply(invert(world_from_camera), vertices)
    distance = np.linalg.norm(points, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        px = (points @ camera.k.T)[:, :2] / points[:, 2:]
    inside = (points[:, 2] > 0.5) & (distance < 25.0)
    inside &= np.all((px >= 0) & (px < (camera.width_px, camera.height_px)), axis=1)
    cells = px[inside].astype(int)
    near = np.abs(depth[cells[:, 1], cells[:, 0]] - distance[inside]) < 0.05 * distance[inside] + 0.1
    return px[inside][near], np.flatnonzero(inside)[near]


def test_true_dividers_and_stop_lines_lie_on_their_paint_in_the_images(scene):
    offsets = {"divider": [], "stop_line": [], "boundary": []}
    close = []
    paint = {"divider": RoadClass.LANE_MARKING, "stop_line": RoadClass.STOP_LINE, "boundary": RoadClass.CURB}
    for camera_index in (0, 3):
        for frame in range(0, 12, 3):
            camera, world_from_camera, _, ids, depth = picture(scene, camera_index, frame)
            for element in true_map(scene.plan, scene.ground)["elements"]:
                kind = element["class"]
                if kind not in paint or not (ids == paint[kind]).any():
                    continue
                vertices = np.array(element["vertices"])
                px, which = visible(camera, world_from_camera, depth, vertices)
                # Between two dashes there is no paint to lie on.
                painted = [
                    kind != "divider" or ground_class(scene.ground, *vertices[i, :2]) == RoadClass.LANE_MARKING
                    for i in which
                ]
                to_paint = distance_transform_edt(ids != paint[kind])
                cells = px[np.array(painted, dtype=bool)].astype(int)
                misses = to_paint[cells[:, 1], cells[:, 0]]
                offsets[kind].extend(misses)
                # Farther away a line is narrower than a pixel, and its samples have gaps.
                wide = depth[cells[:, 1], cells[:, 0]] < 10.0
                close.extend(misses[wide] if kind == "divider" else ())
    assert len(offsets["divider"]) > 60
    assert np.median(offsets["divider"]) <= 1.0
    assert len(close) > 30
    assert np.percentile(close, 95) <= 1.0
    assert np.median(offsets["stop_line"]) <= 1.0
    assert np.median(offsets["boundary"]) <= 1.5


def test_ids_agree_with_the_geometry_behind_each_pixel(scene):
    camera, world_from_camera, _, ids, depth = picture(scene, 0, 2)
    rng = np.random.default_rng(0)
    rows, columns = np.nonzero(np.isfinite(depth) & (depth < 15.0) & (ids != 0) & (ids != RoadClass.BACKGROUND))
    for i in rng.choice(len(rows), 300, replace=False):
        row, column = rows[i], columns[i]
        ray = np.linalg.inv(camera.k) @ (column + 0.5, row + 0.5, 1.0)
        point = apply(world_from_camera, ray / np.linalg.norm(ray) * depth[row, column])
        assert point[2] == pytest.approx(scene.ground.height(point[0], point[1]), abs=0.02)
        if ids[row, column] != RoadClass.CURB:  # a kerb's face is steeper than the depth is exact
            assert ground_class(scene.ground, point[0], point[1]) == ids[row, column]


def test_every_road_class_of_this_street_is_seen(scene):
    seen = set()
    for frame in range(12):
        seen |= set(np.unique(picture(scene, 0, frame)[3]).tolist())
    assert seen == {c.value for c in RoadClass}


def test_rays_meet_the_surface_where_a_fine_march_meets_it(coarse):
    rng = np.random.default_rng(1)
    origin = coarse.ego_pose(8.0)[:3, 3] + (0.0, 0.0, 1.6)
    checked = 0
    for _ in range(60):
        azimuth, dip = rng.uniform(0, 2 * np.pi), rng.uniform(0.06, 0.6)
        ray = np.array([math.cos(azimuth) * math.cos(dip), math.sin(azimuth) * math.cos(dip), -math.sin(dip)])
        tau = ground_hit(coarse.ground, *origin, *ray)
        for at in np.arange(0.5, 40.0, 0.02):
            x, y, z = origin + at * ray
            if z <= coarse.ground.height(x, y):
                assert tau == pytest.approx(at, abs=0.03)
                checked += 1
                break
    assert checked > 40


def test_moving_shadows_fall_nowhere_but_in_their_cells(scene):
    casters = scene.solids_at(2.0)[len(scene.static) :]
    x0, y0 = scene.ego_pose(10.0)[:2, 3]
    random = np.random.default_rng(3)
    for direction in ((0.3, 0.2, 0.93), (0.6, -0.4, 0.69), (-0.9, 0.1, 0.42)):
        sun = np.asarray(direction) / np.linalg.norm(direction)
        shadows = shadow_cells(scene.ground, casters, x0, y0, *sun)
        assert 0.0 < shadows[0].mean() < 0.9
        dark = 0
        near = random.choice(casters[:, CENTER : CENTER + 2], 6000)
        for x, y in near + random.uniform(-6.0, 6.0, near.shape):
            z = ground_hit(scene.ground, x, y, 50.0, 0.0, 0.0, -1.0)
            if sunlit(casters, x, y, 50.0 - z + 0.01, *sun) < 1.0:
                dark += 1
                assert may_be_shadowed(shadows, x, y)
        assert dark


def test_the_solids_of_a_block_are_those_of_a_search_among_all(scene):
    camera = calibrated_camera(CONFIG.cameras[1], CONFIG)
    posed = posed_camera(camera, scene.ego_pose(10.0))
    solids = scene.solids_at(2.0)
    order = _nearest_first(solids, posed.position)
    rows, columns = -(-posed.height_px // BLOCK_PX), -(-posed.width_px // BLOCK_PX)
    ox, oy, oz = posed.position
    for sign, slope in ((1.0, 0.0), (-1.0, 0.12)):
        found, counts = np.empty((rows, columns, len(order)), np.int32), np.zeros((rows, columns), np.int32)
        candidates(solids, order, posed, oz, sign, slope, found, counts)
        alone, narrow = np.empty(len(order), np.int32), (0.75 * BLOCK_PX + 1.0) / posed.focal_px
        assert counts.max() > 2
        for row, column in np.ndindex(rows, columns):
            dx, dy, dz = pixel_ray(posed, (column + 0.5) * BLOCK_PX, (row + 0.5) * BLOCK_PX)
            looked = sign > 0 or dz < narrow
            count = in_cone(solids, order, ox, oy, oz, dx, dy, sign * dz, narrow + slope, alone) if looked else 0
            assert found[row, column, : counts[row, column]].tolist() == alone[:count].tolist()


def test_kerbs_rise_to_their_real_height(coarse):
    line, section = coarse.plan.line, coarse.plan.section
    for t, out in ((section.left_kerb_t_m, 1.0), (section.right_kerb_t_m, -1.0)):
        # At the mouth of a side street there is no kerb.
        mouths = [j for j in coarse.plan.junctions if out in j.sides]
        for s in [s for s in np.linspace(-40.0, 90.0, 27) if all(abs(s - j.s_m) > j.reach_m + 3.0 for j in mouths)]:
            foot, top = line.at(s, t - 0.01 * out), line.at(s, t + 0.08 * out)
            step = coarse.ground.height(*top) - coarse.ground.height(*foot)
            assert step == pytest.approx(0.12, abs=0.006)


def test_road_coordinates_undo_themselves(coarse):
    rng = np.random.default_rng(2)
    s, t = rng.uniform(-40.0, 80.0, 200), rng.uniform(-15.0, 15.0, 200)
    back_s, back_t = coarse.plan.line.road_coordinates(coarse.plan.line.at(s, t))
    np.testing.assert_allclose(back_s, s, atol=0.02)
    np.testing.assert_allclose(back_t, t, atol=0.002)


def test_wheels_stand_on_the_road(coarse):
    for s in (0.0, 17.0, 40.0):
        pose = coarse.ego_pose(s)
        wheels = apply(pose, np.array([(0.0, 0.8, 0.0), (0.0, -0.8, 0.0), (2.8, 0.8, 0.0), (2.8, -0.8, 0.0)]))
        for x, y, z in wheels.tolist():
            assert z == pytest.approx(coarse.ground.height(x, y), abs=0.02)


def test_exposure_scales_the_colours_of_an_image(coarse):
    plain = picture(coarse, 0, 1)[2].astype(float)
    bright = picture(coarse, 0, 1, exposure=0.06)[2].astype(float)
    unclipped = (bright < 250.0) & (plain > 60.0)
    assert np.median(bright[unclipped] / plain[unclipped]) == pytest.approx(math.exp(0.06), abs=0.005)
