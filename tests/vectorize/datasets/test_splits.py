"""Splits are a function of the place: disjoint on the ground, near their shares, and the same for ever."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon.errors import ConfigInvalid
from vectorize.datasets.config import FilterConfig, SplitConfig
from vectorize.datasets.places import neighbours
from vectorize.datasets.splits import Splits

REACH_M = 67.1  # the diagonal of 60 x 30 m


def town(column, row, size=60, frame="wgs84"):
    return [f"{frame}:{column + i}:{row + j}" for i, j in itertools.product(range(size), range(size))]


@settings(deadline=None)
@given(
    column=st.integers(-180_000, 179_000),
    row=st.integers(-80_000, 79_900),
    reach_m=st.floats(1.0, 300.0),
    config=st.sampled_from([SplitConfig(), SplitConfig(validation=0.3, test=0.3), SplitConfig(validation=0.5, test=0)]),
)
def test_two_splits_never_show_the_same_ground(column, row, reach_m, config):
    splits = Splits("city", config, reach_m)
    places = town(column, row, size=16)
    found = {place: splits.of(place) for place in places}
    for place, near in neighbours(places, reach_m).items():
        assert {found[one] for one in near if found[one]} <= {found[place]} or not found[place]


def test_shares_are_kept_and_little_is_lost():
    places = town(8_000, 49_000, size=300)
    counts = Counter(map(Splits("city", SplitConfig(), REACH_M).of, places))
    assert counts[""] / len(places) < 0.12
    kept = len(places) - counts[""]
    assert abs(counts["validation"] / kept - 0.1) < 0.03
    assert abs(counts["test"] / kept - 0.1) < 0.03


def test_a_place_has_its_split_whatever_is_asked_before():
    places = town(8_000, 49_000)
    first, second = Splits("city", SplitConfig(), REACH_M), Splits("city", SplitConfig(), REACH_M)
    forward = [first.of(place) for place in places]
    assert [second.of(place) for place in reversed(places)] == forward[::-1]
    other = Splits("town", SplitConfig(), REACH_M)
    assert [other.of(place) for place in places] != forward


def test_without_held_out_shares_nothing_is_lost():
    splits = Splits("city", SplitConfig(validation=0.0, test=0.0), REACH_M)
    assert {splits.of(place) for place in town(0, 0, frame="a drive")} == {"train"}


def test_what_is_no_share_is_refused():
    for shares in ({"validation": 0.6, "test": 0.6}, {"validation": -0.1}, {"test": float("nan")}):
        with pytest.raises(ConfigInvalid):
            SplitConfig(**shares)


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_coverage": 1.1},
        {"min_confidence": -0.1},
        {"classes": ("kerb",)},
        {"bounds_deg": (8.0, 49.0)},
        {"bounds_deg": (9.0, 49.0, 8.0, 50.0)},
        {"bounds_deg": (8.0, 49.0, float("nan"), 50.0)},
    ],
)
def test_what_is_no_filter_is_refused(wrong):
    with pytest.raises(ConfigInvalid):
        FilterConfig(**wrong)
