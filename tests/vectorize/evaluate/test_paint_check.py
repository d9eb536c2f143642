"""Two maps whose reprojection error is small, although they are wrong: the report says so, and what is wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from recon.arrays import F64, U8
from recon.classes import RoadClass
from recon.drive import Camera
from recon.geometry import transform
from vectorize.evaluate.paint_check import PaintCheck, verdict
from vectorize.evaluate.reprojection import ClassErrors, row_metres
from vectorize.road_map import Element, RoadMap

AHEAD = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
WAY_M = np.array([[x, 0.0] for x in range(0, 41, 2)])
LINES = ((-3.5, 0.0), (3.5, 0.0))  # y and height of two painted lines of the true street


def camera(left_m: float = 0.0, up_m: float = 1.6) -> Camera:
    return Camera(
        name=f"front {left_m}",
        width_px=640,
        height_px=300,
        k=np.array([[400.0, 0, 320], [0, 400, 100], [0, 0, 1]]),
        ego_from_camera=transform(AHEAD, (1.0, left_m, up_m)),
        distortion=np.zeros(0),
    )


def pose(x: float, y: float = 0.0) -> F64:
    result = np.eye(4)
    result[:2, 3] = x, y
    return result


def rendered(lens: Camera, world_from_ego: F64, lines: Any = LINES, *, dash: tuple[float, float] | None = None) -> U8:
    """Return true ids: each pixel's ray meets the height of a line, and is on the mark or not."""
    u, v = np.meshgrid(np.arange(640) + 0.5, np.arange(300) + 0.5)
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(lens.k).T @ lens.ego_from_camera[:3, :3].T
    eye = (world_from_ego @ lens.ego_from_camera)[:3, 3]
    ids = np.where(rays[..., 2] < -1e-3, int(RoadClass.ROAD), int(RoadClass.BACKGROUND)).astype(np.uint8)
    for y, height in lines:
        with np.errstate(divide="ignore", invalid="ignore"):
            t = (height - eye[2]) / rays[..., 2]
            met = (t > 0) & (t < 80) & (np.abs(eye[1] + t * rays[..., 1] - y) < 0.1)
            x = eye[0] + t * rays[..., 0]
        on = met if dash is None else met & (np.mod(x, sum(dash)) < dash[0])
        ids[on] = int(RoadClass.LANE_MARKING)
    return ids


def divider(points: Any) -> Element:
    vertices = np.asarray(points, dtype=float)
    count = len(vertices)
    flags = {"seen": np.ones(count, bool), "confidence": np.ones(count, np.float32)}
    return Element(element_class="divider", vertices=vertices, score=1.0, closed=False, **flags)


def straight(y: float, z: float = 0.0) -> Element:
    return divider([[x, y, z] for x in range(5, 46, 5)])


def checked(elements: list[Element], views: list[tuple[Camera, F64]], **more: Any) -> dict[str, Any]:
    road_map = RoadMap(elements=tuple(elements))
    check, errors = PaintCheck(road_map, WAY_M), ClassErrors(road_map)
    for lens, place in views:
        ids = rendered(lens, place, **more)
        check.add(ids, lens, place)
        errors.add(ids, lens, place)
    figures = {**check.record(), "median_px": errors.record()["divider"]["median_px"]}
    return {**figures, "verdict": verdict(figures)}


DRIVE = [(camera(), pose(x)) for x in range(0, 31, 3)]


def test_a_right_map_has_nothing_that_stands_out_but_what_nothing_tests() -> None:
    found = checked([straight(-3.5), straight(3.5)], DRIVE)
    assert found["false_paint"] == 0.0
    assert found["untested"] == 1.0
    assert found["verdict"].startswith("No figure stands out")
    assert "But 100 % of the divider metres are seen from one side only" in found["verdict"]
    beside = [(camera(), pose(x, 2.5)) for x in range(0, 31, 3)]
    both = checked([straight(-3.5), straight(3.5)], DRIVE + beside)
    assert both["untested"] < 0.2
    assert both["sides_disagree_p90_m"] < 0.1
    assert both["verdict"].startswith("No figure stands out")
    assert "one side only" not in both["verdict"]


