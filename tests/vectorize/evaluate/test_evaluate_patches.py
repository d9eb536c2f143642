from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lines import box, element, patch, random_elements

from vectorize.evaluate.evaluate_patches import evaluate_patches

TRUE = [
    element([[-20, 0], [20, 0]]),
    element([[-20, 3.5], [20, 3.5]], style="dashed"),
    element([[-20, 7], [20, 7]], name="boundary", style="unknown"),
    box(5, -4, 9, 7),
    element([[4, -4], [4, 0]], name="stop_line", style="unknown"),
]


def moved(elements, dx, dy):
    return [replace(e, vertices=e.vertices + [dx, dy]) for e in elements]


def classes(record, scope="full_range"):
    return record[scope]["classes"]


def test_the_truth_itself_is_perfect():
    record = evaluate_patches([patch(TRUE, TRUE)] * 3)
    for scope in ("full_range", "observed"):
        for kind in ("chamfer", "frechet", "raster"):
            assert record[scope]["mean"][kind] == {"map": 1.0, "over": ["divider", "ped_crossing", "boundary"]}
        for entry in classes(record, scope).values():
            assert entry["chamfer"]["f1_at"] == [1.0] * 3
            assert entry["extent"]["f1_at"] == [1.0] * 3
            assert entry["why"] == ""
    assert record["coverage"]["area"] == 1.0
    assert record["coverage"]["classes"]["divider"] == {
        **{"unit": "m", "true": 240.0, "observed": 1.0, "found_of_observed_at": [1.0] * 3, "why": ""}
    }
    assert set(record["full_range"]["styles"]) == {"solid", "dashed"}


def test_a_shift_of_070_m_fails_one_threshold_of_three():
    record = evaluate_patches([patch(moved(TRUE[:1], 0, 0.7), TRUE[:1])])
    divider = classes(record)["divider"]
    assert divider["chamfer"]["ap_at"] == [0.0, 1.0, 1.0]
    assert divider["chamfer"]["ap"] == pytest.approx(2 / 3, abs=1e-4)
    assert divider["frechet"]["ap_at"] == [0.0, 1.0, 1.0]
    assert divider["chamfer"]["median_m"] == pytest.approx(0.7)
    # 0.7 m is 5 or 6 pixels of 0.125 m: no overlap of lines 5 pixels wide.
    assert divider["raster"]["ap"] == 0.0


def test_scores_rank_over_all_patches():
    good, bad = TRUE[0], element([[-20, -9], [20, -9]], score=0.9)
    ranked_well = [patch([replace(good, score=1.0), bad], [good]), patch([replace(good, score=0.95)], [good])]
    ranked_badly = [patch([replace(good, score=0.8), bad], [good]), patch([replace(good, score=0.7)], [good])]
    assert classes(evaluate_patches(ranked_well))["divider"]["chamfer"]["ap"] == 1.0
    # The false one comes first: precision 1/2 at recall 1/2, 2/3 at recall 1; the envelope is 2/3 throughout.
    badly = classes(evaluate_patches(ranked_badly))["divider"]["chamfer"]
    assert badly["ap"] == pytest.approx(2 / 3, abs=1e-4)
    assert badly["precision_at"] == pytest.approx([2 / 3] * 3, abs=1e-4)


def test_a_class_without_truth_says_why_and_leaves_the_mean():
    record = evaluate_patches([patch([TRUE[0], box(5, -4, 9, 7)], [TRUE[0]])])
    crossing, boundary = classes(record)["ped_crossing"], classes(record)["boundary"]
    assert crossing["chamfer"]["ap"] is None
    assert crossing["chamfer"]["precision_at"] == [0.0] * 3
    assert crossing["chamfer"]["recall_at"] == [None] * 3
    assert crossing["raster"]["ap"] is None
    assert "no true ped_crossing" in crossing["why"]
    assert boundary["why"] == "there is no boundary here, neither true nor predicted"
    assert boundary["chamfer"]["f1_at"] == [None] * 3
    assert record["full_range"]["mean"]["chamfer"] == {"map": 1.0, "over": ["divider"]}


def test_nothing_predicted_is_zero_and_says_so():
    divider = classes(evaluate_patches([patch([], TRUE)]))["divider"]
    assert (divider["chamfer"]["ap"], divider["raster"]["ap"], divider["frechet"]["ap"]) == (0.0, 0.0, 0.0)
    assert divider["why"] == "no divider was predicted, so all 2 true ones are missed: recall is 0"


