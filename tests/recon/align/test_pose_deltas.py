"""Corrections of one trip's poses: laying pictures on each other, the answer to all pairs, and the whole in a fit."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import slope_world as world

from recon.align.pose_deltas import CELL_M, Pair, Picture, pairs, posed, register_pair, solve
from recon.config import FitConfig
from recon.drive import DriveLog, Frame
from recon.fit.fit import fit
from recon.geometry import transform
from recon.views.views import Trip

SIDE = 200


def picture(frame: int, shift: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Picture:
    """A textured ground whose picture lies wrong by metres east, metres north and radians about its middle."""
    noise = np.random.default_rng(5).normal(0.0, 1.0, (3 * SIDE, 3 * SIDE)).astype(np.float32)
    ground = cv2.GaussianBlur(noise, (0, 0), 4.0)
    cells = np.arange(SIDE) + 0.5 - SIDE / 2
    x, y = np.meshgrid(cells, cells)
    # What shows at x belongs to where x was before the mistake.
    cos, sin = np.cos(shift[2]), np.sin(shift[2])
    u, v = x - shift[0] / CELL_M, y - shift[1] / CELL_M
    column, row = cos * u + sin * v + 1.5 * SIDE - 0.5, -sin * u + cos * v + 1.5 * SIDE - 0.5
    light = cv2.remap(ground, column.astype(np.float32), row.astype(np.float32), cv2.INTER_LINEAR)
    return Picture(
        frame=frame,
        place_m=np.zeros(2),
        corner=np.full(2, -SIDE // 2),
        light=light,
        valid=np.ones((SIDE, SIDE), dtype=bool),
    )


@pytest.mark.parametrize("wrong", [(0.0, 0.0, 0.0), (0.25, -0.15, 0.01), (-0.4, 0.3, -0.015)])
def test_a_picture_is_moved_back_by_what_it_lay_wrong(wrong: tuple[float, float, float]) -> None:
    pair = register_pair(picture(0), picture(1, wrong))
    assert pair is not None
    # Turning back about the middle after shifting back: for these small turns, the negative of the mistake.
    assert np.abs(pair.shift[:2] + np.array(wrong[:2])).max() < 0.02
    assert abs(pair.shift[2] + wrong[2]) < 1e-3


def test_pictures_without_texture_or_shared_ground_are_no_pair() -> None:
    dull = replace(picture(1), light=np.zeros((SIDE, SIDE), np.float32))
    elsewhere = replace(picture(1), corner=np.full(2, 10 * SIDE))
    for other in (dull, elsewhere):
        assert register_pair(picture(0), other) is None
    assert list(pairs(iter([picture(0)]))) == []


def test_a_vehicle_that_stands_does_not_fill_the_memory_with_pictures() -> None:
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0

    def standing() -> Iterator[Picture]:
        nonlocal most
        for frame in range(50):
            one = replace(picture(frame), place_m=np.array([0.001 * frame, 0.0]))
            alive.append(weakref.ref(one.light))
            most = max(most, sum(ref() is not None for ref in alive))
            yield one

    assert list(pairs(standing())) == []
    assert most <= 4


def drive_along(count: int) -> DriveLog:
    frames = tuple(
        Frame(time_ns=i * 10**8, world_from_ego=transform(np.eye(3), [4.0 * i, 0.0, 0.0]), images=())
        for i in range(count)
    )
    return DriveLog(name="x", root=Path(), cameras=(), frames=frames)


def test_all_pairs_together_take_a_slow_drift_out_of_a_trip() -> None:
    place = drive_along(25).path_xy_m()
    s = place[:, 0]
    error = np.stack([0.1 * np.sin(s / 17.0), 0.15 * np.cos(s / 14.0), 0.004 * np.sin(s / 12.0)], axis=1)
    measured = []
    for i in range(25):
        for j in (i + 1, i + 2, i + 3):
            if j >= 25:
                continue
            middle = 0.5 * (place[i] + place[j])

            def moved(f: int, at: np.ndarray = middle) -> np.ndarray:
                arm = at - place[f]
                return error[f] + np.array([-error[f, 2] * arm[1], error[f, 2] * arm[0], 0.0])

            covariance = np.diag([0.01, 0.01, 0.001]) ** 2
            measured.append(Pair(first=i, second=j, middle_m=middle, shift=moved(i) - moved(j), covariance=covariance))
    left = error + solve(measured, place)
    # A stretch along the way is taken for that of heights and lenses.
    left[:, 0] -= np.polyval(np.polyfit(s, left[:, 0], 1), s)
    for axis in range(3):
        assert left[:, axis].std() < 0.4 * error[:, axis].std()


def test_without_any_pair_nothing_moves() -> None:
    assert not solve([], np.zeros((4, 2))).any()


def test_labels_take_the_poses_of_the_surface() -> None:
    drive = drive_along(2)
    assert posed(drive, {}) is drive
    report = {"poses": {"correction": [[0.1, 0.2, 0.0, 0.0], [0.0, 0.0, 0.0, 0.01]]}}
    moved = posed(drive, report)
    assert np.allclose(moved.frames[0].world_from_ego[:3, 3], [0.1, 0.2, 0.0])
    assert moved.frames[1].world_from_ego[1, 0] == pytest.approx(np.sin(0.01))


@pytest.mark.slow
def test_a_fit_reports_its_poses_and_hardly_moves_right_ones(tmp_path: Path) -> None:
    drive, labels = world.write_drive(tmp_path, frames=6)
    config = FitConfig(corridor_m=8.0, max_distance_m=15.0, epochs=1, pose_deltas=True)
    report = fit([Trip(drive=drive, labels=labels)], config).report
    correction = np.array(report["poses"]["correction"])
    assert correction.shape == (6, 4)
    # What is left comes from the heights: beyond the last pose nothing measures the road's slope.
    assert np.abs(correction[:, :3]).max() < 0.03
    assert np.degrees(np.abs(correction[:, 3])).max() < 0.25
    assert report["poses"]["shift_m"] < 0.05
