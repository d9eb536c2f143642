import dataclasses
import hashlib
import json

import cv2
import numpy as np
import pytest

from recon.classes import RoadClass
from recon.demo_city.city_drive import write_demo_drive
from recon.demo_city.config import CityConfig, LidarRig
from recon.demo_city.scene.city_scene import CityScene
from recon.errors import Cancelled, StorageError
from recon.formats.read_drive import read_drive
from recon.geometry import apply, rigid_fault

TINY = CityConfig(
    seed=5, frames=3, width_px=96, height_px=54, texel_m=0.1, lidar=LidarRig(beams=16, columns=120, noise_m=0.01)
)
# Where nothing of the ground is looked at, it need not be painted finely: that takes seconds.
ROUGH = dataclasses.replace(TINY, texel_m=0.2)


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def drive_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drive")
    write_demo_drive(folder, TINY, threads=1)
    return folder


@pytest.mark.slow
def test_same_seed_gives_the_same_bytes_on_any_number_of_threads(drive_folder, tmp_path):
    write_demo_drive(tmp_path, TINY, threads=3)
    assert digests(tmp_path) == digests(drive_folder)


@pytest.mark.slow
def test_seeds_differ_visibly(drive_folder, tmp_path):
    write_demo_drive(tmp_path, dataclasses.replace(TINY, seed=6, frames=1))
    for name in ("images/CAM_FRONT/0000.jpg", "images/CAM_BACK/0000.jpg"):
        one, other = (cv2.imread(str(folder / name)).astype(float) for folder in (drive_folder, tmp_path))
        assert np.abs(one - other).mean() > 15.0
    assert (tmp_path / "true_map.json").read_bytes() != (drive_folder / "true_map.json").read_bytes()


@pytest.mark.slow
def test_the_folder_reads_back_as_the_drive_that_was_planned(drive_folder):
    drive = read_drive(drive_folder)
    assert [camera.name for camera in drive.cameras] == [camera.name for camera in TINY.cameras]
    assert len(drive.frames) == TINY.frames
    assert drive.origin is not None
    assert drive.lidar_format == "f32x4"
    for frame in drive.frames:
        assert rigid_fault(frame.world_from_ego, tolerance=1e-9) == ""
        for image in frame.images:
            ids = cv2.imread(str(drive_folder / image.id_path), cv2.IMREAD_UNCHANGED)
            pixels = cv2.imread(str(drive_folder / image.path))
            assert pixels.shape == (*ids.shape, 3) == (TINY.height_px, TINY.width_px, 3)
            assert ids.max() < len(RoadClass)
    steps = np.diff(drive.path_xy_m(), axis=0)
    np.testing.assert_allclose(np.linalg.norm(steps, axis=1), TINY.spacing_m, rtol=0.05)


@pytest.mark.slow
def test_lidar_points_on_the_road_lie_on_its_surface(drive_folder):
    drive = read_drive(drive_folder)
    scene = CityScene.build(TINY)
    frame = drive.frames[1]
    points = np.fromfile(drive_folder / frame.lidar_path, dtype="<f4").reshape(-1, 4)
    assert len(points) > 500
    assert points[:, 3].min() >= 0.0
    assert points[:, 3].max() <= 1.0
    world = apply(frame.world_from_ego @ drive.ego_from_lidar, points[:, :3].astype(np.float64))
    _, t = scene.plan.line.road_coordinates(world[:, :2])
    # Close to the driven lane nothing stands: every low point there is road.
    lane = (np.abs(t - scene.ego_t_m) < 1.2) & (np.linalg.norm(points[:, :2], axis=1) < 12.0)
    errors = [z - scene.ground.height(x, y) for x, y, z in world[lane].tolist()]
    assert lane.sum() > 50
    assert np.abs(np.median(errors)) < 0.005
    assert np.percentile(np.abs(errors), 95) < 4 * TINY.lidar.noise_m


@pytest.mark.slow
def test_the_true_map_speaks_the_vocabulary_of_road_maps(drive_folder):
    body = json.loads((drive_folder / "true_map.json").read_text())
    assert (body["format"], body["version"]) == ("roadscribe-true-map", 1)
    count: dict[str, int] = {}
    for element in body["elements"]:
        count[element["class"]] = count.get(element["class"], 0) + 1
        vertices = np.array(element["vertices"])
        assert vertices.ndim == 2
        assert vertices.shape[1] == 3
        assert np.isfinite(vertices).all()
        assert not element["closed"] or element["class"] in ("ped_crossing", "boundary")
    assert set(count) <= {"divider", "boundary", "ped_crossing", "stop_line"}
    assert count["boundary"] >= 2
    styles = {e["style"] for e in body["elements"] if e["class"] == "divider"}
    assert styles <= {"solid", "dashed", "double"}


@pytest.mark.slow
def test_a_cancelled_drive_has_no_drive_json(tmp_path):
    def stop(done, total, unit=""):
        raise Cancelled

    with pytest.raises(Cancelled):
        write_demo_drive(tmp_path, ROUGH, stop)
    assert not (tmp_path / "drive.json").exists()


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError) as caught:
        write_demo_drive(tmp_path / "file", ROUGH)
    assert str(tmp_path / "file") in caught.value.where
