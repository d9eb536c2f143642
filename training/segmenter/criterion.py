"""What the net is trained for: the very class probabilities that semantic inference gives, pixel by pixel.

Mask2Former's own criterion matches queries with masks of things. Road classes are stuff, one mask each, and what is
used afterwards is their composition; so the loss is taken there, without a matcher, at every decoder layer:

    P(c) = sum_q softmax(class_q)[c] sigmoid(mask_q)          as in recon.segment.mask2former
    loss = NLL of P / sum P, weighted by class and by hardness + soft Dice per class + BCE of P itself

Targets are shares of a mask cell, so that paint narrower than a cell still counts by its width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from recon.classes import CLASS_COUNT, RoadClass
from recon.segment.mask2former import resize

Tensor = torch.Tensor

# With the NLL alone a doubtful line becomes road; Dice corrects weights that are too high.
CLASS_WEIGHTS = {
    RoadClass.LANE_MARKING: 2.0,
    RoadClass.CROSSWALK: 1.5,
    RoadClass.CURB: 2.0,
    RoadClass.STOP_LINE: 2.5,
    RoadClass.OTHER_MARKING: 2.5,
    RoadClass.BACKGROUND: 0.7,
}
_HARD_SHARE = 0.15  # of the cells: the importance sampling of the paper (section 3.3), on a dense grid
_EPS = 1e-6


class Criterion:
    """The loss of a net's output against soft targets."""

    def __init__(self, *, one_query_per_class: bool, device: torch.device, auxiliary_weight: float = 0.4) -> None:
        """With one query per class, query c is told to be class c: nothing has to be found out by matching."""
        self._weights = torch.ones(CLASS_COUNT, device=device)
        for road_class, weight in CLASS_WEIGHTS.items():
            self._weights[road_class] = weight
        self._roles = torch.eye(CLASS_COUNT, device=device)[None] if one_query_per_class else None
        self._auxiliary_weight = auxiliary_weight

    def __call__(self, output: Any, share: Tensor, valid: Tensor) -> dict[str, Tensor]:
        """Return the terms, summed over layers, for shares (B, K, h, w) and labelled parts (B, h, w), both 0..1."""
        layers = [(output.class_queries_logits, output.masks_queries_logits, 1.0)]
        for layer in output.auxiliary_logits or ():
            layers.append((layer["class_queries_logits"], layer["masks_queries_logits"], self._auxiliary_weight))
        sums = [torch.zeros((), device=share.device) for _ in range(4)]
        for classes, masks, weight in layers:
            for i, term in enumerate(self._layer(classes.float(), masks.float(), share, valid)):
                sums[i] = sums[i] + weight * term
        return dict(zip(("nll", "dice", "bce", "query"), sums, strict=True))

    def _layer(self, classes: Tensor, masks: Tensor, share: Tensor, valid: Tensor) -> tuple[Tensor, ...]:
        masks = resize(masks, share.shape[-2:])
        # Fixed roles are learnt apart from masks: a mask need not wait until the class of its query is learnt.
        weight = classes.softmax(dim=-1)[..., :-1] if self._roles is None else self._roles.expand(len(classes), -1, -1)
        claimed = torch.einsum("bqk,bqhw->bkhw", weight, masks.sigmoid())
        probability = (claimed + _EPS) / (claimed + _EPS).sum(dim=1, keepdim=True)
        count = valid.sum().clamp_min(1.0)

        nll = -(share * self._weights.view(1, -1, 1, 1) * probability.log()).sum(dim=1)
        hardest = nll.flatten().topk(max(1, int(nll.numel() * _HARD_SHARE))).values
        mean_nll = 0.5 * nll.sum() / count + 0.5 * hardest.mean() * (_HARD_SHARE * nll.numel() / count).clamp_max(1.0)

        seen = probability * valid[:, None]
        overlap, sizes = (seen * share).sum(dim=(0, 2, 3)), (seen.square() + share.square()).sum(dim=(0, 2, 3))
        present = share.sum(dim=(0, 2, 3)) > 1.0
        dice = 1.0 - (2.0 * overlap + 1.0) / (sizes + 1.0)
        mean_dice = (dice * present).sum() / present.sum().clamp_min(1)

        # Absolute values matter as well: the decoder attends where a mask exceeds one half.
        sure = claimed.clamp(_EPS, 1.0 - _EPS)
        bce = -(share * sure.log() + (valid[:, None] - share).clamp_min(0.0) * (1.0 - sure).log()).sum() / count
        return mean_nll, mean_dice, 0.3 * bce, self._queries(classes)

    def _queries(self, classes: Tensor) -> Tensor:
        """Return the loss of fixed roles: query c is class c."""
        if self._roles is None:
            return classes.new_zeros(())
        roles = torch.arange(CLASS_COUNT, device=classes.device)
        return 0.2 * functional.cross_entropy(classes.transpose(1, 2), roles.expand(classes.shape[0], -1))
