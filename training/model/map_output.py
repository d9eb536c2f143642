"""What the online-mapping model gives for a batch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MapOutput:
    """L decoder layers, B samples, Q instances, C classes, P points; unit coordinates of `training.data.patch`.

    The first `one2one` instances are matched one to one and used at inference; the others, if any, are the one-to-many
    branch that only training has (MapTRv2 section 3.3).
    """

    logits: Tensor  # (L, B, Q, C)
    points: Tensor  # (L, B, Q, P, 2), 0..1
    one2one: int
    instances: Tensor  # (B, Q, D) features of the last layer, the mean over an instance's points
    bev: Tensor  # (B, D, Hb, Wb) bird's-eye features
    bev_logits: Tensor | None = None  # (B, K, Hb, Wb), auxiliary
    view_logits: Tensor | None = None  # (B, V, 3, h, w), auxiliary
    depth_logits: Tensor | None = None  # (B, V, bins, h, w), auxiliary; of the LSS lift

    def branch(self, many: bool) -> Self:
        """Return only the one-to-one instances, or only those of the one-to-many branch."""
        part = slice(self.one2one, None) if many else slice(0, self.one2one)
        return replace(
            self,
            logits=self.logits[:, :, part],
            points=self.points[:, :, part],
            instances=self.instances[:, part],
            one2one=0 if many else self.one2one,
        )
