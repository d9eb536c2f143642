"""Matching of predictions with true elements, and the average precision of a matching."""

from __future__ import annotations

import numpy as np

from recon.arrays import F64, I64, Bool

RECALLS = np.linspace(0.0, 1.0, 101)  # at which COCO samples the precision
EPS = float(np.finfo(np.float32).eps)


def nearest_match(distance: F64, scores: F64, threshold: float) -> I64:
    """Return (P,) the true element of each prediction, or -1 (MapTR's rule).

    Predictions are matched in order of falling score; equal scores keep the given order. A prediction can match its
    nearest true element only: if that lies beyond the threshold or is matched already, the prediction is false.
    """
    count, true = distance.shape
    match = np.full(count, -1)
    if not true or not count:
        return match
    nearest = distance.argmin(axis=1)
    within = distance[np.arange(count), nearest] <= threshold
    taken: set[int] = set()
    for i in np.argsort(-scores, kind="stable").tolist():
        j = int(nearest[i])
        if within[i] and j not in taken:
            taken.add(j)
            match[i] = j
    return match


def best_match(iou: F64, scores: F64, threshold: float, *, most: int = 100) -> I64:
    """Return (P,) the true element of each prediction, or -1 (COCO's rule).

    Predictions are matched in order of falling score, each with the unmatched true element of highest IoU that reaches
    the threshold; of equal IoUs the last. Predictions beyond the `most` best are left out (-2).
    """
    match = np.full(len(iou), -2)
    order = np.argsort(-scores, kind="stable")[:most]
    match[order] = -1
    taken: set[int] = set()
    similar = iou >= min(threshold, 1 - 1e-10)
    if not similar.any():
        return match
    for i in order[similar[order].any(axis=1)].tolist():
        free = [(float(iou[i, j]), j) for j in np.flatnonzero(similar[i]).tolist() if j not in taken]
        if free:
            match[i] = max(free)[1]
            taken.add(int(match[i]))
    return match


def area_under_envelope(right: Bool, scores: F64, true: int) -> float:
    """Return the AP of MapTR: the area under the falling envelope of precision over recall, at every step of recall."""
    precision, recall = _curve(right, scores, true)
    recall = np.concatenate([[0.0], recall, [1.0]])
    envelope = np.maximum.accumulate(np.concatenate([[0.0], precision, [0.0]])[::-1])[::-1]
    return float(np.sum(np.diff(recall) * envelope[1:]))


def mean_of_101(right: Bool, scores: F64, true: int) -> float:
    """Return the AP of COCO: the mean of the envelope at 101 recalls."""
    precision, recall = _curve(right, scores, true)
    envelope = np.concatenate([np.maximum.accumulate(precision[::-1])[::-1], [0.0]])
    return float(envelope[np.searchsorted(recall, RECALLS, side="left")].mean())


def _curve(right: Bool, scores: F64, true: int) -> tuple[F64, F64]:
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(right[order])
    precision: F64 = found / np.maximum(np.arange(1, len(order) + 1), EPS)
    recall: F64 = found / max(true, EPS)
    return precision, recall
