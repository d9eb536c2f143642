"""One road above another: levels, the cells that each owns, and what is withheld."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon.align.align import align
from recon.align.alignment import corrected
from recon.align.levels import Levels
from recon.artifact import seal
from recon.bev.bake import bake
from recon.classes import RoadClass
from recon.config import AlignConfig, BakeConfig, FitConfig
from recon.drive import Camera, DriveLog, Frame, Image
from recon.fit.fit import fit
from recon.geometry import rotation_from_euler, transform
from recon.segment.frame_labels import FrameLabels, Labels, write_labels
from recon.views.views import Trip
from vectorize.trace.trace import trace
from vectorize.trace_config import TraceConfig

pytestmark = pytest.mark.slow

WIDTH, HEIGHT, FOCAL = 160, 90, 115.0
ROAD_HALF_M, DECK_HALF_M, LINE_HALF_M, LANE_M = 5.0, 6.0, 0.2, 1.75
EGO_FROM_FRONT = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def heading(angle: float, along: np.ndarray, z_m: float) -> list[np.ndarray]:
    """Poses along a road through (0, 0) at `angle`, in its right lane."""
    turn = rotation_from_euler(yaw_rad=angle)
    return [transform(turn, turn @ [a, -LANE_M, 0.0] + [0.0, 0.0, z_m]) for a in along]


def drive_of(poses: list[np.ndarray], gap_after: int, root: Path = Path()) -> DriveLog:
    tilted = EGO_FROM_FRONT @ rotation_from_euler(yaw_rad=0.0, roll_rad=-0.17)  # 10 degrees down
    k = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1.0]])
    pose = transform(tilted, [1.5, 0.0, 1.5])
    camera = Camera(name="front", width_px=WIDTH, height_px=HEIGHT, k=k, ego_from_camera=pose, distortion=np.zeros(0))
    frames = []
    for i, pose in enumerate(poses):
        time_ns = int((i * 0.2 + (60.0 if i >= gap_after else 0.0)) * 1e9)
        images = (Image(camera="front", path=f"{i}.png", time_ns=time_ns),)
        frames.append(Frame(time_ns=time_ns, world_from_ego=pose, images=images))
    return DriveLog(name="stacked", root=root, cameras=(camera,), frames=tuple(frames))


def flyover(folder: Path, angle: float, deck_m: float) -> Trip:
    """A drive along x under a deck, and later over it at `angle`, as images with true labels."""
    along = np.arange(-24.0, 25.0, 3.0)
    drive = drive_of([*heading(0.0, along, 0.0), *heading(angle, along, deck_m)], len(along), folder)
    camera = drive.cameras[0]
    columns, rows = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ np.linalg.inv(camera.k).T
    across = np.array([-np.sin(angle), np.cos(angle)])
    (folder / "labels").mkdir(parents=True)
    entries = []
    for i, frame in enumerate(drive.frames):
        pose = frame.world_from_ego @ camera.ego_from_camera
        ray, eye = pixels @ pose[:3, :3].T, pose[:3, 3]
        ids, best = np.full(rows.shape, int(RoadClass.BACKGROUND)), np.full(rows.shape, 60.0)
        for z, normal, half in ((0.0, np.array([0.0, 1.0]), np.inf), (deck_m, across, DECK_HALF_M)):
            t = (z - eye[2]) / np.where(np.abs(ray[..., 2]) < 1e-6, 1e-6, ray[..., 2])
            beside = np.abs((eye[:2] + t[..., None] * ray[..., :2]) @ normal)
            hit = (t > 0) & (t < best) & (beside < half)
            found = np.where(beside < ROAD_HALF_M, int(RoadClass.ROAD), int(RoadClass.OFF_ROAD))
            found = np.where(beside < LINE_HALF_M, int(RoadClass.LANE_MARKING), found)
            ids, best = np.where(hit, found, ids), np.where(hit, t, best)
        grey = np.array([0, 90, 235, 0, 0, 140, 200])[ids].astype(np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), grey)
        labels = Labels.certain(ids.astype(np.uint8))
        write_labels(labels, folder / "labels" / f"{i}.png", folder / "labels" / f"{i}_evidence.png")
        entries.append({"frame": i, "camera": "front", "ids": f"{i}.png", "evidence": f"{i}_evidence.png"})
    meta = {"images": entries, "model": "truth", "weights_sha256": "", "left_out": []}
    seal(folder / "labels", kind="FrameLabels", schema=1, meta=meta)
    return Trip(drive=drive, labels=FrameLabels.open(folder / "labels"))


@pytest.mark.parametrize(("angle_deg", "deck_m"), [(90.0, 6.0), (45.0, 4.5), (52.0, 5.0), (60.0, 4.0)])
def test_no_line_bends_where_one_road_lies_above_another(tmp_path: Path, angle_deg: float, deck_m: float) -> None:
    angle = np.radians(angle_deg)
    config = FitConfig(cell_m=0.2, corridor_m=15.0, epochs=1, stereo_weight=0.0)
    surface = fit([flyover(tmp_path, angle, deck_m)], config)
    assert 100.0 < surface.report["withheld_m2"] < 900.0
    assert np.all((np.abs(surface.z) < 0.2) | (np.abs(surface.z - deck_m) < 0.2))
    found = trace(bake(surface, BakeConfig(cell_m=0.2)), TraceConfig())
    length = {"low": 0.0, "high": 0.0}
    for element in found.elements:
        xyz = element.vertices
        high = float(np.median(xyz[:, 2])) > deck_m / 2
        assert np.ptp(xyz[:, 2]) < 0.2
        across = xyz[:, :2] @ np.array([-np.sin(angle), np.cos(angle)]) if high else xyz[:, 1]
        true = 0.0 if element.element_class == "divider" else ROAD_HALF_M
        assert np.abs(np.abs(across) - true).max() < 0.4
        length["high" if high else "low"] += float(np.linalg.norm(np.diff(xyz[:, :2], axis=0), axis=1).sum())
    assert min(length.values()) > 60.0


def test_trips_over_and_under_a_bridge_are_aligned_level_by_level(tmp_path: Path) -> None:
    first, second = (flyover(tmp_path / name, np.pi / 2, 6.0) for name in "ab")
    count = len(second.drive.frames)
    moved = corrected(second.drive, np.tile([0.3, 0.2, 0.4, 0.0], (count, 1)))
    found = align([first, replace(second, drive=replace(moved, name="second"))], AlignConfig())
    assert found.used == (0, 1)
    gap = found.trips[0].correction - found.trips[1].correction
    np.testing.assert_allclose(gap[:, 2], 0.4, atol=0.05)
    low, high = gap[: count // 2], gap[count // 2 :]
    assert float(low[:, 1].mean()) == pytest.approx(0.2, abs=0.05)  # the road below runs along x
    assert float(high[:, 0].mean()) == pytest.approx(0.3, abs=0.05)


@given(
    angle_deg=st.floats(30.0, 150.0),
    deck_m=st.floats(3.5, 9.0),
    shift=st.tuples(st.floats(-9000, 9000), st.floats(-9000, 9000), st.floats(0, 4000)),
    turn=st.floats(-np.pi, np.pi),
)
@settings(max_examples=20, deadline=None)
def test_a_cell_belongs_to_the_road_it_lies_on_or_to_none(
    angle_deg: float, deck_m: float, shift: tuple[float, float, float], turn: float
) -> None:
    world, angle = transform(rotation_from_euler(yaw_rad=turn), shift), np.radians(angle_deg)
    along = np.arange(-60.0, 60.0)
    poses = [world @ p for p in (*heading(0.0, along, 0.0), *heading(angle, along, deck_m))]
    levels = Levels.of([drive_of(poses, len(along))], corridor_m=15.0)
    assert levels is not None
    assert levels.count == 2
    assert not any(levels.sees(0, 0, i) and levels.sees(1, 0, i) for i in range(2 * len(along)))
    for road, level in ((0.0, 0), (angle, 1)):
        on_road = rotation_from_euler(yaw_rad=road)[:2, :2] @ [list(along), [-1.0] * len(along)]
        owner = levels.owners((world[:2, :2] @ on_road).T + world[:2, 3])
        assert set(owner) <= {level, -1}
        assert np.all(owner[np.abs(along) > 8.0 / np.sin(angle) + 8.0] == level)
        assert np.all(owner[np.abs(along) < 1.0] == -1)


def test_a_site_without_a_bridge_has_no_levels() -> None:
    along = np.arange(-60.0, 60.0)
    steep = rotation_from_euler(yaw_rad=0.0, pitch_rad=-float(np.arctan(0.25)))
    hill = [transform(steep, [a, y, 0.25 * a]) for y in (0.0, 6.0) for a in along]
    assert Levels.of([drive_of(hill, len(along))], corridor_m=15.0) is None
    crossing = [*heading(0.0, along, 0.0), *heading(1.5, along, 0.5)]
    assert Levels.of([drive_of(crossing, len(along))], corridor_m=15.0) is None


@given(turns=st.integers(2, 4), climb=st.floats(3.2, 6.0))
@settings(max_examples=10, deadline=None)
def test_a_spiral_has_a_level_for_each_turn(turns: int, climb: float) -> None:
    angle = np.linspace(0.0, 2 * np.pi * turns, 110 * turns)
    poses = [
        transform(rotation_from_euler(yaw_rad=a + np.pi / 2), [18 * np.cos(a), 18 * np.sin(a), climb * a / (2 * np.pi)])
        for a in angle
    ]
    levels = Levels.of([drive_of(poses, len(poses))], corridor_m=10.0)
    assert levels is not None
    assert levels.count >= turns
    for level in range(levels.count):
        own = [i for i in range(len(poses)) if levels.sees(level, 0, i)]
        assert np.ptp([poses[i][2, 3] for i in own]) < climb + 1e-6  # never two turns in one level


def test_both_levels_use_the_frames_where_one_becomes_the_other() -> None:
    along = np.arange(-60.0, 60.0)
    ramp = np.linspace(0.0, 1.5 * np.pi, 220)[1:-1]
    loop = [
        transform(
            rotation_from_euler(yaw_rad=a), [60 + 45 * np.sin(a), -1.75 + 45 - 45 * np.cos(a), 6 * a / (1.5 * np.pi)]
        )
        for a in ramp
    ]
    down = [transform(rotation_from_euler(yaw_rad=-np.pi / 2), [13.0, 43.0 - a, 6.0]) for a in np.arange(100.0)]
    poses = [*heading(0.0, along, 0.0), *loop, *down]
    levels = Levels.of([drive_of(poses, len(poses))], corridor_m=15.0)
    assert levels is not None
    shared = [i for i in range(len(poses)) if levels.sees(0, 0, i) and levels.sees(1, 0, i)]
    assert 25 <= len(shared) <= 45
    assert np.array_equal(shared, np.arange(shared[0], shared[-1] + 1))
    seam = np.array([poses[i][:2, 3] for i in shared])
    assert np.all(levels.owners(seam) >= 0)
