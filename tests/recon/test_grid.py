import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recon.grid import Grid


@given(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4), st.floats(0.02, 1.0), st.floats(0, 1), st.floats(0, 1))
def test_metres_and_pixels_are_inverse(west: float, north: float, cell: float, fx: float, fy: float) -> None:
    grid = Grid(west_m=west, north_m=north, cell_m=cell, width=40, height=30)
    px = np.array([fx * 40, fy * 30])
    assert np.allclose(grid.to_px(grid.to_m(px)), px, atol=1e-6)


def test_row_zero_is_north_and_centres_lie_at_one_half() -> None:
    grid = Grid(west_m=10.0, north_m=20.0, cell_m=0.5, width=4, height=3)
    centres = grid.centres()
    assert centres.shape == (3, 4, 2)
    assert np.allclose(centres[0, 0], [10.25, 19.75])
    assert np.allclose(centres[2, 3], [11.75, 18.75])
    cells, inside = grid.cells(centres)
    assert inside.all()
    assert np.array_equal(cells[..., 0], np.arange(3)[:, None].repeat(4, 1))
    assert np.array_equal(cells[..., 1], np.arange(4)[None].repeat(3, 0))


@given(st.lists(st.tuples(st.floats(-500, 500), st.floats(-500, 500)), min_size=1, max_size=20), st.floats(0.05, 1))
def test_a_grid_around_points_holds_them_with_the_margin(points: list[tuple[float, float]], cell: float) -> None:
    xy = np.array(points)
    grid = Grid.around(xy, margin_m=2.0, cell_m=cell)
    px = grid.to_px(xy)
    margin = 2.0 / cell - 1e-6
    assert (px >= margin).all()
    assert (px[:, 0] <= grid.width - margin).all()
    assert (px[:, 1] <= grid.height - margin).all()


def test_points_outside_are_told() -> None:
    grid = Grid(west_m=0.0, north_m=1.0, cell_m=0.5, width=2, height=2)
    _, inside = grid.cells(np.array([[0.1, 0.1], [-0.1, 0.1], [0.1, 1.1], [1.1, 0.1]]))
    assert inside.tolist() == [True, False, False, False]


@pytest.mark.parametrize("fields", [{"cell_m": 0.0}, {"width": 0}, {"west_m": float("nan")}])
def test_what_is_no_raster_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"raster|empty"):
        Grid(**{"west_m": 0.0, "north_m": 0.0, "cell_m": 0.1, "width": 2, "height": 2, **fields})  # type: ignore[arg-type]
