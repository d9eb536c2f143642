"""Costs of all predictions of a batch against all targets, in one tensor operation, and copied to the CPU once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from recon.arrays import F32, AnyArray
from training.match.config import MatchConfig
from training.match.match_kernels import nearest_orders
from training.match.targets import Targets
from training.model.map_output import MapOutput

Tensor = torch.Tensor

_ALPHA = 0.25  # of the focal loss (Lin et al. 2017), as its cost has it


@torch.no_grad()
def costs_of(output: MapOutput, targets: Sequence[Targets], config: MatchConfig) -> tuple[F32, F32, F32]:
    """Return points (L, B, Q, P, 2), costs per class (L, B, Q, C), and costs (L, B, Q, T) of whole shapes, weighted.

    T is the largest number of targets of a sample; the rest of the others' costs means nothing.
    """
    # What is not finite meets no edge and has no cheapest order, so a search for it need not end. It is matched as if
    # it were in the middle of the patch and of class evidence 0; its losses, of the values themselves, stop the run.
    points = output.points.float().nan_to_num(0.5, 0.5, 0.5)
    per_class = config.class_cost * class_costs(output.logits.float().nan_to_num(0.0, 0.0, 0.0))
    layers, samples, queries = points.shape[:3]
    full = per_class.new_zeros((layers, samples, queries, 0))
    count = max(len(one) for one in targets)
    if count > 0:
        classes = torch.from_numpy(_padded([one.classes for one in targets], count)).to(points.device)
        full = per_class.gather(3, classes[None, :, None].expand(layers, -1, queries, -1))
        full = full + config.points_cost * _distances(points, targets, count)
    packed = torch.cat([part.reshape(-1) for part in (points, per_class, full)]).cpu().numpy()
    sizes = np.cumsum([points.numel(), per_class.numel()])
    shapes = (points.shape, per_class.shape, full.shape)
    a, b, c = (part.reshape(shape) for part, shape in zip(np.split(packed, sizes), shapes, strict=True))
    return a, b, c


def class_costs(logits: Tensor) -> Tensor:
    """Return the focal cost (..., C) of being matched with each class instead of with none (DETR, focal variant)."""
    probability = logits.sigmoid()
    positive = _ALPHA * (1 - probability).square() * -functional.logsigmoid(logits)
    negative = (1 - _ALPHA) * probability.square() * -functional.logsigmoid(-logits)
    return positive - negative


def _distances(points: Tensor, targets: Sequence[Targets], count: int) -> Tensor:
    """Return (L, B, Q, T) L1 distances summed over points, at the best of the orders that are the same shape."""
    layers, samples, queries, length = points.shape[:4]
    flat = points.permute(1, 0, 2, 3, 4).reshape(samples, layers * queries, 2 * length)
    shapes = _padded([one.shapes for one in targets], count)
    lines = np.stack([shapes, shapes[:, :, ::-1]], axis=2)
    of_lines = _nearest(flat, lines)
    turning = [np.flatnonzero(one.turning) for one in targets]
    most = max(len(which) for which in turning)
    if most > 0:
        rings = _padded([lines[b, which] for b, which in enumerate(turning)], most)
        shifts = (np.arange(length)[:, None] + np.arange(length)) % length
        of_rings = _nearest(flat, rings[:, :, :, shifts].reshape(samples, most, -1, length, 2))
        for b, which in enumerate(turning):
            of_lines[b, :, torch.from_numpy(which).to(flat.device)] = of_rings[b, :, : len(which)]
    return of_lines.reshape(samples, layers, queries, count).transpose(0, 1)


def _nearest(flat: Tensor, variants: F32) -> Tensor:
    """Return (B, N, T) the least L1 distance of chains (B, N, 2 P) from the variants (B, T, V, P, 2) of each target."""
    if flat.device.type == "cpu":  # `cdist` takes several times as long for chains this short
        nearest = np.empty((*flat.shape[:2], variants.shape[1]), np.float32)
        orders = np.ascontiguousarray(variants).reshape(*variants.shape[:3], -1)
        for chains, of_sample, found in zip(flat.contiguous().numpy(), orders, nearest, strict=True):
            nearest_orders(chains, of_sample, found)
        return torch.from_numpy(nearest)
    return by_cdist(flat, variants)


def by_cdist(flat: Tensor, variants: F32) -> Tensor:
    """Return what `_nearest` does, in one operation of the device."""
    samples, count, orders = variants.shape[:3]
    given = torch.from_numpy(np.ascontiguousarray(variants)).to(flat.device, non_blocking=True)
    distance = torch.cdist(flat, given.reshape(samples, count * orders, -1), p=1.0)
    return distance.reshape(samples, -1, count, orders).amin(dim=-1)


def _padded(parts: Sequence[AnyArray], count: int) -> AnyArray:
    """Return (B, count, ...) arrays of up to `count` rows, filled up with zeros."""
    result = np.zeros((len(parts), count, *parts[0].shape[1:]), parts[0].dtype)
    for row, part in zip(result, parts, strict=True):
        row[: len(part)] = part
    return result
