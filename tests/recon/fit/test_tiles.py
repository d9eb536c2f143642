from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon.fit.tiles import tiles_of
from recon.surface.cells import BLOCK_CELLS, Cells, corridor_blocks


def path_of(seed: int) -> np.ndarray:
    heading = np.cumsum(np.random.default_rng(seed).normal(0, 0.1, 120))
    return np.cumsum(np.c_[np.cos(heading), np.sin(heading)] * 3.0, axis=0)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.integers(3, 60))
def test_every_block_has_one_owner_and_its_neighbours_in_the_rim(seed: int, most: int) -> None:
    path = path_of(seed)
    _, blocks = corridor_blocks(path, corridor_m=9.0, cell_m=0.2)
    tiles = tiles_of(path, corridor_m=9.0, cell_m=0.2, most_cells=most * BLOCK_CELLS**2)
    everything = {tuple(block) for block in blocks.tolist()}
    owned = [tuple(block) for tile in tiles for block in tile.own.tolist()]
    assert sorted(owned) == sorted(everything)
    assert max(len(tile.own) for tile in tiles) <= most
    for tile in tiles:
        near = {(r + i, c + j) for r, c in tile.own.tolist() for i in (-1, 0, 1) for j in (-1, 0, 1)}
        assert {tuple(block) for block in tile.with_halo.tolist()} == near & everything


def test_a_small_site_is_one_tile_with_all_cells_of_the_corridor() -> None:
    path = path_of(1)[:20]
    (tile,) = tiles_of(path, corridor_m=9.0, cell_m=0.2, most_cells=1_000_000)
    whole = Cells.corridor(path, corridor_m=9.0, cell_m=0.2)
    one = Cells.within(path, tile.grid, tile.with_halo, corridor_m=9.0)
    assert np.array_equal(one.row, whole.row)
    assert np.array_equal(one.column, whole.column)
    assert tile.owns(whole.row, whole.column).all()


@pytest.mark.slow
@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000))
def test_what_tiles_say_about_a_cell_fades_across_borders(seed: int) -> None:
    path = path_of(seed)[:40]
    tiles = tiles_of(path, corridor_m=9.0, cell_m=0.2, most_cells=20 * BLOCK_CELLS**2)
    whole = Cells.corridor(path, corridor_m=9.0, cell_m=0.2)
    weights = np.zeros((len(tiles), len(whole)))
    for number, tile in enumerate(tiles):
        inside = replace(tile, own=tile.with_halo).owns(whole.row, whole.column)
        weights[number, inside] = tile.blend_weight(whole.row[inside], whole.column[inside])
        owned = tile.owns(whole.row, whole.column)
        assert (weights[number, owned] > 0.5).all()
        assert (weights[number, ~owned] < 0.5).all()
    # Two tiles share a cell completely; where three or more meet the shares are scaled.
    weighted = (weights > 0).sum(axis=0)
    assert np.allclose(weights.sum(axis=0)[weighted == 1], 1.0, atol=1e-9)
    assert weights.sum(axis=0).min() > 0.5
    east = {(int(r), int(c)): i for i, (r, c) in enumerate(zip(whole.row, whole.column, strict=True))}
    pairs = [(i, east[r, c + 1]) for (r, c), i in east.items() if (r, c + 1) in east]
    one, other = np.array(pairs).T
    both = (weights[:, one] > 0) & (weights[:, other] > 0)
    assert np.abs((weights[:, one] - weights[:, other])[both]).max() < 0.04
