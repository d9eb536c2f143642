"""A drive that comes back to a place: its passes are found, brought together, or refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import slope_world
from hypothesis import given, settings
from hypothesis import strategies as st

from recon.align.align import align
from recon.align.alignment import corrected
from recon.align.loop_closure import NEAR_M, height_closure, loop_closure
from recon.align.passes import LEVEL_M, Paths
from recon.config import AlignConfig, FitConfig
from recon.drive import DriveLog, Frame
from recon.errors import PoseInvalid
from recon.fit.fit import fit
from recon.geometry import rotation_from_euler, transform
from recon.views.views import Trip

pytestmark = pytest.mark.slow

CONFIG = FitConfig(cell_m=0.2, corridor_m=8.0, max_distance_m=15.0, epochs=1)


def drive_of(xyz: np.ndarray, *, seconds: np.ndarray | None = None, pitch: np.ndarray | float = 0.0) -> DriveLog:
    step = np.diff(xyz[:, :2], axis=0, append=xyz[-1:, :2] * 2 - xyz[-2:-1, :2])
    yaw = np.arctan2(step[:, 1], step[:, 0])
    times = np.arange(len(xyz)) * 0.2 if seconds is None else seconds
    pitches = np.broadcast_to(pitch, len(xyz))
    frames = tuple(
        Frame(
            time_ns=int(t * 1e9), world_from_ego=transform(rotation_from_euler(yaw_rad=a, pitch_rad=p), at), images=()
        )
        for t, a, p, at in zip(times, yaw, pitches, xyz, strict=True)
    )
    return DriveLog(name="x", root=Path(), cameras=(), frames=frames)


def there_and_back(drift: np.ndarray | float, *, slope: float = 0.0) -> DriveLog:
    """80 m east and, after a turn of 60 m, back in the other lane; heights drift."""
    x = np.arange(0.0, 80.0)
    turn = np.linspace(-np.pi / 2, np.pi / 2, 60)
    bulb = np.c_[80 + 15 * np.cos(turn), 1.75 + 15 * np.sin(turn)]
    xy = np.concatenate([np.c_[x, np.full(80, -1.75)], bulb, np.c_[x[::-1], np.full(80, 1.75)]])
    heading = np.r_[np.ones(80), np.zeros(60), -np.ones(80)]
    return drive_of(np.c_[xy, slope * np.minimum(xy[:, 0], 80.0) + drift], pitch=-np.arctan(slope) * heading)


def twice(trip: Trip, shift: tuple[float, float, float]) -> Trip:
    """Return a trip that drives its way again after a minute, with poses that are off by `shift`."""
    count = len(trip.drive.frames)
    moved = corrected(trip.drive, np.tile([*shift, 0.0], (count, 1)))
    later = []
    for frame in moved.frames:
        time_ns = frame.time_ns + 60 * 10**9
        later.append(replace(frame, time_ns=time_ns, images=tuple(replace(i, time_ns=time_ns) for i in frame.images)))
    again = tuple(replace(image, frame=image.frame + count) for image in trip.labels.images)
    labels = replace(trip.labels, images=(*trip.labels.images, *again))
    return Trip(drive=replace(trip.drive, frames=(*trip.drive.frames, *later)), labels=labels)


@pytest.fixture(scope="module")
def trip(tmp_path_factory: pytest.TempPathFactory) -> Trip:
    drive, labels = slope_world.write_drive(tmp_path_factory.mktemp("slope"), frames=10, lidar=False)
    return Trip(drive=drive, labels=labels)


@given(
    end=st.floats(0.1, 2.0),
    kind=st.sampled_from(["step", "line"]),
    slope=st.sampled_from([0.0, 0.1]),
    sign=st.sampled_from([-1.0, 1.0]),
)
@settings(max_examples=20, deadline=None)
def test_passes_at_other_heights_are_evened_out(end: float, kind: str, slope: float, sign: float) -> None:
    along = np.linspace(0.0, 1.0, 220)
    drift = sign * end * (along if kind == "line" else (along > 0.5).astype(float))
    drive = there_and_back(drift, slope=slope)
    rise, apart = height_closure(drive)
    if apart < 0.03:  # a small drift that is left as it is
        assert rise is None
        return
    assert rise is not None
    true = there_and_back(0.0, slope=slope)
    z = np.array([f.world_from_ego[2, 3] for f in drive.frames]) + rise
    error = z - np.array([f.world_from_ego[2, 3] for f in true.frames])
    east, west = error[5:75], error[145:215][::-1]
    assert np.abs(east - west).max() < 0.05
    assert abs(float(rise.mean())) < 0.2 * end


def test_right_poses_stay_as_they_are() -> None:
    assert height_closure(there_and_back(0.0)) == (None, pytest.approx(0.0, abs=1e-9))
    straight = drive_of(np.c_[np.arange(50.0), np.zeros(50), np.zeros(50)])
    assert height_closure(straight) == (None, 0.0)


def test_heights_that_no_slow_drift_explains_are_refused() -> None:
    generator = np.random.default_rng(0)
    with pytest.raises(PoseInvalid, match=r"it passes one place at heights .* in frames \d+ and \d+"):
        height_closure(there_and_back(generator.uniform(-1.2, 1.2, 220)))


def test_a_bridge_over_the_way_is_no_drift() -> None:
    x = np.arange(-40.0, 40.0)
    low = np.c_[x, np.zeros(80), np.zeros(80)]
    high = np.c_[np.zeros(80), x, np.full(80, 6.0)]
    seconds = np.r_[np.arange(80) * 0.2, 100 + np.arange(80) * 0.2]
    drive = drive_of(np.concatenate([low, high]), seconds=seconds)
    assert height_closure(drive)[0] is None
    _, above = Paths.of([drive]).meetings(NEAR_M)
    assert len(above)
    assert np.all(np.abs(above) > LEVEL_M)


@given(st.integers(1, 5), st.floats(20.0, 60.0))
@settings(max_examples=20, deadline=None)
def test_a_drive_in_circles_is_cut_once_a_round(rounds: int, radius: float) -> None:
    angle = np.linspace(0.0, 2 * np.pi * rounds, int(rounds * 2 * np.pi * radius))
    drive = drive_of(np.c_[radius * np.cos(angle), radius * np.sin(angle), np.zeros(len(angle))])
    paths = Paths.of([drive])
    pairs, _ = paths.meetings(NEAR_M)
    number = paths.passes(pairs)
    assert np.all(number[pairs[:, 0]] != number[pairs[:, 1]])
    assert rounds <= number.max() + 1 <= 2 * rounds + 1


def test_passes_that_drift_in_height_make_one_road(trip: Trip) -> None:
    drifting = twice(trip, (0.3, 0.0, 0.4))
    surface = fit([drifting], CONFIG)
    assert surface.report["poses"]["passes_apart_m"]["height"] == pytest.approx(0.4, abs=0.02)
    once = fit([trip], CONFIG)
    xy = once.grid.to_m(np.stack([once.column + 0.5, once.row + 0.5], axis=1))
    again = surface.grid.to_m(np.stack([surface.column + 0.5, surface.row + 0.5], axis=1))
    near = (np.abs(xy[:, 1]) < 4) & (once.views >= 2), (np.abs(again[:, 1]) < 4) & (surface.views >= 2)
    level = [
        float(np.std((s.z - slope_world.SLOPE * p[:, 0])[n]))
        for s, p, n in ((once, xy, near[0]), (surface, again, near[1]))
    ]
    assert level[1] < level[0] + 0.02


def test_a_trip_whose_passes_drift_is_evened_out_among_others(trip: Trip) -> None:
    drifting = twice(trip, (0.0, 0.4, 0.6))
    other = replace(trip, drive=replace(trip.drive, name="other"))
    found = align([other, drifting], AlignConfig())
    assert found.used == (0, 1)
    first, second = found.trips[1].correction[:10], found.trips[1].correction[10:]
    np.testing.assert_allclose((first - second)[:, 2], 0.6, atol=0.05)
    assert float((first - second)[:, 1].mean()) == pytest.approx(0.4, abs=0.06)


def test_passes_that_drift_in_plan_are_brought_together(trip: Trip) -> None:
    closure = loop_closure(twice(trip, (0.0, 0.5, 0.0)))
    assert closure is not None
    first, second = closure.correction[:10], closure.correction[10:]
    assert float((first - second)[:, 1].mean()) == pytest.approx(0.5, abs=0.06)
    assert np.abs(closure.correction[:, 0]).max() < 1e-3  # a line along the way tells nothing about the place along it
    assert 0.3 < closure.shifted_m < 0.55  # points of a wide line lie nearer to each other than its axes
    assert loop_closure(twice(trip, (0.0, 0.02, 0.0))) is None
    assert loop_closure(trip) is None
