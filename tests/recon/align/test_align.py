"""The gate for trips that do not fit, landmarks on true ground, and poses after alignment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import slope_world as world

from recon.align.align import align, height_offsets
from recon.align.alignment import AlignedTrip, Alignment, in_world_of, placed
from recon.align.landmarks import KERB, LINE, landmarks
from recon.artifact import read, write
from recon.config import AlignConfig
from recon.drive import DriveLog
from recon.errors import TripsApart
from recon.geo_origin import GeoOrigin
from recon.heights.height_field import height_field
from recon.sensors.lidar import world_points
from recon.views.views import Trip


@pytest.fixture(scope="module")
def trips(tmp_path_factory: pytest.TempPathFactory) -> list[Trip]:
    folder = tmp_path_factory.mktemp("trips")
    pairs = [world.write_drive(folder / str(i), frames=12) for i in range(3)]
    return [Trip(drive=replace(drive, name=f"trip {i}"), labels=labels) for i, (drive, labels) in enumerate(pairs)]


def moved(drive: DriveLog, shift: tuple[float, float, float], frames: slice = slice(None)) -> DriveLog:
    """Return a drive whose poses in `frames` are off by `shift` metres."""
    wrong = list(drive.frames)
    for i in range(len(wrong))[frames]:
        pose = wrong[i].world_from_ego.copy()
        pose[:3, 3] += shift
        wrong[i] = replace(wrong[i], world_from_ego=pose)
    return replace(drive, frames=tuple(wrong))


def test_landmarks_lie_on_the_paint(trips: list[Trip]) -> None:
    drive = trips[0].drive
    field = height_field([drive], world_points(drive, max_range_m=30.0), corridor_m=15.0)
    found = landmarks(drive, trips[0].labels, field, reach_m=10.0)
    pose = np.array([frame.world_from_ego for frame in drive.frames])[found.frame]
    xyz = np.einsum("nij,nj->ni", pose[:, :3, :3], found.ego_xyz_m) + pose[:, :3, 3]
    line = found.group == LINE
    assert line.sum() > 100
    assert not np.any(found.group == KERB)
    assert float(np.abs(xyz[line, 1] - world.LINE_Y_M).max()) < world.LINE_HALF_M + 0.05
    assert float(np.abs(xyz[line, 2] - world.SLOPE * xyz[line, 0]).max()) < 0.03
    across = np.einsum("nij,nj->ni", pose[line][:, :2, :2], found.normal[line])
    assert np.all(np.abs(across[:, 1]) > 0.95)


def test_a_shifted_trip_is_brought_back_sideways(trips: list[Trip]) -> None:
    off = replace(trips[1], drive=moved(trips[1].drive, (0.0, 0.4, 0.05)))
    result = align([trips[0], off], AlignConfig())
    gap = result.trips[1].correction.mean(axis=0) - result.trips[0].correction.mean(axis=0)
    assert gap[1] == pytest.approx(-0.4, abs=0.05)
    assert gap[2] == pytest.approx(-0.05, abs=0.02)
    assert result.used == (0, 1)


def test_a_trip_elsewhere_is_left_out_by_name(trips: list[Trip]) -> None:
    far = replace(trips[2], drive=moved(trips[2].drive, (500.0, 0.0, 15.0)))
    result = align([trips[0], trips[1], far], AlignConfig())
    assert result.used == (0, 1)
    assert "m lie between" in result.trips[2].left_out
    assert placed(far.drive, result, 2).frames == ()
    assert len(placed(trips[0].drive, result, 0).frames) == 12


def test_a_trip_with_a_pose_jump_is_left_out(trips: list[Trip]) -> None:
    jumped = replace(trips[2], drive=moved(trips[2].drive, (2.5, 1.5, 0.0), slice(6, None)))
    result = align([trips[0], trips[1], jumped], AlignConfig())
    assert result.used == (0, 1)
    assert "jump" in result.trips[2].left_out
    assert "between frames 5 and 6" in result.trips[2].left_out


def test_two_trips_that_do_not_meet_are_refused(trips: list[Trip]) -> None:
    far = replace(trips[1], drive=moved(trips[1].drive, (0.0, 300.0, 0.0)))
    with pytest.raises(TripsApart, match="no two trips") as caught:
        align([trips[0], far], AlignConfig())
    assert "trip 1" in caught.value.message


def test_a_trip_that_would_have_to_move_too_far_is_left_out(trips: list[Trip]) -> None:
    off = replace(trips[2], drive=moved(trips[2].drive, (0.0, 0.9, 0.0)))
    result = align([trips[0], trips[1], off], AlignConfig(most_shift_m=0.5))
    assert result.used == (0, 1)
    assert "would have to move" in result.trips[2].left_out


def test_alignment_can_be_switched_off(trips: list[Trip]) -> None:
    result = align(trips, AlignConfig(enabled=False))
    assert result.used == (0, 1, 2)
    assert not any(trip.correction.any() for trip in result.trips)


def test_drives_with_other_origins_meet_in_the_first_ones_world(trips: list[Trip]) -> None:
    here = GeoOrigin(latitude_deg=49.0, longitude_deg=8.4, altitude_m=110.0)
    first = replace(trips[0].drive, origin=here)
    lon, lat = here.to_degrees(np.array([[300.0, 200.0]]))[0]
    there = GeoOrigin(latitude_deg=float(lat), longitude_deg=float(lon), altitude_m=115.0)
    # The same drive, told from an origin that lies 300 m east, 200 m north and 5 m higher.
    told = in_world_of(first, there)
    np.testing.assert_allclose(told.frames[0].world_from_ego[:3, 3], (-300.0, -200.0, -5.0), atol=0.02)
    again = in_world_of(told, here)
    for one, other in zip(again.frames, first.frames, strict=True):
        np.testing.assert_allclose(one.world_from_ego, other.world_from_ego, atol=1e-4)
    pair = [replace(trips[0], drive=first), replace(trips[1], drive=told)]
    result = align(pair, AlignConfig())
    assert result.used == (0, 1)
    assert result.origin == here
    assert max(trip.shift_m for trip in result.trips) < 0.02
    assert placed(told, result, 1).origin == here


def test_a_drive_without_an_origin_is_left_out_where_others_have_one(trips: list[Trip]) -> None:
    here = GeoOrigin(latitude_deg=49.0, longitude_deg=8.4)
    pair = [replace(trip, drive=replace(trip.drive, origin=here)) for trip in trips[:2]]
    result = align([trips[2], *pair], AlignConfig())
    assert result.used == (1, 2)
    assert "it has no origin" in result.trips[0].left_out
    assert result.origin == here


def test_a_road_far_above_the_others_is_left_out(trips: list[Trip]) -> None:
    high = replace(trips[2], drive=moved(trips[2].drive, (0.0, 0.0, 47.0)))
    result = align([trips[0], high, trips[1]], AlignConfig())
    assert result.used == (0, 2)
    assert "above or below" in result.trips[1].left_out


def test_heights_of_paths_side_by_side_are_evened_out(trips: list[Trip]) -> None:
    drives = [trips[0].drive, moved(trips[1].drive, (0.0, 6.0, 1.0))]
    bare = [height_field([drive], np.zeros((0, 3)), corridor_m=15.0) for drive in drives]
    offsets = height_offsets([drive.path_xy_m() for drive in drives], bare)
    np.testing.assert_allclose(offsets, (0.5, -0.5), atol=0.05)


def test_one_frame_and_no_landmarks_are_left_out(trips: list[Trip]) -> None:
    blind = replace(trips[2], labels=replace(trips[2].labels, images=()))
    result = align([trips[0], trips[1], blind], AlignConfig(least_shared=0.0))
    assert result.used == (0, 1)
    assert "were seen by the others" in result.trips[2].left_out
    short = replace(trips[2], drive=replace(trips[2].drive, frames=trips[2].drive.frames[:1]))
    short = replace(short, labels=replace(short.labels, images=short.labels.images[:1]))
    assert len(align([trips[0], trips[1], short], AlignConfig()).trips[2].correction) == 1


def test_images_with_poses_of_their_own_move_along(trips: list[Trip]) -> None:
    drive = trips[0].drive
    frame = drive.frames[0]
    own = frame.world_from_ego.copy()
    own[0, 3] += 0.7
    first = replace(frame, images=(replace(frame.images[0], world_from_ego=own),))
    drive = replace(drive, frames=(first, *drive.frames[1:]))
    correction = np.zeros((len(drive.frames), 4))
    correction[0] = (1.0, 2.0, 3.0, np.pi / 2)
    trip = AlignedTrip(name="t", correction=correction, left_out="", shared=1.0, residual_m=0.0)
    after = placed(drive, Alignment(trips=(trip,)), 0)
    image = after.frames[0].images[0].world_from_ego
    assert image is not None
    # The whole moment turns about the vehicle: an image 0.7 m ahead is then 0.7 m to the north.
    np.testing.assert_allclose(image[:3, 3] - after.frames[0].world_from_ego[:3, 3], (0.0, 0.7, 0.0), atol=1e-12)
    np.testing.assert_allclose(after.frames[0].world_from_ego[:3, 3], frame.world_from_ego[:3, 3] + (1.0, 2.0, 3.0))
    assert after.frames[1] is drive.frames[1]


def test_the_artifact_survives_the_disk(tmp_path: Path) -> None:
    trips = (
        AlignedTrip(name="a", correction=np.arange(8.0).reshape(2, 4), left_out="", shared=0.5, residual_m=0.02),
        AlignedTrip(name="b", correction=np.zeros((0, 4)), left_out="why", shared=0.0, residual_m=float("nan")),
    )
    origin = GeoOrigin(latitude_deg=49.0, longitude_deg=8.4, altitude_m=3.0)
    write(Alignment(trips=trips, origin=origin), tmp_path / "alignment", parents={}, config="")
    again = read(Alignment, tmp_path / "alignment")
    assert [trip.record() for trip in again.trips] == [trip.record() for trip in trips]
    np.testing.assert_array_equal(again.trips[0].correction, trips[0].correction)
    assert again.used == (0,)
    assert again.origin == origin
