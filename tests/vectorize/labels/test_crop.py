from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from painter import shifted, street
from shapely import Polygon

from recon import artifact
from recon.classes import RoadClass
from recon.drive import Camera, DriveLog, Frame
from recon.geometry import rotation_from_euler, transform
from vectorize.config import CropConfig
from vectorize.labels.crop import crop, crop_element
from vectorize.labels.label_set import LabelSet, mask_shape
from vectorize.road_map import Element
from vectorize.trace.trace import trace
from vectorize.trace_config import TraceConfig

CAMERA = Camera(
    name="front",
    width_px=320,
    height_px=160,
    k=np.array([[200.0, 0, 160], [0, 200, 80], [0, 0, 1]]),
    ego_from_camera=transform([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], (1.0, 0, 1.5)),
    distortion=np.zeros(0),
)


def drive_along(line, *, every: int = 200, pose=None, keyframes: int = 1) -> DriveLog:
    """Return a drive whose frames lie on a line and look along it."""
    direction = np.gradient(line, axis=0)
    frames = []
    for k in range(0, len(line), every):
        yaw = float(np.arctan2(direction[k, 1], direction[k, 0]))
        world = transform(rotation_from_euler(yaw_rad=yaw), (*line[k], 0.0)) if pose is None else pose
        number = len(frames)
        frames.append(Frame(time_ns=10**8 * number, world_from_ego=world, images=(), keyframe=number % keyframes == 0))
    return DriveLog(name="painted.street", root=Path(), cameras=(CAMERA,), frames=tuple(frames))


def element(vertices, *, closed=False, name="divider", seen=None) -> Element:
    vertices = np.asarray(vertices, dtype=float)
    count = len(vertices)
    return Element(
        element_class=name,
        vertices=vertices,
        seen=np.ones(count, bool) if seen is None else np.asarray(seen),
        confidence=np.linspace(0.2, 0.8, count).astype(np.float32),
        score=0.5,
        style="solid",
        closed=closed,
    )


def test_a_line_that_re_enters_the_patch_is_split_and_keeps_what_was_seen():
    line = element(
        [[0, 0, 0], [20, 0, 0], [20, 20, 0], [0, 20, 0], [0, 5, 0], [-10, 5, 0]],
        seen=[True, True, True, True, False, False],
    )
    first, second = crop_element(line, np.eye(4), CropConfig())
    assert first.vertices[:, :2].tolist() == [[0, 0], [20, 0], [20, 15]]
    assert first.seen.all()
    assert second.vertices[:, :2].round(9).tolist() == [[0, 15], [0, 5], [-10, 5]]
    assert not second.seen.any()
    assert not first.closed


def test_a_crossing_cut_by_the_patch_stays_a_closed_polygon():
    crossing = element([[28, -3, 1], [34, -3, 1], [34, 3, 1], [28, 3, 1]], closed=True, name="ped_crossing")
    (piece,) = crop_element(crossing, np.eye(4), CropConfig())
    assert piece.closed
    assert piece.vertices[:, 0].max() == 30.0
    assert Polygon(piece.vertices[:, :2]).area == pytest.approx(12.0)
    assert np.allclose(piece.vertices[:, 2], 1.0)


def test_an_island_stays_closed_inside_and_opens_at_the_edge():
    ring = np.array([[-2.0, -1, 0], [2, -1, 0], [2, 1, 0], [-2, 1, 0]])
    (inside,) = crop_element(element(ring, closed=True, name="boundary"), np.eye(4), CropConfig())
    assert inside.closed
    (cut,) = crop_element(element(ring + [30, 0, 0], closed=True, name="boundary"), np.eye(4), CropConfig())
    assert not cut.closed
    assert cut.vertices[[0, -1], 0].tolist() == [30.0, 30.0]
    assert len(cut.vertices) == 4


def test_labels_lie_in_the_ego_frame_whatever_the_heading():
    canvas, centre = street(heading_rad=1.1)
    canvas.stroke(shifted(centre, 1.5))
    bev = canvas.bev()
    labels = crop(drive_along(centre, every=600), bev, trace(bev, TraceConfig()), CropConfig())
    middle = labels.labels[1]
    (divider,) = [e for e in middle.elements if e.element_class == "divider"]
    assert np.abs(divider.vertices[:, 1] - 1.5).max() < 0.2
    assert np.ptp(divider.vertices[:, 0]) > 55


def test_rows_of_the_mask_run_from_far_to_near_and_columns_from_left_to_right():
    canvas, centre = street()
    x, y = np.moveaxis(canvas.grid.centres(), -1, 0)
    canvas.hide((x > 40) & (y > 0))  # ahead on the left
    bev = canvas.bev()
    drive = drive_along(centre, every=600)
    one = crop(drive, bev, trace(bev, TraceConfig()), CropConfig()).labels[1]
    assert one.known.shape == mask_shape(60, 30, 0.15) == (400, 200)
    ahead, behind = slice(40, 120), slice(280, 330)  # 12..24 m, -12..-20 m
    left, right = slice(75, 95), slice(105, 125)  # 0.75..3.75 m each side
    assert not one.known[ahead, left].any()
    assert one.known[ahead, right].all()
    assert one.known[behind, left].all()


