"""A gutter of brick is no divider, although a net half takes it for paint; painted lines of all widths stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from painter import Canvas, arc, shifted
from scipy.ndimage import gaussian_filter

from recon.bev.bev_map import BevMap
from recon.classes import RoadClass
from recon.grid import Grid
from vectorize.road_map import Element
from vectorize.trace.trace import trace
from vectorize.trace_config import TraceConfig

pytestmark = pytest.mark.slow


def road(radius_m: float, cell_m: float) -> tuple[Canvas, np.ndarray]:
    grid = Grid(west_m=-30, north_m=25, cell_m=cell_m, width=round(60 / cell_m), height=round(50 / cell_m))
    canvas = Canvas(grid)
    line = arc(radius_m=radius_m, length_m=50.0, start=(-25.0, 0.0))
    canvas.area(np.concatenate([shifted(line, 6.0), shifted(line, -6.0)[::-1]]), RoadClass.ROAD)
    return canvas, line


def cover(canvas: Canvas, line: np.ndarray, width_m: float) -> np.ndarray:
    """Return the share (H, W) of each cell that a strip covers."""
    away = canvas._away(line)
    return np.clip((width_m / 2 - away) / canvas.grid.cell_m + 0.5, 0.0, 1.0)


def with_strip(
    canvas: Canvas, covered: np.ndarray, *, certainty: float, ground: int = 100, bright: int = 150, blur_m: float = 0.05
) -> BevMap:
    """Return a map in which a strip is bright, and a net takes it for paint with some certainty."""
    sigma = blur_m / canvas.grid.cell_m
    paint = gaussian_filter(certainty * covered, sigma)
    canvas.probability *= (1.0 - paint)[..., None]
    canvas.probability[..., RoadClass.LANE_MARKING] += paint
    grey = ground + (bright - ground) * gaussian_filter(covered, sigma)
    return replace(canvas.bev(), rgb=np.repeat(grey[..., None], 3, axis=-1).round().astype(np.uint8))


def dividers(bev: BevMap) -> tuple[Element, ...]:
    return tuple(trace(bev, TraceConfig()).of("divider"))


@pytest.mark.parametrize("radius_m", [np.inf, 40.0, -25.0])
@pytest.mark.parametrize(("width_m", "certainty"), [(0.55, 0.6), (0.55, 0.5), (0.65, 0.45)])
def test_a_wide_pale_strip_is_no_divider(radius_m: float, width_m: float, certainty: float) -> None:
    canvas, line = road(radius_m, 0.1)
    bev = with_strip(canvas, cover(canvas, shifted(line, -2.0), width_m), certainty=certainty)
    assert not dividers(bev)


@pytest.mark.parametrize("cell_m", [0.05, 0.1])
def test_a_strip_is_none_at_any_size_of_the_cells(cell_m: float) -> None:
    canvas, line = road(np.inf, cell_m)
    assert not dividers(with_strip(canvas, cover(canvas, line, 0.55), certainty=0.55))


@pytest.mark.parametrize(("width_m", "certainty"), [(0.1, 0.95), (0.15, 0.6), (0.15, 0.95), (0.3, 0.5), (0.3, 0.95)])
def test_painted_lines_stay_also_worn_ones(width_m: float, certainty: float) -> None:
    canvas, line = road(np.inf, 0.1)
    bev = with_strip(canvas, cover(canvas, line, width_m), certainty=certainty, bright=220)
    assert len(dividers(bev)) == 1


def test_a_thin_line_whose_class_is_blurred_stays_for_its_sharp_brightness() -> None:
    canvas, line = road(np.inf, 0.1)
    thin = cover(canvas, line, 0.15)
    bev = with_strip(canvas, gaussian_filter(thin, 1.4), certainty=0.95)
    grey = 100 + 100 * thin
    assert len(dividers(replace(bev, rgb=np.repeat(grey[..., None], 3, axis=-1).astype(np.uint8)))) == 1


@pytest.mark.parametrize("certainty", [0.6, 0.95])
def test_two_lines_side_by_side_stay(certainty: float) -> None:
    canvas, line = road(np.inf, 0.1)
    both = np.maximum(cover(canvas, shifted(line, 0.15), 0.12), cover(canvas, shifted(line, -0.15), 0.12))
    assert len(dividers(with_strip(canvas, both, certainty=certainty, bright=220))) == 1


def test_without_colours_width_alone_drops_nothing() -> None:
    canvas, line = road(np.inf, 0.1)
    bev = with_strip(canvas, cover(canvas, line, 0.55), certainty=0.55, bright=100)
    assert len(dividers(bev)) == 1


def test_a_line_nearly_as_wide_keeps_half_of_its_confidence() -> None:
    canvas, line = road(np.inf, 0.1)
    (kept,) = dividers(with_strip(canvas, cover(canvas, line, 0.45), certainty=0.5))
    assert kept.confidence.max() <= 0.5
    assert kept.score <= 0.5
    (sure,) = dividers(with_strip(canvas, cover(canvas, line, 0.3), certainty=0.95, bright=220))
    assert sure.score > 0.9


def test_a_gutter_beside_a_bright_kerb_is_never_sure() -> None:
    """The kerb is a second crest of brightness, as the other line of a double one is, but it has another class."""
    canvas, line = road(np.inf, 0.1)
    gutter, kerb = cover(canvas, line, 0.5), cover(canvas, shifted(line, -0.55), 0.2)
    bev = with_strip(canvas, gutter, certainty=0.4)
    grey = np.maximum(bev.rgb[..., 0], (100 + 110 * kerb).astype(np.uint8))
    found = dividers(replace(bev, rgb=np.repeat(grey[..., None], 3, axis=-1)))
    assert all(e.confidence.max() <= 0.5 for e in found)


@pytest.mark.parametrize(("dash_m", "gap_m"), [(3.0, 3.0), (3.5, 2.6), (4.0, 6.0)])
def test_a_row_of_dashes_as_wide_and_pale_keeps_its_confidence(dash_m: float, gap_m: float) -> None:
    """Seen from afar, worn dashes are wide and pale; nothing but paint has a period."""
    canvas, line = road(np.inf, 0.1)
    period = round((dash_m + gap_m) / 0.05)
    dashes = [line[k : k + round(dash_m / 0.05) + 1] for k in range(0, len(line) - period, period)]
    covered = np.max([cover(canvas, dash, 0.45) for dash in dashes], axis=0)
    (kept,) = dividers(with_strip(canvas, covered, certainty=0.6, bright=200))
    assert kept.style == "dashed"
    assert kept.score > 0.9
