"""Every bad input is found, with its frame, and reading and validation agree about it."""
# ruff: noqa: E501 - the cases are a table

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import small_drive

from recon.errors import (
    CalibrationMissing,
    Cancelled,
    ConfigInvalid,
    DriveEmpty,
    DriveInvalid,
    ImageInvalid,
    PathRefused,
    PoseInvalid,
    RoadscribeError,
)
from recon.formats.read_drive import find_problems, read_drive

Body = dict[str, Any]


def pose(x: float) -> list[list[float]]:
    return [[1.0, 0, 0, x], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]


def _set(*path: Any, value: Any) -> Callable[[Body, Path], None]:
    def change(body: Body, folder: Path) -> None:
        inner: Any = body
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value

    return change


def _drop(*path: Any) -> Callable[[Body, Path], None]:
    def change(body: Body, folder: Path) -> None:
        inner: Any = body
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]

    return change


def _file(name: str, change: Callable[[Path], object]) -> Callable[[Body, Path], None]:
    def apply(body: Body, folder: Path) -> None:
        change(folder / name)

    return apply


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def _link_out(path: Path) -> None:
    outside = path.parents[2] / "outside.png"
    path.rename(outside)
    path.symlink_to(outside)


def _nan_points(path: Path) -> None:
    points = np.fromfile(path, "<f4").reshape(-1, 4)
    points[3, 1] = np.nan
    points.tofile(path)


