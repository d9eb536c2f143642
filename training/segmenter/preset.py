"""The nets that are trained from random weights: small enough for two CPU cores, fine enough for thin paint.

Masks have half the working resolution, twice that of the usual Mask2Former: at a quarter of 512 px
a lane line 15 m ahead is narrower than a cell. TextNet is the backbone that begins at stride 2; its row and column
kernels suit strokes, and its parallel branches fold into plain convolutions afterwards (recon.segment.fuse).
"""

from __future__ import annotations

from typing import Any

from recon.classes import CLASS_COUNT, RoadClass

STRIDE = 2  # of the masks


def net_config(preset: str) -> Any:
    """Return the Mask2FormerConfig of a preset, one query per class."""
    from transformers import Mask2FormerConfig, TextNetConfig

    channels, depths, width = {
        "small": ((32, 64, 112, 192, 256), (1, 2, 3, 2), 64),
        "tiny": ((8, 8, 16, 16, 32), (1, 1, 1, 1), 32),
    }[preset]
    text_net: Any = TextNetConfig  # its declared fields leave out what every backbone takes
    backbone = text_net(
        stem_out_channels=channels[0],
        hidden_sizes=list(channels),
        conv_layer_kernel_sizes=[[[3, 3]] * depth for depth in depths],
        conv_layer_strides=[[2] + [1] * (depth - 1) for depth in depths],
        out_features=["stem", "stage1", "stage2", "stage3", "stage4"],
    )
    names = {int(road_class): road_class.name for road_class in RoadClass}
    return Mask2FormerConfig(
        backbone_config=backbone,
        feature_size=width,
        mask_feature_size=32,
        hidden_dim=width,
        encoder_feedforward_dim=4 * width,
        dim_feedforward=4 * width,
        encoder_layers=1,
        decoder_layers=4,
        num_attention_heads=4,
        num_queries=CLASS_COUNT,
        feature_strides=[2, 4, 8, 16, 32],
        common_stride=STRIDE,
        use_auxiliary_loss=True,
        id2label=names,
        label2id={name: i for i, name in names.items()},
    )
