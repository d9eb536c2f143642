"""One sample as arrays: what its cameras show and where, and what is known of the map. No torch, so threads make it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recon.arrays import F32, F64, U8, Bool
from recon.drive import Camera
from recon.errors import ArtifactInvalid
from recon.geometry import invert
from training.data.config import ModelShape
from training.data.images import net_image
from training.data.rig import UNSEEN, camera_geometry, camera_of
from training.data.targets import MapTargets, map_targets
from training.data.view_targets import NOT_LABELLED, VIEW_CLASSES, depth_target, view_target
from vectorize.labels.shard import Sample
from vectorize.labels.view_members import member_name


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CameraViews:
    """The cameras of one sample, as `training.data.train_batch.Views` has them for a batch."""

    images: tuple[U8 | None, ...]  # (V,) of (H, W, 3) RGB; None of a camera that is not present
    present: Bool  # (V,)
    cell_uv: F32  # (V, Z, Hb, Wb, 2)
    rays: F32  # (V, h, w, 3)
    origins: F32  # (V, 3)
    image_cells: Bool  # (V, h, w)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Example:
    """One sample of a batch."""

    views: CameraViews
    targets: MapTargets
    known: Bool  # (h, w)
    # Both say nothing of a camera without an image.
    view_targets: U8 | None  # (V, 3, h, w); None where the shard has no class ids
    depth: F32 | None  # (V, h, w) metres; None where the shard has no depth
    weight: float
    world_from_ego: F64  # (4, 4)
    key: str
    drive: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """A camera at its pose in the keyframe's ego frame, with its image at the input's size, if there is one."""

    camera: Camera
    ego_from_camera: F64  # (4, 4) at the time of the image
    image: U8 | None  # (H, W, 3) RGB


def camera_views(seen: Sequence[Seen], ground_z_ego_m: float, config: ModelShape) -> CameraViews:
    """Return the views of cameras; one without an image is not present, and shows no cell."""
    count, features = len(seen), config.feature_px
    views = CameraViews(
        images=tuple(one.image for one in seen),
        present=np.array([one.image is not None for one in seen], dtype=bool),
        cell_uv=np.full((count, len(config.heights_m), *config.bev_px, 2), UNSEEN, dtype=np.float32),
        rays=np.zeros((count, *features, 3), dtype=np.float32),
        origins=np.zeros((count, 3), dtype=np.float32),
        image_cells=np.zeros((count, *features), dtype=bool),
    )
    for i, one in enumerate(seen):
        if one.image is not None:
            geometry = camera_geometry(one.camera, one.ego_from_camera, ground_z_ego_m, config)
            views.cell_uv[i], views.rays[i] = geometry.cell_uv, geometry.rays
            views.origins[i], views.image_cells[i] = geometry.origin, geometry.image_cells
    return views


def example_of(
    sample: Sample, config: ModelShape, *, cameras: Sequence[str] = (), weight: float = 1.0, images: bool = True
) -> Example:
    """Return a sample as arrays; `cameras` picks some of its cameras, and without `images` those are empty.

    Raises ArtifactInvalid for a record that does not parse or fit, and ImageInvalid for a damaged image.
    """
    record = sample.record
    try:
        world_from_ego = np.array(record["world_from_ego"], dtype=np.float64)
        ground_z_ego_m = float(record["ground_z_ego_m"])
        entries = [camera_of(entry) for entry in record["cameras"]]
        poses = {image["camera"]: np.array(image["world_from_ego"], dtype=np.float64) for image in record["images"]}
        unit_m = float(record.get("depth_unit_m", 0.0))
        drive, place = str(record["drive"]), str(record["place"])
        shape = tuple(record["known"]["shape"])
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactInvalid(f"the sample does not parse: {error}", where=sample.key) from error
    if sample.known.shape != shape:
        raise ArtifactInvalid("the known mask is not of the size that the sample states", where=sample.key)
    used = [camera for camera in entries if not cameras or camera.name in cameras]
    ego_from_world = invert(world_from_ego)
    seen = []
    for camera in used:
        data = sample.images.get(member_name(camera.name))
        size, where = (camera.width_px, camera.height_px), f"{sample.key}: {camera.name}"
        empty = None if images else np.zeros((0, 0, 3), np.uint8)
        image = net_image(data, recorded_px=size, net_px=config.image_px, where=where) if data and images else empty
        pose = poses.get(camera.name, world_from_ego)
        mounted = camera.ego_from_camera
        if not np.array_equal(pose, world_from_ego):  # else rounding would make every geometry a new one
            mounted = ego_from_world @ pose @ mounted
        seen.append(Seen(camera=camera, ego_from_camera=mounted, image=image))
    return Example(
        views=camera_views(seen, ground_z_ego_m, config),
        targets=map_targets(record, config),
        known=sample.known,
        view_targets=_view_targets(sample, seen, config) if config.view_head and sample.ids else None,
        depth=_depth(sample, seen, unit_m, config) if config.lift == "lss" and sample.depth else None,
        weight=weight,
        world_from_ego=world_from_ego,
        key=sample.key,
        drive=drive,
        place=place,
    )


def _view_targets(sample: Sample, seen: Sequence[Seen], config: ModelShape) -> U8:
    result = np.full((len(seen), len(VIEW_CLASSES), *config.feature_px), NOT_LABELLED, dtype=np.uint8)
    for i, one in enumerate(seen):
        camera = one.camera
        if one.image is not None and (data := sample.ids.get(member_name(camera.name))):
            size, where = (camera.width_px, camera.height_px), f"{sample.key}: ids of {camera.name}"
            result[i] = view_target(data, recorded_px=size, config=config, where=where)
    return result


def _depth(sample: Sample, seen: Sequence[Seen], unit_m: float, config: ModelShape) -> F32:
    result = np.zeros((len(seen), *config.feature_px), dtype=np.float32)
    for i, one in enumerate(seen):
        camera = one.camera
        if one.image is not None and (data := sample.depth.get(member_name(camera.name))):
            size, where = (camera.width_px, camera.height_px), f"{sample.key}: depth of {camera.name}"
            result[i] = depth_target(data, unit_m, recorded_px=size, config=config, where=where)
    return result