F2 = ("frames", 2)
SKEWED = [[1.0, 0.1, 0, 3], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
MIRROR = [[1.0, 0, 0, 3], [0, -1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
LONG_QUATERNION = {"translation_m": [3, 0, 0], "rotation_wxyz": [1.0, 0.1, 0, 0]}
T0 = small_drive.START_NS

CASES: dict[str, tuple[Callable[[Body, Path], None], type[RoadscribeError], str, str]] = {
    "missing image": (_file("front/2.png", Path.unlink), ImageInvalid, "frame 2", "does not exist"),
    "truncated png": (_file("front/2.png", _cut), ImageInvalid, "frame 2", "truncated"),
    "truncated jpeg": (_file("rear/2.jpg", _cut), ImageInvalid, "frame 2", "truncated"),
    "empty image": (_file("rear/2.jpg", lambda p: p.write_bytes(b"")), ImageInvalid, "frame 2", "neither PNG nor JPEG"),
    "image is a folder": (_file("rear/2.jpg", lambda p: (p.unlink(), p.mkdir())), ImageInvalid, "frame 2", "regular"),
    "image is a pipe": (_file("rear/2.jpg", lambda p: (p.unlink(), os.mkfifo(p))), ImageInvalid, "frame 2", "regular"),
    "wrong size": (
        _file("front/2.png", lambda p: cv2.imwrite(str(p), np.zeros((24, 31, 3), np.uint8))),
        ImageInvalid, "frame 2", "31 x 24 px, its camera 32 x 24",
    ),
    "NaN pose": (_set(*F2, "world_from_ego", 0, 3, value=float("nan")), PoseInvalid, "frame 2", "nan is not of type number"),
    "infinite pose": (_set(*F2, "world_from_ego", 0, 3, value=1e999), PoseInvalid, "frame 2", "inf is not of type number"),
    "endless integer": (_set(*F2, "world_from_ego", 0, 3, value=10**400), PoseInvalid, "frame 2", "is not of type number"),
    "truth for a number": (_set(*F2, "world_from_ego", 0, 3, value=True), PoseInvalid, "frame 2", "True is not of type number"),
    "skewed pose": (_set(*F2, "world_from_ego", value=SKEWED), PoseInvalid, "frame 2", "not orthonormal"),
    "mirrored pose": (_set(*F2, "world_from_ego", value=MIRROR), PoseInvalid, "frame 2", "reflection"),
    "no pose": (_drop(*F2, "world_from_ego"), PoseInvalid, "frame 2", "required"),
    "short pose": (_set(*F2, "world_from_ego", value=[[1, 0, 0, 0]]), PoseInvalid, "frame 2", "too short"),
    "non-unit quaternion": (_set(*F2, "world_from_ego", value=LONG_QUATERNION), PoseInvalid, "frame 2", "norm 1.005"),
    "skewed image pose": (
        _set("frames", 1, "images", "rear", "world_from_ego", value=SKEWED), PoseInvalid, "frame 1, rear/1.jpg", "rigid",
    ),
    "coordinates of a map sheet": (_set("frames", 0, "world_from_ego", value=pose(5.4e6)), PoseInvalid, "frame 0", "50 km"),
    "time goes backwards": (_set(*F2, "time_ns", value=T0 + 5), PoseInvalid, "frame 2", "backwards"),
    "time stands still": (_set(*F2, "time_ns", value=T0 + 100_000_000), PoseInvalid, "frame 2", "duplicated frame"),
    "time as a float": (_set(*F2, "time_ns", value=1.7e18), DriveInvalid, "frame 2, time_ns", "is not of type integer"),
    "camera time stands still": (
        _set(*F2, "images", "rear", "time_ns", value=T0 + 105_000_000), PoseInvalid, "frame 2, rear/2.jpg", "not increase",
    ),
    "image from another clock": (_set(*F2, "images", "rear", "time_ns", value=7), PoseInvalid, "frame 2", "frame's time"),
    "teleport": (_set("frames", 3, "world_from_ego", value=pose(40.0)), PoseInvalid, "frame 3", "jumps 37.0 m in 0.100 s"),
    "frame given twice": (
        lambda body, folder: body["frames"].insert(3, body["frames"][2]), PoseInvalid, "frame 3", "duplicated frame",
    ),
    "image given twice": (
        _set(*F2, "images", "front", value="front/1.png"), DriveInvalid, "frame 2, front/1.png", "belongs to frame 1",
    ),
    "uncalibrated camera": (
        _set(*F2, "images", "left", value="front/2.png"), CalibrationMissing, "frame 2", "camera left has no calibration",
    ),
    "camera without k": (_drop("cameras", "front", "k"), CalibrationMissing, "camera front", "'k' is a required"),
    "no cameras": (_set("cameras", value={}), CalibrationMissing, "drive.json, cameras", ""),
    "negative focal length": (_set("cameras", "front", "k", 0, 0, value=-3.0), DriveInvalid, "camera front", "focal"),
    "k is a projection": (_set("cameras", "front", "k", 2, 0, value=0.2), DriveInvalid, "camera front", "not a camera matrix"),
    "camera pose is skewed": (_set("cameras", "front", "ego_from_camera", value=SKEWED), PoseInvalid, "camera front", "rigid"),
    "three coefficients": (_set("cameras", "front", "distortion", value=[0, 0, 0]), DriveInvalid, "camera front", "coeff"),
    "camera name is a path": (
        lambda body, folder: body["cameras"].update({"../x": body["cameras"]["front"]}), DriveInvalid, "drive.json", "match",
    ),
    "damaged mask": (_file("front_mask.png", _cut), ImageInvalid, "camera front", "truncated"),
    "no frames": (_set("frames", value=[]), DriveEmpty, "drive.json, frames", ""),
    "no images": (lambda body, folder: [f["images"].clear() for f in body["frames"]] and None, DriveEmpty, "small", ""),
    "missing lidar": (_file("lidar/3.bin", Path.unlink), DriveInvalid, "frame 3, lidar/3.bin", "does not exist"),
    "lidar cut in a point": (
        _file("lidar/3.bin", lambda p: p.write_bytes(p.read_bytes()[:-3])), DriveInvalid, "frame 3", "317 bytes",
    ),
    "empty lidar": (_file("lidar/3.bin", lambda p: p.write_bytes(b"")), DriveInvalid, "frame 3", "0 bytes"),
    "NaN in lidar": (_file("lidar/3.bin", _nan_points), DriveInvalid, "frame 3", "1 LiDAR points hold NaN"),
    "lidar without calibration": (_drop("lidar"), CalibrationMissing, "frame 1", "LiDAR"),
    "unknown ids": (
        _file("ids/front_2.png", lambda p: cv2.imwrite(str(p), np.full((24, 32), 77, np.uint8))),
        ImageInvalid, "frame 2, ids/front_2.png", "unknown class ids [77]",
    ),
    "missing ids": (_file("ids/front_2.png", Path.unlink), ImageInvalid, "frame 2, ids/front_2.png", "does not exist"),
    "path leaves by dots": (_set(*F2, "images", "front", value="../a.png"), PathRefused, "frame 2", "not a path inside"),
    "path is absolute": (_set(*F2, "images", "front", value="/etc/hostname"), PathRefused, "frame 2", "not a path inside"),
    "path of another system": (_set(*F2, "images", "front", value="C:\\a.png"), PathRefused, "frame 2", "not a path inside"),
    "path leaves by a link": (_file("front/2.png", _link_out), PathRefused, "frame 2", "is a link that leads out"),
    "lidar leaves by dots": (_set("frames", 3, "lidar", value="lidar/../../x"), PathRefused, "frame 3", "not a path inside"),
    "missing true map": (_file("map.json", Path.unlink), DriveInvalid, "true_map", "does not exist"),
    "unknown key": (_set("camera_model", value=1), DriveInvalid, "drive.json", "'camera_model' was unexpected"),
    "unknown key in a frame": (_set(*F2, "pose", value=1), DriveInvalid, "frame 2", "'pose' was unexpected"),
    "origin off the Earth": (_set("origin", "latitude_deg", value=91.0), DriveInvalid, "drive.json, origin", "maximum"),
    "newer version": (_set("version", value=2), DriveInvalid, "drive.json", "reads up to 1"),
    "another file": (_set("format", value="coco"), DriveInvalid, "drive.json", "not a Roadscribe drive"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_input(tmp_path: Path, case: str) -> None:
    change, kind, where, message = CASES[case]
    folder = small_drive.write(tmp_path / "drive")
    body = small_drive.document()
    change(body, folder)
    (folder / "drive.json").write_text(json.dumps(body))
    found = find_problems(folder)
    assert any(type(p) is kind and where in p.where and message in p.message for p in found), [str(p) for p in found]
    assert len(found) <= 2, "one fault must not drown in its consequences"
    assert str(tmp_path) not in "".join(str(p) for p in found)
    with pytest.raises(RoadscribeError) as caught:
        read_drive(folder)
    assert caught.value.record() == found[0].record()


def test_a_sound_drive_has_no_problems(tmp_path: Path) -> None:
    assert find_problems(small_drive.write(tmp_path)) == []


def test_every_problem_is_listed(tmp_path: Path) -> None:
    folder = small_drive.write(tmp_path / "drive")
    body = small_drive.document()
    _set("frames", 0, "world_from_ego", value=[[float("nan")] * 4] * 4)(body, folder)
    _file("rear/0.jpg", _cut)(body, folder)
    for name in ("truncated jpeg", "missing lidar", "unknown key", "teleport"):
        CASES[name][0](body, folder)
    (folder / "drive.json").write_text(json.dumps(body))
    found = [(type(p), p.where) for p in find_problems(folder)]
    assert found.count((ImageInvalid, "frame 0, rear/0.jpg")) == 1  # a frame without a pose still has files
    assert found.count((PoseInvalid, "frame 0, world_from_ego[0][0]")) == 1
    assert found.count((ImageInvalid, "frame 2, rear/2.jpg")) == 1
    assert found.count((PoseInvalid, "frame 3")) == 1
    assert found.count((DriveInvalid, "frame 3, lidar/3.bin")) == 1
    assert found.count((DriveInvalid, "drive.json")) == 1
    assert len(found) == 5 + 16  # each number that is none is named


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    folder = small_drive.write(tmp_path)
    text = (folder / "drive.json").read_text()
    (folder / "drive.json").write_text(text.replace('"name"', '"name": "a", "name"', 1))
    with pytest.raises(DriveInvalid, match="appears twice"):
        read_drive(folder)


def test_links_inside_the_drive_are_fine(tmp_path: Path) -> None:
    folder = small_drive.write(tmp_path)
    (folder / "front/2.png").rename(folder / "kept.png")
    (folder / "front/2.png").symlink_to(folder / "kept.png")
    assert find_problems(folder) == []


def test_unknown_folder_and_format(tmp_path: Path) -> None:
    with pytest.raises(DriveInvalid, match="the folder does not exist"):
        read_drive(tmp_path / "nowhere")
    with pytest.raises(DriveInvalid, match="the drive format is not known"):
        read_drive(tmp_path)
    with pytest.raises(ConfigInvalid, match="unknown drive format"):
        read_drive(tmp_path, format="rosbag")
    with pytest.raises(DriveInvalid, match=r"drive\.json does not exist"):
        read_drive(tmp_path, format="drive_folder")


def test_reading_can_be_cancelled(tmp_path: Path) -> None:
    def stop(done: int, total: int, unit: str = "", /) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        read_drive(small_drive.write(tmp_path), tick=stop)


def test_a_camera_of_too_many_pixels_is_one_problem(tmp_path) -> None:
    body = small_drive.document()
    body["cameras"]["front"] |= {"width_px": 20_000, "height_px": 20_000}
    (problem,) = find_problems(small_drive.write(tmp_path / "drive", body=body))
    assert (problem.where, problem.hint != "") == ("camera front", True)
    assert "20000 x 20000 px are too large" in problem.message


@pytest.mark.parametrize(("frames", "rest"), [(3_000, "5000 more"), (30_000, "at least 9000 more")])
def test_of_very_many_problems_the_rest_is_counted(tmp_path, frames, rest) -> None:
    body = small_drive.document() | {"frames": [{"time_ns": i} for i in range(frames)]}
    problems = find_problems(small_drive.write(tmp_path / "drive", body=body))
    assert len(problems) == 1001
    assert rest in problems[-1].message


def test_a_key_that_appears_twice_among_very_many_is_found_at_once(tmp_path) -> None:
    folder = small_drive.write(tmp_path / "drive")
    keys = ", ".join(f'"{number}": 1' for number in [*range(300_000), 299_999])
    (folder / "drive.json").write_text(f"{{{keys}}}")
    started = time.monotonic()
    with pytest.raises(DriveInvalid, match="'299999' appears twice"):
        read_drive(folder)
    assert time.monotonic() - started < 60  # counted one by one it took an hour
