"""Which prediction learns from which part of which label."""

from __future__ import annotations

from dataclasses import dataclass

import torch

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Matches:
    """K pairs of a chain on a prediction and a target chain, over all layers and samples; P points each.

    A prediction that is matched in pieces has one pair for each. Point k of a chain lies between the points index and
    index + 1 of the prediction (round to the first), at that fraction.
    """

    layer: Tensor  # (K,) i64
    sample: Tensor  # (K,) i64
    query: Tensor  # (K,) i64
    label: Tensor  # (K,) i64, of Labels
    classes: Tensor  # (K,) i64
    closed: Tensor  # (K,) bool: a whole ring
    masked: Tensor  # (K,) bool: a piece of the prediction, cut at the mask's edge
    index: Tensor  # (K, P) i64
    fraction: Tensor  # (K, P) f32
    target: Tensor  # (K, P, 2) f32, unit coordinates, in the order of the chain
    worth: Tensor  # (K, P) f32, weight of the target's points
    share: Tensor  # (L, B, Q, 2) f32: of a prediction's length in known cells, as an open line and as a ring
    unproven: int = 0  # assignments whose search was cut short

    def chains(self, points: Tensor) -> Tensor:
        """Return the chains (K, P, 2) on predictions (L, B, Q, P, 2); gradients reach the points beside a place."""
        of_pair = points[self.layer, self.sample, self.query]
        here = self.index[..., None].expand(-1, -1, 2)
        following = ((self.index + 1) % points.shape[-2])[..., None].expand(-1, -1, 2)
        start, stop = of_pair.gather(1, here), of_pair.gather(1, following)
        # Where the fraction is 0 the following point has no part, and may be anything.
        share = self.fraction[..., None]
        return torch.where(share > 0, start + share * (stop - start), start)

    def matched(self) -> Tensor:
        """Return (L, B, Q) i64 the class that each prediction is matched with, -1 for none."""
        classes = torch.full(self.share.shape[:3], -1, dtype=torch.int64, device=self.share.device)
        classes[self.layer, self.sample, self.query] = self.classes
        return classes
