import dataclasses
import json

import cv2
import numpy as np
import pytest

from recon.classes import RoadClass
from recon.demo_city.city_drive import write_demo_drive
from recon.demo_city.config import CONDITIONS, CityConfig, LidarRig
from recon.demo_city.plan.plan_kernels import signed_kerb_distance
from recon.demo_city.scene.city_scene import CityScene
from recon.demo_city.true_map import true_map
from recon.formats.read_drive import read_drive

pytestmark = pytest.mark.slow  # each builds several streets

SMALL = CityConfig(
    seed=15, frames=2, width_px=96, height_px=54, texel_m=0.08, lidar=LidarRig(beams=4, columns=40), with_lidar=False
)


def written(folder, **changes):
    config = dataclasses.replace(SMALL, **changes)
    write_demo_drive(folder, config)
    return read_drive(folder), json.loads((folder / "true_poses.json").read_text())


def test_conditions_change_the_light_but_not_the_streets(tmp_path):
    bright, maps = {}, set()
    for condition in CONDITIONS:
        drive, truth = written(tmp_path / condition, condition=condition)
        assert condition in drive.name
        assert truth["condition"] == condition
        # The upper rows: lamps may light a street at night as brightly as clouds do by day, but not the sky above it.
        bright[condition] = cv2.imread(str(tmp_path / condition / drive.frames[0].images[0].path))[:10].mean()
        maps.add((tmp_path / condition / "true_map.json").read_bytes())
    assert len(maps) == 1
    assert bright["night"] < 0.5 * min(bright[c] for c in ("day", "dusk", "wet"))


def test_noise_moves_the_written_poses_and_leaves_the_truth(tmp_path):
    exact, _ = written(tmp_path / "exact")
    noisy, truth = written(tmp_path / "noisy", pose_noise_m=0.5, pose_noise_deg=1.0, camera_offset_ms=50.0)
    for frame, other, entry in zip(exact.frames, noisy.frames, truth["frames"], strict=True):
        np.testing.assert_allclose(entry["world_from_ego"], frame.world_from_ego, atol=1e-9)
        assert 0.01 < np.linalg.norm(other.world_from_ego[:2, 3] - frame.world_from_ego[:2, 3]) < 3.0
        for image in other.images:
            assert 0 < image.time_ns - other.time_ns <= 50_000_000
            seconds = (image.time_ns - other.time_ns) * 1e-9
            moved = np.array(entry["images"][image.camera])[:3, 3] - frame.world_from_ego[:3, 3]
            assert np.linalg.norm(moved) == pytest.approx(SMALL.speed_mps * seconds, rel=0.1)
            # Offset and drift are slow: a camera's pose errs as its frame's does.
            error = other.pose_of(image)[:2, 3] - np.array(entry["images"][image.camera])[:2, 3]
            np.testing.assert_allclose(error, other.world_from_ego[:2, 3] - frame.world_from_ego[:2, 3], atol=0.05)


def test_an_odd_trip_drives_the_same_street_the_other_way(tmp_path):
    there, _ = written(tmp_path / "0")
    back, _ = written(tmp_path / "1", trip=1)
    heading = [drive.frames[0].world_from_ego[:2, 0] for drive in (there, back)]
    assert float(heading[0] @ heading[1]) < -0.9
    assert (tmp_path / "0" / "true_map.json").read_bytes() == (tmp_path / "1" / "true_map.json").read_bytes()
    ends = back.path_xy_m()[-1] - there.path_xy_m()[0]
    assert np.linalg.norm(ends) < 12.0


def test_boundaries_lie_on_the_feet_of_the_kerbs_around_corners_and_islands():
    turned, closed = 0, 0
    for seed in (15, 22, 27):
        scene = CityScene.build(dataclasses.replace(SMALL, seed=seed, frames=20))
        for element in true_map(scene.plan, scene.ground)["elements"]:
            if element["class"] != "boundary":
                continue
            vertices = np.array(element["vertices"])
            assert np.abs(signed_kerb_distance(scene.ground.plan, np.ascontiguousarray(vertices[:, :2]))).max() < 0.03
            steps = np.diff(vertices[:, :2], axis=0)
            turn = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
            turned += not element["closed"] and np.ptp(turn) > 1.0
            closed += element["closed"]
    assert turned > 0
    assert closed > 0


def test_paint_lies_only_where_vehicles_may_drive():
    scene = CityScene.build(SMALL)
    ground = scene.ground
    rows, columns = np.nonzero(ground.tile_index >= 0)
    paint = (RoadClass.LANE_MARKING, RoadClass.CROSSWALK, RoadClass.STOP_LINE, RoadClass.OTHER_MARKING)
    tile, r, c = np.nonzero(np.isin(ground.ids, paint))
    side = ground.ids.shape[1] * ground.texel_m
    x = ground.tile_west_m + columns[tile] * side + (c + 0.5) * ground.texel_m
    y = ground.tile_south_m + rows[tile] * side + (r + 0.5) * ground.texel_m
    assert signed_kerb_distance(ground.plan, np.stack([x, y], axis=-1)).max() < 0.0
