"""The demo city in nuScenes' layout: read back by our reader, by the devkit where it is installed, and as a map."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import devkit_drive
import numpy as np
import pytest
import shapely

from recon.demo_city.city_drive import write_demo_drive
from recon.demo_city.city_nuscenes import NUSCENES_VERSION, map_expansion, write_demo_nuscenes
from recon.demo_city.config import CityConfig
from recon.drive import DriveLog
from recon.errors import RoadscribeError
from recon.formats.read_drive import read_drive
from recon.sensors.lidar import world_points
from vectorize.truth.read_truth import truth_of

CONFIG = CityConfig(seed=12, frames=4, width_px=96, height_px=54, camera_offset_ms=40.0, texel_m=0.1)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("city") / "root"
    write_demo_nuscenes(folder, CONFIG)
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> DriveLog:
    return write_demo_drive(tmp_path_factory.mktemp("plain"), CONFIG)


@pytest.mark.slow
def test_both_layouts_hold_the_same_drive(root: Path, plain: DriveLog) -> None:
    drive = read_drive(root)
    assert drive.name == plain.name
    assert drive.true_map == "maps/expansion/demo-city-12.json"
    for before, after in zip(plain.frames, drive.frames, strict=True):
        assert after.time_ns == pytest.approx(before.time_ns, abs=500)
        assert np.allclose(after.world_from_ego, before.world_from_ego, atol=1e-9)
        old = {image.camera: image for image in before.images}
        for image in after.images:
            assert np.allclose(after.pose_of(image), before.pose_of(old[image.camera]), atol=1e-9)
            assert (drive.root / image.path).read_bytes() == (plain.root / old[image.camera].path).read_bytes()
    assert np.allclose(world_points(drive, max_range_m=60), world_points(plain, max_range_m=60), atol=1e-4)
    assert sorted(path.name for path in root.iterdir()) == ["maps", "samples", "true_poses.json", NUSCENES_VERSION]


@pytest.mark.slow
def test_both_layouts_hold_the_same_map(root: Path, plain: DriveLog) -> None:
    found, true = truth_of(read_drive(root)), truth_of(plain)
    assert found is not None
    assert true is not None
    for element_class in ("divider", "ped_crossing", "stop_line"):
        for style in {e.style for e in true.of(element_class)}:
            length = [
                sum(
                    shapely.LineString(e.vertices[:, :2]).length for e in road_map.of(element_class) if e.style == style
                )
                for road_map in (found, true)
            ]
            assert length[0] == pytest.approx(length[1], rel=0.02), (element_class, style)
    # Kerbs lie within 5 cm; where the map ends, its areas are closed and boundaries are not.
    edges = shapely.union_all([shapely.LineString(e.vertices[:, :2]) for e in found.of("boundary")])
    distances = [shapely.distance(shapely.points(e.vertices[:, :2]), edges) for e in true.of("boundary")]
    assert np.quantile(np.concatenate(distances), 0.99) < 0.05


@pytest.mark.slow
def test_the_devkit_reads_what_our_reader_reads(root: Path) -> None:
    drive = read_drive(root)
    read = devkit_drive.keyframes(root, NUSCENES_VERSION, len(drive.frames) + 1)
    assert read["scenes"] == 1
    assert [keyframe["last"] for keyframe in read["keyframes"]] == [False] * (len(drive.frames) - 1) + [True]
    for keyframe, frame in zip(read["keyframes"], drive.frames, strict=True):
        assert keyframe["timestamp"] * 1000 == frame.time_ns
        for image in frame.images:
            record, camera = keyframe["cameras"][image.camera], drive.camera(image.camera)
            assert Path(record["path"]) == drive.root / image.path
            assert cv2.imread(record["path"]).shape == (CONFIG.height_px, CONFIG.width_px, 3)
            k = np.array(record["k"]) + np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
            assert np.allclose(k, camera.k, atol=1e-9)
            assert np.allclose(devkit_drive.rigid(record["mount"]), camera.ego_from_camera, atol=1e-9)
            assert np.allclose(devkit_drive.rigid(record["pose"]), frame.pose_of(image), atol=1e-9)
        assert len(np.fromfile(keyframe["lidar_path"], "<f4").reshape(-1, 5)) > 1000
    city = devkit_drive.map_layers(root, f"demo-city-{CONFIG.seed}")
    found = truth_of(drive)
    assert found is not None
    area = shapely.union_all(shapely.from_wkt(city["drivable"]))
    assert all(shapely.contains_xy(area, *drive.path_xy_m().T))
    assert city["crossings"] == len(found.of("ped_crossing"))
    length = sum(shapely.LineString(e.vertices).length for e in found.of("divider"))
    assert shapely.length(shapely.from_wkt(city["dividers"])).sum() == pytest.approx(length, rel=0.02)


def test_elements_find_their_layers() -> None:
    elements = [
        {"class": "divider", "style": "dashed", "closed": False, "vertices": [[0, 0, 1], [5, 0, 1], [9, 0, 1]]},
        {"class": "ped_crossing", "style": "unknown", "closed": True, "vertices": [[0, 0, 1], [4, 0, 1], [4, 4, 1]]},
        {"class": "stop_line", "style": "unknown", "closed": False, "vertices": [[0, 2, 1], [6, 2, 1]]},
        {"class": "boundary", "style": "unknown", "closed": False, "vertices": [[0, 8, 1], [9, 8, 1]]},
    ]
    hole = shapely.box(2, 2, 3, 3)
    body = map_expansion("a", elements, [shapely.box(-5, -5, 9, 8).difference(hole)])
    kinds = [segment["segment_type"] for segment in body["lane_divider"][0]["lane_divider_segments"]]
    assert kinds == ["DOUBLE_DASHED_WHITE", "DOUBLE_DASHED_WHITE", "NIL"]
    counts = {
        layer: len(body[layer]) for layer in ("ped_crossing", "stop_line", "drivable_area", "road_divider", "lane")
    }
    assert counts == {"ped_crossing": 1, "stop_line": 1, "drivable_area": 1, "road_divider": 0, "lane": 0}
    assert [len(polygon["holes"]) for polygon in body["polygon"]] == [0, 0, 1]
    tokens = [
        row["token"] for layer in body.values() if isinstance(layer, list) for row in layer if isinstance(row, dict)
    ]
    assert len(tokens) == len(set(tokens))
    json.dumps(body, allow_nan=False)


def test_a_failure_leaves_no_drive_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RoadscribeError("stopped")

    monkeypatch.setattr("recon.demo_city.city_nuscenes.render_drive", fail)
    with pytest.raises(RoadscribeError):
        write_demo_nuscenes(tmp_path / "root", CONFIG)
    assert list((tmp_path / "root").iterdir()) == []
