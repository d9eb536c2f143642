"""Labels and outputs of the online-mapping model with everything given by hand, for tests of matching and loss."""

from __future__ import annotations

import numpy as np
import torch

from training.data.train_batch import Labels
from training.model.map_output import MapOutput

CLASSES = ("divider", "ped_crossing", "boundary", "stop_line")
AREAS = (False, True, False, False)
POINTS = 20


def line(*corners, count=POINTS, closed=False):
    """Return (count, 2) points at equal distances along corners in unit coordinates of a square patch."""
    corners = np.array([*corners, *corners[:1]] if closed else corners, float)
    along = np.r_[0.0, np.cumsum(np.hypot(*np.diff(corners, axis=0).T))]
    at = np.linspace(0.0, along[-1], count, endpoint=not closed)
    return np.stack([np.interp(at, along, corners[:, d]) for d in (0, 1)], axis=-1).astype(np.float32)


def labels_of(*samples, known, weight=None):
    """Return Labels of samples, each a list of (points, class index, closed); `known` (B, h, w)."""
    most = max(map(len, samples))
    known = torch.as_tensor(np.asarray(known)).bool()
    shape = (len(samples), most, POINTS)
    points, classes = torch.zeros(*shape, 2), torch.full(shape[:2], -1, dtype=torch.int64)
    closed = torch.zeros(shape[:2], dtype=torch.bool)
    for b, elements in enumerate(samples):
        for m, (chain, of_class, ring) in enumerate(elements):
            points[b, m], classes[b, m], closed[b, m] = torch.from_numpy(chain), of_class, ring
    return Labels(
        points=points,
        classes=classes,
        closed=closed,
        seen=torch.ones(shape),
        confidence=torch.ones(shape),
        known=known,
        weight=torch.ones(len(samples)) if weight is None else torch.tensor(weight),
        bev=torch.zeros(len(samples), len(CLASSES), 20, 20, dtype=torch.uint8),
    )


def output_of(points, logits, *, one2one=None, **heads):
    """Return a MapOutput of points (L, B, Q, P, 2) and logits (L, B, Q, C)."""
    points, logits = torch.as_tensor(points), torch.as_tensor(logits)
    _, samples, queries = logits.shape[:3]
    return MapOutput(
        points=points,
        logits=logits,
        one2one=queries if one2one is None else one2one,
        instances=torch.zeros(samples, queries, 1),
        bev=torch.zeros(samples, 1, 1, 1),
        **heads,
    )


def sure_of(*classes, sureness=4.0):
    """Return logits (Q, C) of predictions that are sure of a class; -1 is none."""
    logits = np.full((len(classes), len(CLASSES)), -sureness, np.float32)
    for q, of_class in enumerate(classes):
        if of_class >= 0:
            logits[q, of_class] = sureness
    return logits
