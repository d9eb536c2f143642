"""Settings of the demo city: everything that a drive depends on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from recon.config import require

Condition = Literal["day", "dusk", "night", "wet"]
CONDITIONS: tuple[Condition, ...] = get_args(Condition)


@dataclass(frozen=True, slots=True, kw_only=True)
class RigCamera:
    """One camera of the rig: its position on the vehicle, its direction and its exposure."""

    name: str
    yaw_deg: float  # 0 = forward, counter-clockwise
    position_m: tuple[float, float, float]  # ego frame
    fov_deg: float = 70.0  # horizontal
    pitch_deg: float = 2.0  # positive is down
    exposure: float = 0.0  # observed = exp(exposure) * colour, on the encoded 0..1 colour of the image

    def __post_init__(self) -> None:
        require(
            bool(self.name) and self.name.replace("_", "").isalnum(),
            f"rig camera name {self.name!r} must consist of letters, digits and _",
        )
        require(20.0 <= self.fov_deg <= 140.0, f"{self.name}: fov_deg must lie in 20..140")
        require(0.5 <= self.position_m[2] <= 4.0, f"{self.name}: a camera is mounted 0.5..4 m above the road")
        require(-30.0 <= self.pitch_deg <= 30.0, f"{self.name}: pitch_deg must lie in -30..30")
        require(-0.5 <= self.exposure <= 0.5, f"{self.name}: exposure must lie in -0.5..0.5")


# Places, directions and fields of view follow the six cameras of nuScenes.
SIX_CAMERAS = (
    RigCamera(name="CAM_FRONT", yaw_deg=0.0, position_m=(1.70, 0.0, 1.52), exposure=0.0),
    RigCamera(name="CAM_FRONT_RIGHT", yaw_deg=-55.0, position_m=(1.55, -0.50, 1.50), exposure=0.04),
    RigCamera(name="CAM_BACK_RIGHT", yaw_deg=-110.0, position_m=(1.05, -0.48, 1.55), exposure=-0.05),
    RigCamera(name="CAM_BACK", yaw_deg=180.0, position_m=(0.05, 0.0, 1.56), fov_deg=110.0, exposure=0.03),
    RigCamera(name="CAM_BACK_LEFT", yaw_deg=110.0, position_m=(1.05, 0.48, 1.55), exposure=-0.02),
    RigCamera(name="CAM_FRONT_LEFT", yaw_deg=55.0, position_m=(1.55, 0.50, 1.50), exposure=0.06),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LidarRig:
    """A spinning LiDAR; the fan of beams is that of nuScenes' LIDAR_TOP."""

    beams: int = 32
    columns: int = 720  # directions per turn
    lowest_deg: float = -30.67
    highest_deg: float = 10.67
    position_m: tuple[float, float, float] = (0.94, 0.0, 1.84)  # ego frame
    max_range_m: float = 60.0
    noise_m: float = 0.015  # standard deviation along the beam

    def __post_init__(self) -> None:
        require(1 <= self.beams <= 256, "lidar.beams must lie in 1..256")
        require(8 <= self.columns <= 4096, "lidar.columns must lie in 8..4096")
        require(-90.0 < self.lowest_deg < self.highest_deg < 90.0, "lidar: lowest_deg must lie below highest_deg")
        require(1.0 <= self.max_range_m <= 200.0, "lidar.max_range_m must lie in 1..200 m")
        require(0.0 <= self.noise_m <= 0.5, "lidar.noise_m must lie in 0..0.5 m")


@dataclass(frozen=True, slots=True, kw_only=True)
class CityConfig:
    """One drive through one seeded city."""

    seed: int = 7  # streets, houses, surfaces
    condition: Condition = "day"
    trip: int = (
        0  # trips share the streets and differ in traffic, lane and light; odd ones drive in the opposite direction
    )
    frames: int = 30
    spacing_m: float = 4.0
    speed_mps: float = 8.0
    width_px: int = 480
    height_px: int = 270
    cameras: tuple[RigCamera, ...] = SIX_CAMERAS
    lidar: LidarRig = field(default_factory=LidarRig)
    with_lidar: bool = True
    noise: float = 1.6  # sensor noise by day, grey levels of 255
    optics: float = 1.0  # strength of each camera's own blur, vignetting and exposure; 0 = ideal cameras
    pose_noise_m: float = 0.0  # standard deviation of a trip's offset and drift; the truth is in true_poses.json
    pose_noise_deg: float = 0.0  # of heading
    camera_offset_ms: float = 0.0  # cameras expose up to this long after their frame, each at its own pose
    jpeg_quality: int = 94
    texel_m: float = 0.025  # of the baked ground
    traffic: float = 1.0  # share of the usual moving and parked vehicles and people

    map_log: str = ""  # folder of an Argoverse 2 log, whose map and path take the place of the seed's streets
    dash_m: float = 3.0  # dashes of a mapped street, and the gaps between them
    gap_m: float = 6.0

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**31, "city.seed must lie in 0..2^31-1")
        require(1 <= self.frames <= 1000, "city.frames must lie in 1..1000")
        require(0.1 <= self.spacing_m <= 20.0, "city.spacing_m must lie in 0.1..20 m")
        length_m = (self.frames - 1) * self.spacing_m
        require(length_m <= 1000.0, f"city: {self.frames} frames of {self.spacing_m} m exceed 1000 m")
        require(0.5 <= self.speed_mps <= 40.0, "city.speed_mps must lie in 0.5..40 m/s")
        require(16 <= self.width_px <= 4096 and 16 <= self.height_px <= 4096, "city: images of 16..4096 px a side")
        names = [camera.name for camera in self.cameras]
        require(bool(names) and len(set(names)) == len(names), "city.cameras must hold cameras of different names")
        require(0.0 <= self.noise <= 50.0, "city.noise must lie in 0..50 grey levels")
        require(50 <= self.jpeg_quality <= 100, "city.jpeg_quality must lie in 50..100")
        require(0.01 <= self.texel_m <= 0.2, "city.texel_m must lie in 0.01..0.2 m")
        require(self.condition in CONDITIONS, f"city.condition must be one of {', '.join(CONDITIONS)}")
        require(0 <= self.trip <= 1000, "city.trip must lie in 0..1000")
        require(0.0 <= self.optics <= 2.0, "city.optics must lie in 0..2")
        require(0.0 <= self.pose_noise_m <= 5.0, "city.pose_noise_m must lie in 0..5 m")
        require(0.0 <= self.pose_noise_deg <= 10.0, "city.pose_noise_deg must lie in 0..10 degrees")
        require(0.0 <= self.camera_offset_ms <= 200.0, "city.camera_offset_ms must lie in 0..200 ms")
        require(0.2 <= self.dash_m <= 50.0, "city.dash_m must lie in 0.2..50 m")
        require(0.2 <= self.gap_m <= 50.0, "city.gap_m must lie in 0.2..50 m")
        require(0.0 <= self.traffic <= 2.0, "city.traffic must lie in 0..2")

    @property
    def driven_m(self) -> float:
        """Return the length of the drive along the road."""
        return (self.frames - 1) * self.spacing_m
