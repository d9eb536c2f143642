"""The cpu renderer's algorithm in plain float32 torch operations: the numba kernel is compared with it."""

from __future__ import annotations

import torch
from torch import Tensor

from recon.render.surfels import ALPHA_MAX, Q_MAX, TRANSMITTANCE_MIN, Rays, Rendering, Surfels, gather_order

HIT_STEPS = 4


def _hit_cells(surfels: Surfels, rays: Rays) -> tuple[Tensor, Tensor]:
    """Return (P,) row and column of the cell whose surface each ray hits."""
    rows, columns = surfels.index.shape
    cell = surfels.cell_m
    height = surfels.z.mean().expand(len(rays.direction)).clone()
    row = column = torch.zeros(len(rays.direction), dtype=torch.long, device=height.device)
    for _ in range(HIT_STEPS):
        distance = (height - rays.origin[2]) / rays.direction[:, 2]
        x = rays.origin[0] + distance * rays.direction[:, 0]
        y = rays.origin[1] + distance * rays.direction[:, 1]
        row = torch.floor(y / cell).long().clamp(0, rows - 1)
        column = torch.floor(x / cell).long().clamp(0, columns - 1)
        found = surfels.index[row, column].long()
        safe = found.clamp(min=0)
        dx, dy = x - (column + 0.5) * cell, y - (row + 0.5) * cell
        plane = surfels.z[safe] + surfels.tilt[safe, 0] * dx + surfels.tilt[safe, 1] * dy
        height = torch.where(found >= 0, plane, height)
    return row, column


def _neighbours(surfels: Surfels, rays: Rays) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the (P, 25) surfels around each hit (front to back), whether they exist, their alpha and ray parameter."""
    with torch.no_grad():
        row, column = _hit_cells(surfels, rays)
        offsets = gather_order(rays.forward).to(row.device).long()
        rows, columns = surfels.index.shape
        r = row[:, None] + offsets[:, 0]
        c = column[:, None] + offsets[:, 1]
        inside = (r >= 0) & (r < rows) & (c >= 0) & (c < columns)
        found = torch.where(inside, surfels.index[r.clamp(0, rows - 1), c.clamp(0, columns - 1)], -1).long()
        exists = found >= 0
        i = found.clamp(min=0)
    x = (surfels.column[i] + 0.5) * surfels.cell_m
    y = (surfels.row[i] + 0.5) * surfels.cell_m
    tilt = surfels.tilt[i]
    scale = surfels.log_scale[i].exp()
    direction = rays.direction[:, None, :]
    from_x, from_y = rays.origin[0] - x, rays.origin[1] - y
    slope = direction[..., 2] - direction[..., 0] * tilt[..., 0] - direction[..., 1] * tilt[..., 1]
    distance = (surfels.z[i] - rays.origin[2] + tilt[..., 0] * from_x + tilt[..., 1] * from_y) / slope
    u = (from_x + distance * direction[..., 0]) / scale[..., 0]
    v = (from_y + distance * direction[..., 1]) / scale[..., 1]
    q = u * u + v * v
    alpha = (surfels.opacity[i].sigmoid() * torch.exp(-q / 2)).clamp(max=ALPHA_MAX)
    alpha = torch.where(exists & (q <= Q_MAX) & (distance > 0), alpha, torch.zeros_like(alpha))
    return i, exists, alpha, distance


def contributions(surfels: Surfels, rays: Rays) -> Tensor:
    """Return (P,) how many surfels are composited along each ray before its transmittance is used up."""
    _, _, alpha, _ = _neighbours(surfels, rays)
    passed = torch.cumprod(1 - alpha, dim=1)
    before = torch.cat([torch.ones_like(passed[:, :1]), passed[:, :-1]], dim=1)
    return ((alpha > 0) & (before >= TRANSMITTANCE_MIN)).sum(dim=1)


def render(surfels: Surfels, rays: Rays) -> Rendering:
    """Gather each ray's 25 neighbours and composite them with torch operations; autograd keeps the tape."""
    i, exists, alpha, distance = _neighbours(surfels, rays)
    passed = torch.cumprod(1 - alpha, dim=1)
    before = torch.cat([torch.ones_like(passed[:, :1]), passed[:, :-1]], dim=1)
    weight = alpha * before
    live = surfels.geometry_channels
    features = surfels.features[i]
    front = torch.einsum("pk,pkc->pc", weight, features[..., :live])
    back = torch.einsum("pk,pkc->pc", weight.detach(), features[..., live:])
    depth = (weight * torch.where(exists, distance, torch.zeros_like(distance))).sum(dim=1).detach()
    return Rendering(torch.cat([front, back], dim=1), 1 - passed[:, -1], depth)
