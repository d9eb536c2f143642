"""Chains are cut exactly where they leave the known cells: compared with shapely."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from training.match.cut_kernels import arc_lengths, known_runs, length_at, most_runs, pieces, resample
from training.match.targets import mask_depth

pytestmark = pytest.mark.slow  # kernels are compiled


def cut(xy, closed, known, least_cells=0.0, leap=True):
    """Return the pieces as [(start, stop)], the known length, whether all is known, and lengths along the chain."""
    xy, depth = np.asarray(xy, float), mask_depth(np.asarray(known, bool))
    starts, stops, first, last = np.empty((4, most_runs(len(xy), depth)))
    runs, _ = known_runs(xy, closed, depth, 1, leap, starts, stops)
    along = arc_lengths(xy)
    count, length, whole = pieces(starts, stops, runs, along, closed, least_cells, first, last)
    return list(zip(first[:count], last[:count], strict=True)), length, whole, along


def cells_of(known):
    """Return the known cells as one geometry."""
    rows, columns = np.nonzero(known)
    return shapely.union_all(shapely.box(columns, rows, columns + 1, rows + 1))


chains = st.integers(2, 8).flatmap(
    lambda n: st.lists(st.tuples(st.floats(0, 12), st.floats(0, 9)), min_size=n, max_size=n)
)
masks = st.integers(0, 2**32 - 1).map(np.random.default_rng)


@settings(max_examples=300, deadline=None)
@given(chain=chains, random=masks, closed=st.booleans(), share=st.sampled_from([0.1, 0.5, 0.9, 1.0]))
def test_the_known_length_is_that_of_shapely(chain, random, closed, share):
    known = random.random((9, 12)) < share
    inside = cells_of(known)
    edge = inside.boundary.buffer(1e-7)
    ends = zip(chain, [*chain[1:], chain[0]], strict=True)
    segments = [shapely.LineString(pair) for pair in ends][: len(chain) - 1 + closed]
    # Along an edge between known and unknown cells either side may own the chain.
    sure = sum(one.difference(edge).intersection(inside).length for one in segments)
    on_edge = sum(one.intersection(edge).length for one in segments)
    for leap in (True, False):
        _, length, whole, along = cut(chain, closed, known, leap=leap)
        total = length_at(along, len(chain) - 1.0 + closed)
        assert sure - 1e-5 <= length <= sure + on_edge + 1e-5
        assert not whole or length == pytest.approx(total)


def test_a_line_is_cut_exactly_at_the_edge():
    known = np.ones((4, 10), bool)
    known[:, 5:7] = False
    found, length, whole, _ = cut([(1.0, 2.5), (9.0, 2.5)], False, known)
    assert not whole
    assert length == pytest.approx(6.0)
    assert np.allclose(found, [(0.0, 0.5), (0.75, 1.0)])


def test_a_piece_shorter_than_asked_does_not_count_but_its_length_is_known():
    known = np.ones((4, 10), bool)
    known[:, 5:7] = False
    found, length, _, _ = cut([(1.0, 2.5), (9.0, 2.5)], False, known, least_cells=3.5)
    assert np.allclose(found, [(0.0, 0.5)])
    assert length == pytest.approx(6.0)


def test_a_ring_cut_once_is_one_open_piece_through_its_first_point():
    known = np.ones((10, 10), bool)
    known[4:6, 7:] = False
    ring = [(2.0, 2.0), (8.0, 2.0), (8.0, 8.0), (2.0, 8.0)]
    found, length, whole, along = cut(ring, True, known)
    assert not whole
    assert length == pytest.approx(22.0)
    ((start, stop),) = found
    assert (start, stop) == pytest.approx((1 + 4 / 6, 4 + 1 + 2 / 6))
    assert length_at(along, stop) - length_at(along, start) == pytest.approx(22.0)


@settings(max_examples=100, deadline=None)
@given(chain=chains, random=masks, closed=st.booleans())
def test_pieces_are_resampled_at_equal_distances(chain, random, closed):
    known = random.random((9, 12)) < 0.6
    found, _, _, along = cut(chain, closed, known, least_cells=0.5)
    xy = np.array(chain)
    for start, stop in found:
        index, fraction = np.empty(7, np.int64), np.empty(7)
        resample(along, start, stop, index, fraction)
        assert np.all((fraction >= 0) & (fraction <= 1) & (index >= 0) & (index < len(xy)))
        lengths = along[index] + fraction * (along[index + 1] - along[index])
        steps = np.diff(lengths) % along[-1] if closed else np.diff(lengths)
        expected = (length_at(along, stop) - length_at(along, start)) / 6
        away = np.abs(steps - expected)
        assert np.all(np.minimum(away, np.abs(away - along[-1])) < 1e-6)


def test_chains_without_length_and_masks_without_edges():
    assert cut([(1.0, 1.0)] * 3, False, np.ones((4, 4)))[2]
    assert not cut([(1.0, 1.0)] * 3, True, np.zeros((4, 4)))[2]
    _, length, whole, _ = cut([(0.0, 0.0), (4.0, 4.0)], False, np.ones((4, 4)))
    assert whole
    assert length == pytest.approx(np.hypot(4, 4))
    assert cut([(0.0, 0.0), (4.0, 4.0)], False, np.zeros((4, 4)))[:3] == ([], 0.0, False)
