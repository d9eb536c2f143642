from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recon import artifact
from recon.errors import ArtifactInvalid
from recon.geometry import apply, invert, rotation_from_euler, transform
from vectorize.config import CropConfig
from vectorize.labels.crop import crop_element
from vectorize.road_map import Element, RoadMap, numbers_of

TRIPS = ("monday", "tuesday", "friday")


def divider(**facts):
    """Return a short line."""
    seen, confidence = np.ones(2, bool), np.ones(2, np.float32)
    return Element(
        element_class="divider", vertices=np.zeros((2, 3)), seen=seen, confidence=confidence, score=1.0, **facts
    )


@st.composite
def elements(draw, *, reach_m=40.0, name="divider"):
    """Return an element that every vertex tells from the others by its views, with trips out of three."""
    count = draw(st.integers(3, 8))
    xy = draw(hnp.arrays(np.float64, (count, 2), elements=st.floats(-reach_m, reach_m), unique=True))
    return Element(
        element_class=name,
        vertices=np.c_[xy, np.zeros(count)],
        seen=draw(hnp.arrays(bool, count)),
        confidence=draw(hnp.arrays(np.float32, count, elements=st.floats(0, 1, width=32))),
        score=0.5,
        closed=draw(st.booleans()),
        views=np.arange(1, count + 1, dtype=np.uint16),
        trips=draw(hnp.arrays(np.uint64, count, elements=st.integers(1, 7))),
    )


@settings(max_examples=60, deadline=None)
@given(elements(), st.data())
def test_a_place_along_an_element_has_what_its_neighbours_have(one, data):
    count = len(one.vertices)
    last = count if one.closed else count - 1
    where = np.array(data.draw(st.lists(st.floats(0, last), min_size=3, max_size=6)))
    new = one.at(where, np.zeros((len(where), 3)))
    for i, place in enumerate(where):
        low, high = int(np.floor(place)) % count, int(np.ceil(place)) % count
        nearer = low if place - np.floor(place) < 0.5 else high
        assert new.seen[i] == (one.seen[low] and one.seen[high])
        assert (new.views[i], new.trips[i]) == (one.views[nearer], one.trips[nearer])
        ends = sorted([one.confidence[low], one.confidence[high]])
        assert ends[0] - 1e-6 <= new.confidence[i] <= ends[1] + 1e-6
    same = one.at(np.arange(count, dtype=float), one.vertices, closed=one.closed)
    for name in ("seen", "confidence", "views", "trips"):
        assert np.array_equal(getattr(same, name), getattr(one, name))


@settings(max_examples=80, deadline=None)
@given(elements(), st.floats(-np.pi, np.pi), st.floats(-30, 30), st.floats(-30, 30))
def test_cropping_keeps_the_provenance_of_vertices_that_survive(one, yaw_rad, x_m, y_m):
    world_from_ego = transform(rotation_from_euler(yaw_rad=yaw_rad), (x_m, y_m, 0.0))
    for piece in crop_element(one, invert(world_from_ego), CropConfig()):
        apart = np.linalg.norm(apply(world_from_ego, piece.vertices)[:, None] - one.vertices, axis=2)
        for at, vertex in np.argwhere(apart < 1e-9):
            assert piece.views[at] in one.views[apart[at] < 1e-6]
            assert piece.trips[at] in one.trips[apart[at] < 1e-6], vertex
        # A cut end is no vertex of the element: it has the facts of one.
        pairs = set(zip(one.views.tolist(), one.trips.tolist(), strict=True))
        assert set(zip(piece.views.tolist(), piece.trips.tolist(), strict=True)) <= pairs
        assert set(piece.trip_numbers) <= set(one.trip_numbers)


def test_a_clipped_crossing_asks_its_own_rim():
    ring = np.array([[28.0, -3, 1], [34, -3, 1], [34, 3, 1], [28, 3, 1]])
    facts = {"seen": np.ones(4, bool), "confidence": np.ones(4, np.float32), "trips": np.array([1, 2, 2, 1], np.uint64)}
    crossing = Element(
        element_class="ped_crossing",
        vertices=ring,
        score=1.0,
        closed=True,
        views=np.array([5, 60, 60, 5], np.uint16),
        **facts,
    )
    (piece,) = crop_element(crossing, np.eye(4), CropConfig())  # cut at x = 30, a third of the way
    assert piece.views.tolist() == [5, 5, 5, 5]
    assert piece.trip_numbers == [0]


@settings(max_examples=25, deadline=None)
@given(st.lists(elements(), max_size=3))
def test_an_artifact_keeps_views_and_trips(tmp_path_factory, some):
    folder = tmp_path_factory.mktemp("map") / "road_map"
    artifact.write(RoadMap(elements=tuple(some), trips=TRIPS), folder)
    read = artifact.read(RoadMap, folder)
    assert read.trips == TRIPS
    for old, new in zip(some, read.elements, strict=True):
        assert (new.views.dtype, new.trips.dtype) == (np.uint16, np.uint64)
        assert np.array_equal(new.views, old.views)
        assert np.array_equal(new.trips, old.trips)


def test_a_map_of_the_first_schema_is_refused(tmp_path):
    line = divider()
    parts = RoadMap(elements=(line,)).to_parts()
    with artifact.atomic_folder(tmp_path / "old") as folder:
        for name in ("vertices", "seen", "confidence", "offsets"):
            np.save(folder / f"{name}.npy", parts.arrays[name])
        artifact.seal(folder, kind="RoadMap", schema=1, meta={k: v for k, v in parts.meta.items() if k != "trips"})
    with pytest.raises(ArtifactInvalid, match="views"):
        artifact.read(RoadMap, tmp_path / "old")


def test_trips_that_the_map_does_not_know_are_refused():
    line = divider(trips=np.array([1, 1 << 63], np.uint64))
    with pytest.raises(ValueError, match="trip 64, and the map has 3"):
        RoadMap(elements=(line,), trips=TRIPS)
    assert replace(line, trips=np.array([4, 1], np.uint64)).trip_numbers == [0, 2]
    assert numbers_of(1 << 63 | 5) == [0, 2, 63]


def test_a_map_made_of_no_images_has_no_views():
    line = divider()
    assert line.views.tolist() == [0, 0]
    assert line.trip_numbers == []
    with pytest.raises(ValueError, match="2 vertices"):
        replace(line, views=np.zeros(3, np.uint16))


def test_an_element_walked_from_its_other_end_exchanges_left_and_right():
    line = np.array([[0.0, 0.0], [5.0, 1.0], [9.0, 0.0]])
    for style, turned in (("solid_dashed", "dashed_solid"), ("dashed_solid", "solid_dashed"), ("double", "double")):
        element = Element(
            element_class="divider", vertices=line, seen=np.ones(3, bool), confidence=np.ones(3, np.float32), score=1.0,
            style=style,
        )  # fmt: skip
        assert element.reversed().style == turned
        assert np.array_equal(element.reversed().vertices, line[::-1])
