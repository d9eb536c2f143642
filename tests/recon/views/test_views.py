"""Images read ahead are the images asked for, and a fault is that of its own image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slope_world

from recon.errors import ImageInvalid
from recon.views.views import Trip, Views, box_ahead


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_images_come_in_the_order_asked_for(tmp_path: Path, workers: int) -> None:
    drive, labels = slope_world.write_drive(tmp_path, frames=6)
    views = Views([Trip(drive=drive, labels=labels)])
    order = [4, 0, 5, 2]
    found = list(views.ahead(order, workers=workers))
    assert [view.frame for view in found] == order
    assert all(np.array_equal(v.rgb, views.read(*views.images[n]).rgb) for v, n in zip(found, order, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_vanished_is_named_when_its_turn_comes(tmp_path: Path, workers: int) -> None:
    drive, labels = slope_world.write_drive(tmp_path, frames=4)
    (tmp_path / "002.png").unlink()
    coming = Views([Trip(drive=drive, labels=labels)]).ahead([0, 1, 2, 3], workers=workers)
    assert [next(coming).frame, next(coming).frame] == [0, 1]
    with pytest.raises(ImageInvalid, match=r"frame 2.*002\.png"):
        next(coming)


def test_a_camera_that_looks_straight_down_sees_the_ground_around_it() -> None:
    world_from_camera = np.diag([1.0, -1.0, -1.0, 1.0])
    world_from_camera[:3, 3] = [5.0, 6.0, 2.0]
    k = np.array([[100.0, 0.0, 50.0], [0.0, 100.0, 50.0], [0.0, 0.0, 1.0]])
    low, high = box_ahead(k, world_from_camera, 100, 100, 20.0)
    assert np.all(low < [4.0, 5.0])
    assert np.all(high > [6.0, 7.0])
