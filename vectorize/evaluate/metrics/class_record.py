"""The metrics of one class as JSON: AP, precision, recall, F1, and the reason where a metric is undefined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from recon.arrays import F64
from vectorize.evaluate.config import AREAS, EvaluateConfig
from vectorize.evaluate.metrics.extent import Extent, total
from vectorize.evaluate.metrics.matching import area_under_envelope, best_match, mean_of_101, nearest_match
from vectorize.evaluate.metrics.pairing import Pairs

LINE_IOUS = (0.25, 0.30, 0.35, 0.40, 0.45, 0.50)
AREA_IOUS = (0.50, 0.55, 0.60, 0.65, 0.70, 0.75)


def class_record(
    name: str, pairs: Sequence[Pairs], extents: Sequence[Extent] | None, config: EvaluateConfig
) -> dict[str, Any]:
    """Return everything measured of one class (or style) as JSON."""
    true = sum(p.chamfer.shape[1] for p in pairs)
    predicted = sum(len(p.scores) for p in pairs)
    body: dict[str, Any] = {"true": true, "predicted": predicted, "why": _why(name, true, predicted)}
    body["chamfer"] = _distance_record(pairs, lambda p: p.chamfer, config)
    body["frechet"] = _distance_record(pairs, lambda p: p.frechet, config)
    body["raster"] = raster_record(pairs, AREA_IOUS if name in AREAS else LINE_IOUS, config)
    if extents is not None:
        body["extent"] = extent_record(name, total(extents, config))
    return body


def _why(name: str, true: int, predicted: int) -> str:
    """Return why numbers are missing or zero, or an empty string."""
    if true and predicted:
        return ""
    if true:
        return f"no {name} was predicted, so all {true} true ones are missed: recall is 0"
    if predicted:
        return f"there is no true {name} here: AP and recall are undefined, and all {predicted} predictions are false"
    return f"there is no {name} here, neither true nor predicted"


def _distance_record(
    pairs: Sequence[Pairs], distance_of: Callable[[Pairs], F64], config: EvaluateConfig
) -> dict[str, Any]:
    """Return AP, precision, recall and F1 of all predictions at each threshold, with MapTR's matching."""
    true = sum(p.chamfer.shape[1] for p in pairs)
    scores = np.concatenate([np.zeros(0), *(p.scores for p in pairs)])
    body: dict[str, Any] = {"ap": None, "ap_at": [], "precision_at": [], "recall_at": [], "f1_at": []}
    matched = np.zeros(0)
    for threshold in config.thresholds_m:
        matches = [nearest_match(distance_of(p), p.scores, threshold) for p in pairs]
        right = np.concatenate([np.zeros(0, bool), *(m >= 0 for m in matches)])
        found = int(right.sum())
        body["ap_at"].append(_rounded(area_under_envelope(right, scores, true)) if true else None)
        body["precision_at"].append(_share(found, len(right)))
        body["recall_at"].append(_share(found, true))
        body["f1_at"].append(_share(2 * found, len(right) + true))
        matched = np.concatenate(
            [np.zeros(0), *(distance_of(p)[m >= 0, m[m >= 0]] for p, m in zip(pairs, matches, strict=True))]
        )
    body["ap"] = _rounded(float(np.mean(body["ap_at"]))) if true else None
    body["matched"] = len(matched)
    body["median_m"] = _rounded(float(np.median(matched))) if len(matched) else None
    return body


def raster_record(pairs: Sequence[Pairs], ious: Sequence[float], config: EvaluateConfig) -> dict[str, Any]:
    """Return MapVR's raster AP: COCO's matching of drawn elements, averaged over IoU thresholds."""
    true = sum(p.iou.shape[1] for p in pairs)
    if not true:
        return {"ap": None, "ap_at": {f"{t:.2f}": None for t in ious}}
    at = {}
    for threshold in ious:
        right, scores = [np.zeros(0, bool)], [np.zeros(0)]
        for p in pairs:
            kept = p.scores >= config.raster_min_score
            match = best_match(p.iou[kept], p.scores[kept], threshold, most=config.raster_most)
            right.append(match[match > -2] >= 0)
            scores.append(p.scores[kept][match > -2])
        at[f"{threshold:.2f}"] = _rounded(mean_of_101(np.concatenate(right), np.concatenate(scores), true))
    return {"ap": _rounded(float(np.mean(list(at.values())))), "ap_at": at}


def extent_record(name: str, sizes: Extent) -> dict[str, Any]:
    """Return precision, recall and F1 by length or area."""
    recall = [_share(v, sizes.true) for v in sizes.found.tolist()]
    precision = [_share(v, sizes.predicted) for v in sizes.right.tolist()]
    # Precision and recall are weighted by the length of their own side, so F1 is their harmonic mean.
    f1 = [
        None if p is None or r is None else _rounded(2 * p * r / (p + r)) if p + r > 0 else 0.0
        for p, r in zip(precision, recall, strict=True)
    ]
    return {
        "unit": "m2" if name in AREAS else "m",
        "true": round(sizes.true, 2),
        "predicted": round(sizes.predicted, 2),
        "precision_at": precision,
        "recall_at": recall,
        "f1_at": f1,
    }


def _share(part: float, whole: float) -> float | None:
    return _rounded(part / whole) if whole > 0 else None


def _rounded(value: float) -> float:
    return round(value, 4) + 0.0
