"""The oracle renderer: every ray against every surfel, float64 torch, autograd. Slow and obvious."""

from __future__ import annotations

import torch

from recon.render.surfels import ALPHA_MAX, Q_MAX, Rays, Rendering, Surfels


def render(surfels: Surfels, rays: Rays) -> Rendering:
    """Composite all surfels along all rays in float64; memory grows with rays x surfels."""
    x = (surfels.column.double() + 0.5) * surfels.cell_m
    y = (surfels.row.double() + 0.5) * surfels.cell_m
    order = torch.argsort(x * rays.forward[0].double() + y * rays.forward[1].double(), stable=True)
    x, y = x[order], y[order]
    z, tilt = surfels.z.double()[order], surfels.tilt.double()[order]
    scale = surfels.log_scale.double()[order].exp()
    opacity = surfels.opacity.double().sigmoid()[order]
    features = surfels.features.double()[order]
    origin, direction = rays.origin.double(), rays.direction.double()

    from_x, from_y = origin[0] - x, origin[1] - y
    slope = direction[:, 2:] - direction[:, :1] * tilt[:, 0] - direction[:, 1:2] * tilt[:, 1]  # (P, N)
    distance = (z - origin[2] + tilt[:, 0] * from_x + tilt[:, 1] * from_y) / slope
    u = (from_x + distance * direction[:, :1]) / scale[:, 0]
    v = (from_y + distance * direction[:, 1:2]) / scale[:, 1]
    q = u * u + v * v
    alpha = (opacity * torch.exp(-q / 2)).clamp(max=ALPHA_MAX)
    alpha = torch.where((q <= Q_MAX) & (distance > 0), alpha, torch.zeros_like(alpha))

    passed = torch.cumprod(1 - alpha, dim=1)
    before = torch.cat([torch.ones_like(passed[:, :1]), passed[:, :-1]], dim=1)
    weight = alpha * before
    live = surfels.geometry_channels
    # Channels beyond `live` are composited with constant weights: their gradient stops before the geometry.
    composited = torch.cat([weight @ features[:, :live], weight.detach() @ features[:, live:]], dim=1)
    depth = (weight * distance).sum(dim=1).detach()
    return Rendering(composited, 1 - passed[:, -1], depth)
