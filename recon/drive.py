"""The DriveLog artifact: calibrated cameras, ego poses, images and LiDAR of one drive, as references to files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np

from recon.arrays import F64
from recon.artifact import Parts
from recon.geo_origin import GeoOrigin
from recon.geometry import rigid_fault

# How sweeps are stored. f32x4: raw little-endian float32 x, y, z, intensity (KITTI, drive folders); f32x5: the same
# with the ring after them (nuScenes); feather: a table with the columns x, y, z (Argoverse 2).
LidarFormat = Literal["", "f32x4", "f32x5", "feather"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Camera:
    """A calibrated camera fixed to the ego vehicle (OpenCV axes; pixel centres at +0.5)."""

    name: str
    width_px: int
    height_px: int
    k: F64  # (3, 3), pixels
    ego_from_camera: F64  # (4, 4)
    distortion: F64  # (N,) OpenCV coefficients: 0, 4, 5, 8, 12 or 14 for pinhole, 4 for fisheye
    model: Literal["pinhole", "fisheye"] = "pinhole"
    ego_mask: str = ""  # PNG relative to the drive root; non-zero = ego body

    def __post_init__(self) -> None:
        fault = rigid_fault(self.ego_from_camera)
        if fault:
            raise ValueError(f"camera {self.name}: ego_from_camera: {fault}")
        if self.k.shape != (3, 3) or not np.isfinite(self.k).all() or self.k[0, 0] <= 0 or self.k[1, 1] <= 0:
            raise ValueError(f"camera {self.name}: K is not a (3, 3) matrix with positive focal lengths")
        if self.width_px < 1 or self.height_px < 1:
            raise ValueError(f"camera {self.name}: size {self.width_px} x {self.height_px} is empty")
        allowed = (4,) if self.model == "fisheye" else (0, 4, 5, 8, 12, 14)
        if self.distortion.ndim != 1 or self.distortion.size not in allowed:
            raise ValueError(f"camera {self.name}: {self.distortion.size} distortion coefficients, expected {allowed}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Image:
    """One image: a file relative to the drive root."""

    camera: str
    path: str
    time_ns: int
    sha256: str = ""  # of the file's bytes; filled when the drive is read for a job
    world_from_ego: F64 | None = None  # (4, 4) at this image's time where the rig is not synchronous
    id_path: str = ""  # PNG of RoadClass ids, relative to the drive root, where the drive has its own


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """One time step of the drive: a pose, and the images and the LiDAR sweep recorded then."""

    time_ns: int
    world_from_ego: F64  # (4, 4)
    images: tuple[Image, ...]
    lidar_path: str = ""  # relative to the drive root
    keyframe: bool = True  # labels are cropped at keyframes

    def pose_of(self, image: Image) -> F64:
        """Return `world_from_ego` at the time of one of this frame's images."""
        return self.world_from_ego if image.world_from_ego is None else image.world_from_ego


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DriveLog:
    """One drive. World: local east-north-up metres. Ego: x forward, y left, z up."""

    kind: ClassVar[str] = "DriveLog"
    schema: ClassVar[int] = 1

    name: str
    root: Path  # every path below is relative to it
    cameras: tuple[Camera, ...]
    frames: tuple[Frame, ...]
    ground_z_ego_m: float = 0.0  # height of the road under the vehicle in the ego frame
    origin: GeoOrigin | None = None
    lidar_format: LidarFormat = ""  # empty without LiDAR
    ego_from_lidar: F64 | None = None  # (4, 4)
    true_map: str = ""  # JSON of the true map, relative to the root, where it is known
    # Path -> sha256 of the id images, masks and LiDAR files that were read; a change of one must change the digest.
    file_sha256: Mapping[str, str] = field(default_factory=dict)

    def camera(self, name: str) -> Camera:
        """Return the camera of that name; KeyError if there is no such camera."""
        for camera in self.cameras:
            if camera.name == name:
                return camera
        raise KeyError(name)

    def images(self) -> tuple[tuple[int, Frame, Image], ...]:
        """Return (frame index, frame, image) of every image in order of frames."""
        return tuple((i, frame, image) for i, frame in enumerate(self.frames) for image in frame.images)

    def path_xy_m(self) -> F64:
        """Return (F, 2) positions of the ego vehicle in world metres."""
        return np.array([frame.world_from_ego[:2, 3] for frame in self.frames]).reshape(-1, 2)

    def to_parts(self) -> Parts:
        """Return metadata and arrays; images stay where they are, referenced by path and sha256."""
        images = [
            {
                "frame": index,
                "camera": image.camera,
                "path": image.path,
                "time_ns": image.time_ns,
                "sha256": image.sha256,
                "id_path": image.id_path,
                "own_pose": image.world_from_ego is not None,
            }
            for index, _, image in self.images()
        ]
        meta: dict[str, Any] = {
            "name": self.name,
            "root": str(self.root),
            "cameras": [
                {
                    "name": camera.name,
                    "width_px": camera.width_px,
                    "height_px": camera.height_px,
                    "model": camera.model,
                    "distortion": camera.distortion.tolist(),
                    "ego_mask": camera.ego_mask,
                }
                for camera in self.cameras
            ],
            "images": images,
            "lidar_paths": [frame.lidar_path for frame in self.frames],
            "keyframes": [frame.keyframe for frame in self.frames],
            "ground_z_ego_m": self.ground_z_ego_m,
            "origin": asdict(self.origin) if self.origin else None,
            "lidar_format": self.lidar_format,
            "ego_from_lidar": None if self.ego_from_lidar is None else self.ego_from_lidar.tolist(),
            "true_map": self.true_map,
            "file_sha256": dict(self.file_sha256),
        }
        own = [image.world_from_ego for _, _, image in self.images() if image.world_from_ego is not None]
        arrays = {
            "time_ns": np.array([frame.time_ns for frame in self.frames], dtype=np.int64),
            "world_from_ego": np.array([frame.world_from_ego for frame in self.frames]).reshape(-1, 4, 4),
            "image_world_from_ego": np.array(own, dtype=np.float64).reshape(-1, 4, 4),
            "k": np.array([camera.k for camera in self.cameras]).reshape(-1, 3, 3),
            "ego_from_camera": np.array([camera.ego_from_camera for camera in self.cameras]).reshape(-1, 4, 4),
        }
        return Parts(meta=meta, arrays=arrays)

    @classmethod
    def from_parts(cls, parts: Parts) -> Self:
        """Build the log from metadata and arrays."""
        meta, arrays = parts.meta, parts.arrays
        cameras = tuple(
            Camera(
                **{**entry, "distortion": np.array(entry["distortion"], dtype=np.float64)},
                k=arrays["k"][i],
                ego_from_camera=arrays["ego_from_camera"][i],
            )
            for i, entry in enumerate(meta["cameras"])
        )
        own_poses = iter(arrays["image_world_from_ego"])
        images: dict[int, list[Image]] = {}
        for entry in meta["images"]:
            fields = {key: entry[key] for key in ("camera", "path", "time_ns", "sha256", "id_path")}
            pose = next(own_poses) if entry["own_pose"] else None
            images.setdefault(entry["frame"], []).append(Image(**fields, world_from_ego=pose))
        frames = tuple(
            Frame(
                time_ns=int(arrays["time_ns"][i]),
                world_from_ego=arrays["world_from_ego"][i],
                images=tuple(images.get(i, [])),
                lidar_path=meta["lidar_paths"][i],
                keyframe=meta["keyframes"][i],
            )
            for i in range(len(arrays["time_ns"]))
        )
        return cls(
            name=meta["name"],
            root=Path(meta["root"]),
            cameras=cameras,
            frames=frames,
            ground_z_ego_m=meta["ground_z_ego_m"],
            origin=GeoOrigin(**meta["origin"]) if meta["origin"] else None,
            lidar_format=meta["lidar_format"],
            ego_from_lidar=None if meta["ego_from_lidar"] is None else np.array(meta["ego_from_lidar"]),
            true_map=meta["true_map"],
            file_sha256=meta.get("file_sha256", {}),
        )
