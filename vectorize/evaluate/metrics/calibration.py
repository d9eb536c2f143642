"""Calibration of confidence: of the metres with a confidence of 0.8, 80 % should be right.

A point along a label is right if it lies within RIGHT_M of a true line, or outline, of its class. Points are weighted
by the length of their step and binned by the confidence interpolated between their vertices. The expected calibration
error (Guo et al. 2017, "On Calibration of Modern Neural Networks") is the mean over bins of |share right - mean
confidence|, weighted by length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recon.arrays import F64
from vectorize.evaluate.config import CLASSES, EvaluateConfig
from vectorize.evaluate.metrics.extent import distances, middles
from vectorize.road_map import Element

RIGHT_M = 0.5
BINS = 10


def step_outcomes(predicted: Sequence[Element], true: Sequence[Element], step_m: float) -> tuple[F64, F64, F64]:
    """Return for equal steps along labels: metres, confidence, and 1 where the label is right or 0; each (N,)."""
    metres, confidence, right = [np.zeros(0)], [np.zeros(0)], [np.zeros(0)]
    for name in CLASSES:
        lines = [_with_confidence(e) for e in predicted if e.element_class == name]
        if lines:
            points, weight = middles(lines, step_m)
            away = distances(points[:, :2], [e for e in true if e.element_class == name], RIGHT_M)
            metres.append(weight)
            confidence.append(points[:, 2])
            right.append(np.isfinite(away).astype(np.float64))
    return np.concatenate(metres), np.concatenate(confidence), np.concatenate(right)


def calibration(
    predicted: Sequence[Element], true: Sequence[Element], config: EvaluateConfig | None = None
) -> dict[str, Any]:
    """Return the reliability curve and the expected calibration error (`ece`) of all classes and of each.

    A class without labels has an `ece` of None. Bins without labels are left out of the curve.
    """
    step_m = (config or EvaluateConfig()).step_m
    classes = {}
    for name in CLASSES:
        ours, theirs = ([e for e in side if e.element_class == name] for side in (predicted, true))
        classes[name] = reliability(*step_outcomes(ours, theirs, step_m))
    return {"right_m": RIGHT_M, **reliability(*step_outcomes(predicted, true, step_m)), "classes": classes}


def reliability(metres: F64, confidence: F64, right: F64) -> dict[str, Any]:
    """Return `bins` (low, high, metres, mean confidence, share right), `metres`, `ece`, and both means."""
    total = float(metres.sum())
    if not total:
        return {"metres": 0.0, "confidence": None, "right": None, "ece": None, "bins": []}
    number = np.clip((confidence * BINS).astype(np.int64), 0, BINS - 1)
    bins, error = [], 0.0
    for k in range(BINS):
        inside = number == k
        weight = float(metres[inside].sum())
        if weight:
            stated, share = (float(metres[inside] @ values[inside]) / weight for values in (confidence, right))
            error += weight * abs(share - stated)
            entry = {"low": k / BINS, "high": (k + 1) / BINS, "metres": round(weight, 1)}
            bins.append({**entry, "confidence": round(stated, 4), "right": round(share, 4)})
    return {
        "metres": round(total, 1),
        "confidence": round(float(metres @ confidence) / total, 4),
        "right": round(float(metres @ right) / total, 4),
        "ece": round(error / total, 4),
        "bins": bins,
    }


def _with_confidence(element: Element) -> F64:
    line = np.c_[element.vertices[:, :2], element.confidence]
    return np.concatenate([line, line[:1]]) if element.closed else line
