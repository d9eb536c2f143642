"""The open drive folder: what is written is read back, and no document breaks the reader."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_drive
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recon.artifact import digest_json
from recon.drive import Camera, DriveLog, Frame, Image
from recon.errors import DriveInvalid, PathRefused, RoadscribeError
from recon.files import read_inside
from recon.formats.drive_folder.drive_document import SCHEMA_PATH
from recon.formats.drive_folder.drive_folder import parse, write_drive_json
from recon.formats.drive_problems import Problems
from recon.formats.read_drive import find_problems, read_drive
from recon.geo_origin import GeoOrigin
from recon.geometry import rigid_fault, rotation_from_quaternion, transform

ONE_FOLDER = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def fingerprint(drive: DriveLog) -> str:
    parts = drive.to_parts()
    arrays = {name: (array.dtype.str, array.shape, array.tobytes().hex()) for name, array in parts.arrays.items()}
    return digest_json({"meta": parts.meta, "arrays": arrays})


def test_every_field_arrives(tmp_path: Path) -> None:
    drive = read_drive(small_drive.write(tmp_path))
    front, rear = drive.cameras
    assert (drive.name, drive.ground_z_ego_m, drive.true_map) == ("small", -0.3, "map.json")
    assert drive.origin == GeoOrigin(latitude_deg=49.0, longitude_deg=8.4, altitude_m=110.0)
    assert (front.model, front.ego_mask, rear.model, rear.distortion.size) == (
        "pinhole",
        "front_mask.png",
        "fisheye",
        4,
    )
    assert drive.lidar_format == "f32x4"
    assert drive.ego_from_lidar is not None
    assert not rigid_fault(drive.ego_from_lidar)
    assert [frame.keyframe for frame in drive.frames] == [True, False, True, False]
    assert [frame.lidar_path for frame in drive.frames] == ["", "lidar/1.bin", "", "lidar/3.bin"]
    second = drive.frames[1]
    assert second.time_ns == small_drive.START_NS + 100_000_000
    assert [image.time_ns - second.time_ns for image in second.images] == [0, 5_000_000]
    assert second.images[0].id_path == "ids/front_1.png"
    assert second.pose_of(second.images[1])[:3, 3].tolist() == [1.5, 0.1, 0.0]
    assert all(len(image.sha256) == 64 for _, _, image in drive.images())
    assert {"front_mask.png", "map.json", "lidar/1.bin", "ids/rear_0.png"} <= set(drive.file_sha256)
    # The optical axis of the quaternion's camera points backwards.
    assert np.allclose(rear.ego_from_camera[:3, 2], (-1, 0, 0))


def test_drive_json_itself_is_accepted(tmp_path: Path) -> None:
    small_drive.write(tmp_path)
    assert fingerprint(read_drive(tmp_path / "drive.json")) == fingerprint(read_drive(tmp_path))


def test_written_drive_reads_back_equal(tmp_path: Path) -> None:
    drive = read_drive(small_drive.write(tmp_path))
    write_drive_json(drive, tmp_path)
    assert fingerprint(read_drive(tmp_path)) == fingerprint(drive)


coordinate = st.floats(-1000, 1000)
pose = st.builds(
    lambda q, t: transform(rotation_from_quaternion(np.array(q) / np.linalg.norm(q)), t),
    st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1),
    st.tuples(coordinate, coordinate, coordinate),
)
name = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,12}", fullmatch=True)
path = st.from_regex(r"[a-z0-9 é]{1,8}(/[a-z0-9]{1,8}){0,2}\.png", fullmatch=True)


@st.composite
def drives(draw: st.DrawFn) -> DriveLog:
    names = draw(st.lists(name, min_size=1, max_size=3, unique=True))
    cameras = tuple(
        Camera(
            name=camera,
            width_px=draw(st.integers(1, 4000)),
            height_px=draw(st.integers(1, 4000)),
            k=np.array(
                [[draw(st.floats(1, 5000)), 0, draw(coordinate)], [0, draw(st.floats(1, 5000)), 3.5], [0, 0, 1]]
            ),
            ego_from_camera=draw(pose),
            distortion=np.array(draw(st.sampled_from([(), (0.1, -0.2, 0.0, 1e-9), (0.1,) * 5]))),
            ego_mask=draw(st.just("") | path),
        )
        for camera in names
    )
    times = sorted(draw(st.lists(st.integers(0, 2**62), min_size=1, max_size=4, unique=True)))
    frames = tuple(
        Frame(
            time_ns=time_ns,
            world_from_ego=draw(pose),
            images=tuple(
                Image(
                    camera=camera,
                    path=draw(path),
                    time_ns=time_ns + draw(st.integers(0, 10**8)),
                    world_from_ego=draw(st.none() | pose),
                    id_path=draw(st.just("") | path),
                )
                for camera in names
            ),
            lidar_path=draw(st.just("") | path),
            keyframe=draw(st.booleans()),
        )
        for time_ns in times
    )
    origin = st.builds(GeoOrigin, latitude_deg=st.floats(-85, 85), longitude_deg=st.floats(-180, 180))
    lidar = draw(st.none() | pose)
    return DriveLog(
        name=draw(st.text(min_size=1, max_size=20)),
        root=Path(),
        cameras=cameras,
        frames=frames,
        ground_z_ego_m=draw(st.floats(-2, 2)),
        origin=draw(st.none() | origin),
        lidar_format="" if lidar is None else "f32x4",
        ego_from_lidar=lidar,
        true_map=draw(st.just("") | path),
    )


@ONE_FOLDER
@given(drives())
def test_round_trip_of_any_drive(tmp_path: Path, drive: DriveLog) -> None:
    write_drive_json(drive, tmp_path)
    parsed = parse(tmp_path, Problems(strict=True))
    assert parsed is not None
    assert fingerprint(replace(parsed.drive, root=Path())) == fingerprint(drive)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path into a JSON value."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(deeper for key, child in children for deeper in places(child, (*at, key)))]


DOCUMENT = small_drive.document(2)
PLACES = [place for place in places(DOCUMENT) if place]
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from([10**400, -1, 0, 1e308, "../x", "/etc/hostname", "a\0b", "\ud800", "front/0.png"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@ONE_FOLDER
@given(
    st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(["set", "drop", "add"]), junk), min_size=1, max_size=3)
)
def test_mutated_documents_raise_only_the_family(
    tmp_path: Path, changes: list[tuple[tuple[Any, ...], str, Any]]
) -> None:
    if not (tmp_path / "map.json").exists():
        small_drive.write(tmp_path, 2)
    body = copy.deepcopy(DOCUMENT)
    for (*parents, last), action, value in changes:
        inner: Any = body
        try:
            for key in parents:
                inner = inner[key]
            if action == "drop":
                del inner[last]
            else:
                inner[last if action == "set" else "surprise"] = value
        except (KeyError, IndexError, TypeError):
            continue
    (tmp_path / "drive.json").write_text(json.dumps(body))
    found = find_problems(tmp_path, format="drive_folder")
    json.dumps([problem.record() for problem in found]).encode()
    if not found:
        read_drive(tmp_path, format="drive_folder")
        return
    with pytest.raises(RoadscribeError) as caught:
        read_drive(tmp_path, format="drive_folder")
    assert caught.value.record() == found[0].record()


@ONE_FOLDER
@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_only_the_family(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "drive.json").write_bytes(data)
    with pytest.raises(DriveInvalid):
        read_drive(tmp_path)


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    (tmp_path / "drive.json").write_text('{"a":' * 100_000)
    with pytest.raises(DriveInvalid, match="not valid JSON"):
        read_drive(tmp_path)


def test_the_documented_example_is_valid(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[4] / "docs" / "drive-folder.md").read_text(encoding="utf-8")
    example = re.search(r"```json\n(\{\n.*?\n\})\n```", guide, re.DOTALL)
    assert example is not None
    (tmp_path / "drive.json").write_text(example[1])
    parsed = parse(tmp_path, Problems(strict=True))
    assert parsed is not None
    assert parsed.drive.images()


def test_the_guide_names_every_field() -> None:
    guide = (Path(__file__).parents[4] / "docs" / "drive-folder.md").read_text(encoding="utf-8")
    schema = json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))
    parts = [schema, *schema["$defs"].values(), schema["properties"]["origin"], schema["properties"]["lidar"]]
    fields = {field for part in parts for field in part.get("properties", {})}
    assert sorted(field for field in fields if f"`{field}`" not in guide) == []


def test_a_drive_may_be_reached_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "drive").mkdir()
    (tmp_path / "drive" / "a.png").write_bytes(b"a")
    (tmp_path / "link").symlink_to(tmp_path / "drive")
    assert read_inside(tmp_path / "link", "a.png", where="here") == b"a"
    (tmp_path / "drive" / "out.png").symlink_to(tmp_path / "secret")
    with pytest.raises(PathRefused, match="is a link that leads out"):
        read_inside(tmp_path / "link", "out.png", where="here")
