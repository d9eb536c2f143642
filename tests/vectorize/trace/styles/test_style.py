from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from painter import distance_to, shifted, street
from scipy.ndimage import gaussian_filter

from vectorize.polyline import resample
from vectorize.trace.trace import trace
from vectorize.trace_config import TraceConfig


def _blur(canvas, sigma_m: float):
    """Blur class weights as the surfels of a fit do."""
    sigma = sigma_m / canvas.grid.cell_m
    canvas.probability = gaussian_filter(canvas.probability, (sigma, sigma, 0), mode="nearest")
    return canvas


@pytest.mark.parametrize("heading_rad", [0.0, 0.02, 0.4])
@pytest.mark.parametrize("left_m", [1.23, 1.28])
def test_two_lines_a_hand_apart_are_one_double_divider_though_the_gap_is_narrower_than_a_cell(heading_rad, left_m):
    canvas, centre = street(heading_rad=heading_rad, length_m=20.0, half_width_m=3.0)
    for side in (-0.12, 0.12):
        canvas.stroke(shifted(centre, left_m + side))
    (divider,) = trace(_blur(canvas, 0.05).bev(), TraceConfig()).of("divider")
    assert divider.style == "double"
    assert distance_to(shifted(centre, left_m), resample(divider.vertices[:, :2], 0.2)).max() < 0.16


@pytest.mark.parametrize("width_m", [0.1, 0.15, 0.2, 0.3])
@pytest.mark.parametrize("heading_rad", [0.0, 0.4])
def test_one_line_is_solid_however_wide(width_m, heading_rad):
    canvas, centre = street(heading_rad=heading_rad, length_m=20.0, half_width_m=3.0)
    canvas.stroke(shifted(centre, 1.26), width_m=width_m)
    (divider,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert divider.style == "solid"


@pytest.mark.parametrize("heading_rad", [0.0, 0.15, 0.75])
@pytest.mark.parametrize("left_m", [1.03, 1.11])
@pytest.mark.parametrize("width_m", [0.12, 0.15, 0.3])
def test_a_line_is_solid_at_every_heading_though_cells_are_as_wide_as_the_line(width_m, left_m, heading_rad):
    canvas, centre = street(heading_rad=heading_rad, length_m=40.0, half_width_m=4.0, cell_m=0.2)
    canvas.stroke(shifted(centre, left_m), width_m=width_m)
    (divider,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert divider.style == "solid"


@pytest.mark.parametrize(("cell_m", "blur_m"), [(0.1, 0.15), (0.15, 0.12), (0.2, 0.1)])
@pytest.mark.parametrize("heading_rad", [0.0, 0.4])
@pytest.mark.parametrize("left_m", [0.53, 0.6])
def test_a_wide_line_is_solid_though_it_is_blurred(left_m, heading_rad, cell_m, blur_m):
    canvas, centre = street(heading_rad=heading_rad, length_m=24.0, half_width_m=4.0, cell_m=cell_m)
    canvas.stroke(shifted(centre, left_m), width_m=0.3)
    (divider,) = trace(_blur(canvas, blur_m).bev(), TraceConfig()).of("divider")
    assert divider.style == "solid"


@pytest.mark.parametrize("cell_m", [0.1, 0.2])
@pytest.mark.parametrize("width_m", [0.12, 0.15])
def test_two_lines_are_double_though_their_gap_is_blurred_away(width_m, cell_m):
    canvas, centre = street(length_m=24.0, half_width_m=4.0, cell_m=cell_m)
    for side in (-0.15, 0.15):
        canvas.stroke(shifted(centre, 0.53 + side), width_m=width_m)
    (divider,) = trace(_blur(canvas, 0.05).bev(), TraceConfig()).of("divider")
    assert divider.style == "double"


def test_dashes_that_two_trips_place_a_hand_apart_stay_dashed():
    canvas, centre = street(heading_rad=0.4)
    for side in (-0.12, 0.12):
        canvas.dashes(shifted(centre, side), strength=0.9)
    dividers = trace(canvas.bev(), TraceConfig()).of("divider")
    assert {divider.style for divider in dividers} == {"dashed"}


def _piece(apart_m, *, trips, heading_rad=0.4):
    """Return the style of 4.7 m of paint whose two strokes lie so far apart."""
    canvas, centre = street(heading_rad=heading_rad, length_m=12.0, half_width_m=3.0)
    for side in (-apart_m / 2, apart_m / 2):
        canvas.stroke(shifted(centre, side)[70:164], strength=0.9)
    bev = _blur(canvas, 0.05).bev()
    bits = np.where(bev.views > 0, 2**trips - 1, 0).astype(np.uint64)
    (divider,) = trace(replace(bev, trips=bits), TraceConfig()).of("divider")
    return divider.style


@pytest.mark.parametrize("heading_rad", [0.0, 0.4])
@pytest.mark.parametrize("apart_m", [0.24, 0.3])
def test_a_short_piece_of_a_double_line_is_double(heading_rad, apart_m):
    """Between two junctions 4.7 m of it were left, too short for a solid line."""
    assert _piece(apart_m, trips=1, heading_rad=heading_rad) == "double"


def test_a_lone_dash_is_of_unknown_style_also_where_two_trips_place_it_apart():
    assert [_piece(apart_m, trips=1) for apart_m in (0.0, 0.1)] == ["unknown"] * 2
    assert [_piece(apart_m, trips=2) for apart_m in (0.12, 0.24)] == ["unknown"] * 2
    assert _piece(0.34, trips=2) == "double"  # trips that far apart were not aligned


def test_a_solid_line_that_was_repaired_here_and_there_is_solid():
    """No dash is as long as its pieces."""
    canvas, centre = street(length_m=41.0, half_width_m=3.0)
    canvas.dashes(centre, dash_m=12.0, gap_m=2.0)
    (divider,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert divider.style == "solid"


def test_a_line_half_a_metre_wide_is_double_though_no_gap_is_visible():
    canvas, centre = street(heading_rad=0.4, length_m=20.0, half_width_m=3.0)
    canvas.stroke(shifted(centre, 1.26), width_m=0.5)
    (divider,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert divider.style == "double"


@pytest.mark.parametrize(("dash_m", "gap_m", "style"), [(3.0, 3.0, "dashed"), (4.0, 0.6, "solid")])
def test_short_breaks_are_wear_and_longer_ones_are_gaps_between_dashes(dash_m, gap_m, style):
    canvas, centre = street(length_m=24.0, half_width_m=3.0)
    canvas.dashes(centre, dash_m=dash_m, gap_m=gap_m)
    (divider,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert divider.style == style
