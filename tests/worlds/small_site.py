"""A few metres of road as every artifact that exporters need, with known vertices."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recon.bev.bev_map import BevMap
from recon.classes import CLASS_COUNT, RoadClass
from recon.drive import Camera, DriveLog, Frame, Image
from recon.geo_origin import GeoOrigin
from recon.geometry import rotation_from_euler, transform
from recon.grid import Grid
from recon.surface.road_surface import RoadSurface
from vectorize.labels.label_set import LabelSet, PseudoLabels
from vectorize.road_map import Element, RoadMap

ORIGIN = GeoOrigin(latitude_deg=49.0, longitude_deg=8.4, altitude_m=110.0)
LENGTH_M = 40.0
TRIPS = ("monday", "tuesday")
CROSSING = [[18.0, -3.5], [22.0, -3.5], [22.0, 3.5], [18.0, 3.5]]
BOW_TIE = [[30.0, -3.0], [34.0, 3.0], [34.0, -3.0], [30.0, 3.0]]  # crosses itself at (32, 0): two triangles


def element(name, xy, *, style="unknown", closed=False, height_m=1.0, score=0.5):
    """Return an element: its second vertex was not seen, its third by both trips; `height_m` None makes it flat."""
    xy = np.asarray(xy, dtype=float)
    count = len(xy)
    return Element(
        element_class=name,
        vertices=xy if height_m is None else np.c_[xy, np.full(count, height_m)],
        seen=np.arange(count) != 1,
        confidence=np.linspace(0.25, 0.75, count).astype(np.float32),
        score=score,
        style=style,
        closed=closed,
        views=(7 * (np.arange(count) != 1)).astype(np.uint16),
        trips=np.where(np.arange(count) == 1, 0, np.where(np.arange(count) == 2, 3, 1)).astype(np.uint64),
    )


def along(y, *, first=0.0, last=LENGTH_M, steps=5):
    """Return a straight line along x."""
    return np.stack([np.linspace(first, last, steps), np.full(steps, y)], axis=1)


def road_map(*extra, origin=ORIGIN):
    """Return a map with every class and style: two lanes between kerbs, an island, a crossing and a stop line."""
    elements = (
        element("boundary", along(3.5)),
        element("divider", along(0.0), style="dashed", score=0.75),
        element("boundary", along(-3.5)[::-1]),
        element("boundary", [[10, 5], [12, 5], [12, 6], [10, 6]], closed=True),
        element("ped_crossing", CROSSING, closed=True, height_m=1.5),
        element("stop_line", [[16, 0], [16, 3.5]]),
        element("divider", along(7.0, last=4.0, steps=2), style="solid"),
        element("divider", along(8.0, last=4.0, steps=2), style="double"),
        element("centerline", along(-1.75)),
    )
    return RoadMap(elements=(*elements, *extra), origin=origin, trips=TRIPS)


def bev():
    """Return the raster of the road: ROAD with an island, OFF_ROAD beyond, an unseen corner, height 1 + x / 100."""
    grid = Grid(west_m=-5.0, north_m=10.0, cell_m=0.25, width=200, height=80)
    xy = grid.centres()
    on_road = (np.abs(xy[..., 1]) < 3.5) & ~((np.abs(xy[..., 0] - 5) < 1) & (np.abs(xy[..., 1]) < 1))  # with an island
    seen = ~((xy[..., 0] > 40) & (xy[..., 1] > 5))
    probability = np.zeros((*grid.shape, CLASS_COUNT), np.float16)
    probability[..., RoadClass.ROAD] = np.where(on_road, 0.75, 0.25)
    probability[..., RoadClass.OFF_ROAD] = np.where(on_road, 0.25, 0.75)
    rgb = np.zeros((*grid.shape, 3), np.uint8)
    rgb[..., 0], rgb[..., 2] = np.where(on_road, 200, 10), 77
    return BevMap(
        grid=grid,
        rgb=rgb,
        class_probability=np.where(seen[..., None], probability, 0).astype(np.float16),
        height_m=(1.0 + xy[..., 0] / 100).astype(np.float32),
        views=np.where(seen, 7, 0).astype(np.uint16),
        trips=seen.astype(np.uint16),
        shift_m=np.zeros((*grid.shape, 2), np.float16),
    )


def surface(count=50, *, seed=0):
    """Return surfels of random shape, opacity and colour."""
    random = np.random.default_rng(seed)
    cells = random.permutation(400)[:count]
    return RoadSurface(
        grid=Grid(west_m=-10.0, north_m=30.0, cell_m=0.1, width=20, height=20),
        row=(cells // 20).astype(np.int32),
        column=(cells % 20).astype(np.int32),
        z=random.normal(0, 1, count).astype(np.float32),
        tilt=random.normal(0, 0.3, (count, 2)).astype(np.float32),
        log_scale=random.uniform(-3.5, -2, (count, 2)).astype(np.float32),
        opacity=random.normal(0, 2, count).astype(np.float32),
        rgb=random.random((count, 3)).astype(np.float32),
        class_logits=np.zeros((count, CLASS_COUNT), np.float32),
        views=np.ones(count, np.uint16),
        trips=np.ones(count, np.uint16),
        nearest_view_m=np.ones(count, np.float32),
        shift_m=np.zeros((count, 2), np.float32),
        exposure={},
        report={},
    )


def drive(root=Path("somewhere")):
    """Return three frames of one camera that turns left, the last camera pose 0.2 m ahead of its frame's."""
    camera = Camera(
        name="front",
        width_px=8,
        height_px=6,
        k=np.array([[8.0, 0, 4], [0, 8, 3], [0, 0, 1]]),
        ego_from_camera=transform([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], (1.0, 0, 1.5)),
        distortion=np.zeros(0),
    )
    frames = []
    for i in range(3):
        pose = transform(rotation_from_euler(yaw_rad=0.3 * i), (10.0 * i, -1.75, 1.0))
        late = transform(rotation_from_euler(yaw_rad=0.3 * i), (10.0 * i + 0.2, -1.75, 1.0)) if i == 2 else None
        image = Image(camera="front", path=f"{i}.png", time_ns=10**18 + i, world_from_ego=late)
        frames.append(Frame(time_ns=10**18 + i * 10**8, world_from_ego=pose, images=(image,)))
    return DriveLog(name="a drive", root=root, cameras=(camera,), frames=tuple(frames), origin=ORIGIN)


def labels(log):
    """Return labels: none of frame 0; a divider and a crossing of frame 1; these and a stop line of frame 2."""
    every = (
        element("divider", [[-5, 1.25], [5, 1.5]], style="dashed", score=0.625),
        element("ped_crossing", [[8, -2], [11, -2], [11, 2], [8, 2]], closed=True),
        element("stop_line", [[6, -2], [6, 0]]),
    )
    one = [
        PseudoLabels(
            frame=i,
            time_ns=frame.time_ns,
            world_from_ego=frame.world_from_ego,
            elements=every[: i + 1] if i else (),
            known=np.ones((40, 20), bool),
        )
        for i, frame in enumerate(log.frames)
    ]
    return LabelSet(drive=log.name, labels=tuple(one), length_m=6, width_m=3, mask_cell_m=0.15, provenance={})
