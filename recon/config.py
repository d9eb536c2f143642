"""Settings of the reconstruction stages. Torch-free; a JobSpec nests these very classes."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, Literal

from recon.errors import ConfigInvalid


def require(condition: bool, message: str) -> None:
    """Raise ConfigInvalid with `message` unless `condition` holds."""
    if not condition:
        raise ConfigInvalid(message)


def value_of(text: str) -> Any:
    """Return the value of NAME=VALUE: JSON where it parses, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def apply_change(body: dict[str, Any], change: str) -> None:
    """Set one setting of nested sections by a text `section.name=value`; ConfigInvalid where a section is a value."""
    name, _, text = change.partition("=")
    *sections, last = name.split(".")
    section = body
    for number, part in enumerate(sections, start=1):
        section = section.setdefault(part, {})
        if not isinstance(section, dict):
            raise ConfigInvalid(f"{'.'.join(sections[:number])} has no settings", where=f"--set {change}")
    section[last] = value_of(text)


def check_size(name: str, size_px: tuple[int, int] | None) -> None:
    """Raise ConfigInvalid unless `size_px` is None or a width and a height of 32..8192."""
    sizes = size_px is None or (len(size_px) == 2 and all(32 <= length <= 8192 for length in size_px))
    require(sizes, f"{name} must be width and height of 32..8192 px")


