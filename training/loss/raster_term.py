"""The raster term: Dice distance of soft rasters in known cells (MapVR section 3.3)."""

from __future__ import annotations

import torch
from torch.nn import functional

from training.loss.term import Term
from training.match.matches import Matches
from training.match.raster import soft_rasters

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
    given = soft_rasters(points.flatten(0, 2)[drawn], closed, area, shape_px)
    with torch.no_grad():
        targets = soft_rasters(matches.target, matches.closed, areas[matches.classes], shape_px)
        target = torch.zeros_like(given).index_add(0, of_pair, targets).clamp_max(1.0)
        share = functional.adaptive_avg_pool2d(known.float()[:, None], shape_px)[:, 0][sample]
    # Squares in the denominator (V-Net): with MapVR's sums a perfect soft line would still be at distance 0.29.
    overlap, *sizes = ((part * share).sum(dim=(1, 2)) for part in (given * target, given.square(), target.square()))
    dice = 1.0 - (2.0 * overlap + 1.0) / (sizes[0] + sizes[1] + 1.0)
    return Term((dice * weight[sample]).sum(), points.new_tensor(len(drawn) / layers))
