"""Trips whose poses are off by known errors come together: a street of analytic paint, seen in pieces."""

from __future__ import annotations

import numpy as np
import pytest

from recon.align.landmarks import END, LINE, Landmarks
from recon.align.register import TripLandmarks, register
from recon.geometry import apply, invert, rotation_from_euler, transform

REACH_M = 12.0


def street() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """World points (N, 3), groups and normals of a gently curved street: an edge line each side and dashes between."""
    x = np.arange(0.0, 120.0, 0.2)
    points, groups, normals = [], [], []
    for offset, dashed in ((-3.5, False), (0.0, True), (3.5, False)):
        on = (x % 9.0 < 3.0) if dashed else np.full(len(x), True)
        y, slope = 4.0 * np.sin(x / 40.0) + offset, 0.1 * np.cos(x / 40.0)
        across = np.stack([-slope, np.ones_like(x)], axis=1) / np.hypot(slope, 1.0)[:, None]
        points.append(np.c_[x, y, np.zeros_like(x)][on])
        groups.append(np.full(on.sum(), LINE))
        normals.append(across[on])
        if dashed:
            along = np.stack([across[:, 1], -across[:, 0]], axis=1)
            for place, sign in ((np.r_[False, on[:-1]] < on, -1.0), (np.r_[on[1:], True] < on, 1.0)):
                points.append(np.c_[x, y, np.zeros_like(x)][place])
                groups.append(np.full(place.sum(), END))
                normals.append(sign * along[place])
    return np.concatenate(points), np.concatenate(groups).astype(np.int8), np.concatenate(normals)


def trip(seed: int, error: np.ndarray, *, back: bool = False) -> tuple[TripLandmarks, np.ndarray]:
    """Return a trip whose poses are off by `error` (dx, dy, dyaw), and its true positions (F, 2)."""
    random = np.random.default_rng(seed)
    points, groups, normals = street()
    driven = np.arange(5.0, 115.0, 4.0)[:: -1 if back else 1]
    true = [
        transform(
            rotation_from_euler(yaw_rad=float(np.arctan(0.1 * np.cos(x / 40.0))) + (np.pi if back else 0.0)),
            [x, 4.0 * np.sin(x / 40.0) + (1.75 if back else -1.75), 0.0],
        )
        for x in driven
    ]
    frames, xyz, group, normal = [], [], [], []
    for i, pose in enumerate(true):
        near = np.linalg.norm(points[:, :2] - pose[:2, 3], axis=1) < REACH_M
        ego = apply(invert(pose), points[near])
        ego[:, :2] += random.normal(0.0, 0.02, (near.sum(), 2))
        frames.append(np.full(near.sum(), i, np.int32))
        xyz.append(ego)
        group.append(groups[near])
        normal.append(normals[near] @ pose[:2, :2])
    marks = Landmarks(
        frame=np.concatenate(frames),
        ego_xyz_m=np.concatenate(xyz),
        group=np.concatenate(group),
        normal=np.concatenate(normal),
    )
    stated = []
    for pose in true:
        wrong = pose.copy()
        wrong[:3, :3] = rotation_from_euler(yaw_rad=float(error[2])) @ pose[:3, :3]
        wrong[:2, 3] += error[:2]
        stated.append(wrong)
    pose = np.array(stated)
    stated_trip = TripLandmarks(pose=pose, driven_m=np.arange(len(pose)) * 4.0, marks=marks)
    return stated_trip, np.array([p[:2, 3] for p in true])


def test_trips_with_pose_noise_come_together() -> None:
    errors = np.array([(0.3, -0.2, 0.006), (-0.4, 0.3, -0.004), (0.1, 0.4, 0.008), (-0.2, -0.3, -0.006)])
    trips, truth = zip(*(trip(i, e, back=i % 2 == 1) for i, e in enumerate(errors)), strict=True)
    found = register(trips)
    before = np.concatenate([one.pose[:, :2, 3] - t for one, t in zip(trips, truth, strict=True)])
    after = before + np.concatenate([c[:, :2] for c in found.corrections])
    # What all trips share cannot be seen from within.
    spread = [float(np.sqrt(np.square(e - e.mean(axis=0)).sum(axis=1).mean())) for e in (before, after)]
    assert spread[1] < 0.25 * spread[0]
    assert min(found.shared) > 0.9
    assert max(float(np.median(r)) for r in found.residual_m) < 0.04


@pytest.mark.slow
def test_corrections_balance() -> None:
    errors = np.array([(0.5, 0.5, 0.0), (-0.5, -0.5, 0.0)])
    trips = [trip(i, e)[0] for i, e in enumerate(errors)]
    mean = np.concatenate(register(trips).corrections)[:, :2].mean(axis=0)
    assert np.all(np.abs(mean) < 0.05)


def test_one_trip_alone_finds_its_heading() -> None:
    """A camera that looks past its path sees each line shifted more the farther it is."""
    one, _ = trip(3, np.array([0.0, 0.0, np.radians(0.8)]))
    turn = register([one]).corrections[0][:, 2]
    assert float(np.degrees(turn.mean())) == pytest.approx(-0.8, abs=0.25)


def test_exact_trips_stay_where_they_are() -> None:
    trips = [trip(i, np.zeros(3), back=i == 1)[0] for i in range(2)]
    assert max(float(np.abs(c[:, :2]).max()) for c in register(trips).corrections) < 0.03


def test_without_landmarks_nothing_moves() -> None:
    none = Landmarks(
        frame=np.zeros(0, np.int32),
        ego_xyz_m=np.zeros((0, 3)),
        group=np.zeros(0, np.int8),
        normal=np.zeros((0, 2)),
    )
    bare = [TripLandmarks(pose=np.array([np.eye(4)] * 3), driven_m=np.arange(3.0), marks=none)] * 2
    found = register(bare)
    assert not np.concatenate(found.corrections).any()
    assert found.shared == (0.0, 0.0)
