"""A Mask2Former of mmsegmentation with random weights, small enough to build, save and run in a second."""

from __future__ import annotations

import pprint
from pathlib import Path
from typing import Any

import torch

WIDTH = 32  # channels of everything behind the backbone


def importable() -> bool:
    """Tell whether the extra [mmseg] is installed, without importing it: that takes seconds."""
    from importlib.util import find_spec

    return all(find_spec(name) is not None for name in ("mmengine", "mmcv", "mmdet", "mmseg"))


def model_config(labels: int) -> dict[str, Any]:
    """Return mmsegmentation's Mask2Former at its smallest: Swin, deformable pixel decoder, nine queries."""
    attention = {"embed_dims": WIDTH, "num_heads": 2, "batch_first": True}
    feed = {"embed_dims": WIDTH, "feedforward_channels": WIDTH, "num_fcs": 2, "act_cfg": {"type": "ReLU"}}
    deformable = {**attention, "num_levels": 3, "num_points": 4}
    positions = {"num_feats": WIDTH // 2, "normalize": True}
    head = {
        "type": "Mask2FormerHead",
        "in_channels": [8, 16, 32, 64],
        "strides": [4, 8, 16, 32],
        "feat_channels": WIDTH,
        "out_channels": WIDTH,
        "num_classes": labels,
        "num_queries": 9,
        "num_transformer_feat_level": 3,
        "pixel_decoder": {
            "type": "mmdet.MSDeformAttnPixelDecoder",
            "num_outs": 3,
            "norm_cfg": {"type": "GN", "num_groups": 4},
            "act_cfg": {"type": "ReLU"},
            "encoder": {"num_layers": 1, "layer_cfg": {"self_attn_cfg": deformable, "ffn_cfg": feed}},
            "positional_encoding": positions,
        },
        "positional_encoding": positions,
        "transformer_decoder": {
            "return_intermediate": True,
            "num_layers": 2,
            "layer_cfg": {"self_attn_cfg": attention, "cross_attn_cfg": attention, "ffn_cfg": feed},
        },
        "loss_cls": {"type": "mmdet.CrossEntropyLoss", "class_weight": [1.0] * labels + [0.1]},
        "loss_mask": {"type": "mmdet.CrossEntropyLoss", "use_sigmoid": True},
        "loss_dice": {"type": "mmdet.DiceLoss", "use_sigmoid": True},
        "train_cfg": {"num_points": 16, "assigner": {"type": "mmdet.HungarianAssigner"}},
    }
    backbone = {
        "type": "SwinTransformer",
        "embed_dims": 8,
        "depths": (1, 1, 1, 1),
        "num_heads": (1, 1, 2, 2),
        "window_size": 4,
        "init_cfg": {"type": "Pretrained", "checkpoint": "https://example.org/never_fetched.pth"},
    }
    pixels = {
        "type": "SegDataPreProcessor",
        "mean": [123.675, 116.28, 103.53],
        "std": [58.395, 57.12, 57.375],
        "bgr_to_rgb": True,
        "size": (64, 96),
        "test_cfg": {"size_divisor": 32},
    }
    test = {"mode": "whole"}
    return {
        "type": "EncoderDecoder",
        "data_preprocessor": pixels,
        "backbone": backbone,
        "decode_head": head,
        "test_cfg": test,
    }


def body(labels: int, **model: Any) -> dict[str, Any]:
    pipeline = [
        {"type": "LoadImageFromFile"},
        {"type": "Resize", "scale": (96, 64), "keep_ratio": True},
        {"type": "PackSegInputs"},
    ]
    return {"model": {**model_config(labels), **model}, "test_pipeline": pipeline}


def write_config(path: Path, names: dict[str, Any]) -> Path:
    """Write a configuration as mmsegmentation writes it out: one assignment of plain data per name."""
    text = "".join(f"{name} = {pprint.pformat(value, sort_dicts=False)}\n" for name, value in names.items())
    path.write_text(text, encoding="utf-8")
    return path


def write(folder: Path, *, labels: int, classes: tuple[str, ...] = ()) -> Path:
    """Write net.py and net.pth; return the latter."""
    from recon.segment.mmsegmentation.mmseg_net import build_net

    folder.mkdir(parents=True, exist_ok=True)
    config = body(labels)
    torch.manual_seed(3)
    net = build_net(config, where="tiny")
    with torch.no_grad():
        # Fresh weights give masks of 0.5 everywhere, so each image would have one class.
        net.decode_head.cls_embed.weight.normal_(0.0, 0.7)
        net.decode_head.mask_embed[-1].weight.normal_(0.0, 2.0)
    write_config(folder / "net.py", config)
    meta = {"dataset_meta": {"classes": classes, "palette": [[0, 0, 0]] * len(classes)}} if classes else {}
    torch.save({"meta": meta, "state_dict": net.state_dict()}, folder / "net.pth")
    return folder / "net.pth"