@dataclass(frozen=True, slots=True, kw_only=True)
class MovablesConfig:
    """A second net, for what may move: pixels that it gives to these classes become UNKNOWN."""

    backend: Literal["openvino", "mask2former", "mmseg"] = "openvino"
    weights: str = ""  # as segment.weights
    class_map: str = ""  # as segment.class_map; its road classes do not matter here, its names do
    classes: tuple[str, ...] = ()  # names of the class map; none: those that it marks as dynamic
    size_px: tuple[int, int] | None = None  # as segment.size_px

    def __post_init__(self) -> None:
        require(bool(self.weights), "segment.movables.weights: the second net needs a model")
        named = self.backend == "mask2former" or bool(self.class_map)
        require(named, f"segment.movables.class_map: {self.backend} needs a class map")
        require(len(set(self.classes)) == len(self.classes), "segment.movables.classes names a class twice")
        check_size("segment.movables.size_px", self.size_px)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentConfig:
    """How images become class ids."""

    backend: Literal["id_images", "openvino", "mask2former", "mmseg"] = "id_images"
    weights: str = ""  # model file or checkpoint folder (or hub id) of the back end; empty for id_images
    class_map: str = ""  # a shipped name or a path to a JSON file; empty: the one that belongs to the weights
    max_bad_share: float = 0.05  # images that may fail before the stage fails
    dilate_dynamic_px: int = 5  # at 800 px image width, scaled: pixels at the outline of a vehicle are mixed
    batch: int = 4  # images in one call of the net; mask2former on a CPU takes two at most
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    size_px: tuple[int, int] | None = None  # working width and height; None: the checkpoint's own
    tile: bool = False  # cut images into overlapping tiles of the working size instead of shrinking them
    tile_overlap_px: int = 64  # nets need context, so the border of a tile counts less
    allow_download: bool = False  # fetch a hub id that is not in the local cache
    movables: MovablesConfig | None = None  # for a net that knows no vehicles and calls them BACKGROUND

    def __post_init__(self) -> None:
        require(0.0 <= self.max_bad_share <= 1.0, "segment.max_bad_share must lie in 0..1")
        require(0 <= self.dilate_dynamic_px <= 100, "segment.dilate_dynamic_px must lie in 0..100")
        require(1 <= self.batch <= 256, "segment.batch must lie in 1..256")
        require(0 <= self.tile_overlap_px <= 1024, "segment.tile_overlap_px must lie in 0..1024")
        check_size("segment.size_px", self.size_px)
        require(
            self.backend == "id_images" or bool(self.weights),
            f"segment.weights: {self.backend} needs a model: a path, or for mask2former demo_city, the shipped net",
        )
        # Its checkpoints need not name their classes, and the number of classes does not identify a data set.
        require(self.backend != "mmseg" or bool(self.class_map), "segment.class_map: mmseg needs a class map")

    def second_net(self) -> SegmentConfig | None:
        """Return the settings of the net of `movables` in the form of a first one; None without it."""
        second = self.movables
        if second is None:
            return None
        return replace(
            self,
            backend=second.backend,
            weights=second.weights,
            class_map=second.class_map,
            size_px=second.size_px,
            movables=None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FitConfig:
    """How the road surface is fitted."""

    cell_m: float = 0.1  # surfel spacing; 0.05 is the `fine` profile
    corridor_m: float = 22.0  # each side of the path: beyond half the default patch width, for bends and wide roads
    max_distance_m: float = 30.0  # of ground from the camera; beyond 20 m only where a pixel covers at most 0.8 m of it
    epochs: int = 2
    seed: int = 17
    tile_cells: int = 1_000_000  # fitted at once, half a kilobyte each; a larger site is fitted in tiles and stitched
    holdout_every: int = 0  # leave every n-th frame out of the fit (for measuring); 0 = use all
    rgb_weight: float = 1.0
    class_weight: float = 0.06
    smooth_weight: float = 1.0
    lidar_weight: float = 0.5
    exposure: bool = True  # fitted for each camera; False: one exposure for all
    mount: Literal["images", "typed"] = "images"  # without LiDAR: height of the road and camera pitch of a single trip
    stereo_weight: float = 1.0  # of heights found by matching images, where there is no LiDAR
    most_jump_m: float = 1.0  # of the poses of a trip fitted alone, beyond what speed explains; a longer one is refused
    loop_closure: bool = True  # where one trip passes a place again, correct poses that disagree, or refuse the drive
    pose_deltas: bool = False  # correct each frame of a trip that is fitted alone; labels take the corrected poses
    renderer: Literal["auto", "cpu", "gsplat", "reference"] = "auto"  # gsplat needs CUDA; reference is for tiny tests

    def __post_init__(self) -> None:
        require(0.02 <= self.cell_m <= 1.0, "fit.cell_m must lie in 0.02..1 m")
        require(1.0 <= self.corridor_m <= 100.0, "fit.corridor_m must lie in 1..100 m")
        require(2.0 <= self.max_distance_m <= 100.0, "fit.max_distance_m must lie in 2..100 m")
        require(1 <= self.epochs <= 100, "fit.epochs must lie in 1..100")
        require(10_000 <= self.tile_cells <= 100_000_000, "fit.tile_cells must lie in 10000..100000000")
        require(self.holdout_every == 0 or self.holdout_every >= 2, "fit.holdout_every must be 0 or at least 2")
        require(self.seed >= 0, "fit.seed must not be negative")
        require(0.0 < self.most_jump_m <= 1000.0, "fit.most_jump_m must lie in 0..1000 m")
        for name in ("rgb_weight", "class_weight", "smooth_weight", "lidar_weight", "stereo_weight"):
            require(getattr(self, name) >= 0.0, f"fit.{name} must not be negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignConfig:
    """How trips over one place are brought together, and which are left out."""

    enabled: bool = True  # False: take the poses as they are, for measuring
    reach_m: float = 12.0  # landmarks farther from the camera are too uncertain
    least_shared: float = 0.2  # of a trip's landmarks that others must have seen too
    most_residual_m: float = 0.12  # median distance at which shared landmarks may still miss each other
    most_shift_m: float = 4.0  # a longer correction cannot be noise of the poses
    most_raise_m: float = 2.5  # between a trip's mean road height and that of all trips
    most_jump_m: float = 1.0  # of a pose against its neighbours, beyond what speed explains

    def __post_init__(self) -> None:
        require(2.0 <= self.reach_m <= 50.0, "align.reach_m must lie in 2..50 m")
        require(0.0 <= self.least_shared <= 1.0, "align.least_shared must lie in 0..1")
        for name in ("most_residual_m", "most_shift_m", "most_raise_m", "most_jump_m"):
            require(0.0 < getattr(self, name) <= 100.0, f"align.{name} must lie in 0..100 m")


@dataclass(frozen=True, slots=True, kw_only=True)
class BakeConfig:
    """How the surface becomes a raster."""

    cell_m: float = 0.1

    def __post_init__(self) -> None:
        require(0.02 <= self.cell_m <= 1.0, "bake.cell_m must lie in 0.02..1 m")