@pytest.mark.parametrize(("rise", "shown"), [(0.0, True), (1.0, True), (6.0, False), (-5.0, False)])
def test_what_lies_on_a_bridge_or_below_one_is_no_part_of_a_label(rise: float, shown: bool):
    canvas, centre = street()
    x = canvas.grid.centres()[..., 0]
    canvas.hide((x > 40) & (x < 50))  # the crossing itself is withheld
    bev = canvas.bev()
    bev = replace(bev, height_m=np.where(x > 45, rise, 0.0).astype(np.float32))
    drive = drive_along(centre, every=600)
    one = crop(drive, bev, trace(bev, TraceConfig()), CropConfig()).labels[1]
    far = [e for e in one.elements if e.vertices[:, 0].min() > 19.0]
    assert bool(far) == shown
    assert one.known[:60, 90:110].mean() == pytest.approx(float(shown), abs=0.1)
    assert one.known[140:260, 90:110].all()


def test_where_no_boundary_was_dared_the_rim_is_not_known():
    canvas, centre = street()
    x, y = np.moveaxis(canvas.grid.centres(), -1, 0)
    canvas.probability[..., RoadClass.BACKGROUND] = canvas.probability[..., RoadClass.OFF_ROAD]
    canvas.probability[..., RoadClass.OFF_ROAD] = 0
    teeth = (y > 4.0 + 1.5 * ((x / 2.5) % 1.0)) & (y < 7)
    canvas.probability[teeth] = np.eye(len(RoadClass))[RoadClass.BACKGROUND]
    bev = canvas.bev()
    one = crop(drive_along(centre, every=600), bev, trace(bev, TraceConfig()), CropConfig()).labels[1]
    column = {y: round((15 - y) / 0.15) for y in (4.5, -2.0, -6.0)}
    assert one.known[100:300, column[4.5]].mean() < 0.2
    assert one.known[100:300, column[-2.0]].all()
    assert one.known[100:300, column[-6.0]].mean() > 0.95  # the published boundary's rim


def test_paint_that_was_seen_but_not_published_is_not_known():
    canvas, centre = street()
    canvas.stroke(shifted(centre, 1.5))
    bev = canvas.bev()
    whole = trace(bev, TraceConfig())
    without = replace(whole, elements=tuple(e for e in whole.elements if e.element_class != "divider"))
    line = round((15 - 1.5) / 0.15)
    drive = drive_along(centre, every=600)
    for road_map, known in ((whole, True), (without, False)):
        one = crop(drive, bev, road_map, CropConfig()).labels[1]
        assert one.known[100:300, line].mean() == pytest.approx(float(known), abs=0.02)
        assert one.known[100:300, line + 15].all()  # 2 m beside the line nothing is in doubt


def test_on_a_slope_the_patch_lies_on_the_road():
    canvas, centre = street(length_m=80.0)
    slope = 0.1
    bev = canvas.bev()
    bev.height_m[:] = slope * canvas.grid.centres()[..., 0]
    pitch = -np.arctan(slope)
    pose = transform(rotation_from_euler(yaw_rad=0.0, pitch_rad=pitch), (40.0, 0.0, 4.0))
    canvas.stroke(centre)
    road_map = trace(bev, TraceConfig())
    one = crop(drive_along(centre, every=2000, pose=pose), bev, road_map, CropConfig()).labels[0]
    for piece in one.elements:
        assert np.abs(piece.vertices[:, 2]).max() < 0.05  # on the ego's ground plane, far ahead too
    assert one.known[:, 100].mean() > 0.95


def test_labels_survive_the_disk_and_only_keyframes_are_cropped(tmp_path):
    canvas, centre = street(radius_m=60.0)
    canvas.dashes(centre)
    bev = canvas.bev()
    labels = crop(drive_along(centre, keyframes=2), bev, trace(bev, TraceConfig()), CropConfig())
    assert [one.frame for one in labels.labels] == [0, 2, 4, 6]
    first = artifact.write(labels, tmp_path / "a")
    again = artifact.read(LabelSet, tmp_path / "a")
    assert artifact.write(again, tmp_path / "b").digest == first.digest
    for one, other in zip(labels.labels, again.labels, strict=True):
        assert np.array_equal(one.known, other.known)
        assert len(one.elements) == len(other.elements)
        assert 0.2 < one.coverage < 0.9


@pytest.mark.parametrize("yaw_rad", [0.0, 0.7])
def test_a_crossing_on_the_edge_of_a_turned_patch_is_cut_as_a_polygon(yaw_rad):
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(yaw_rad), -np.sin(yaw_rad)], [np.sin(yaw_rad), np.cos(yaw_rad)]]
    corners = np.array([[28.0, 10, 0], [34, 10, 0], [34, 18, 0], [28, 18, 0]]) @ pose[:3, :3].T
    crossing = element(corners, closed=True, name="ped_crossing")
    (piece,) = crop_element(crossing, np.linalg.inv(pose), CropConfig())
    assert piece.closed
    assert Polygon(piece.vertices[:, :2]).area == pytest.approx(2.0 * 5.0)
