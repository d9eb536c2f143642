"""A piece of rough road with holes, and a pinhole camera above it whose pixels are the rays."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from recon.render.surfels import Raster, Rays, Surfels


def road(
    *, cells: int = 30, channels: int = 12, opacity: float | None = None, seed: int = 0, tilt: float = 0.02
) -> Surfels:
    """Return a wavy road; `opacity` is a logit, or None for random logits."""
    generator = torch.Generator().manual_seed(seed)
    keep = torch.rand(cells, cells, generator=generator) > 0.1
    row, column = (axis.to(torch.int32) for axis in torch.nonzero(keep).unbind(dim=1))
    count = len(row)
    index = torch.full((cells, cells), -1, dtype=torch.int32)
    index[keep] = torch.arange(count, dtype=torch.int32)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    return Surfels(
        index=index,
        row=row,
        column=column,
        cell_m=0.1,
        z=0.02 * torch.sin(column * 0.3) + 0.004 * normal(count),
        tilt=tilt * normal(count, 2),
        log_scale=math.log(0.06) + 0.1 * normal(count, 2).clamp(-2, 2),
        opacity=1.0 + normal(count) if opacity is None else torch.full((count,), opacity),
        features=torch.rand(count, channels, generator=generator),
        geometry_channels=3,
    )


def camera(
    surfels: Surfels,
    *,
    stand: tuple[float, float] = (0.4, -0.2),
    yaw: float = 0.3,
    width_px: int = 72,
    height_px: int = 40,
    height_m: float = 1.5,
) -> Rays:
    """Return the rays of a camera's pixels that show the road; `stand` is its position in shares of the road's size."""
    size = surfels.index.shape[0] * surfels.cell_m
    ahead = torch.tensor([math.sin(yaw), math.cos(yaw), 0.0], dtype=torch.float64)
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    right = torch.linalg.cross(ahead, up)
    pitch = 0.7
    forward = math.cos(pitch) * ahead - math.sin(pitch) * up
    down = torch.linalg.cross(forward, right)
    camera_from_window = torch.stack([right, down, forward])
    k = torch.tensor([[60.0, 0.0, 35.0], [0.0, 62.0, 21.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    origin = torch.tensor([stand[0] * size, stand[1] * size, height_m], dtype=torch.float64)
    row, column = torch.meshgrid(torch.arange(height_px) + 0.5, torch.arange(width_px) + 0.5, indexing="ij")
    pixels = torch.stack([column, row, torch.ones_like(row)], dim=-1).reshape(-1, 3).double()
    direction = pixels @ torch.linalg.inv(k).T @ camera_from_window
    ground = origin[:2] - direction[:, :2] / direction[:, 2:] * origin[2]
    usable = (direction[:, 2] < -0.05) & ((ground > 0) & (ground < size)).all(dim=1)
    return Rays(
        origin=origin.float(),
        direction=direction[usable].float(),
        forward=ahead[:2].float(),
        raster=Raster(
            width_px=width_px,
            height_px=height_px,
            pixel_from_direction=(k @ camera_from_window).float(),
            pixel=torch.nonzero(usable).squeeze(1),
        ),
    )
