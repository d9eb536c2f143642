"""One test for each defect of the system that Roadscribe learned from, as far as it concerns tracing.

The numbers are those of the list of its vectorizer's defects (5.1 to 5.5) and of its reconstruction's (3).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from crosswalk_field import crosswalk_field
from painter import distance_to, shifted, street
from shapely import Polygon

from vectorize import polyline
from vectorize.config import CropConfig, TraceConfig
from vectorize.labels.crop import crop_element
from vectorize.road_map import Element
from vectorize.trace.crossings.crosswalk import find_crossings
from vectorize.trace.lines.skeleton import trace_lines
from vectorize.trace.trace import trace


def test_defect_3_what_was_never_seen_is_told_by_its_views_not_by_a_tie_between_classes():
    canvas, centre = street(length_m=20.0, half_width_m=3.0)
    canvas.stroke(centre)
    x = canvas.grid.centres()[..., 0]
    canvas.hide(x > 10.0)
    bev = canvas.bev()
    # Whatever stands in unseen cells, paint included, means nothing.
    noise = np.random.default_rng(2).dirichlet(np.ones(bev.class_probability.shape[-1]), bev.grid.shape)
    lying = np.where(bev.seen[..., None], bev.class_probability, noise).astype(np.float16)
    one, two = trace(bev, TraceConfig()), trace(replace(bev, class_probability=lying), TraceConfig())
    assert len(one.elements) == len(two.elements) > 0
    for a, b in zip(one.elements, two.elements, strict=True):
        assert np.array_equal(a.vertices, b.vertices)
        assert a.vertices[a.seen, 0].max() < 10.3


@pytest.mark.parametrize("yaw_rad", [0.0, 0.7])
def test_defect_5_1_crossings_on_the_edge_of_a_patch_are_cut_as_polygons(yaw_rad):
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(yaw_rad), -np.sin(yaw_rad)], [np.sin(yaw_rad), np.cos(yaw_rad)]]
    corners = np.array([[28.0, 10, 0], [34, 10, 0], [34, 18, 0], [28, 18, 0]]) @ pose[:3, :3].T
    nothing = np.ones(4)
    crossing = Element(
        element_class="ped_crossing",
        vertices=corners,
        seen=nothing.astype(bool),
        confidence=nothing.astype(np.float32),
        score=1.0,
        closed=True,
    )
    (piece,) = crop_element(crossing, np.linalg.inv(pose), CropConfig())
    assert piece.closed
    assert Polygon(piece.vertices[:, :2]).area == pytest.approx(2.0 * 5.0)


def test_defect_5_2_no_branch_is_lost_whichever_pixel_comes_first():
    star = np.zeros((120, 120), bool)
    star[60, 55:110] = True  # three long arms and a short one
    star[10:60, 60] = True
    for k in range(1, 45):
        star[60 + k, 60 - k] = True
    arms = 49 + 50 + 44 * np.sqrt(2)
    for turn in range(4):
        for flipped in (False, True):
            image = np.rot90(star[:, ::-1] if flipped else star, turn)
            lengths = [float(polyline.length_of(line)) for line in trace_lines(image, spur_px=8.0)]
            assert sum(lengths) == pytest.approx(arms, abs=6.0)
            assert min(lengths) > 35.0


def test_defect_5_3_four_hundred_areas_of_one_image_are_found_each_in_its_place():
    # That an area does not cost the whole image each time is measured: bench_crossings.py.
    found = find_crossings(crosswalk_field(20, (80, 100)), simplify_m=0.2, min_area_m2=2.0)
    assert len(found) == 400
    tiles = {tuple((ring.mean(axis=0) // (10.0, 8.0)).tolist()) for ring, _ in found}
    assert len(tiles) == 400


def test_defect_5_4_short_lines_have_no_stairs_and_long_ones_keep_their_shape():
    canvas, centre = street(length_m=16.0, half_width_m=3.0, heading_rad=0.3)
    canvas.stroke(centre[100:180])
    (short,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert len(short.vertices) == 2
    assert distance_to(centre, short.vertices).max() < 0.1
    along = np.arange(0.0, 600.0, 0.1)
    winding = np.stack([along, 8.0 * np.sin(along / 12.0)], axis=1)
    kept = winding[polyline.simplify(winding, TraceConfig().simplify_m)]
    assert len(kept) > 20
    assert distance_to(kept, winding).max() <= TraceConfig().simplify_m + 1e-9


@pytest.mark.parametrize(("dash_m", "gap_m"), [(3.0, 9.0), (1.5, 4.5)])
def test_defect_5_5_dashes_as_far_apart_as_nuscenes_paints_them_are_one_divider(dash_m, gap_m):
    canvas, centre = street(length_m=4 * dash_m + 3 * gap_m, half_width_m=3.0)
    canvas.dashes(shifted(centre, 0.5), dash_m=dash_m, gap_m=gap_m - 0.2)
    (divider,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert divider.style == "dashed"
    assert polyline.length_of(divider.vertices) == pytest.approx(4 * dash_m + 3 * (gap_m - 0.2), abs=0.6)
