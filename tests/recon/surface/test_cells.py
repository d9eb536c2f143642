import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recon.surface.cells import Cells


def path_of(seed: int) -> np.ndarray:
    heading = np.cumsum(np.random.default_rng(seed).normal(0, 0.2, 30))
    return np.cumsum(np.c_[np.cos(heading), np.sin(heading)] * 2.0, axis=0)


@settings(deadline=None)
@given(st.integers(0, 1000), st.floats(2.0, 8.0))
def test_the_corridor_is_every_cell_within_reach(seed: int, corridor: float) -> None:
    path = path_of(seed)[:6]
    cells = Cells.corridor(path, corridor_m=corridor, cell_m=0.5)
    everywhere = cells.grid.centres().reshape(-1, 2)
    distance = np.linalg.norm(everywhere[:, None] - path, axis=2).min(axis=1)
    assert len(cells) == (distance <= corridor).sum()


def test_memory_follows_the_path_not_its_bounding_box() -> None:
    diagonal = np.linspace([0, 0], [2000, 2000], 1500)
    cells = Cells.corridor(diagonal, corridor_m=5.0, cell_m=0.5)
    assert len(cells) < 0.02 * cells.grid.width * cells.grid.height


@settings(deadline=None)
@given(st.integers(0, 1000), st.floats(-10, 40), st.floats(-20, 20))
def test_a_window_holds_the_box_and_its_index_is_consistent(seed: int, x: float, y: float) -> None:
    cells = Cells.corridor(path_of(seed), corridor_m=6.0, cell_m=0.25)
    low, high = np.array([x, y]), np.array([x + 7.0, y + 5.0])
    window = cells.window(low, high)
    centres = cells.centres()
    inside = np.flatnonzero(np.all((centres >= low) & (centres <= high), axis=1))
    assert np.isin(inside, window.ids).all()
    assert np.array_equal(window.index[window.row, window.column], np.arange(len(window.ids)))
    assert (window.index >= 0).sum() == len(window.ids)
    own = window.corner_m + (np.stack([window.column, window.row], axis=1) + 0.5) * 0.25
    assert np.allclose(own, centres[window.ids])


def test_a_window_beside_the_road_is_empty() -> None:
    cells = Cells.corridor(path_of(0), corridor_m=3.0, cell_m=0.25)
    assert len(cells.window(np.array([500.0, 500.0]), np.array([510.0, 510.0])).ids) == 0
