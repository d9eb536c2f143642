"""EfficientNet-Lite 0 to 2: EfficientNet without squeeze-and-excitation, and with ReLU6.

The architecture is that of Tan and Le 2019 (table 1), scaled in depth and width (section 4) with stem, first and last
stage fixed; Lite is Google's variant for machines without a GPU. The convolutions pad as TensorFlow's "SAME": where
the total is odd, the further pixel lies below and to the right. The published weights need exactly that.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

Tensor = torch.Tensor


class Stage(NamedTuple):
    """A row of the paper's table 1."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STEM = 32
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
SCALES = ((1.0, 1.0), (1.0, 1.1), (1.1, 1.2))  # width, depth of Lite0, 1, 2
LAST_OF_STRIDE = (1, 2, 4, 6)  # the stage that ends strides 4, 8, 16, 32
_EARLY = 2  # stages with wide maps and few weights
_SLICE_PX = 122_880  # input pixels that a CPU takes through them at once


class EfficientNetLite(nn.Module):
    """The features of strides 4, 8, 16 and 32; the classifier is left out."""

    mean = (127.0, 127.0, 127.0)  # what the published weights were trained with, not ImageNet's statistics
    std = (128.0, 128.0, 128.0)

    def __init__(self, size: int, *, freeze_norm: bool) -> None:
        """Build Lite`size`; with `freeze_norm` the running statistics of the batch norms stay as they are loaded."""
        super().__init__()
        self.size, self.freeze_norm = size, freeze_norm
        stages = scaled(size)
        self.stem = ConvNorm(3, STEM, kernel=3, stride=2, freeze=freeze_norm)
        self.stages = nn.ModuleList()
        before = STEM
        for stage in stages:
            blocks = []
            for i in range(stage.blocks):
                blocks.append(Block(before, stage, stride=stage.stride if i == 0 else 1, freeze=freeze_norm))
                before = stage.channels
            self.stages.append(nn.Sequential(*blocks))
        self.channels = tuple(stages[i].channels for i in LAST_OF_STRIDE)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Return features (N, channels, ceil(H / s), ceil(W / s)) for s = 4, 8, 16, 32 of pixels (N, 3, H, W)."""
        x = self._early(pixels)
        features = [x]
        for i, stage in enumerate(self.stages[_EARLY:], _EARLY):
            x = stage(x)
            if i in LAST_OF_STRIDE:
                features.append(x)
        return features

    def _early(self, pixels: Tensor) -> Tensor:
        """Return the features of stride 4."""
        learns_norm = self.training and not self.freeze_norm  # of the whole batch
        if learns_norm or pixels.device.type != "cpu" or torch.compiler.is_exporting():
            return self._stride_4(pixels)
        # The maps of many images leave the cache, and the system takes memory of their size back after every layer.
        count = max(1, _SLICE_PX // (pixels.shape[-2] * pixels.shape[-1]))
        return torch.cat([self._stride_4(part) for part in torch.split(pixels, count)])

    def _stride_4(self, pixels: Tensor) -> Tensor:
        x = functional.relu6(self.stem(pixels), inplace=True)
        for stage in self.stages[:_EARLY]:
            x = stage(x)
        return x


class Block(nn.Module):
    """An inverted residual (MBConv): widen, convolve each channel, narrow; the narrow ends are linear."""

    def __init__(self, before: int, stage: Stage, *, stride: int, freeze: bool) -> None:
        super().__init__()
        wide = before * stage.expansion
        self.expand = ConvNorm(before, wide, freeze=freeze) if stage.expansion > 1 else None
        self.depthwise = ConvNorm(wide, wide, kernel=stage.kernel, stride=stride, groups=wide, freeze=freeze)
        self.project = ConvNorm(wide, stage.channels, freeze=freeze)
        self.residual = stride == 1 and before == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output (N, channels, h, w)."""
        wide = x if self.expand is None else functional.relu6(self.expand(x), inplace=True)
        y: Tensor = self.project(functional.relu6(self.depthwise(wide), inplace=True))
        return x + y if self.residual else y


class ConvNorm(nn.Module):
    """A convolution with "SAME" padding, and a batch norm.

    A frozen norm is a linear map of each channel. It is folded into the kernel at every call, which is exact, lets
    gradients reach its scale and bias as well, and spares a pass over the widest tensors of the net.
    """

    def __init__(
        self, before: int, after: int, *, kernel: int = 1, stride: int = 1, groups: int = 1, freeze: bool
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(after, eps=1e-3, momentum=0.01)
        self.freeze = freeze

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, after, ceil(H / stride), ceil(W / stride))."""
        kernel, stride = self.conv.kernel_size[0], self.conv.stride[0]
        rows, columns = (same_padding(length, kernel, stride) for length in x.shape[-2:])
        padding = rows[1], columns[1]
        # Convolutions pad both sides alike. Where the near side needs a pixel less, the kernel gets a row or column of
        # zeros there: the same sums, and no padded copy of the image.
        more = columns[1] - columns[0], 0, rows[1] - rows[0], 0
        weight = functional.pad(self.conv.weight, more) if any(more) else self.conv.weight
        norm = self.norm
        if not self.freeze and self.training:
            y: Tensor = norm(functional.conv2d(x, weight, None, stride, padding, 1, self.conv.groups))
            return y
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        weight = weight * scale.view(-1, 1, 1, 1)
        bias = norm.bias - norm.running_mean * scale
        return functional.conv2d(x, weight, bias, stride, padding, 1, self.conv.groups)


def same_padding(length: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the pixels before and after an axis for which ceil(length / stride) outputs come out."""
    outputs = (length + stride - 1) // stride
    total = max((outputs - 1) * stride + kernel - length, 0)
    return total // 2, total - total // 2


def scaled(size: int) -> tuple[Stage, ...]:
    """Return the stages of Lite`size`: compound scaling, channels in multiples of 8."""
    width, depth = SCALES[size]
    stages = []
    for i, stage in enumerate(STAGES):
        fixed = i in {0, len(STAGES) - 1}
        blocks = stage.blocks if fixed else math.ceil(stage.blocks * depth)
        stages.append(stage._replace(blocks=blocks, channels=in_eights(stage.channels * width)))
    return tuple(stages)


def in_eights(channels: float) -> int:
    """Return the nearest multiple of 8 that is not more than a tenth below."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest
