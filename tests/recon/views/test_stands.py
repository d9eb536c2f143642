"""A waiting vehicle's images are one look, however many they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import slope_world
from hypothesis import given, settings
from hypothesis import strategies as st

from recon.config import FitConfig
from recon.fit.fit import fit
from recon.geometry import rotation_from_euler, transform
from recon.segment.frame_labels import FrameLabels
from recon.views.stands import STAND_M, stands
from recon.views.views import Trip, Views

CONFIG = FitConfig(cell_m=0.2, corridor_m=8.0, max_distance_m=15.0, epochs=1)


def waiting(trip: Trip, frame: int, count: int) -> Trip:
    """Return a trip that shows one frame `count` times, 0.1 s apart."""
    times = [1 if index != frame else count for index in range(len(trip.drive.frames))]
    source = np.repeat(np.arange(len(times)), times).tolist()
    frames = []
    for index, old in enumerate(source):
        one = trip.drive.frames[old]
        images = tuple(replace(image, time_ns=index * 10**8) for image in one.images)
        frames.append(replace(one, time_ns=index * 10**8, images=images))
    labelled = tuple(replace(trip.labels.images[old], frame=index) for index, old in enumerate(source))
    labels: FrameLabels = replace(trip.labels, images=labelled)
    return Trip(drive=replace(trip.drive, frames=tuple(frames)), labels=labels)


@given(st.lists(st.floats(0.0, 2.0), min_size=1, max_size=40))
@settings(max_examples=50, deadline=None)
def test_images_of_a_stand_lie_together_and_the_next_stand_does_not(steps: list[float]) -> None:
    x = np.cumsum(steps)
    poses = np.tile(np.eye(4), (len(x), 1, 1))
    poses[:, 0, 3] = x
    number = stands(poses)
    assert number[0] == 0
    assert set(np.diff(number)) <= {0, 1}
    first = x[np.searchsorted(number, number)]
    assert np.all(x - first <= STAND_M)
    leaves = np.flatnonzero(np.diff(number)) + 1
    assert np.all(x[leaves] - first[leaves - 1] > STAND_M)


def test_a_vehicle_that_turns_on_the_spot_looks_elsewhere() -> None:
    poses = np.array(
        [transform(np.eye(3), [0, 0, 0]), transform(rotation_from_euler(yaw_rad=0, pitch_rad=0.2), [0, 0, 0])]
    )
    assert stands(poses).tolist() == [0, 1]


@pytest.mark.slow
@pytest.mark.parametrize("frame", [0, 2, 5])
def test_waiting_changes_no_count_and_no_colour(tmp_path: Path, frame: int) -> None:
    drive, labels = slope_world.write_drive(tmp_path, frames=6, lidar=False)
    moving = Trip(drive=drive, labels=labels)
    once, often = (fit([trip], CONFIG) for trip in (moving, waiting(moving, frame, 30)))
    assert np.array_equal(once.row, often.row)
    assert np.array_equal(once.views, often.views)
    for name in ("z", "rgb"):
        # The last digit of a mean of 30 may send a ray through the neighbouring cell.
        difference = np.abs(getattr(often, name) - getattr(once, name))
        assert np.quantile(difference, 0.99) < 0.002
        assert difference.max() < 0.1


def test_every_stand_is_shown_once_an_epoch_and_weighs_as_one_image(tmp_path: Path) -> None:
    drive, labels = slope_world.write_drive(tmp_path, frames=5)
    views = Views([waiting(Trip(drive=drive, labels=labels), 3, 10)])
    assert len(views) == 14
    shown = views.shuffled(np.random.default_rng(0))
    assert sorted(min(number, 3) if number < 13 else 4 for number in shown) == [0, 1, 2, 3, 4]
    assert views.shares()[[0, 3, 12, 13]] == pytest.approx([1.0, 0.1, 0.1, 1.0])
    assert views.shares().sum() == pytest.approx(5.0)
    part = views.only([2, 5, 6])
    assert part.shares() == pytest.approx([1.0, 0.5, 0.5])
    assert [number for _, image, _ in part.distinct().images for number in [image.frame]] == [2, 5]
    assert len(views.only([]).looks()) == 0
