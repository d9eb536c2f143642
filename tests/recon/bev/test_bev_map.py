"""The raster as blocks is the raster: every window of it, and coarser pictures of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon import artifact
from recon.bev.bev_map import LAYERS, BevBlocks, BevMap
from recon.classes import CLASS_COUNT
from recon.errors import ConfigInvalid
from recon.grid import Grid


def raster(seed: int, height: int, width: int) -> BevMap:
    rng = np.random.default_rng(seed)
    views = rng.integers(0, 5, (height, width)).astype(np.uint16)
    views[(np.add.outer(np.arange(height), np.arange(width)) // 70) % 2 == 0] = 0
    seen = views > 0
    probability = rng.dirichlet(np.ones(CLASS_COUNT), (height, width)).astype(np.float16)
    return BevMap(
        grid=Grid(west_m=-3.0, north_m=8.5, cell_m=0.1, width=width, height=height),
        rgb=rng.integers(0, 256, (height, width, 3)).astype(np.uint8) * seen[..., None],
        class_probability=probability * seen[..., None],
        height_m=(rng.normal(0, 1, (height, width)) * seen).astype(np.float32),
        views=views,
        trips=seen.astype(np.uint64),
        shift_m=(rng.normal(0, 1, (height, width, 2)) * seen[..., None]).astype(np.float16),
    )


def same(one: BevMap, other: BevMap) -> None:
    assert one.grid == other.grid
    for name in LAYERS:
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 99), st.integers(1, 200), st.integers(1, 200), st.integers(-50, 210), st.integers(-50, 210))
def test_a_window_of_the_blocks_is_that_part_of_the_raster(seed: int, height: int, width: int, r: int, c: int) -> None:
    bev = raster(seed, height, width)
    blocks = BevBlocks.of(bev)
    same(blocks.whole(), bev)
    window = blocks.window((r, c), (r + 80, c + 90))
    row, column = (round(v) for v in ((8.5 - window.grid.north_m) * 10, (window.grid.west_m + 3.0) * 10))
    h, w = window.grid.shape
    assert (row, column) == (min(max(r, 0), height - 1), min(max(c, 0), width - 1))
    assert np.array_equal(window.rgb, bev.rgb[row : row + h, column : column + w])
    assert np.array_equal(window.trips, bev.trips[row : row + h, column : column + w])


def test_unseen_ground_takes_no_room(tmp_path: Path) -> None:
    bev = raster(3, 300, 300)
    views = np.zeros_like(bev.views)
    views[5, 7] = views[290, 100] = 1
    blocks = BevBlocks.of(replace(bev, views=views))
    assert blocks.at.tolist() == [[0, 0], [4, 1]]
    artifact.write(blocks, tmp_path / "blocks")
    artifact.write(replace(bev, views=views), tmp_path / "dense")
    read = [artifact.read_manifest(tmp_path / name, kind="BevMap", schema=4).digest for name in ("blocks", "dense")]
    assert read[0] == read[1]
    mapped = artifact.read(BevBlocks, tmp_path / "blocks", mapped=True)
    assert mapped.window((290, 100), (291, 101)).views.tolist() == [[1]]
    assert artifact.read(BevMap, tmp_path / "blocks").views.sum() == 2


def test_coarser_cells_hold_the_mean_of_what_was_seen() -> None:
    bev = raster(4, 150, 130)
    coarse = BevBlocks.of(bev).coarser(1300)
    factor = round(coarse.grid.cell_m / bev.grid.cell_m)
    assert factor == 4
    r, c = 9, 11
    group = np.s_[r * factor : (r + 1) * factor, c * factor : (c + 1) * factor]
    seen = bev.seen[group]
    assert coarse.views[r, c] == bev.views[group].max()
    assert np.allclose(coarse.rgb[r, c], bev.rgb[group][seen].mean(axis=0), atol=1.0)
    assert coarse.height_m[r, c] == pytest.approx(bev.height_m[group][seen].mean(), abs=1e-5)
    total = coarse.class_probability.astype(np.float32).sum(axis=2)
    assert np.allclose(total[coarse.seen], 1.0, atol=0.01)
    assert not total[~coarse.seen].any()
    same(BevBlocks.of(bev).coarser(10**6), bev)


def test_a_raster_too_large_to_be_dense_is_refused() -> None:
    blocks = BevBlocks.of(raster(5, 64, 64))
    huge = replace(blocks, grid=replace(blocks.grid, width=100_000, height=100_000))
    with pytest.raises(ConfigInvalid, match="100000 x 100000 cells"):
        huge.whole()
    assert huge.window((0, 0), (64, 64)).seen.any()
