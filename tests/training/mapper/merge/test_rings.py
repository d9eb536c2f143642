"""Islands that were predicted keyframe by keyframe, from any vertex on and either way round, stay closed lines."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from training.mapper.merge.merge import merge
from vectorize.labels.label_set import LabelSet, PseudoLabels
from vectorize.road_map import Element, RoadMap

FRAMES = 10
SHAPES = {
    "round": np.stack([4 * np.cos(np.arange(40) * np.pi / 20), 4 * np.sin(np.arange(40) * np.pi / 20)], axis=1),
    "box": np.array([[-3.0, -2.0], [0.0, -2.0], [3.0, -2.0], [3.0, 2.0], [0.0, 2.0], [-3.0, 2.0]]),
    "narrow": np.array([[-8.0, -0.3], [8.0, -0.3], [8.4, 0.0], [8.0, 0.3], [-8.0, 0.3], [-8.4, 0.0]]),
}


def boundary(vertices: np.ndarray, score: float = 0.5, *, closed: bool = True) -> Element:
    count = len(vertices)
    return Element(
        element_class="boundary",
        vertices=vertices,
        seen=np.ones(count, bool),
        confidence=np.ones(count, np.float32),
        score=score,
        closed=closed,
    )


def merged(frames: list[list[Element]], poses: list[np.ndarray] | None = None) -> RoadMap:
    labels = [
        PseudoLabels(
            frame=i,
            time_ns=i,
            world_from_ego=np.eye(4) if poses is None else poses[i],
            elements=tuple(elements),
            known=np.ones((400, 200), bool),
        )
        for i, elements in enumerate(frames)
    ]
    return merge(
        LabelSet(drive="d", labels=tuple(labels), length_m=60.0, width_m=30.0, mask_cell_m=0.15, provenance={}), 0.0
    )


def turned(shape: np.ndarray, start: int, *, back: bool = False) -> np.ndarray:
    """Return a ring that starts at another vertex, the other way round where `back`."""
    ring = np.roll(shape, -start, axis=0)
    return ring[::-1] if back else ring


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """Return the farthest distance from one outline to the other, in metres."""
    first, second = (shapely.LinearRing(ring[:, :2]).segmentize(0.05) for ring in (one, other))
    return float(shapely.hausdorff_distance(first, second))


@pytest.mark.parametrize("others", [0, 10, 20, 30])
def test_a_ring_is_whole_and_closed_wherever_predictions_start(others: int) -> None:
    starts = [0] + [others] * (FRAMES - 1)
    (found,) = merged([[boundary(turned(SHAPES["round"], start))] for start in starts]).elements
    assert found.closed
    assert found.score == pytest.approx(0.5)
    assert apart(found.vertices, SHAPES["round"]) < 0.1


@settings(max_examples=15, deadline=None)
@given(name=st.sampled_from(sorted(SHAPES)), seed=st.integers(0, 2**32 - 1))
def test_starts_and_directions_do_not_change_the_outline(name: str, seed: int) -> None:
    random, shape = np.random.default_rng(seed), SHAPES[name]
    noisy = [shape + random.normal(0.0, 0.1, 2) for _ in range(FRAMES)]
    scores = random.uniform(0.3, 0.9, FRAMES).tolist()
    frames = [
        [boundary(turned(ring, int(random.integers(len(shape))), back=random.random() < 0.5), score)]
        for ring, score in zip(noisy, scores, strict=True)
    ]
    (plain,) = merged([[boundary(ring, score)] for ring, score in zip(noisy, scores, strict=True)]).elements
    (found,) = merged(frames).elements
    assert found.closed
    assert apart(found.vertices, plain.vertices) < 0.1
    assert found.score == pytest.approx(np.mean(scores), abs=1e-6)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_scores_do_not_depend_on_the_order_of_keyframes(seed: int) -> None:
    random = np.random.default_rng(seed)
    frames = []
    for i in range(FRAMES):
        shapes = [SHAPES["box"] - [3.4, 0.0], SHAPES["box"] + [3.4, 0.0], SHAPES["round"] + [-15.0, 5.0]]
        rings = [shape + random.normal(0.0, 0.15, 2) for shape in shapes]
        frames.append([boundary(ring, random.uniform(0.3, 0.9)) for ring in rings])
        if i < 3:
            frames[-1][2] = boundary(rings[2][:25], 0.3, closed=False)
    one, other = (merged(order) for order in (frames, [frames[i] for i in random.permutation(FRAMES)]))
    assert len(one.elements) == 3
    scores = [sorted((e.closed, e.score) for e in found.elements) for found in (one, other)]
    assert np.allclose(*scores, atol=1e-6)


def test_a_ring_that_half_the_keyframes_see_in_part_is_closed() -> None:
    shape = SHAPES["round"]
    frames = [[boundary(turned(shape, 4 * i)) if i % 2 else boundary(shape[:26], closed=False)] for i in range(FRAMES)]
    (found,) = merged(frames).elements
    assert found.closed
    assert apart(found.vertices, shape) < 0.1
    assert found.score == pytest.approx(0.25 + 0.25 * 25 / 40, abs=0.02)


@pytest.mark.parametrize("turn", [0, 7])
def test_a_ring_that_most_keyframes_see_open_is_one_open_line(turn: int) -> None:
    shape = SHAPES["round"]
    frames = [
        [boundary(turned(shape, 4 * i))] if i < 3 else [boundary(turned(shape, turn * i)[:31], closed=False)]
        for i in range(FRAMES)
    ]
    (found,) = merged(frames).elements
    assert not found.closed
    assert found.score == pytest.approx(0.15 + 0.35 * 30 / 40, abs=0.03)
    length = shapely.LineString(found.vertices[:, :2]).length
    assert 0.9 * 8 * np.pi - 1.5 < length < 8 * np.pi  # once around, and no farther


def test_a_long_island_that_patches_cut_is_closed() -> None:
    """Three of 21 keyframes hold all 50 m of it; the others predict what lies in their patch, as open lines."""
    island = SHAPES["narrow"] * [3.0, 1.0]
    ring = shapely.LinearRing(island)
    frames, poses = [], []
    for x in range(-40, 41, 4):
        pose = np.eye(4)
        pose[0, 3] = x
        piece = shapely.line_merge(ring.intersection(shapely.box(x - 30, -15, x + 30, 15)))
        lines = [part for part in shapely.get_parts(piece) if part.length > 1]
        frames.append(
            [
                boundary(np.asarray(line.coords)[: -1 if line.is_ring else None] - [x, 0], closed=line.is_ring)
                for line in lines
            ]
        )
        poses.append(pose)
    (found,) = merged(frames, poses).elements
    assert found.closed
    assert apart(found.vertices, island) < 0.3
    assert found.score > 0.4


def test_islands_beside_each_other_stay_two_under_a_sloppy_prediction_of_both() -> None:
    left, right = SHAPES["round"] - [4.3, 0.0], SHAPES["round"] + [4.3, 0.0]
    frames = [[boundary(turned(left, 3 * i, back=i % 2 == 0)), boundary(turned(right, 7 * i))] for i in range(FRAMES)]
    frames[4].append(boundary(SHAPES["round"] * [2.2, 1.1], 0.9))
    found = merged(frames).elements
    assert [e.closed for e in found] == [True, True]
    assert sorted(round(float(e.vertices[:, 0].mean())) for e in found) == [-4, 4]


def test_one_false_ring_does_not_close_the_lines_at_its_sides() -> None:
    sides = [np.array([[-30.0, y], [30.0, y]]) for y in (-5.0, 5.0)]
    frames = [[boundary(side, 0.8, closed=False) for side in sides] for _ in range(FRAMES)]
    frames[0].append(boundary(np.array([[-28.0, -5.0], [28.0, -5.0], [28.0, 5.0], [-28.0, 5.0]]), 0.9))
    found = merged(frames).elements
    assert [e.closed for e in found] == [False, False]


def test_a_narrow_island_keeps_three_vertices() -> None:
    """At the tolerance to which lines are simplified, an island of a hand's width would be a line of two vertices."""
    sliver = np.array([[0.0, 0.0], [8.0, 0.0], [8.0, 0.04], [0.0, 0.04]])
    (found,) = merged([[boundary(sliver)]] * FRAMES).elements
    assert found.closed
    assert len(found.vertices) >= 3


@pytest.mark.parametrize("seed", range(5))
def test_predictions_that_tremble_give_an_outline_that_does_not_cross_itself(seed: int) -> None:
    random, angle = np.random.default_rng(seed), np.arange(24) * np.pi / 12
    shape, frames = np.stack([np.cos(angle), np.sin(angle)], axis=1), []
    for _ in range(FRAMES):
        trembling = shape + random.normal(0, 0.3, 2) + random.normal(0, 0.15, shape.shape)
        frames.append([boundary(trembling, random.uniform(0.4, 0.9))])
    (found,) = merged(frames).elements
    assert shapely.LinearRing(found.vertices[:, :2]).is_simple
