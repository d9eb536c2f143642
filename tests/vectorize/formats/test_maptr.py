"""MapTR and StreamMapNet need mmdet3d and Python 3.8 to run, so their loaders' arithmetic is repeated here."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import small_site

from recon.errors import ArtifactInvalid
from recon.geometry import apply, rotation_from_quaternion, transform
from recon.sensors.project import project
from vectorize.formats.maptr import write_maptr, write_maptrv2
from vectorize.formats.streammapnet import write_streammapnet
from vectorize.labels.shard import key_prefix

LOG = small_site.drive()
LABELS = small_site.labels(LOG)


def bodies(written):
    return [json.loads(data) for data in written.files.values()]


def test_maptr_ground_truth_has_x_to_the_right_and_closed_crossings():
    written = write_maptr("a", LABELS, LOG)
    (body,) = bodies(written)
    assert list(body) == ["GTs"]
    assert [len(sample["vectors"]) for sample in body["GTs"]] == [0, 2, 2]
    assert body["GTs"][1]["sample_token"] == f"{key_prefix(LABELS, LOG)}-000001"
    divider, crossing = body["GTs"][1]["vectors"]
    assert divider == {"pts": [[-1.25, -5.0], [-1.5, 5.0]], "pts_num": 2, "cls_name": "divider", "type": 0}
    assert crossing["pts"] == [[2, 8], [2, 11], [-2, 11], [-2, 8], [2, 8]]
    assert (crossing["pts_num"], crossing["type"]) == (5, 1)
    assert written.notes == ("1 stop_line vectors are left out",)


def test_maptrv2_infos_project_a_label_where_the_camera_sees_it():
    (body,) = bodies(write_maptrv2("a", LABELS, LOG))
    infos = body["infos"]
    assert [info["frame_idx"] for info in infos] == [0, 1, 2]
    assert (infos[0]["prev"], infos[1]["next"], infos[2]["next"]) == ("", infos[2]["token"], "")
    assert set(infos[0]["annotation"]) == {"divider", "ped_crossing", "boundary", "centerline"}
    for info, frame in zip(infos, LOG.frames, strict=True):
        camera = info["cams"]["front"]
        # What its dataset computes: lidar -> camera -> image, from sensor2lidar and the intrinsics.
        sensor2lidar = transform(camera["sensor2lidar_rotation"], camera["sensor2lidar_translation"])
        in_lidar = np.array([[1.0, 9.0, 0.3], [-2.0, 15.0, 0.1]])
        seen = apply(np.linalg.inv(sensor2lidar), in_lidar)
        uv = seen @ np.array(camera["cam_intrinsic"]).T
        uv = uv[:, :2] / uv[:, 2:]
        ego = np.stack([in_lidar[:, 1], -in_lidar[:, 0], in_lidar[:, 2]], axis=1)
        world = apply(frame.world_from_ego, ego)
        expected, _, _ = project(LOG.cameras[0], frame.pose_of(frame.images[0]), world)
        assert np.allclose(uv, expected, atol=1e-6)
        # And the chain over ego and global gives the same world.
        lidar2ego = transform(rotation_from_quaternion(info["lidar2ego_rotation"]), info["lidar2ego_translation"])
        ego2global = transform(rotation_from_quaternion(info["ego2global_rotation"]), info["ego2global_translation"])
        assert np.allclose(apply(ego2global @ lidar2ego, in_lidar), world, atol=1e-9)


def test_streammapnet_infos_project_a_label_where_the_camera_sees_it():
    infos, submission = bodies(write_streammapnet("a", LABELS, LOG))
    assert [info["prev"] for info in infos] == [-1, 0, 1]
    assert [info["next"] for info in infos] == [1, 2, -1]
    assert [len(info["map_geoms"]["divider"]) for info in infos] == [0, 1, 1]
    for info, frame in zip(infos, LOG.frames, strict=True):
        camera = info["cams"]["front"]
        viewpad = np.eye(4)
        viewpad[:3, :3] = camera["intrinsics"]
        ego = np.array([[9.0, 1.0, 0.3], [15.0, -2.0, 0.1]])
        uvd = apply(viewpad @ np.array(camera["extrinsics"]), ego)
        world = apply(frame.world_from_ego, ego)
        expected, depth, _ = project(LOG.cameras[0], frame.pose_of(frame.images[0]), world)
        assert np.allclose(uvd[:, :2] / uvd[:, 2:], expected, atol=1e-6)
        assert np.allclose(uvd[:, 2], depth)
    result = submission["results"][infos[2]["token"]]
    assert result["labels"] == [1, 0]
    assert result["scores"] == [0.625, 0.5]
    assert result["vectors"][1] == [[8, -2], [11, -2], [11, 2], [8, 2], [8, -2]]
    assert list(submission["results"]) == [info["token"] for info in infos]


@pytest.mark.parametrize("write", [write_maptr, write_maptrv2, write_streammapnet])
def test_no_keyframes_are_a_valid_file_and_nonsense_is_refused(write):
    empty = replace(LABELS, labels=())
    assert len(bodies(write("a", empty, LOG))) == len(write("a", LABELS, LOG).files)
    broken = replace(LABELS.labels[1], elements=(small_site.element("divider", [[0, 0], [np.nan, 1]]),))
    with pytest.raises(ArtifactInvalid) as caught:
        write("a", replace(LABELS, labels=(broken,)), LOG)
    assert caught.value.where == "frame 1"
    high = replace(LABELS.labels[1], elements=(small_site.element("divider", [[0, 0], [1, 1]], height_m=np.nan),))
    assert write("a", replace(LABELS, labels=(high,)), LOG).files


@pytest.mark.parametrize("write", [write_maptrv2, write_streammapnet])
def test_distorted_images_are_named(write):
    bent = replace(LOG, cameras=(replace(LOG.cameras[0], distortion=np.array([0.1, 0, 0, 0])),))
    assert "the images of front are distorted, which the file cannot state" in write("a", LABELS, bent).notes
