"""The raster term: Dice distance of soft rasters in known cells (MapVR section 3.3)."""

from __future__ import annotations

import torch
from torch.nn import functional

from training.loss.term import Term
from training.match.matches import Matches
from training.match.raster import soft_pixels

Tensor = torch.Tensor


def raster_term(
    points: Tensor, matches: Matches, areas: Tensor, known: Tensor, shape_px: tuple[int, int], weight: Tensor
) -> Term:
    """Return the Dice distance of matched predictions (L, B, Q, P, 2) from all that they are matched with.

    A prediction in pieces is drawn once, and its targets together: their union counts. What lies in unknown cells of
    `known` (B, h, w) counts for neither. `areas` (C) bool are classes that are filled; sample weights (B).
    """
    layers, samples, queries = points.shape[:3]
    key = (matches.layer * samples + matches.sample) * queries + matches.query
    drawn, of_pair = torch.unique(key, return_inverse=True)
    closed, area, sample = (torch.zeros(len(drawn), dtype=kind.dtype, device=kind.device).index_put((of_pair,), kind)
        for kind in (matches.closed, areas[matches.classes], matches.sample))  # fmt: skip
    which, pixel, value = soft_pixels(points.flatten(0, 2)[drawn], closed, area, shape_px)
    count, canvas = len(drawn), shape_px[0] * shape_px[1]
    with torch.no_grad():
        pair, target_pixel, part = soft_pixels(matches.target, matches.closed, areas[matches.classes], shape_px)
        place = of_pair[pair] * canvas + target_pixel
        union = part.new_zeros(count * canvas).index_add(0, place, part)
        # A pixel that several pieces share counts once: each has its part of the square.
        drawn_part = part * union[place].clamp_max(1.0).square() / union[place]
        share = functional.adaptive_avg_pool2d(known.float()[:, None], shape_px).flatten(1)
        target_size = _sums(drawn_part * share[sample[of_pair[pair]], target_pixel], of_pair[pair], count)
        goal = union[which * canvas + pixel].clamp_max(1.0)
        known_share = share[sample[which], pixel]
    # Squares in the denominator (V-Net): with MapVR's sums a perfect soft line would still be at distance 0.29.
    overlap = _sums(value * goal * known_share, which, count)
    size = _sums(value.square() * known_share, which, count)
    dice = 1.0 - (2.0 * overlap + 1.0) / (size + target_size + 1.0)
    return Term((dice * weight[sample]).sum(), points.new_tensor(count / layers))


def _sums(values: Tensor, of: Tensor, count: int) -> Tensor:
    return values.new_zeros(count).index_add(0, of, values)
