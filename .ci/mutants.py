"""Changes constants of tracing one at a time and proves that a test notices each change.

Usage: python .ci/mutants.py [NAME ...]; exits 1 if a test passes under its mutant, or fails without it.

A mutant is a setting (`Class.field`, whose default changes) or a constant of a module. It is set before anything else
of the project is imported, in a process of its own that runs one test.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
FAILED = 1  # pytest's exit status if it ran tests and some failed
CONFIG = "vectorize.trace_config"
TRACE = "tests/vectorize/trace"
LINES, STYLES, CROSSINGS = f"{TRACE}/lines", f"{TRACE}/styles", f"{TRACE}/crossings"


class Mutant(NamedTuple):
    """A wrong value, and the test that must fail under it."""

    module: str
    name: str
    value: float
    test: str


MUTANTS = (
    Mutant(
        "vectorize.trace.styles.pattern",
        "FULL_SHARE",
        0.99,
        f"{STYLES}/test_pattern.py::test_irregular_runs_that_paint_most_of_a_line_are_a_worn_solid_one",
    ),
    Mutant(
        "vectorize.trace.styles.companion",
        "LEAST_DASH_M",
        0.3,
        f"{STYLES}/test_stretches.py::test_the_lines_of_a_gore_are_solid_from_their_nose_on",
    ),
    Mutant(
        "vectorize.trace.hatching.symbols",
        "WORD_M",
        0.1,
        f"{TRACE}/hatching/test_signs.py::test_letters_are_no_dividers_and_no_bars_with_the_dashes_beside_them",
    ),
    Mutant(
        CONFIG,
        "HatchingConfig.box_widest_m",
        2.0,
        f"{TRACE}/hatching/test_hatched.py::test_the_outline_of_a_bus_stop_is_no_line_of_traffic",
    ),
    Mutant(
        CONFIG,
        "CrossingPairConfig.max_angle_deg",
        40.0,
        f"{CROSSINGS}/test_crossing_pair.py::test_two_lines_at_an_angle_are_no_crossing",
    ),
    Mutant(
        CONFIG,
        "CrossingPairConfig.overlap_share",
        0.1,
        f"{CROSSINGS}/test_crossing_pair.py::test_two_lines_that_face_each_other_over_half_their_length_are_no_crossing",
    ),
    Mutant(
        CONFIG,
        "CrosswalkConfig.similar_share",
        0.1,
        f"{CROSSINGS}/test_crosswalk.py::test_a_part_much_narrower_than_the_zebra_before_it_is_a_crossing_of_its_own",
    ),
    Mutant(
        CONFIG,
        "CrosswalkConfig.rectangle_share",
        0.5,
        f"{CROSSINGS}/test_crosswalk.py::test_a_slanting_crossing_is_not_published_as_its_rectangle",
    ),
    Mutant(
        CONFIG,
        "StyleConfig.solid_run_m",
        20.0,
        f"{STYLES}/test_pattern.py::test_a_long_run_among_short_ones_is_solid_though_much_of_the_line_is_worn",
    ),
    Mutant(
        CONFIG,
        "DividerConfig.isolated_probability",
        0.0,
        f"{LINES}/test_divider.py::test_a_single_dash_of_faint_paint_is_haze_and_a_strong_one_a_divider",
    ),
    Mutant(
        CONFIG,
        "BoundaryConfig.background_min_trust",
        0.05,
        f"{TRACE}/test_contour.py::test_a_few_views_do_not_make_a_boundary_against_background",
    ),
    Mutant(
        CONFIG,
        "CrossingPairConfig.min_gap_m",
        0.4,
        f"{CROSSINGS}/test_crossing_pair.py::test_the_lines_of_a_crossing_leave_room_for_people",
    ),
    Mutant(
        CONFIG,
        "CrossingPairConfig.max_gap_m",
        8.0,
        f"{CROSSINGS}/test_crossing_pair.py::test_the_lines_of_a_crossing_leave_room_for_people",
    ),
    Mutant(
        CONFIG,
        "CrossingPairConfig.end_m",
        4.0,
        f"{CROSSINGS}/test_crossing_pair.py::test_lines_that_end_before_the_kerb_are_no_crossing",
    ),
    Mutant(
        CONFIG,
        "CrosswalkConfig.block_gap_m",
        4.5,
        f"{CROSSINGS}/test_crosswalk.py::test_blocks_of_stripes_far_apart_are_two_crossings",
    ),
    Mutant(
        CONFIG,
        "CrosswalkConfig.longest_stripe_m",
        20.0,
        f"{CROSSINGS}/test_crosswalk.py::test_a_line_as_long_as_the_zebra_beside_it_is_not_one_of_its_stripes",
    ),
    Mutant(
        CONFIG,
        "StyleConfig.double_width_m",
        1.5,
        f"{STYLES}/test_style.py::test_a_line_half_a_metre_wide_is_double_though_no_gap_is_visible",
    ),
    Mutant(
        CONFIG,
        "StyleConfig.min_gap_m",
        4.0,
        f"{STYLES}/test_style.py::test_short_breaks_are_wear_and_longer_ones_are_gaps_between_dashes",
    ),
    Mutant(
        CONFIG,
        "StyleConfig.min_gap_m",
        0.1,
        f"{STYLES}/test_pattern.py::test_equal_pieces_with_breaks_too_short_for_dashes_are_solid",
    ),
    Mutant(
        CONFIG,
        "BoundaryConfig.bridge_gap_m",
        12.0,
        f"{TRACE}/test_contour.py::test_a_boundary_is_joined_over_a_short_hidden_stretch_only",
    ),
    Mutant(
        CONFIG,
        "StopLineConfig.marking_min_width_m",
        0.06,
        f"{CROSSINGS}/test_stop_line.py::test_thin_paint_across_a_lane_is_not_a_stop_line",
    ),
    Mutant(
        CONFIG,
        "StopLineConfig.min_length_m",
        0.5,
        f"{CROSSINGS}/test_stop_line.py::test_a_patch_of_stop_line_paint_shorter_than_a_lane_is_dropped",
    ),
    Mutant(
        CONFIG,
        "DividerConfig.max_width_m",
        2.8,
        f"{LINES}/test_divider.py::test_a_patch_wider_than_any_line_is_not_a_divider",
    ),
    Mutant(
        CONFIG,
        "GuideConfig.edge_line_m",
        8.0,
        f"{LINES}/test_guide.py::test_a_line_far_from_the_kerb_does_not_follow_it",
    ),
    Mutant(
        CONFIG,
        "CrossingPairConfig.empty_share",
        0.9,
        f"{CROSSINGS}/test_crossing_pair.py::test_two_lines_with_a_painted_area_between_them_are_no_crossing_of_lines",
    ),
    Mutant(
        CONFIG,
        "CrossingPairConfig.own_share",
        0.05,
        f"{CROSSINGS}/test_crossing_pair.py::test_two_lines_of_lane_marking_with_a_piece_of_another_class_are_no_crossing",
    ),
    Mutant(
        CONFIG,
        "CrossingPairConfig.painted_share",
        0.2,
        f"{CROSSINGS}/test_crossing_pair.py::test_two_lines_worn_over_half_the_road_are_no_crossing",
    ),
    Mutant(
        CONFIG,
        "CrosswalkConfig.convex_share",
        0.3,
        f"{CROSSINGS}/test_crosswalk.py::test_a_crossing_round_a_corner_keeps_its_corner",
    ),
    Mutant(
        CONFIG,
        "StopLineConfig.edge_line_m",
        3.0,
        f"{TRACE}/test_road_sides.py::test_the_shaft_of_an_arrow_in_the_middle_of_a_lane_is_not_an_edge_line",
    ),
    Mutant(
        CONFIG,
        "DividerConfig.double_apart_m",
        1.5,
        f"{STYLES}/test_stretches.py::test_lines_that_part_are_double_only_while_they_are_close",
    ),
    Mutant(
        CONFIG,
        "RidgeConfig.corner_deg",
        170.0,
        f"{LINES}/test_ridge.py::test_paint_that_turns_sharply_is_two_lines",
    ),
    Mutant(
        CONFIG,
        "BoundaryConfig.min_contrast",
        0.9,
        f"{TRACE}/test_contour.py::test_a_boundary_is_found_also_where_the_classes_are_unsure",
    ),
    Mutant(
        "vectorize.trace.confidence",
        "FADE_M",
        6000.0,
        f"{TRACE}/test_confidence.py::test_the_confidence_of_a_gap_between_dashes_falls_with_its_length",
    ),
    Mutant(
        "vectorize.publish.lanes",
        "WIDEST_LANE_M",
        4.0,
        "tests/vectorize/publish/test_lanes.py::test_a_lane_of_a_rural_road_is_five_metres_wide_and_two_lanes_are_no_lane",
    ),
)


def mutate(module: str, name: str, value: float) -> None:
    """Set a module's constant, or the default of a dataclass's field; raises AttributeError or KeyError if unknown."""
    owner = importlib.import_module(module)
    kind, dot, field = name.rpartition(".")
    if not dot:
        getattr(owner, name)
        setattr(owner, name, value)
        return
    defaults = getattr(owner, kind).__init__.__kwdefaults__
    if field not in defaults:
        raise KeyError(f"{kind} has no setting {field}")
    defaults[field] = value


def status_of(tests: list[str], mutant: Mutant | None = None) -> int:
    """Return pytest's exit status of tests, run with a mutant or without."""
    given = [mutant.module, mutant.name, str(mutant.value)] if mutant else []
    command = [sys.executable, __file__, "--run", *given, "--", *tests]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode


def run(arguments: list[str]) -> int:
    """Mutate, then run tests in this process."""
    import pytest

    sys.path.insert(0, str(ROOT))
    end = arguments.index("--")
    if end:
        module, name, value = arguments[:end]
        mutate(module, name, float(value))
    return int(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *arguments[end + 1 :]]))


def main(names: list[str]) -> int:
    """Check the mutants of these names, or all of them."""
    chosen = [one for one in MUTANTS if not names or one.name in names]
    if status_of([one.test for one in chosen]):
        print("a test fails without its mutant")
        return 1
    survivors = 0
    for one in chosen:
        noticed = status_of([one.test], one) == FAILED
        survivors += not noticed
        print(f"{'noticed ' if noticed else 'SURVIVES'} {one.name} = {one.value:g}", flush=True)
    print(f"{len(chosen)} mutants, {survivors} survive")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[2:]) if sys.argv[1:2] == ["--run"] else main(sys.argv[1:]))