def test_twenty_lines_without_paint_are_false_paint_although_the_error_is_zero() -> None:
    """They stand where no image has a mark: the error skips such images, and its median is that of the true line."""
    far = [divider([[x, y, 0.0] for x in range(60, 81, 5)]) for y in np.linspace(-3.3, 3.3, 20)]
    beyond = [(camera(), pose(x)) for x in range(50, 71, 4)]
    road_map = RoadMap(elements=(straight(-3.5), straight(3.5), *far))
    check, errors = PaintCheck(road_map, WAY_M), ClassErrors(road_map)
    for lens, place in DRIVE:
        ids = rendered(lens, place)
        check.add(ids, lens, place)
        errors.add(ids, lens, place)
    for lens, place in beyond:
        ids = rendered(lens, place, ())
        check.add(ids, lens, place)
        errors.add(ids, lens, place)
    figures = {**check.record(), "median_px": errors.record()["divider"]["median_px"]}
    assert figures["median_px"] == 0.0
    assert figures["false_paint"] > 0.7
    assert verdict(figures).startswith("Worst: ")
    assert "% of the divider metres meet paint in no image." in verdict(figures)


@pytest.mark.parametrize("lift", [0.3, -0.3])
def test_lines_at_a_wrong_height_meet_their_marks_and_lie_aside(lift: float) -> None:
    """Along a straight way every image puts the line on its mark. A second pass beside the first one does not."""
    aside = 3.5 * (1.6 - lift) / 1.6  # where the rays of the first pass meet the wrong height
    wrong = [straight(-aside, lift), straight(aside, lift)]
    one_pass = checked(wrong, DRIVE)
    assert one_pass["median_px"] == 0.0
    assert abs(aside - 3.5) > 0.6
    assert "seen from one side only" in one_pass["verdict"]
    beside = [(camera(), pose(x, 2.5)) for x in range(0, 31, 3)]
    two_passes = checked(wrong, DRIVE + beside)
    assert two_passes["sides_disagree_p90_m"] == pytest.approx(2.5 * 0.3 / 1.6, abs=0.12)
    assert "images from different sides see a divider" in two_passes["verdict"]


def test_bars_of_a_hatching_meet_their_paint_but_crowd_and_slant() -> None:
    bars = [divider([[5 + 1.5 * i, -2.0, 0.0], [5 + 1.5 * i + 3.5, 0.0, 0.0]]) for i in range(20)]
    figures = PaintCheck(RoadMap(elements=tuple(bars)), WAY_M).record()
    assert figures["slanted"] > 0.9
    assert figures["crowded"] > 0.5
    plain = PaintCheck(RoadMap(elements=(straight(-3.5), straight(0.0), straight(0.15))), WAY_M).record()
    assert (plain["slanted"], plain["crowded"]) == (0.0, 0.0)


@pytest.mark.parametrize("dash", [(3.0, 9.0), (3.05, 9.14), (6.0, 12.0), (0.6, 0.6)])
def test_gaps_of_dashes_are_no_false_paint(dash: tuple[float, float]) -> None:
    found = checked([straight(-3.5)], DRIVE, lines=((-3.5, 0.0),), dash=dash)
    assert found["false_paint"] < 0.03


def test_half_of_a_line_without_paint_is_counted_by_its_metres() -> None:
    """Two lines, one of them painted nowhere."""
    found = checked([straight(-3.5), straight(0.0)], DRIVE)
    assert found["false_paint"] == pytest.approx(0.5, abs=0.05)


def test_rows_share_the_metres_of_the_ground_ahead() -> None:
    metres = row_metres(camera(), 0.0)
    assert metres.sum() == pytest.approx(17.0, abs=0.4)  # 3 m to 20 m ahead, in whole rows
    rows = np.flatnonzero(metres)
    # Row v shows ground f h / (v - c) ahead: the derivative, and far rows span more.
    middle = int(rows[len(rows) // 2])
    assert metres[middle] == pytest.approx(400 * 1.6 / (middle + 0.5 - 100) ** 2, rel=0.05)
    assert metres[rows[0] + 1] > metres[rows[-1] - 1]
    assert row_metres(replace(camera(), ego_from_camera=transform(AHEAD, (0, 0, -1.0))), 0.0).sum() >= 0.0


def test_nothing_to_check_is_said() -> None:
    empty = PaintCheck(RoadMap(elements=()), WAY_M).record()
    assert empty["false_paint"] is None
    assert verdict({**empty, "crowded": None, "slanted": None}) == (
        "Nothing could be checked: no held-out image shows a divider."
    )
