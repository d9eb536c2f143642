"""Crossings beside each other, predicted keyframe by keyframe: each stays one, whatever sloppy votes lie over them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.mapper.merge.areas import FusedArea, Vote, fuse_areas

PATCH = np.array([[30.0, 15.0], [-30.0, 15.0], [-30.0, -15.0], [30.0, -15.0]])


def vote(x: float, length: float, score: float, *, width: float = 6.0, patch: np.ndarray = PATCH) -> Vote:
    ring = np.array([[x, -width / 2, 0], [x + length, -width / 2, 0], [x + length, width / 2, 0], [x, width / 2, 0]])
    return Vote(ring=ring, score=score, patch=patch)


def spans(areas: list[FusedArea]) -> list[tuple[int, int, float]]:
    """Return (west, east, weight) of each area, from west to east."""
    west_east = [(area.ring[:, 0].min(), area.ring[:, 0].max(), area.weight) for area in areas]
    return sorted((round(west), round(east), weight) for west, east, weight in west_east)


def test_a_sloppy_vote_over_two_areas_does_not_make_them_one() -> None:
    votes = [vote(x, 3.0, 0.9) for _ in range(10) for x in (0.0, 10.0)]
    assert spans(fuse_areas([*votes, vote(-1.0, 15.0, 0.06, width=8.0)])) == [
        (0, 3, pytest.approx(9.06)),
        (10, 13, pytest.approx(9.06)),
    ]


def test_a_sloppy_vote_does_not_let_a_sure_area_outvote_others() -> None:
    scores = {0.0: 0.9, 7.0: 0.3, 14.0: 0.5}
    votes = [vote(x, 3.0, score) for _ in range(10) for x, score in scores.items()]
    found = spans(fuse_areas([*votes, vote(-1.0, 19.0, 0.3, width=8.0)]))
    assert found == [(0, 3, pytest.approx(9.3)), (7, 10, pytest.approx(3.3)), (14, 17, pytest.approx(5.3))]


def test_an_area_that_patches_cut_in_two_is_one() -> None:
    west, east = PATCH.copy(), PATCH.copy()
    west[[0, 3], 0], east[[1, 2], 0] = 4.0, 4.0
    votes = [vote(0.0, 4.0, 0.5, patch=west)] * 4 + [vote(4.0, 4.0, 0.5, patch=east)] * 4 + [vote(0.0, 8.0, 0.5)]
    assert spans(fuse_areas(votes)) == [(0, 8, pytest.approx(4.5))]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_areas_do_not_depend_on_the_order_of_votes(seed: int) -> None:
    random = np.random.default_rng(seed)
    votes = [
        vote(x + random.normal(0, 0.3), 3.0 + random.normal(0, 0.3), random.uniform(0.05, 1.0))
        for x in (0.0, 5.0, 10.0)
        for _ in range(4)
    ]
    votes.append(vote(-1.0, 15.0, 0.3, width=8.0))
    one, other = fuse_areas(votes), fuse_areas([votes[i] for i in random.permutation(len(votes))])
    assert [area.weight for area in one] == [area.weight for area in other]
    assert all(np.array_equal(a.ring, b.ring) for a, b in zip(one, other, strict=True))
    assert one
