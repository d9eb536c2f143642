"""Fewer operations for the same function: batch norms and parallel branches folded into one convolution."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

Tensor = torch.Tensor


def fuse_text_net(net: nn.Module) -> int:
    """Replace TextNet's three-branch layers, in evaluation mode, by one convolution each; return how many.

    Every branch is linear (convolution and batch norm) and they are summed before the activation.
    """
    from transformers.models.textnet.modeling_textnet import TextNetConvLayer, TextNetRepConvLayer

    found = [
        (parent, name, child)
        for parent in net.modules()
        for name, child in parent.named_children()
        if isinstance(child, (TextNetRepConvLayer, TextNetConvLayer))
    ]
    for parent, name, child in found:
        fused = _branches(child) if isinstance(child, TextNetRepConvLayer) else _stem(child)
        parent.register_module(name, fused.to(next(child.parameters())))
    return len(found)


def _stem(layer: Any) -> nn.Module:
    weight, bias = _folded(layer.conv.weight, layer.batch_norm)
    return nn.Sequential(_convolution(layer.conv, weight, bias), layer.activation)


def _branches(layer: Any) -> nn.Module:
    weight, bias = _folded(layer.main_conv.weight, layer.main_batch_norm)
    height, width = weight.shape[-2:]
    for conv, norm in (
        (layer.vertical_conv, layer.vertical_batch_norm),
        (layer.horizontal_conv, layer.horizontal_batch_norm),
    ):
        if conv is not None:
            weight, bias = _add(weight, bias, *_folded(conv.weight, norm))
    if layer.rbr_identity is not None:
        same = torch.eye(weight.shape[0], device=weight.device, dtype=weight.dtype)[:, :, None, None]
        weight, bias = _add(weight, bias, *_folded(same, layer.rbr_identity))
    assert weight.shape[-2:] == (height, width)
    return nn.Sequential(_convolution(layer.main_conv, weight, bias), layer.activation_function)


def _folded(weight: Tensor, norm: Any) -> tuple[Tensor, Tensor]:
    folded, bias = fuse_conv_bn_weights(
        weight, None, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    return folded.detach(), bias.detach()


def _add(weight: Tensor, bias: Tensor, more: Tensor, more_bias: Tensor) -> tuple[Tensor, Tensor]:
    """Add a smaller kernel, centred, to a larger one."""
    grow_y, grow_x = ((weight.shape[i] - more.shape[i]) // 2 for i in (2, 3))
    return weight + nn.functional.pad(more, (grow_x, grow_x, grow_y, grow_y)), bias + more_bias


def _convolution(like: nn.Conv2d, weight: Tensor, bias: Tensor) -> nn.Conv2d:
    size = (like.kernel_size[0], like.kernel_size[1])
    padding = (size[0] // 2, size[1] // 2)
    stride = (like.stride[0], like.stride[1])
    conv = nn.Conv2d(like.in_channels, like.out_channels, size, stride, padding)
    conv.weight, conv.bias = nn.Parameter(weight), nn.Parameter(bias)
    return conv
