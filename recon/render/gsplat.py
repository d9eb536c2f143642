"""The gsplat renderer: the CUDA kernels of 2D Gaussian splatting (Huang et al. 2024), used to compute our model.

gsplat's own entry point, `rasterization_2dgs`, renders another model than `surfels.py`: splats have orthogonal axes,
far ones are widened to a pixel, and they are sorted by depth. The functions below it are public too and take:

- the map from a splat's plane to the image, so the skewed axes of a tilted surfel need no decomposition, whose
  gradient is unbounded for round ones;
- the key by which splats are sorted: the camera's horizontal axis, as for the other renderers;
- the image centre around which a splat is at least a pixel wide: given far outside, it has no effect.

Colour moves geometry and classes do not: both are rasterised from one projection and one sorting, the classes with
geometry detached. The remaining differences are cut-offs inside the kernels; docs/gpu.md measures them.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from recon.render import gsplat_kernels
from recon.render.surfels import Raster, Rays, Rendering, Surfels

ALPHA_MIN = 1 / 255  # the kernels ignore smaller opacities ...
ALPHA_MAX = 0.999  # ... and clamp larger ones
NEAR_M = 0.2  # along the optical axis; nearer surfels are left out
TILE_PX = 16
FAR_PX = 1e6  # the image centre that is passed for every splat
CHANNELS = (1, 2, 3, 4, 8, 16, 32, 64, 128, 256, 512)  # the numbers of channels that the kernels are compiled for


def render(surfels: Surfels, rays: Rays) -> Rendering:
    """Composite surfels along the pixels of `rays.raster` in float32 on CUDA; all tensors must be there.

    Depth is that of the surfels' centres. Sums are atomic: gradients vary in their last bits from run to run. Raises
    ConfigInvalid when gsplat cannot run on this machine, ValueError for rays that do not belong to an image.
    """
    if rays.raster is None:
        raise ValueError("raster: gsplat renders the pixels of an image, but these rays do not belong to one")
    pixel_from_splat = image_maps(surfels, rays.origin, rays.raster.pixel_from_direction)
    opacity = torch.sigmoid(surfels.opacity).float()
    with torch.no_grad():
        centre_px, radius_px = extents(pixel_from_splat, opacity, rays.raster)
        composite = _Compositor(centre_px, radius_px, front_to_back(surfels, rays), rays.raster)
    live, features = surfels.geometry_channels, surfels.features.float()
    colour, alpha = composite(pixel_from_splat, opacity, features[:, :live])
    # Constant weights: only the first channels have a gradient to the geometry.
    still = pixel_from_splat.detach()
    classes, _ = composite(still, opacity.detach(), torch.cat([features[:, live:], still[:, 2, 2:]], dim=1))
    along = rays.direction.float() @ rays.raster.pixel_from_direction[2].float()
    return Rendering(torch.cat([colour, classes[:, :-1]], dim=1), alpha, (classes[:, -1] / along).detach())


def image_maps(surfels: Surfels, origin: Tensor, pixel_from_direction: Tensor) -> Tensor:
    """Return (N, 3, 3): the homogeneous pixel at which (u, v, 1) of each surfel's plane is seen; row 2 is the depth.

    A point of the plane is centre + u s_x (1, 0, tilt_x) + v s_y (0, 1, tilt_y), with u and v in standard deviations
    as in `surfels.py`. Everything is relative to the camera, so float32 does not lose the offset of the window.
    """
    scale = surfels.log_scale.exp()
    zero = torch.zeros_like(surfels.z)
    east = torch.stack([scale[:, 0], zero, scale[:, 0] * surfels.tilt[:, 0]], dim=1)
    north = torch.stack([zero, scale[:, 1], scale[:, 1] * surfels.tilt[:, 1]], dim=1)
    x, y = ((cell + 0.5) * surfels.cell_m for cell in (surfels.column, surfels.row))
    centre = torch.stack([x, y, surfels.z], dim=1) - origin
    return (pixel_from_direction @ torch.stack([east, north, centre], dim=2).float()).float()


def extents(pixel_from_splat: Tensor, opacity: Tensor, raster: Raster) -> tuple[Tensor, Tensor]:
    """Return (N, 2) centre and (N, 2) int32 radius in pixels of the box that holds a splat; radius 0: invisible.

    The box bounds the conic that is the image of the circle of least visible opacity, exactly also under strong
    perspective. It is computed in float64, since a small radius is the difference of large squares.
    """
    reach = (2 * torch.log(opacity.double() / ALPHA_MIN)).clamp(min=0).sqrt()
    rows = pixel_from_splat.double() * torch.stack([reach, reach, torch.ones_like(reach)], dim=1)[:, None, :]
    sign = rows.new_tensor([1.0, 1.0, -1.0])
    across = (sign * rows[:, 2] ** 2).sum(dim=1, keepdim=True)
    centre = (sign * rows[:, :2] * rows[:, 2:]).sum(dim=2) / across
    half = (centre**2 - (sign * rows[:, :2] ** 2).sum(dim=2) / across).clamp(min=0).sqrt()
    size = centre.new_tensor([raster.width_px, raster.height_px])
    # `across` is negative where the whole circle lies in front of the camera.
    shown = (reach > 0) & (rows[:, 2, 2] > NEAR_M) & (across[:, 0] < 0)
    shown &= ((centre + half > 0) & (centre - half < size)).all(dim=1)
    radius = torch.where(shown[:, None], half.ceil().clamp(min=1, max=FAR_PX), 0.0)
    return torch.where(shown[:, None], centre, 0.0).float(), radius.to(torch.int32)


def front_to_back(surfels: Surfels, rays: Rays) -> Tensor:
    """Return (N,) positive float32 keys in the order of compositing: gsplat compares their bits."""
    x, y = ((cell + 0.5) * surfels.cell_m for cell in (surfels.column, surfels.row))
    ahead = (x - rays.origin[0]) * rays.forward[0] + (y - rays.origin[1]) * rays.forward[1]
    return (ahead - ahead.min() + 1.0).float()


class _Compositor:
    """One sorting of splats into the tiles of an image, for as many rasterisations as share it."""

    def __init__(self, centre_px: Tensor, radius_px: Tensor, key: Tensor, raster: Raster) -> None:
        self._raster = raster
        tiles = math.ceil(raster.width_px / TILE_PX), math.ceil(raster.height_px / TILE_PX)
        self._gsplat: Any = gsplat_kernels.load()
        _, crossings, self._splats = self._gsplat.isect_tiles(
            centre_px[None], radius_px[None], key[None], TILE_PX, *tiles
        )
        self._offsets = self._gsplat.isect_offset_encode(crossings, 1, *tiles)
        self._far = torch.full_like(centre_px, FAR_PX)[None]

    def __call__(self, pixel_from_splat: Tensor, opacity: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (P, C) and alpha (P,) of the raster's pixels."""
        count, raster = features.shape[1], self._raster
        # gsplat pads with uninitialised memory, and zero times a NaN in it is a NaN in the gradient.
        width = next(channels for channels in CHANNELS if channels >= count)
        image, alpha, *_ = self._gsplat.rasterize_to_pixels_2dgs(
            self._far,
            pixel_from_splat[None],
            functional.pad(features, (0, width - count))[None],
            opacity[None],
            torch.zeros_like(features[:, :1]).expand(-1, 3)[None],  # normals, unused here
            torch.zeros_like(self._far),  # where gsplat keeps a gradient for adding splats
            raster.width_px,
            raster.height_px,
            TILE_PX,
            self._offsets,
            self._splats,
        )
        return image.reshape(-1, width)[raster.pixel, :count], alpha.reshape(-1)[raster.pixel]
