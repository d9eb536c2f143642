from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recon.classes import RoadClass
from recon.drive import Camera, DriveLog, Frame, Image
from recon.errors import ImageInvalid, InputInvalid
from recon.geometry import invert, transform
from recon.sensors.project import project
from vectorize.config import PackConfig
from vectorize.labels.label_set import LabelSet, PseudoLabels
from vectorize.labels.shard import pack, read_shard
from vectorize.labels.view_members import ids_of_drive, smaller_ids, stored_camera

SMALL = PackConfig(with_images=True, with_ids=True, with_depth=True, image_px=(32, 16))


def camera_of(width=64, height=48, **changes):
    k = np.array([[40.0, 0.5, 33.0], [0, 42, 20], [0, 0, 1]])
    mounted = transform([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], (1.0, 0, 1.5))
    fields = {"name": "cam.front", "k": k, "ego_from_camera": mounted, "distortion": np.array([-0.2, 0.03, 0.001, 0])}
    return Camera(**fields | {"width_px": width, "height_px": height} | changes)


@pytest.fixture
def drive(tmp_path):
    camera = camera_of()
    ids = np.full((48, 64), RoadClass.ROAD, np.uint8)
    ids[:, 30:33] = RoadClass.LANE_MARKING
    late = transform(np.eye(3), (2.5, 0, 0))
    frames = []
    for i in range(2):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((48, 64, 3), (10, 90, 200), np.uint8))
        cv2.imwrite(str(tmp_path / f"{i}.ids.png"), ids)
        image = Image(
            camera=camera.name, path=f"{i}.png", time_ns=i, id_path=f"{i}.ids.png", world_from_ego=late if i else None
        )
        points = np.array([[9.0, 0.5, -0.3, 0], [18.0, 1.0, 0.9, 0], [9.2, 0.5, -0.3, 0], [-5, 0, 0, 0]], "<f4")
        (tmp_path / f"{i}.bin").write_bytes(points.tobytes())
        frames.append(Frame(time_ns=i, world_from_ego=np.eye(4), images=(image,), lidar_path=f"{i}.bin"))
    return DriveLog(
        name="d",
        root=tmp_path,
        cameras=(camera,),
        frames=tuple(frames),
        lidar_format="f32x4",
        ego_from_lidar=transform(np.eye(3), (0, 0, 1.8)),
    )


@pytest.fixture
def labels(drive):
    one = [
        PseudoLabels(frame=i, time_ns=i, world_from_ego=f.world_from_ego, elements=(), known=np.ones((4, 2), bool))
        for i, f in enumerate(drive.frames)
    ]
    return LabelSet(drive="d", labels=tuple(one), length_m=60, width_m=30, mask_cell_m=15, provenance={})


@given(
    st.tuples(st.integers(20, 400), st.integers(20, 400)),
    st.tuples(st.integers(16, 300), st.integers(16, 300)),
    st.floats(-4, 4),
    st.floats(3, 30),
)
def test_k_belongs_to_the_stored_size(recorded, box, side, ahead):
    camera = camera_of(*recorded, distortion=np.zeros(0))  # the fold of a lens takes long to find
    stored = stored_camera(camera, PackConfig(image_px=box))
    size = np.array([stored.width_px, stored.height_px])
    assert np.all(size <= recorded)
    assert np.all(size <= np.array(box) + 0.5)
    world = np.array([[ahead, side, 0.4]])
    (was,), _, _ = project(camera, np.eye(4), world)
    (now,), _, _ = project(stored, np.eye(4), world)
    assert now / size == pytest.approx(was / recorded)


