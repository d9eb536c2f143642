"""Terms of the auxiliary heads: cells of the bird's eye, cells of the images, depth. Sums, not yet normalised."""

from __future__ import annotations

import torch
from torch.nn import functional

from training.loss.term import Term

Tensor = torch.Tensor

_NOT_LABELLED = 255


def bev_term(logits: Tensor, bev: Tensor, known: Tensor, positive_weight: float, weight: Tensor) -> Term:
    """Return the cross entropy of logits and labels (B, K, Hb, Wb), each cell weighted by its known share.

    `known` (B, h, w) bool, of any resolution; sample weights (B).
    """
    share = functional.adaptive_avg_pool2d(known.float()[:, None], (bev.shape[-2], bev.shape[-1]))
    loss = functional.binary_cross_entropy_with_logits(
        logits, bev.float(), pos_weight=logits.new_tensor(positive_weight), reduction="none"
    )
    return Term((loss * share * weight.view(-1, 1, 1, 1)).sum(), share.sum() * bev.shape[1])


def views_term(logits: Tensor, views: Tensor | None, weight: Tensor) -> Term:
    """Return the cross entropy of logits and labels (B, V, 3, h, w) where cells are labelled."""
    if views is None:
        return _nothing(logits)
    labelled = (views != _NOT_LABELLED).float()
    loss = functional.binary_cross_entropy_with_logits(logits, views.clamp_max(1).float(), reduction="none")
    return Term((loss * labelled * weight.view(-1, 1, 1, 1, 1)).sum(), labelled.sum())


def depth_term(logits: Tensor, depth_m: Tensor | None, bins_m: tuple[float, float, float], weight: Tensor) -> Term:
    """Return the cross entropy of depth bins (B, V, bins, h, w) where depth (B, V, h, w) is measured and within them.

    `bins_m` are nearest, farthest and width. Lift, splat with measured depth: BEVDepth section 3.1.
    """
    if depth_m is None:
        return _nothing(logits)
    near, _, step = bins_m
    place = ((depth_m - near) / step).floor().long()
    measured = (depth_m > 0) & (place >= 0) & (place < logits.shape[2])
    loss = functional.cross_entropy(
        logits.flatten(0, 1), place.clamp(0, logits.shape[2] - 1).flatten(0, 1), reduction="none"
    )
    loss = loss.view_as(depth_m) * measured * weight.view(-1, 1, 1, 1)
    return Term(loss.sum(), measured.sum().float())


def _nothing(logits: Tensor) -> Term:
    """Return the term of a batch without such labels; it keeps its place among the terms and in the graph."""
    return Term(logits.sum() * 0.0, logits.new_zeros(()))
