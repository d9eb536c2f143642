"""The cpu renderer: numba kernels behind torch autograd."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from recon.render import cpu_kernels
from recon.render.surfels import Rays, Rendering, Surfels, gather_order


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        tilt: Tensor,
        log_scale: Tensor,
        opacity: Tensor,
        features: Tensor,
        surfels: Surfels,
        rays: Rays,
    ) -> tuple[Tensor, Tensor, Tensor]:
        geometry = torch.cat([z[:, None], tilt, torch.exp(-log_scale), torch.sigmoid(opacity)[:, None]], dim=1)
        inputs = (
            surfels.index.numpy(),
            geometry.detach().float().contiguous().numpy(),
            features.detach().float().contiguous().numpy(),
            gather_order(rays.forward).numpy(),
            np.float32(surfels.cell_m),
            np.float32(z.detach().mean()) if len(z) else np.float32(0.0),
            rays.origin.float().contiguous().numpy(),
            rays.direction.float().contiguous().numpy(),
        )
        count = len(rays.direction)
        out = torch.empty((count, features.shape[1]), dtype=torch.float32)
        alpha, depth = torch.empty(count), torch.empty(count)
        cpu_kernels.forward(*inputs, out.numpy(), alpha.numpy(), depth.numpy())
        ctx.inputs, ctx.live = inputs, surfels.geometry_channels
        ctx.mark_non_differentiable(depth)
        return out, alpha, depth

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor, grad_alpha: Tensor, _: Tensor) -> Any:
        surfel_count, channels = ctx.inputs[2].shape
        grad_geometry = np.zeros((cpu_kernels.PARTITIONS, surfel_count, cpu_kernels.GEOMETRY), dtype=np.float32)
        grad_features = np.zeros((cpu_kernels.PARTITIONS, surfel_count, channels), dtype=np.float32)
        upstream = (grad_out.float().contiguous().numpy(), grad_alpha.float().contiguous().numpy())
        cpu_kernels.backward(*ctx.inputs, ctx.live, *upstream, grad_geometry, grad_features)
        geometry = torch.from_numpy(grad_geometry).sum(dim=0)
        feature = torch.from_numpy(grad_features).sum(dim=0)
        return geometry[:, 0], geometry[:, 1:3], geometry[:, 3:5], geometry[:, 5], feature, None, None


def render(surfels: Surfels, rays: Rays) -> Rendering:
    """Composite surfels along rays in float32 on the CPU; gradients are hand-written."""
    parameters = (surfels.z, surfels.tilt, surfels.log_scale, surfels.opacity, surfels.features)
    return Rendering(*_Composite.apply(*parameters, surfels, rays))  # type: ignore[no-untyped-call]