def test_a_patch_of_which_nothing_was_seen_is_valid_and_counted():
    unseen = patch([], TRUE, known=np.zeros((400, 200), bool))
    record = evaluate_patches([unseen, patch(TRUE, TRUE)])
    assert record["notes"] == ["1 of 2 patches have an empty observed area: nothing in them was seen"]
    assert record["observed"]["mean"]["chamfer"]["map"] == 1.0
    assert classes(record)["divider"]["chamfer"]["recall_at"] == [0.5] * 3
    assert record["coverage"]["classes"]["divider"]["observed"] == 0.5
    only = evaluate_patches([unseen])
    assert only["observed"]["mean"]["chamfer"] == {"map": None, "over": []}
    json.dumps(only, allow_nan=False)


def test_no_patches_is_a_record_that_says_so():
    record = evaluate_patches([])
    assert record["notes"] == ["there are no patches, so nothing was measured"]
    assert record["coverage"]["area"] is None


def test_a_polygon_that_crosses_itself_is_measured_and_named():
    bow = element([[0, 0], [4, 4], [4, 0], [0, 4]], name="ped_crossing", closed=True)
    record = evaluate_patches([patch([bow], [bow])])
    assert record["notes"] == ["2 polygons cross themselves: their area is that of their valid parts"]
    assert classes(record)["ped_crossing"]["extent"]["recall_at"] == [1.0] * 3
    assert classes(record)["ped_crossing"]["chamfer"]["ap"] == 1.0


def test_the_observed_area_cuts_both_sides():
    known = np.zeros((400, 200), bool)
    known[:200] = True  # x > 0
    predicted = [element([[0, 0], [20, 0]]), element([[-20, 3.5], [0, 3.5]], style="dashed")]
    record = evaluate_patches([patch(predicted, TRUE[:2], known=known)])
    seen = classes(record, "observed")["divider"]
    assert (seen["true"], seen["predicted"]) == (2, 1)
    assert seen["chamfer"]["recall_at"] == [0.5] * 3
    assert seen["chamfer"]["precision_at"] == [1.0] * 3
    coverage = record["coverage"]["classes"]["divider"]
    assert coverage["observed"] == 0.5
    assert coverage["found_of_observed_at"] == [0.5] * 3
    # On the full range the same half line is 5 m from the whole one on average: no match.
    assert classes(record)["divider"]["chamfer"]["recall_at"] == [0.0] * 3


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_what_was_not_observed_cannot_change_the_observed(seed):
    generator = np.random.default_rng(seed)
    known = np.zeros((400, 200), bool)
    known[:200] = True
    hidden = [replace(e, vertices=e.vertices - [28, 0]) for e in random_elements(generator, 3, size=10.0)]
    hidden = [e for e in hidden if e.vertices[:, 0].max() < 0]
    plain = evaluate_patches([patch(moved(TRUE, 0.3, 0.2), TRUE, known=known)])
    more = evaluate_patches([patch([*moved(TRUE, 0.3, 0.2), *hidden], [*TRUE, *hidden[:1]], known=known)])
    assert plain["observed"] == more["observed"]


def test_a_wrong_style_is_a_miss_and_a_false_find_of_styles_only():
    record = evaluate_patches([patch([replace(TRUE[0], style="dashed")], TRUE[:1])])
    assert classes(record)["divider"]["chamfer"]["ap"] == 1.0
    styles = record["full_range"]["styles"]
    assert styles["solid"]["chamfer"]["ap"] == 0.0
    assert styles["dashed"]["chamfer"]["precision_at"] == [0.0] * 3
    accuracy = record["full_range"]["style_accuracy"]
    assert (accuracy["threshold_m"], accuracy["right"]) == (0.5, 0.0)
    assert accuracy["true"] == {"solid": {"dashed": accuracy["matched_m"]}}


def test_rows_count_what_the_patch_pictures_show():
    record = evaluate_patches([patch(moved(TRUE[:3], 0, 0.2), TRUE, name="a"), patch([], [], name="b")])
    assert record["rows"] == [
        {"name": "a", "known": 1.0, "found": 3, "missed": 1, "false": 0, "f1": pytest.approx(6 / 7, abs=1e-4)},
        {"name": "b", "known": 1.0, "found": 0, "missed": 0, "false": 0, "f1": None},
    ]


@pytest.mark.slow
def test_more_processes_give_the_same_record():
    generator = np.random.default_rng(6)
    patches = [patch(random_elements(generator, 4), random_elements(generator, 4), name=str(k)) for k in range(120)]
    assert evaluate_patches(patches, processes=2) == evaluate_patches(patches)
