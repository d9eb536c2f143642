"""Soft rasters of lines and areas, differentiable in their points (MapVR section 3.2), in plain torch.

A line's pixel is exp(-d^2 / 2), an area's sigmoid(+-d^2 / 4), positive inside; d is the distance to the outline in
pixels. Only pixels near an outline have a gradient, so only those are in the graph: they are found block by block.
"""

from __future__ import annotations

import torch

from training.match.near_kernels import near_pixels

Tensor = torch.Tensor

_LINE_SOFTNESS, _AREA_SOFTNESS = 2.0, 4.0  # px^2
_REACH_PX = 5.0  # beyond it a line is below 4e-6, and an area within 0.002 of 0 or 1
_BLOCK_PX = 8
_CHUNK = 32  # chains at once: bounds the memory of the search for pixels


def soft_rasters(chains: Tensor, closed: Tensor, areas: Tensor, shape_px: tuple[int, int]) -> Tensor:
    """Return rasters (N, H, W) of chains (N, P, 2) in unit coordinates; `closed` (N) rings, `areas` (N) filled ones."""
    which, pixel, value = soft_pixels(chains, closed, areas, shape_px)
    canvas = chains.new_zeros(len(chains), shape_px[0] * shape_px[1])
    return canvas.index_put((which, pixel), value).view(-1, *shape_px)


def soft_pixels(
    chains: Tensor, closed: Tensor, areas: Tensor, shape_px: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what `soft_rasters` draws as (M,) chain, pixel (row-major) and value; all other pixels are 0."""
    rows, columns = shape_px
    px = chains * chains.new_tensor((columns, rows))
    starts, stops = px, px.roll(-1, dims=1)
    # The last edge of an open line is its first point: as near as the rest of the line, never nearer.
    ring = (closed | areas)[:, None, None] | (torch.arange(px.shape[1], device=px.device) < px.shape[1] - 1)[:, None]
    starts = torch.where(ring, starts, px[:, :1])
    stops = torch.where(ring, stops, px[:, :1])
    near = _near_on_cpu if px.device.type == "cpu" else _near
    which, pixel, edge = near(starts.detach(), stops.detach(), shape_px)
    at = torch.stack([pixel % columns, pixel // columns], dim=-1) + 0.5
    squared = _squared(at, starts[which, edge], stops[which, edge])
    filled = torch.nonzero(areas)[:, 0]
    inside = _inside(px.detach()[filled], shape_px).flatten(1)
    row = torch.zeros_like(closed, dtype=torch.int64).index_put((filled,), torch.arange(len(filled), device=px.device))
    of_area = torch.nonzero(areas[which])[:, 0]
    side = torch.ones_like(squared)
    side[of_area] = 2.0 * inside[row[which[of_area]], pixel[of_area]].to(px.dtype) - 1.0
    value = torch.where(areas[which], (side * squared / _AREA_SOFTNESS).sigmoid(), (-squared / _LINE_SOFTNESS).exp())
    inside[row[which[of_area]], pixel[of_area]] = False
    number, deep = torch.nonzero(inside, as_tuple=True)
    return (
        torch.cat([which, filled[number]]),
        torch.cat([pixel, deep]),
        torch.cat([value, value.new_ones(len(deep))]),
    )


def _squared(at: Tensor, start: Tensor, stop: Tensor) -> Tensor:
    """Return squared distances (...) of points (..., 2) from segments; equal ends are a point."""
    along, to = stop - start, at - start
    share = (to * along).sum(dim=-1) / along.square().sum(dim=-1).clamp_min(1e-12)
    return (to - share.clamp(0.0, 1.0)[..., None] * along).square().sum(dim=-1)


def _near_on_cpu(starts: Tensor, stops: Tensor, shape_px: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Return what `_near` does."""
    found = torch.from_numpy(near_pixels(starts.contiguous().numpy(), stops.contiguous().numpy(), *shape_px, _REACH_PX))
    which, pixel, edge = found.unbind(-1)
    return which, pixel, edge


@torch.no_grad()
def _near(starts: Tensor, stops: Tensor, shape_px: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Return (M,) chain, pixel and its nearest edge, of all pixels within reach of a chain's edges (N, P, 2)."""
    rows, columns = shape_px
    device, half = starts.device, _BLOCK_PX / 2
    blocks = torch.cartesian_prod(
        torch.arange(0, rows, _BLOCK_PX, device=device), torch.arange(0, columns, _BLOCK_PX, device=device)
    )
    inner = torch.cartesian_prod(*[torch.arange(_BLOCK_PX, device=device)] * 2)
    centres = blocks.flip(-1) + half
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for first in range(0, len(starts), _CHUNK):
        a, b = starts[first : first + _CHUNK], stops[first : first + _CHUNK]
        far = _squared(centres[None, None], a[:, :, None], b[:, :, None]).amin(dim=1)
        chain, block = torch.nonzero(far <= (_REACH_PX + half * 2**0.5) ** 2, as_tuple=True)
        cells = blocks[block][:, None] + inner
        chain = chain[:, None].expand(-1, len(inner)).reshape(-1)
        r, c = cells.reshape(-1, 2).unbind(-1)
        squared = _squared((torch.stack([c, r], dim=-1) + 0.5)[:, None], a[chain], b[chain])
        least, edge = squared.min(dim=1)
        kept = (least <= _REACH_PX**2) & (r < rows) & (c < columns)
        found.append((chain[kept] + first, (r * columns + c)[kept], edge[kept]))
    if not found:
        empty = torch.zeros(0, dtype=torch.int64, device=device)
        return empty, empty, empty
    which, pixel, edge = (torch.cat(parts) for parts in zip(*found, strict=True))
    return which, pixel, edge


@torch.no_grad()
def _inside(px: Tensor, shape_px: tuple[int, int]) -> Tensor:
    """Return (N, H, W) bool: pixel centres inside of rings (N, P, 2) by the even-odd rule."""
    rows, columns = shape_px
    y = torch.arange(rows, device=px.device) + 0.5
    x = torch.arange(columns, device=px.device) + 0.5
    (ax, ay), (bx, by) = px.unbind(-1), px.roll(-1, dims=1).unbind(-1)
    crosses = (ay[..., None] <= y) != (by[..., None] <= y)
    at = ax[..., None] + (y - ay[..., None]) * ((bx - ax) / torch.where(by == ay, 1.0, by - ay))[..., None]
    at = torch.where(crosses, at, torch.inf)
    # A row's crossings are few: count those to the left of each pixel by their order.
    left = torch.searchsorted(
        at.transpose(1, 2).sort(dim=-1).values.contiguous(), x.expand(len(px), rows, -1).contiguous()
    )
    return left % 2 == 1
