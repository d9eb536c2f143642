"""Paths of the real drives that tests marked `data` need."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def real_data(*parts: str) -> Path:
    """Return a path below the test data, or skip the test with the missing path as reason."""
    root = Path(os.environ.get("ROADSCRIBE_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")
    path = root.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"no test data at {path}; set ROADSCRIBE_TEST_DATA")
    return path


def kitti() -> Path:
    """Return KITTI raw drive 0001."""
    return real_data("kitti_raw", "2011_09_26", "2011_09_26_drive_0001_sync")


def road_net() -> Path:
    """Return the weights of road-segmentation-adas-0001."""
    return real_data("road_segmentation_adas_0001", "road-segmentation-adas-0001.xml")
