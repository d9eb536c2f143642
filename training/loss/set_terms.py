"""Terms of the predicted set, over all decoder layers: classes, points, directions. Sums, not yet normalised."""

from __future__ import annotations

import torch
from torch.nn import functional

from training.loss.term import Term
from training.match.matches import Matches

Tensor = torch.Tensor

_ALPHA = 0.25  # of the focal loss (Lin et al. 2017)
_SHORT_M = 0.01  # edges shorter than this have no direction to speak of


def class_term(logits: Tensor, matches: Matches, areas: Tensor, weight: Tensor) -> Term:
    """Return the focal loss (gamma 2) of logits (L, B, Q, C); `areas` (C) bool, sample weights (B).

    A prediction without a match is background to the degree that its shape lies in known cells, 0..1: outside of them
    nothing says that it is wrong. Areas are measured round the ring.
    """
    matched = matches.matched()
    positive = functional.one_hot(matched + 1, logits.shape[-1] + 1)[..., 1:].to(logits.dtype)
    share = matches.share[..., areas.long()]
    known = torch.where((matched >= 0)[..., None], 1.0, share)
    probability = logits.sigmoid()
    miss = torch.where(positive > 0, 1 - probability, probability)
    alpha = torch.where(positive > 0, _ALPHA, 1 - _ALPHA)
    entropy = functional.binary_cross_entropy_with_logits(logits, positive, reduction="none")
    loss = alpha * miss.square() * entropy * known
    return Term((loss.sum(dim=(0, 2, 3)) * weight).sum(), _positives(matched >= 0))


def points_term(points: Tensor, matches: Matches, weight: Tensor) -> Term:
    """Return the L1 distance of matched points (L, B, Q, P, 2) from their targets, in unit coordinates."""
    distance = (matches.chains(points) - matches.target).abs().sum(dim=-1) * matches.worth
    return Term((distance.sum(dim=-1) * weight[matches.sample]).sum(), _pairs(matches))


def direction_term(points: Tensor, matches: Matches, size_m: Tensor, weight: Tensor) -> Term:
    """Return one minus the cosine between edges and those of the target (MapTRv2 section 3.4), summed over edges.

    `size_m` (2,) is a unit in metres, across and along: angles are of the ground.
    """
    given, target = (_edges(chain * size_m) for chain in (matches.chains(points), matches.target))
    lengths = [(edges.square().sum(dim=-1) + _SHORT_M**2).sqrt() for edges in (given, target)]
    cosine = (given * target).sum(dim=-1) / (lengths[0] * lengths[1])
    counted = torch.ones_like(cosine)
    counted[:, -1] = matches.closed.to(counted.dtype)  # only a ring has the edge back to its first point
    counted = counted * (lengths[1] > 2 * _SHORT_M) * matches.worth
    return Term((((1 - cosine) * counted).sum(dim=-1) * weight[matches.sample]).sum(), _pairs(matches))


def _edges(chain: Tensor) -> Tensor:
    return chain.roll(-1, dims=1) - chain


def _positives(matched: Tensor) -> Tensor:
    """Return how many predictions of a layer are matched."""
    return matched.sum().float() / len(matched)


def _pairs(matches: Matches) -> Tensor:
    """Return how many pairs a layer has."""
    return matches.share.new_tensor(len(matches.layer) / len(matches.share))
