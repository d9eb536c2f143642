"""Settings of the online-mapping model. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from recon.config import require
from training.data.patch import PatchSize
from vectorize.labels.class_ids import CLASS_TYPE

Backbone = Literal["resnet18", "resnet50", "swin", "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]
Lift = Literal["ipm", "lss"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The shape of a model; a checkpoint carries it. Presets are in `training.model.presets`."""

    classes: tuple[str, ...] = ("divider", "ped_crossing", "boundary", "stop_line")
    patch: PatchSize = field(default_factory=PatchSize)
    bev_px: tuple[int, int] = (200, 100)  # rows along the patch, columns across it
    # Images
    image_px: tuple[int, int] = (800, 480)  # width and height of the input; images keep their aspect
    backbone: Backbone = "resnet50"
    weights: str = ""  # of the backbone: "imagenet" (the extra [backbones]), a local folder, or "" for random ones
    stride: Literal[4, 8, 16, 32] = 32  # of the features that are lifted
    # Bird's eye
    lift: Lift = "lss"
    heights_m: tuple[float, ...] = (0.0,)  # of the planes that IPM samples, above the ground
    depth_m: tuple[float, float, float] = (1.0, 35.0, 0.5)  # nearest, farthest, width of the depth bins of LSS
    channels: int = 256
    bev_blocks: int = 2
    # Decoder
    layers: int = 6
    heads: int = 8
    feed_forward: int = 512
    sampling_points: int = 4  # of the deformable cross-attention, a head
    dropout: float = 0.1
    instances: int = 50
    instances_many: int = 300  # of the one-to-many branch; 0 is none
    repeats: int = 6  # of each label in the one-to-many branch
    points: int = 20
    # Auxiliary heads
    bev_head: bool = True
    view_head: bool = True

    def __post_init__(self) -> None:
        require(len(self.classes) >= 1, "model.classes must name at least one class")
        unknown = [name for name in self.classes if name not in CLASS_TYPE]
        require(not unknown, f"model.classes has {', '.join(unknown)}; known are {', '.join(CLASS_TYPE)}")
        require(len(set(self.classes)) == len(self.classes), "model.classes names a class twice")
        require(self.backbone in get_args(Backbone), f"model.backbone must be one of {', '.join(get_args(Backbone))}")
        require(self.lift in get_args(Lift), "model.lift must be ipm or lss")
        sides = (*self.image_px, *self.bev_px)
        require(all(16 <= side <= 8192 for side in sides), "model.image_px and bev_px must lie in 16..8192")
        require(all(side % self.stride == 0 for side in self.image_px), "model.image_px must be multiples of stride")
        require(self.channels % self.heads == 0, "model.channels must be a multiple of heads")
        require(min(self.layers, self.instances, self.sampling_points) >= 1, "model: layers, instances: at least 1")
        require(self.points >= 2, "model.points must be at least 2")
        require(self.instances_many >= 0 and self.repeats >= 1, "model: instances_many >= 0, repeats >= 1")
        require(0.0 <= self.dropout < 1.0, "model.dropout must lie in 0..1")
        near, far, step = self.depth_m
        require(0.0 < near < far and 0.0 < step <= far - near, "model.depth_m must be nearest, farthest, step")

    @property
    def feature_px(self) -> tuple[int, int]:
        """Return rows and columns of the features of an image."""
        return self.image_px[1] // self.stride, self.image_px[0] // self.stride

    @property
    def feature_shift_px(self) -> float:
        """Return how far right of its cell's middle, and below it, a feature looks: pixels of the input.

        A convolution of stride 2 that is padded by as many pixels on all sides looks half a pixel of its own input up
        and left. In a ResNet these halves add up to almost half a cell. Swin cuts patches, and the pretrained
        EfficientNet-Lite looks within about a pixel of the middle at the strides 4 and 8.
        """
        return -(self.stride - 1) / 2 if self.backbone.startswith("resnet") else 0.0

    @property
    def depth_bins(self) -> int:
        """Return the number of depth bins."""
        near, far, step = self.depth_m
        return round((far - near) / step)
