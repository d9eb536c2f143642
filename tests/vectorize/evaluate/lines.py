"""Elements, patches and random maps that the tests of the evaluation share."""

from __future__ import annotations

import numpy as np

from vectorize.evaluate.clip import Region
from vectorize.evaluate.patch import Patch
from vectorize.road_map import Element

SIZE_M = (60.0, 30.0)


def element(vertices, *, name="divider", closed=False, score=1.0, style="solid") -> Element:
    vertices = np.asarray(vertices, dtype=float)
    return Element(
        element_class=name,
        vertices=vertices,
        seen=np.ones(len(vertices), bool),
        confidence=np.ones(len(vertices), np.float32),
        score=score,
        style=style,
        closed=closed,
    )


def box(x0, y0, x1, y1, **fields) -> Element:
    return element([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], name="ped_crossing", closed=True, **fields)


def patch(predicted, true, *, known=None, name="p", pose=None) -> Patch:
    known = np.ones((200, 400), bool).T if known is None else known
    return Patch(
        name=name,
        predicted=tuple(predicted),
        true=tuple(true),
        region=Region.of_patch(known, *SIZE_M),
        size_m=SIZE_M,
        world_from_ego=np.eye(4) if pose is None else pose,
    )


def random_elements(generator, count, *, closed=False, name="divider", size=20.0) -> list[Element]:
    """Return wiggly lines, some near each other, or star-shaped rings."""
    result = []
    for _ in range(count):
        if closed:
            angle = np.sort(generator.uniform(0, 2 * np.pi, generator.integers(4, 9)))
            radius = generator.uniform(1.0, 3.0, len(angle))
            ring = np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius[:, None]
            vertices = ring + generator.uniform(-4, 4, 2)
        else:
            steps = generator.normal(0, 0.4, (generator.integers(2, 9), 2)) + [size / 6, 0]
            vertices = np.cumsum(steps, axis=0) + generator.uniform(-1, 1, 2) * [2.0, 3.0]
        result.append(element(vertices, name=name, closed=closed, score=round(float(generator.uniform(0, 1)), 1)))
    return result
