"""Deformable attention (Zhu et al. 2021, equation 2) on one raster."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from training.model.decoder.sampling_kernels import sample, sample_gradient

Tensor = torch.Tensor


class DeformableAttention(nn.Module):
    """Each query reads the raster at a few places near its reference point, which it chooses itself."""

    def __init__(self, channels: int, heads: int, points: int) -> None:
        super().__init__()
        self.heads, self.points = heads, points
        self.offsets = nn.Linear(channels, heads * points * 2)
        self.weights = nn.Linear(channels, heads * points)
        self.value = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, channels)
        self._start()

    def _start(self) -> None:
        """Start with each head looking in a direction of its own, its points 1, 2, 3... cells away (appendix A.4)."""
        angles = torch.arange(self.heads) * (2.0 * math.pi / self.heads)
        directions = torch.stack([angles.cos(), angles.sin()], dim=-1)
        directions = directions / directions.abs().amax(dim=-1, keepdim=True)
        steps = torch.arange(1, self.points + 1)[None, :, None]
        with torch.no_grad():
            self.offsets.bias.copy_((directions[:, None] * steps).flatten())
        for layer in (self.offsets, self.weights):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.weights.bias)
        for layer in (self.value, self.out):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, query: Tensor, reference: Tensor, raster: Tensor) -> Tensor:
        """Return (B, T, D) of queries (B, T, D), reference points (B, T, 2) in 0..1 and a raster (B, D, rows, columns).

        Reference points are columns and rows, as everywhere in `training.data.patch`.
        """
        b, t = query.shape[:2]
        rows, columns = raster.shape[-2:]
        # The value of a cell does not depend on the query: projected once, then cut into heads.
        value = self.value(raster.flatten(2).transpose(1, 2))
        shares = self.weights(query).view(b, t, self.heads, self.points).softmax(dim=-1)
        offsets = self.offsets(query).view(b, t, self.heads, self.points, 2)
        with torch.autocast(query.device.type, enabled=False):  # places would be half a cell off in bfloat16
            size = torch.tensor([columns, rows], device=query.device, dtype=torch.float32)
            places = reference.float()[:, :, None, None] * size + offsets.float()
            fast = query.device.type == "cpu" and not torch.compiler.is_exporting()
            read = (by_kernels if fast else by_grid_sample)(
                value.float().view(b, rows * columns, self.heads, -1), places, shares.float(), (rows, columns)
            )
        result: Tensor = self.out(read.flatten(2))
        return result


def by_grid_sample(value: Tensor, places: Tensor, shares: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return (B, T, heads, C): the sums of value (B, cells, heads, C) at places, by their shares (B, T, heads, K).

    Places (B, T, heads, K, 2) are columns and rows of the raster of that shape, in cells from its corner.
    """
    b, t, heads = shares.shape[:3]
    grid = 2.0 * (places / places.new_tensor(shape[::-1])).transpose(1, 2).flatten(0, 1) - 1.0
    rasters = value.permute(0, 2, 3, 1).reshape(b * heads, -1, *shape)
    read = functional.grid_sample(rasters, grid, mode="bilinear", align_corners=False)  # (B heads, C, T, K)
    sums = (read * shares.transpose(1, 2).flatten(0, 1)[:, None]).sum(dim=-1)
    return sums.view(b, heads, -1, t).permute(0, 3, 1, 2)


def by_kernels(value: Tensor, places: Tensor, shares: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return what `by_grid_sample` does, on a CPU."""
    result: Tensor = _Sampling.apply(value, places - 0.5, shares, shape)  # type: ignore[no-untyped-call]
    return result


class _Sampling(torch.autograd.Function):
    """The kernels as an operation with gradients; places are from the centre of the first cell."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, places: Tensor, shares: Tensor, shape: tuple[int, int]) -> Tensor:
        """Return (B, T, heads, C)."""
        given = [part.contiguous() for part in (value, places, shares)]
        ctx.save_for_backward(*given)
        ctx.shape = shape
        out = value.new_zeros(*shares.shape[:3], value.shape[-1])
        sample(*(part.detach().numpy() for part in given), *shape, out.numpy())
        return out

    @staticmethod
    def backward(ctx: Any, *of_out: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of value, places and shares."""
        given = ctx.saved_tensors
        found = [torch.zeros_like(part) for part in given]
        arrays = [part.detach().numpy() for part in (*given, of_out[0].contiguous(), *found)]
        sample_gradient(*arrays[:3], *ctx.shape, *arrays[3:])
        return *found, None
