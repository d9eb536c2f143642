"""From what the model gives to map elements: the best scores over instances and classes, without suppression."""

from __future__ import annotations

from typing import cast

import numpy as np

from recon.arrays import F64
from training.model.config import ModelConfig
from training.model.map_output import MapOutput
from vectorize.road_map import AREA_CLASSES, Element, ElementClass

CLOSING = 1.5  # times the usual distance between points: how near the ends of a line are for it to be a ring


def decode(
    output: MapOutput, config: ModelConfig, *, most: int = 50, least_score: float = 0.0
) -> list[tuple[Element, ...]]:
    """Return the elements of each sample, ego frame in metres, best first.

    MapTR's decoding: the `most` best of all instances times classes of the last layer. Scores below `least_score` are
    left out. The model does not say which lines are closed; a ring's points are equally far apart all around it, so
    that a line is one whose ends are as near as neighbours. Areas are always closed.
    """
    one = output.branch(many=False)
    scores = one.logits[-1].float().sigmoid().flatten(1)  # (B, Q C)
    best, places = scores.detach().topk(min(most, scores.shape[1]), dim=1)
    values, found = best.cpu().numpy().astype(np.float64), places.cpu().numpy()
    points = one.points[-1].detach().float().cpu().numpy().astype(np.float64)
    result = []
    for b in range(len(points)):
        elements = []
        for score, place in zip(values[b], found[b], strict=True):
            if score < least_score:
                break
            instance, number = divmod(int(place), len(config.classes))
            name = cast(ElementClass, config.classes[number])
            elements.append(_element(name, config.patch.to_ego(points[b, instance]), float(score)))
        result.append(tuple(elements))
    return result


def _element(name: ElementClass, vertices: F64, score: float) -> Element:
    count = len(vertices)
    return Element(
        element_class=name,
        vertices=vertices,
        seen=np.ones(count, bool),
        confidence=np.full(count, score, np.float32),
        score=score,
        closed=count >= 3 and (name in AREA_CLASSES or _is_ring(vertices)),
    )


def _is_ring(vertices: F64) -> bool:
    steps = np.linalg.norm(np.diff(vertices, axis=0), axis=1)
    return bool(np.linalg.norm(vertices[0] - vertices[-1]) <= CLOSING * np.median(steps))