def test_smaller_members_share_the_size_of_the_record(labels, drive, tmp_path):
    manifest = pack(labels, drive, SMALL, tmp_path / "x", ids_of=ids_of_drive(drive))
    assert (manifest.meta["with_ids"], manifest.meta["with_depth"]) == (True, True)
    for sample in read_shard(tmp_path / "x"):
        (camera,) = sample.record["cameras"]
        assert (camera["width_px"], camera["height_px"]) == (21, 16)
        assert camera["k"][0][2] == pytest.approx(33 * 21 / 64)
        planes = [sample.images, sample.ids, sample.depth]
        assert all(list(plane) == ["cam-front"] for plane in planes)
        found = [cv2.imdecode(np.frombuffer(p["cam-front"], np.uint8), cv2.IMREAD_UNCHANGED) for p in planes]
        assert [plane.shape[:2] for plane in found] == [(16, 21)] * 3
        assert np.abs(found[0].astype(int) - (10, 90, 200)).max() < 12
        assert (found[1] == RoadClass.LANE_MARKING).any(axis=1).all()


def test_depth_is_that_of_the_nearest_point_at_the_pose_of_the_image(labels, drive, tmp_path):
    pack(labels, drive, replace(SMALL, image_px=(0, 0)), tmp_path / "x", ids_of=ids_of_drive(drive))
    camera = drive.cameras[0]
    for i, sample in enumerate(read_shard(tmp_path / "x")):
        depth = cv2.imdecode(np.frombuffer(sample.depth["cam-front"], np.uint8), cv2.IMREAD_UNCHANGED)
        assert depth.dtype == np.uint16
        pose = drive.frames[i].pose_of(drive.frames[i].images[0])
        points = np.array([[9.0, 0.5, 1.5], [18.0, 1.0, 2.7]])
        uv, metres, inside = project(camera, pose, points)
        assert inside.all()
        measured = depth[uv[:, 1].astype(int), uv[:, 0].astype(int)] * sample.record["depth_unit_m"]
        assert measured == pytest.approx(metres, abs=0.006)
        assert metres == pytest.approx(invert(pose @ camera.ego_from_camera)[2, 3] + points[:, 0])
        assert (depth > 0).sum() in (2, 3)


def test_thin_paint_survives_in_smaller_ids():
    ids = np.full((40, 40), RoadClass.ROAD, np.uint8)
    ids[:, 12:15] = RoadClass.STOP_LINE
    ids[:, 28] = RoadClass.LANE_MARKING
    small = smaller_ids(ids, (5, 5))
    assert (small[:, 1] == RoadClass.STOP_LINE).all()
    assert (small[:, [0, 2, 3, 4]] == RoadClass.ROAD).all()
    assert smaller_ids(ids, (40, 40)) is ids


def test_missing_ids_are_refused_or_left_out(labels, drive, tmp_path):
    with pytest.raises(InputInvalid, match="no class ids are at hand"):
        pack(labels, drive, SMALL, tmp_path / "x")
    pack(labels, drive, SMALL, tmp_path / "y", ids_of=lambda *_: None)  # a net could not segment the image
    assert [sample.ids for sample in read_shard(tmp_path / "y")] == [{}, {}]
    frames = tuple(replace(f, images=tuple(replace(i, id_path="") for i in f.images)) for f in drive.frames)
    with pytest.raises(InputInvalid, match="has no id images"):
        ids_of_drive(replace(drive, frames=frames))
    (drive.root / "1.ids.png").write_bytes((drive.root / "1.ids.png").read_bytes()[:60])
    with pytest.raises(ImageInvalid, match=r"frame 1, 1\.ids\.png"):
        pack(labels, drive, SMALL, tmp_path / "z", ids_of=ids_of_drive(drive))
    assert not (tmp_path / "z").exists()


def test_a_drive_without_lidar_has_empty_depth(labels, drive, tmp_path):
    drive = replace(drive, frames=tuple(replace(f, lidar_path="") for f in drive.frames))
    pack(labels, drive, SMALL, tmp_path / "x", ids_of=ids_of_drive(drive))
    for sample in read_shard(tmp_path / "x"):
        assert not cv2.imdecode(np.frombuffer(sample.depth["cam-front"], np.uint8), cv2.IMREAD_UNCHANGED).any()
