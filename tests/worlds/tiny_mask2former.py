"""Mask2Former checkpoints with random weights, small enough to save, load and run in a second."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch


def net_config(labels: int, backbone: str = "swin") -> Any:
    from transformers import Mask2FormerConfig, SwinConfig, TextNetConfig

    if backbone == "textnet":
        inner: Any = TextNetConfig(
            stem_out_channels=8,
            hidden_sizes=[8, 8, 16, 16, 32],
            conv_layer_kernel_sizes=[[[3, 3], [3, 3]], [[3, 3]], [[1, 3]], [[3, 3]]],
            conv_layer_strides=[[2, 1], [2], [2], [2]],
            out_features=["stem", "stage1", "stage2", "stage3", "stage4"],
        )
        strides, common = [2, 4, 8, 16, 32], 2
    else:
        stages = ["stage1", "stage2", "stage3", "stage4"]
        inner = SwinConfig(embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4, out_features=stages)
        strides, common = [4, 8, 16, 32], 4
    return Mask2FormerConfig(
        backbone_config=inner,
        feature_size=32,
        mask_feature_size=16,
        hidden_dim=32,
        encoder_feedforward_dim=32,
        dim_feedforward=32,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        num_queries=12,
        feature_strides=strides,
        common_stride=common,
        num_labels=labels,
    )


def write(folder: Path, *, labels: int, size_px: tuple[int, int], backbone: str = "swin") -> Path:
    from transformers import Mask2FormerForUniversalSegmentation

    torch.manual_seed(3)
    net = Mask2FormerForUniversalSegmentation(net_config(labels, backbone))
    with torch.no_grad():
        for module in net.modules():
            # Fresh running statistics would hide a mistake in folding them into the convolution.
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.uniform_(-0.5, 0.5)  # type: ignore[operator, union-attr]
                module.running_var.uniform_(0.5, 2.0)  # type: ignore[operator, union-attr]
        net.class_predictor.weight.normal_(0.0, 0.7)
    net.save_pretrained(folder)
    (folder / "roadscribe.json").write_text(json.dumps({"schema": 1, "size_px": list(size_px)}))
    return folder


def copy(folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target)
    return target


def damage(folder: Path, fault: str) -> None:
    """Break a checkpoint in one way."""
    from safetensors.torch import load_file, save_file

    weights = folder / "model.safetensors"
    spec, net = folder / "roadscribe.json", folder / "config.json"
    if fault == "no config":
        net.unlink()
    elif fault == "no weights":
        weights.unlink()
    elif fault == "pickle":
        weights.rename(folder / "pytorch_model.bin")
    elif fault == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif fault == "missing":
        kept = load_file(weights)
        del kept["class_predictor.bias"]
        save_file(kept, weights, metadata={"format": "pt"})
    elif fault == "foreign":
        net.write_text(json.dumps({"model_type": "vit"}))
    elif fault == "shard":
        weights.unlink()
        (folder / "model.safetensors.index.json").write_text(
            json.dumps({"weight_map": {"a": "model-00001.safetensors"}})
        )
    elif fault == "size":
        spec.write_text(json.dumps({"size_px": [7, 8]}))
    elif fault == "entry":
        spec.write_text(json.dumps({"colour": "rgb"}))
