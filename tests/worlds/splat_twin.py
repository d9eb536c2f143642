"""A slow twin of the functions of gsplat 1.5.3 that recon/render/gsplat.py calls, for machines without CUDA.

Written from the paper (Huang et al. 2024, eq. 8-11) and the documented arguments: float64 torch, tile by tile, with
autograd. Its cut-offs can be set, so that tests can separate their effect.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

WIDTH_AT_LEAST = 2.0  # a splat weighs at least as much as a circle of variance 1/2 pixel about its image centre


@dataclass(frozen=True)
class Twin:
    """The functions of gsplat, with cut-offs that can be set."""

    q_max: float = float("inf")
    alpha_min: float = 1 / 255
    alpha_max: float = 0.999
    passed_min: float = 1e-4

    def isect_tiles(
        self, means2d: Tensor, radii: Tensor, depths: Tensor, tile_size: int, tile_width: int, tile_height: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        count = means2d.shape[1]
        assert means2d.shape == radii.shape == (1, count, 2)
        assert depths.shape == (1, count)
        assert radii.dtype == torch.int32
        assert bool((depths > 0).all())  # their bits are compared
        crossings = []
        for i in torch.nonzero((radii[0] > 0).all(dim=1)).squeeze(1).tolist():
            low = torch.floor((means2d[0, i] - radii[0, i]) / tile_size).clamp(min=0)
            high = torch.ceil((means2d[0, i] + radii[0, i]) / tile_size)
            for row in range(int(low[1]), min(int(high[1]), tile_height)):
                for column in range(int(low[0]), min(int(high[0]), tile_width)):
                    crossings.append((row * tile_width + column, float(depths[0, i].float()), i))
        crossings.sort()
        tiles = torch.tensor([tile for tile, _, _ in crossings], dtype=torch.int64)
        return torch.empty(0), tiles << 32, torch.tensor([i for _, _, i in crossings], dtype=torch.int32)

    def isect_offset_encode(self, isect_ids: Tensor, n_images: int, tile_width: int, tile_height: int) -> Tensor:
        assert n_images == 1
        tiles = torch.arange(tile_width * tile_height)
        return torch.searchsorted(isect_ids >> 32, tiles).to(torch.int32).reshape(1, tile_height, tile_width)

    def rasterize_to_pixels_2dgs(
        self,
        means2d: Tensor,
        ray_transforms: Tensor,
        colors: Tensor,
        opacities: Tensor,
        normals: Tensor,
        densify: Tensor,
        image_width: int,
        image_height: int,
        tile_size: int,
        isect_offsets: Tensor,
        flatten_ids: Tensor,
    ) -> tuple[Tensor, Tensor]:
        count, channels = means2d.shape[1], colors.shape[-1]
        assert means2d.shape == densify.shape == (1, count, 2)
        assert ray_transforms.shape == (1, count, 3, 3)
        assert normals.shape == (1, count, 3)
        assert opacities.shape == (1, count)
        assert channels in (1, 2, 3, 4, 8, 16, 32)
        bounds = [*isect_offsets.flatten().tolist(), len(flatten_ids)]
        rows = []
        for i in range(isect_offsets.shape[1]):
            blocks = []
            for j in range(isect_offsets.shape[2]):
                tile = i * isect_offsets.shape[2] + j
                ids = flatten_ids[bounds[tile] : bounds[tile + 1]].long()
                y, x = torch.meshgrid(*[torch.arange(tile_size).double() + 0.5] * 2, indexing="ij")
                at = torch.stack([x + j * tile_size, y + i * tile_size], dim=-1).reshape(-1, 2)
                block = self._pixels(at, means2d[0, ids], ray_transforms[0, ids], colors[0, ids], opacities[0, ids])
                blocks.append(block.reshape(tile_size, tile_size, channels + 1))
            rows.append(torch.cat(blocks, dim=1))
        image = torch.cat(rows)[:image_height, :image_width].float()[None]
        return image[..., :-1], image[..., -1:]

    def _pixels(self, at: Tensor, centre: Tensor, image: Tensor, colors: Tensor, opacity: Tensor) -> Tensor:
        """Composite splats, in their order, at pixels (P, 2); colours and alpha."""
        u, v, w = image.double().unbind(dim=1)
        crossing = torch.linalg.cross(at[:, None, :1] * w - u, at[:, None, 1:] * w - v)
        plane = crossing[..., :2] / crossing[..., 2:]
        spread = (at[:, None] - centre.double()).square().sum(dim=2)
        q = torch.minimum(plane.square().sum(dim=2), WIDTH_AT_LEAST * spread)
        alpha = (opacity.double() * torch.exp(-q / 2)).clamp(max=self.alpha_max)
        alpha = torch.where((alpha >= self.alpha_min) & (q <= self.q_max), alpha, torch.zeros_like(alpha))
        passed = torch.cumprod(1 - alpha, dim=1)
        before = torch.cat([torch.ones_like(passed[:, :1]), passed[:, :-1]], dim=1)[:, : alpha.shape[1]]
        weight = torch.where(passed > self.passed_min, alpha * before, torch.zeros_like(alpha))
        return torch.cat([weight @ colors.double(), weight.sum(dim=1, keepdim=True)], dim=1)
